"""From a response to the parts that an outcome keeps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.json_text import Body, NotJSON, decode_json, decode_spelled, encode_json
from tmux_fanout.core.policy.answers import Judged
from tmux_fanout.core.requests.answer_rules import AnswerRules, Decoded
from tmux_fanout.core.requests.expressions import Expression, ExpressionError, TextHasNoFields
from tmux_fanout.core.requests.response_body import embed, json_of, text_of
from tmux_fanout.core.requests.streams.reader import StreamReader, advise_stream
from tmux_fanout.core.text import invalid, printable

# The one header that may be repeated although it is not a list: its values contain commas.
_NEVER_JOINED = "set-cookie"
_OK_EXAMPLE = '["2xx", 404]'
_STATUS = re.compile(r"[1-5](?:xx|\d\d)", re.IGNORECASE)


class ResponseReader(msgspec.Struct, frozen=True, kw_only=True):
    """Reads the responses of one API.

    Attributes:
        ok_status: statuses that are ok.
        rules: what else decides whether a response is ok, and may be repeated if not; None: its
            status alone.
        stream: reads ok responses that are streams of values; None: they are none.
        select: what to keep of the body of an ok response; None: all of it.
        capture: names of headers to keep, in lower case.
    """

    ok_status: frozenset[int]
    rules: AnswerRules | None = None
    stream: StreamReader | None = None
    select: Expression | None = None
    capture: tuple[str, ...] = ()

    def is_ok(self, response: Response) -> bool:
        """Return whether a response is ok; it has to be judged by then, if the reader `judges`."""
        return response.status in self.ok_status and not response.never_ok

    @property
    def judges(self) -> bool:
        """Whether responses have to be judged before anything else is done with them."""
        return self.rules is not None or self.stream is not None

    def judge(self, response: Response) -> Response:
        """Return a response with the values of its stream, and with what the rules say of it."""
        if self.stream is not None and self.is_ok(response):
            response = self.stream.read(response)
        if self.rules is None or isinstance(response, Judged):
            return response
        return self.rules.judge(response, is_ok=self.is_ok(response))

    @property
    def tells_time(self) -> bool:
        """Whether `select` calls `now()`."""
        return self.select is not None and self.select.tells_time

    def content(self, response: Response, now: float = 0.0) -> Body | ErrorInfo:
        """Return the body to keep; an error of kind `decode` where `select` fails on it.

        Nothing is selected from an empty body, which is null.

        Args:
            response: judged, if the reader `judges`.
            now: seconds since 1970; only needed where `select` tells the time.
        """
        if self.select is None or not response.body or not self.is_ok(response):
            return embed(response.body, response.headers)
        try:
            return Body(encode_json(_select(self.select, response, now)))
        except NotJSON as exc:
            kind = response.header(b"content-type") or b""
            what = f" (it is {printable(kind.decode('latin-1'))})" if kind else ""
            advice = "" if self.stream else advise_stream(response)
            why = f"the response is not JSON{what}, which select needs: {exc}{advice}"
            return ErrorInfo("decode", why)
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


def is_nothing(body: Body) -> bool:
    """Return whether an expression found nothing: null, or an object or a list of nulls only."""
    if body.json == b"null":
        return True
    if body.json[:1] not in (b"{", b"["):
        return False
    value = decode_json(body.json)
    found = value.values() if isinstance(value, dict) else value
    return bool(found) and all(item is None for item in found)


def _select(select: Expression, response: Response, now: float) -> Any:
    """Return what an expression finds in a body; one that is not JSON is text without fields.

    Raises:
        NotJSON: it is not JSON, and it is no text, or the expression asks for a field.
        ExpressionError: as `Expression.search`.
    """
    if isinstance(response, Decoded):
        return select.search(response.value, now)
    try:
        json = json_of(response)
    except NotJSON as exc:
        text = text_of(response.body, response.headers)
        if text is None:
            raise
        try:
            return select.search_text(text, now)
        except TextHasNoFields:
            raise exc from None
    return select.search(decode_spelled(json), now)


def parse_ok_status(words: Sequence[int | str]) -> frozenset[int]:
    """Return the statuses that are ok.

    Raises:
        ConfigError: there are none, or `parse_statuses` rejects them.
    """
    if not words:
        raise ConfigError(f"no status at all: use some, such as {_OK_EXAMPLE}", key="ok_status")
    return parse_statuses("ok_status", words, _OK_EXAMPLE)


def parse_statuses(key: str, words: Sequence[int | str], example: str) -> frozenset[int]:
    """Return the statuses that words such as `404` and `"2xx"` mean.

    Args:
        key: the setting, for messages.
        words: as they were written.
        example: a list to show in messages.

    Raises:
        ConfigError: a word is neither.
    """
    statuses: set[int] = set()
    for word in words:
        text = str(word)
        if not _STATUS.fullmatch(text):
            raise ConfigError(invalid("status", word, f"some such as {example}"), key=key)
        first = int(text[0] + "00")
        statuses.update(range(first, first + 100) if text[1:].lower() == "xx" else [int(text)])
    return frozenset(statuses)
