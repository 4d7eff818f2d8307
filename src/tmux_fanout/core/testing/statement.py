"""Parse `[[test]]` tables: records, the replies of the APIs, and what to expect.

[[test]]
name = "keeps the score"
record = { id = 1, text = "hi" }
replies.score = [{ status = 503 }, { body = { value = 3 } }]
expect.results.score = { body = 3, attempts = 2 }
expect_request.score = { method = "POST", body = { text = "hi" } }
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import msgspec

from tmux_fanout.core.config.tables import unknown_key
from tmux_fanout.core.errors import ConfigError, ConfigErrors
from tmux_fanout.core.http.messages import unsafe_in_header
from tmux_fanout.core.json_text import NotJSON, check_record, decode_json, encode_value
from tmux_fanout.core.testing.result_keys import check_result
from tmux_fanout.core.text import counted, describe, invalid, joined, nearest, one_of, printable
from tmux_fanout.core.units import parse_duration

T = TypeVar("T")

ReplyError = Literal["connect", "tls", "timeout", "protocol"]

_ERRORS = get_args(ReplyError)
_REPLY_KEYS = ("status", "headers", "body", "delay", "error")
_REQUEST_KEYS = ("method", "url", "headers", "body")
_RECORDS = "one such as { id = 1 }, or line = '{\"id\": null}'"
_REPLY = "{ status = 200, body = { value = 3 } }"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply of an API to a request.

    Attributes:
        status: of the response.
        headers: names in lower case.
        body: as it is sent.
        delay: seconds until then.
        error: the kind of failure in place of a response, or None.
    """

    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    delay: float = 0.0
    error: ReplyError | None = None


class ExpectedRequests(NamedTuple):
    """Parts of the requests of an API.

    Attributes:
        parts: of one request each, in order.
        is_first: whether there may be others after them.
    """

    parts: Sequence[Mapping[str, Any]]
    is_first: bool


class ConfigTest(msgspec.Struct, frozen=True, kw_only=True):
    """One test.

    Attributes:
        number: among the tests of the file, from 1.
        name: for reports, or "".
        records: values, or `bytes` for lines of the input.
        replies: of each API, by its name.
        tokens: of the token endpoint of an API, by the name of the API.
        expect: a part of the result of each record; None: nothing is expected.
        expect_request: of the requests of an API, by its name.
    """

    number: int
    name: str = ""
    records: Sequence[Any]
    replies: Mapping[str, Sequence[Reply]] = {}
    tokens: Mapping[str, Sequence[Reply]] = {}
    expect: Sequence[Any] | None = None
    expect_request: Mapping[str, ExpectedRequests] = {}

    @property
    def title(self) -> str:
        """What reports call it."""
        return ": ".join(filter(None, [f"test {self.number}", printable(self.name, 100)]))


def parse_tests(
    written: object, apis: Collection[str], input_format: str | None
) -> Sequence[ConfigTest]:
    """Return the tests of a configuration file.

    Args:
        written: what the file has under `test`.
        apis: names of the APIs that it has.
        input_format: that of `[run]`; None: none.

    Raises:
        ConfigError: one of them cannot be used; every test that cannot is named.
    """
    if not isinstance(written, list):
        raise ConfigError("not a list: write [[test]], in double brackets", key="test")
    tests, mistakes = [], []
    for number, table in enumerate(written, 1):
        try:
            tests.append(_Table(number, apis, input_format).parse(table))
        except ConfigError as exc:
            key = f"test {number}"
            why = f"{exc.key}: {exc.why}" if exc.key else exc.why
            mistakes.append(ConfigError(why, key=key))
    if mistakes:
        raise mistakes[0] if len(mistakes) == 1 else ConfigErrors(mistakes)
    return tests


class _Table:
    """Parses the table of one test."""

    def __init__(self, number: int, apis: Collection[str], input_format: str | None) -> None:
        self._number = number
        self._apis = apis
        self._input_format = input_format

    def parse(self, table: object) -> ConfigTest:
        if not isinstance(table, Mapping):
            raise ConfigError("not a table: write [[test]], and its keys below")
        for key in table:
            if key not in _KEYS:
                raise unknown_key(key, _KEYS)
        if not any(key in table for key in ("expect", "expect_request")):
            use = "add expect, such as expect.ok = true, or expect_request"
            raise ConfigError(f"nothing is expected: {use}")
        records = list(_records(table, self._input_format))
        return ConfigTest(
            number=self._number,
            name=_at("name", lambda: _name(table.get("name", ""))),
            records=records,
            replies=self._by_api("replies", table, _replies),
            tokens=self._by_api("tokens", table, _replies),
            expect=_at("expect", lambda: self._expected(table.get("expect"), len(records))),
            expect_request=self._by_api("expect_request", table, _requests),
        )

    def _by_api(
        self, key: str, table: Mapping[str, Any], parse: Callable[[Any], T]
    ) -> dict[str, T]:
        """Return what a key has for each API."""
        written = table.get(key, {})
        if not isinstance(written, Mapping):
            raise ConfigError(f"not a table: use {key}.NAME, with the name of an API", key=key)
        found = {}
        for name, value in written.items():
            if name not in self._apis:
                why = f"unknown API {describe(name)}: {nearest(name, self._apis)}"
                raise ConfigError(why, key=key)
            found[name] = _at(f"{key}.{name}", partial(parse, value))
        return found

    def _expected(self, written: object, records: int) -> Sequence[Any] | None:
        if written is None:
            return None
        parts = written if isinstance(written, list) else [written]
        if len(parts) != records:
            what = f"{counted(len(parts), 'result')} for {counted(records, 'record')}"
            why = f"{what}: use a list of one for each"
            raise ConfigError(why)
        return [check_result(_part(each, "{ ok = true }"), self._apis) for each in parts]


