"""What a user can set, and the defaults.  Flags and library share these words and these checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from tmux_fanout.core.config.tables import (
    parse_auth,
    parse_batch,
    parse_breaker,
    parse_limit,
    parse_tls,
)
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import Auth
from tmux_fanout.core.http.messages import unsafe_in_header
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.core.http.urls import EXAMPLE_URL
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.balance import Balance
from tmux_fanout.core.policy.breaker import BreakerSettings
from tmux_fanout.core.policy.hedging import parse_hedge
from tmux_fanout.core.policy.join import parse_join
from tmux_fanout.core.policy.max_failures import parse_max_failures
from tmux_fanout.core.policy.rate import parse_rate
from tmux_fanout.core.requests.options import Batch, BodyFormat
from tmux_fanout.core.text import describe, one_of
from tmux_fanout.core.units import parse_duration, parse_size

LIMIT = 64
RETRIES = 2
CONNECT_TIMEOUT = 10.0
ATTEMPT_TIMEOUT = 30.0
TIMEOUT = 60.0
DRAIN_TIMEOUT = 30.0
MAX_RESPONSE = 16 << 20
MAX_LINE = 16 << 20
CHUNK_SIZE = 100
WINDOW = 1024
STRETCHED_WINDOW = 8 * WINDOW
WINDOW_BYTES = 64 << 20


TransportName = Literal["auto", "native", "httpx", "asks"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "te"})
DURATIONS = (
    *("connect_timeout", "attempt_timeout", "timeout"),
    *("chunk_linger", "deadline", "drain_timeout"),
)
_MAY_BE_ZERO = ("chunk_linger", "drain_timeout")
SIZES = ("max_response", "window_bytes", "max_line")
_LEAST = dict.fromkeys(("total_limit", "chunk_size", "window"), 1) | {
    "retries": 0,
    "redirects": 0,
}
_SWITCHES = ("idempotent", "unordered", "http2", "env_proxy", "idempotency_key")
_TEXTS = ("body", "select", "when", "proxy")
_WORDS = {"body_format": BodyFormat, "balance": Balance, "transport": TransportName}
_TABLES: dict[str, Callable[[object], Any]] = {
    "auth": parse_auth,
    "tls": parse_tls,
    "batch": parse_batch,
    "breaker": lambda value: parse_breaker(value) or False,
    "limit": parse_limit,
}
# These stay as they are written.
_FORMS: dict[str, Callable[[object], Any]] = {
    "hedge": parse_hedge,
    "join": parse_join,
    "max_failures": parse_max_failures,
    "rate": parse_rate,
}
_LISTS = {
    "ok_status": '["2xx", 404]',
    "capture_headers": '["etag"]',
    "endpoints": '["https://eu.example.com", "https://us.example.com"]',
    "after": '["lookup"]',
}


class Api(msgspec.Struct, frozen=True, omit_defaults=True):
    """A named HTTP API that every record is sent to.

    Args:
        name: what its outcomes are called; unique in a run.
        url: where requests go, http or https; path and query may be an RFC 6570 template, whose
            names are fields of the record or dotted paths.  `${VAR}` is taken from the environment.
            With `endpoints` it is relative to each of them, and may be left out.
        endpoints: base URLs of servers that do the same.
        balance: which of them an attempt goes to: `least-in-flight` (the default), `round-robin`,
            or `failover`, the first that has not just failed.
        method: HTTP method.
        headers: by name; in values `{field}` is taken from the record, `${VAR}` from the
            environment.
        body: what to send of the record, in JMESPath; by default all of it, with the methods that
            carry a body.
        body_format: `json`, `raw` (texts as they are) or `form` (objects as fields).
        select: what to keep of the body of an ok response, in JMESPath.
        when: whether to call at all, in JMESPath over the record.
        after: names of APIs whose outcomes are waited for; the expressions then see the record with
            `_results` beside its fields, those outcomes by name.
        batch: many records in one request: `{"size": 50}`, with `format` (`json` or `ndjson`),
            `items` and `key`; see `core.config.tables.Batch`.
        ok_status: what is ok, such as `["2xx", 404]`.
        capture_headers: names of response headers to keep in the outcome.
        limit: attempts in flight at the same time (64); `"adaptive"`, or `{"min": 4, "max": 256}`,
            to find out how many the API can take.
        rate: attempts per unit of time, such as `"50/s"`, `"300/m"` or `"1000/h"` (no such limit).
        retries: attempts after the first (2).
        connect_timeout: seconds, or a text such as `"10s"`, to connect (10).
        attempt_timeout: the same for one attempt, from owning a slot to the whole response (30).
        timeout: the same for a call with all its attempts and pauses (60).
        idempotent: whether requests may be applied twice; by default the method tells.
        idempotency_key: whether to send an `Idempotency-Key` that stays the same for a record, by
            which the API can tell a repeated request; then requests may be applied twice.
        breaker: `{"failures": 5, "open": "1s", "max_open": "30s", "wait": "60s"}`, or False for
            none; see `core.config.tables.BreakerSettings`.
        hedge: when a request that may be applied twice gets a second attempt beside the first,
            which answers first: after `"200ms"`, say, or seconds, after the time that 95 % of the
            calls take (`"p95"`), or then and only for the record that holds up the output
            (`"head"`).  At most 5 % more attempts.
        max_response: most bytes of a decoded response body, or a text such as `"16MiB"`.
        redirects: how many to follow, to the same origin only (0).
        auth: `{"bearer": ...}`, `{"basic": [user, password]}` or `{"oauth2": {...}}` with
            `token_url`, `client_id`, `client_secret` and `scope`.
        tls: `ca`, `cert`, `key` (paths) and `verify`.
        proxy: URL of an HTTP proxy.
        http2: whether to speak HTTP/2 where the server does.
        client: an `httpx.AsyncClient` (or httpx2's) to send with; it is not closed.
        transport: `native`, `httpx`, `asks` (an extra), or `auto`, which picks for each API.

    What is None is taken from the run's own settings, or has the default in brackets.

    Raises:
        ConfigError: a value cannot be used; the message says what to write instead.
    """

    name: str
    url: str = ""
    method: str = "POST"
    headers: Mapping[str, str] = {}
    body: str | None = None
    body_format: BodyFormat = "json"
    select: str | None = None
    when: str | None = None
    after: Sequence[str] = ()
    batch: Mapping[str, Any] | Batch | None = None
    ok_status: Sequence[int | str] = ("2xx",)
    capture_headers: Sequence[str] = ()
    endpoints: Sequence[str] = ()
    balance: Balance = "least-in-flight"
    limit: int | str | Mapping[str, int] | Adaptive | None = None
    rate: str | None = None
    retries: int | None = None
    connect_timeout: float | str | None = None
    attempt_timeout: float | str | None = None
    timeout: float | str | None = None
    idempotent: bool | None = None
    idempotency_key: bool = False
    breaker: Mapping[str, Any] | BreakerSettings | bool | None = None
    hedge: float | str | None = None
    max_response: int | str | None = None
    redirects: int = 0
    auth: Mapping[str, Any] | Auth | None = None
    tls: Mapping[str, Any] | Tls | None = None
    proxy: str | None = None
    http2: bool = False
    client: Any = None
    transport: TransportName | None = None

    def __repr__(self) -> str:
        return f"<Api {self.name}>"  # no more: there may be secrets in it

    def __post_init__(self) -> None:
        check_name(self.name)
        try:
            _normalise(self)
            if not isinstance(self.url, str) or not (self.url or self.endpoints):
                why = f"{describe(self.url)} is not a URL; write {EXAMPLE_URL!r}"
                raise ConfigError(why, key="url")
            if not isinstance(self.method, str) or not _TOKEN.fullmatch(self.method):
                why = f"{_token(self.method)} is no method; write GET or POST"
                raise ConfigError(why, key="method")
            if not isinstance(self.headers, Mapping):
                why = "write a mapping such as {'Accept': 'text/plain'}"
                raise ConfigError(why, key="headers")
            for name, value in self.headers.items():
                check_header(name, value)
        except ConfigError as exc:
            raise exc.within(api=self.name) from None


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is set once for a run.

    Args:
        limit, rate, retries, connect_timeout, attempt_timeout, timeout, idempotent, max_response,
            transport: for the APIs that do not say otherwise, as in `Api`.
        total_limit: attempts in flight over all APIs, or None for no such limit.
        chunk_size: most records of a chunk; None: 100, or the largest batch.
        chunk_linger: seconds after its first record that a chunk waits for more.
        window: records admitted and not yet written; None: 1024, or 4 x the largest limit or
            batch, and up to 8192 where slots would idle behind a slow record.
        window_bytes: bytes of those records and of their responses.
        max_line: bytes of the longest input line.
        unordered: hand results out as they complete.
        join: when a record is settled: `all`, `first`, `quorum:N` or `best-effort:T`.
        max_failures: give up past so many records that are not ok; or past a share of them, such
            as `"5%"`, once there are 100.
        deadline: seconds that the whole run may take, or None.
        drain_timeout: seconds that admitted records have to finish after a signal.
        env_proxy: whether `http_proxy` and its kin in the environment are honoured.

    Raises:
        ConfigError: a value cannot be used; the message says what to write instead.
    """

    limit: int | str | Mapping[str, int] | Adaptive | None = None
    rate: str | None = None
    retries: int | None = None
    connect_timeout: float | str | None = None
    attempt_timeout: float | str | None = None
    timeout: float | str | None = None
    idempotent: bool | None = None
    max_response: int | str | None = None
    transport: TransportName | None = None
    total_limit: int | None = None
    chunk_size: int | None = None
    chunk_linger: float = 0.0
    window: int | None = None
    window_bytes: int = WINDOW_BYTES
    max_line: int = MAX_LINE
    unordered: bool = False
    join: str = "all"
    max_failures: int | str | None = None
    deadline: float | None = None
    drain_timeout: float = DRAIN_TIMEOUT
    env_proxy: bool = True

    def __post_init__(self) -> None:
        _normalise(self)


def _normalise(settings: Api | RunSettings) -> None:
    """Check each value, and turn durations into seconds and sizes into bytes."""
    for field in settings.__struct_fields__:
        value = getattr(settings, field)
        if value is None:
            continue
        try:
            new = _checked(field, value)
        except ConfigError as exc:
            raise exc.within(field) from None
        msgspec.structs.force_setattr(settings, field, new)


def _checked(field: str, value: Any) -> Any:
    if field in DURATIONS:
        seconds = parse_duration(value)
        if seconds == 0 and field not in _MAY_BE_ZERO:
            raise ConfigError("0 leaves no time at all; write 250ms, 10s, 2m or 1h")
        return seconds
    if field in SIZES:
        return parse_size(value)
    if field in _LEAST:
        return _whole(value, least=_LEAST[field])
    if field in _SWITCHES and not isinstance(value, bool):
        raise ConfigError(f"{describe(value)} is neither true nor false")
    if field in _WORDS and value not in get_args(_WORDS[field]):
        raise ConfigError(f"{describe(value)} is none; write {one_of(get_args(_WORDS[field]))}")
    if field in _TEXTS and not isinstance(value, str):
        raise ConfigError(f"{describe(value)} is not a text")
    if field in _LISTS:
        return _list(field, value)
    if field in _FORMS:
        _FORMS[field](value)
    return _TABLES[field](value) if field in _TABLES else value


def _list(field: str, value: Any) -> tuple[Any, ...]:
    example, kinds = _LISTS[field], (str, int) if field == "ok_status" else (str,)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigError(f"a value of type {type(value).__name__} is no list; write {example}")
    for item in value:
        if not isinstance(item, kinds) or isinstance(item, bool):
            raise ConfigError(f"{describe(item)} does not belong there; write {example}")
    return tuple(value)


def _whole(value: Any, *, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{describe(value)} is not a whole number of at least {least}")
    return value


def _token(value: object) -> str:
    """What is no token, up to where it ceases to be one: a secret may follow."""
    if not isinstance(value, str):
        return describe(value)
    start = _TOKEN.match(value)
    return f"'{start[0] if start else ''}…'"


def check_name(name: object) -> None:
    """Return if an API can be called this.

    Raises:
        ConfigError: it cannot.  A URL is not shown, since there may be a secret in it.
    """
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise ConfigError(f"API name {_token(name)}: write a printable one such as lookup")
    if name == "_errors":
        raise ConfigError("API name: _errors is a key of the output; write another")
    if "://" in name:
        raise ConfigError("API name: it is a URL; write a name such as lookup")


def check_header(name: str, value: str) -> None:
    """Return if a header can be sent as it is (RFC 9110, section 5).

    Raises:
        ConfigError: it cannot.  The value is not shown, since it may be a secret.
    """
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ConfigError(f"{_token(name)} is no header name", key="headers")
    if name.lower() in _FRAMING_HEADERS:
        raise ConfigError(f"{name} is set by the program; leave it out", key="headers")
    if not isinstance(value, str):
        raise ConfigError(f"the value of {name} is no text; write it in quotes", key="headers")
    if unsafe_in_header(value):
        why = f"the value of {name} has characters that no header can hold"
        raise ConfigError(why, key="headers")
