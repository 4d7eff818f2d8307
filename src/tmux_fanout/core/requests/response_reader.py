"""From a response to the parts that an outcome keeps."""

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

# The one header that may be repeated although it is not a list: its values contain commas.
_NEVER_JOINED = "set-cookie"
_EXAMPLE = '["2xx", 404]'
_STATUS = re.compile(r"[1-5](?:xx|\d\d)", re.IGNORECASE)


class ResponseReader(msgspec.Struct, frozen=True, kw_only=True):
    """Reads the responses of one API.

    Attributes:
        ok_status: statuses that are ok.
        select: what to keep of the body of an ok response; None: all of it.
        capture: names of headers to keep, in lower case.
    """

    ok_status: frozenset[int]
    select: Expression | None = None
    capture: tuple[str, ...] = ()

    def is_ok(self, response: Response) -> bool:
        return response.status in self.ok_status and not response.damaged

    def content(self, response: Response) -> Body | ErrorInfo:
        """Return the body to keep; an error of kind `decode` where `select` fails on it."""
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
            return ErrorInfo("decode", "select: the result is nested too deeply")

    def captured(self, response: Response) -> dict[str, str | list[str]] | None:
        """Return the response's headers to keep; None if none are to be kept.

        Values of one name are joined by commas, which keeps their meaning (RFC 9110, section 5.3),
        except those of Set-Cookie, which become a list.
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
    """Return the statuses that words such as `404` and `"2xx"` mean.

    Raises:
        ConfigError: a word is neither, or there is none.
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