_KEYS = ("name", "record", "records", "line", "replies", "tokens", "expect", "expect_request")


def _at(key: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except ConfigError as exc:
        raise exc.within(key) from None


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(invalid("name", value, "text in quotes"))
    return value


def _records(table: Mapping[str, Any], input_format: str | None) -> Iterator[Any]:
    given = [key for key in ("record", "records", "line") if key in table]
    if len(given) != 1:
        what = "no record" if not given else f"{joined(given)}: only one of them is possible"
        raise ConfigError(f"{what}: use {_RECORDS}")
    [key] = given
    value = table[key]
    if key == "line":
        yield _at(key, lambda: _line(value, input_format))
    elif key == "record":
        yield _at(key, lambda: _json_value(value))
    elif not isinstance(value, list) or not value:
        raise ConfigError(f"not a list of records: use {_RECORDS}", key=key)
    else:
        yield from _at(key, lambda: _each(value, "record", _json_value))


def _line(value: object, input_format: str | None) -> bytes | str:
    """Return a line of JSON as it is, or the text that it is."""
    if input_format in ("csv", "tsv"):
        raise ConfigError('a row has no names here: use record = { name = "value" }')
    if not isinstance(value, str) or not value.strip() or "\n" in value.strip("\n"):
        raise ConfigError(invalid("line", value, "one line of the input, in quotes"))
    line = value.strip("\n")
    return line if input_format == "lines" else line.encode()


def _json_value(value: object) -> Any:
    """Return a value of TOML as JSON has it: dates are text there."""
    try:
        return decode_json(encode_value(value))
    except NotJSON as exc:
        raise ConfigError(f"not possible in JSON: {exc}") from None


def _replies(written: object) -> Sequence[Reply]:
    return _each(written, "reply", _reply) if isinstance(written, list) else [_reply(written)]


def _each(written: Sequence[Any], what: str, parse: Callable[[Any], T]) -> list[T]:
    """Return the items of a list; the error in one of them has its number."""
    parsed = []
    for number, item in enumerate(written, 1):
        try:
            parsed.append(parse(item))
        except ConfigError as exc:
            why = f"{exc.key}: {exc.why}" if exc.key else exc.why
            raise ConfigError(f"{what} {number}: {why}") from None
    return parsed


def _reply(written: object) -> Reply:
    if not isinstance(written, Mapping):
        raise ConfigError(invalid("reply", written, _REPLY))
    for key in written:
        if key not in _REPLY_KEYS:
            raise unknown_key(key, _REPLY_KEYS)
    error = written.get("error")
    if error is not None and error not in _ERRORS:
        raise ConfigError(invalid("kind", error, one_of(_ERRORS)), key="error")
    excess = [key for key in ("status", "headers", "body") if key in written]
    if error is not None and excess:
        raise ConfigError(f"an error has no response: leave {excess[0]} out", key="error")
    body, content_type = _at("body", lambda: _body(written.get("body", "")))
    headers = _at("headers", lambda: list(_headers(written.get("headers", {}))))
    if content_type and not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", content_type))
    return Reply(
        status=_at("status", lambda: _status(written.get("status", 200))),
        headers=tuple(headers),
        body=body,
        delay=_at("delay", lambda: parse_duration(written.get("delay", 0))),
        error=error,
    )


def _status(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 599:
        raise ConfigError(invalid("status", value, "a number from 200 to 599"))
    return value


def _body(value: object) -> tuple[bytes, bytes]:
    """Return a body, and its content type; text is sent as it is."""
    if isinstance(value, str):
        return value.encode(errors="surrogateescape"), b""
    try:
        return encode_value(value), b"application/json"
    except NotJSON as exc:
        raise ConfigError(f"not possible in JSON: {exc}") from None


def _headers(written: object) -> Iterator[tuple[bytes, bytes]]:
    if not isinstance(written, Mapping):
        raise ConfigError('not a table: use one such as { Retry-After = "2" }')
    for name, value in written.items():
        for each in value if isinstance(value, list) else [value]:
            text = str(each) if isinstance(each, int) and not isinstance(each, bool) else each
            if not isinstance(text, str) or unsafe_in_header(text) or not name.isascii():
                raise ConfigError(invalid("value", each, "text in quotes, or a number"), key=name)
            yield name.lower().encode(), text.strip().encode("latin-1")


def _part(written: object, example: str) -> Mapping[str, Any]:
    """Return a table that is written as one, or as JSON text."""
    if isinstance(written, str):
        try:
            check_record(written.encode())
        except (NotJSON, UnicodeEncodeError) as exc:
            raise ConfigError(f"not JSON: {exc}: use a table such as {example}") from None
        written = decode_json(written.encode())
    if not isinstance(written, Mapping):
        raise ConfigError(f"not a table: use one such as {example}")
    part = _json_value(written)
    assert isinstance(part, Mapping)
    return part


def _requests(written: object) -> ExpectedRequests:
    if not isinstance(written, list):
        return ExpectedRequests([_request(written)], is_first=True)
    return ExpectedRequests(_each(written, "request", _request), is_first=False)


def _request(written: object) -> Mapping[str, Any]:
    part = _part(written, '{ method = "POST", body = { id = 1 } }')
    for key, value in part.items():
        if key not in _REQUEST_KEYS:
            raise unknown_key(key, _REQUEST_KEYS)
        if key in ("method", "url") and not isinstance(value, str):
            raise ConfigError(invalid(key, value, "text in quotes"), key=key)
        if key == "headers" and not isinstance(value, Mapping):
            raise ConfigError('not a table: use one such as { Accept = "text/plain" }', key=key)
    return part
