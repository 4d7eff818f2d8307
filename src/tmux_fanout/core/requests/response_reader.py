"""From a response to what an outcome keeps of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.json_text import (
    Body,
    NotJSON,
    check_json,
    decode_spelled,
    embed,
    encode_json,
)
from tmux_fanout.core.requests.expressions import Expression, ExpressionError
from tmux_fanout.core.text import invalid

# The one header that may come twice and is no list: its values have commas in them.
_NEVER_JOINED = "set-cookie"
_EXAMPLE = '["2xx", 404]'
_STATUS = re.compile(r"[1-5](?:xx|\d\d)", re.IGNORECASE)


class ResponseReader(msgspec.Struct, frozen=True, kw_only=True):
    """Reads the responses of one API.

    Attributes:
        ok_status: the statuses that are ok.
        select: what to keep of the body of a response that is; None: all of it.
        capture: names of headers to keep, in lower case.
    """

    ok_status: frozenset[int]
    select: Expression | None = None
    capture: tuple[str, ...] = ()

    def is_ok(self, response: Response) -> bool:
        return response.status in self.ok_status and not response.damaged

    def content(self, response: Response) -> Body | ErrorInfo:
        """The body as it is kept; an error of kind `decode` where `select` needs JSON."""
        if self.select is None or not self.is_ok(response):
            return embed(response.body)
        try:
            check_json(response.body)
            return Body(encode_json(self.select.search(decode_spelled(response.body))))
        except NotJSON as exc:
            return ErrorInfo("decode", f"the response is not JSON, which select needs: {exc}")
        except ExpressionError as exc:
            return ErrorInfo("decode", str(exc))
        except RecursionError:
            return ErrorInfo("decode", "select: what it finds is nested too deeply")

    def captured(self, response: Response) -> dict[str, str | list[str]] | None:
        """The headers to keep that the response has.

        Several of a name are joined with a comma, which does not change what they mean (RFC 9110,
        section 5.3), but for Set-Cookie: there they are a list.
        """
        if not self.capture:
            return None
        found: dict[str, list[str]] = {}
        for raw_name, raw_value in response.headers:
            name = raw_name.decode("latin-1")
            if name in self.capture:
                found.setdefault(name, []).append(raw_value.decode("latin-1").strip(" \t"))
        return {
            name: values if len(values) > 1 and name == _NEVER_JOINED else ", ".join(values)
            for name, values in found.items()
        }


def parse_ok_status(words: Sequence[int | str]) -> frozenset[int]:
    """Statuses from words such as `404` and `"2xx"`.

    Raises:
        ConfigError: a word is neither.
    """
    if not words:
        raise ConfigError(f"no status at all: use some, such as {_EXAMPLE}", key="ok_status")
    statuses: set[int] = set()
    for word in words:
        text = str(word)
        if not _STATUS.fullmatch(text):
            why = invalid("status", word, f"some such as {_EXAMPLE}")
            raise ConfigError(why, key="ok_status")
        first = int(text[0] + "00")
        statuses.update(range(first, first + 100) if text[1:].lower() == "xx" else [int(text)])
    return frozenset(statuses)
