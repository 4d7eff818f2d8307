"""The settings of an API and of a run, and their defaults, for command and library alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import force_setattr

from tmux_fanout.core.config.rules import (
    Duration,
    DurationOrZero,
    JsonBody,
    Rule,
    Size,
    Switch,
    TemplateText,
    Text,
    UrlText,
    WholeFromOne,
    WholeFromZero,
    check_name,
    check_settings,
    choice,
    items,
    parse_folder,
    parse_group,
    parse_headers,
    parse_max_tokens,
    parse_method,
    parse_params,
    spelled,
)
from tmux_fanout.core.config.tables import (
    optional,
    or_false,
    parse_auth,
    parse_batch,
    parse_breaker,
    parse_cache,
    parse_endpoints,
    parse_key,
    parse_limit,
    parse_pages,
    parse_poll,
    parse_rate_headers,
    parse_rates,
    parse_tls,
    show_endpoints,
    show_rates,
    table,
    unknown_key,
)
from tmux_fanout.core.endpoints.breaker import BreakerSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.hosts.rules import parse_hosts
from tmux_fanout.core.http.auth import Auth
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.core.http.urls import EXAMPLE_URL
from tmux_fanout.core.merging.inheritance import check_one_body, settle
from tmux_fanout.core.merging.presets import SLOTS, Preset, check_no_slots, expand, find_preset
from tmux_fanout.core.mistakes.placement import placed
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.balance import Balance
from tmux_fanout.core.policy.hedging import parse_hedge
from tmux_fanout.core.policy.join import parse_join
from tmux_fanout.core.policy.max_failures import parse_max_failures
from tmux_fanout.core.policy.rate import RateSettings, parse_rate
from tmux_fanout.core.requests.options import (
    Batch,
    BodyFormat,
    Compression,
    EndpointSettings,
    PagesSettings,
    PollSettings,
    StreamFormat,
)
from tmux_fanout.core.requests.reuse.cache import CacheSettings
from tmux_fanout.core.routes.connect_to import parse_connect_to
from tmux_fanout.core.routes.sockets import parse_socket
from tmux_fanout.core.spending.prices import Price, parse_max_cost, parse_price, show_price

LIMIT = 64
HOST_LIMIT = 8
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

Off = Literal[False]  # for none, where one would be inherited
OnDown = Literal["wait", "fail"]
TransportName = Literal["auto", "native", "httpx", "asks"]

_PATHS = ("files_root", "tls", "socket", "cache")  # or tables with paths
_FAILURES = '["unreachable", "timeout", 429, "5xx"]'

Limit = Annotated[int | str | Mapping[str, int] | Adaptive, table(parse_limit)]
Endpoints = Annotated[
    Sequence[str | Mapping[str, Any] | EndpointSettings], Rule(parse_endpoints, show_endpoints)
]
Rate = Annotated[str | Mapping[str, Any] | RateSettings, Rule(parse_rates, show_rates)]
Breaker = Annotated[Mapping[str, Any] | BreakerSettings | bool, table(parse_breaker)]
Transport = Annotated[TransportName, choice(TransportName)]


class Api(msgspec.Struct, frozen=True, omit_defaults=True):
    """A named HTTP API that every record is sent to.

        Api("lookup", "https://api.example.com/users/{id}", method="GET", timeout="5s")

    Durations are seconds, or text such as `"250ms"`, `"10s"`, `"2m"`, `"1h"` or `"7d"`; sizes are
    bytes, or text such as `"64KiB"` or `"16MiB"`; paths are text or `pathlib.Path`.  Expressions
    are JMESPath.  Where None is the default, the run's own setting counts if it has one, and else
    the default given here.

    Args:
        name: Name of the API in results; unique in a run.
        url: Where requests go, http or https; http+unix is for Unix sockets (see `socket`).  Path
            and query may be an RFC 6570 template of record fields (`{id}`, `{user.id}`, `{?lang}`);
            `${VAR}` comes from the environment.
            A field may be missing in a query, and where its name ends in `?` (`{/id?}`).
            With `endpoints`, a path relative to each of them, which may be left out.  With `hosts`,
            the whole URL, or parts of its host, may be fields, too.
        method: HTTP method.
        headers: Header values by name.  In values, `{field}` comes from the record (`{field?}` may
            be missing), and `${VAR}` from the environment.  False leaves out one of the preset.
        body: Expression for the request body; by default the whole record, with methods that carry
            a body.
        body_format: `json`, `raw` (text as it is), `form` (an object as form fields) or `multipart`
            (the same as `multipart/form-data`, where `file(path)` in `body` is a file that is read
            while it is sent: `"{purpose: 'ocr', document: file(path)}"`).
        files_root: Folder of the files that `body` names, below which all of them have to be.
        json: The body as a value whose texts have `{field}`, in place of `body`: `{"model": "m",
            "input": "Summarise: {text}"}`.  A text that is one field alone becomes the field's
            value, of any type; one such as `{n?}` is left out with its key where the record lacks
            it.  `{{` and `}}` are braces.
        text: The body as one such text, sent as it is.
        preset: Name of a preset, such as `openai-chat`, or a table of keys with slots such as
            `$(prompt)`: the keys that are not given here are taken from it (`tmux-fanout presets`
            shows it).  They stand in this object in its place.
        model: Name of the model, for the preset.
        prompt: What to ask, for the preset: text with `{field}`.
        system: What to tell the model beforehand, for the preset.
        max_tokens: Maximum tokens of an answer, for the preset; a number, or `"{field}"`.
        params: More members of the body, for the preset: `{"temperature": 0.2}`.
        select: Expression for what to keep of the body of an ok response; by default all of it.
        stream: Read ok responses as streams of values: `ndjson` (JSON on each line) or `sse`
            (server-sent events).  The body is then the list of the values; that of an event is its
            data, or `{"event": ..., "data": ...}` if it has a name.
        last: Whether only the last value of a stream is kept.
        when: Expression over the record that decides whether to call the API; by default always.
        after: Names of APIs whose outcomes this one waits for.  Its expressions see them by name
            under `_results`, beside the record's fields.
        fallback_of: Name of an API that this one is the fallback of: it is called only where that
            one is not ok, and its outcome stands in that one's place.
        fallback_on: Failures on which a fallback is called: statuses, `status` for any of them, and
            kinds of errors, with `unreachable` for `connect`, `tls` and `breaker_open`
            (`["unreachable", "timeout", 429, "5xx"]`).
        batch: Send many records in one request: `{"size": 50}`, and optionally `format` (`json` or
            `ndjson`), `bytes` (maximum size of a body), `wrap` (expression for the body, over the
            list of items, such as `"{model: 'm', input: @}"`), `items` (expression for the list in
            the response) and `key` (field that matches sent items with returned ones).
        pages: Fetch all pages of a list in one call, whose body is the list of all items:
            `{"next": "link"}` for URLs in Link headers, or `next` is an expression for the URL or,
            with `param` (name of the parameter), the token of the next page.  Optionally `items`
            (expression for the list in a page) and `max` (number of pages, 100).
        poll: Submit a job, and ask for it with GET until it is done: `{"url":
            "/v1/jobs/{_submitted.id}", "until": "status == 'done'"}`, and optionally `failed` (an
            expression, too), `every` (2 s) and `max` (10 min).  The URL may have fields of the
            record, of the body of the first response (`_submitted`) and of its headers
            (`_headers`).
        ok_status: Statuses that count as ok, such as `["2xx", 404]`.
        ok_when: Expression over `{status, headers, body}` of an answer whose status is ok; if it is
            false, the answer is not ok after all, with kind `rejected`, and not retried unless
            `retry_when` or `retry_on` says so.  Names of headers are in lower case.
        retry_on: Statuses that are retried beside the usual ones, such as `["5xx", 409]`.
        retry_when: Expression over `{status, headers, body}` of an answer that is not ok; where
            given, it decides whether to retry, in place of the statuses.
        capture_headers: Names of response headers to keep in the outcome.
        endpoints: Base URLs of equivalent servers, or tables with `url` and optionally `auth` in
            place of the API's, `headers` over the API's, `limit` (a number) and `rate` within the
            API's, and `weight` (1).  Two may have the same URL, with different credentials.
        balance: How an attempt picks an endpoint: `least-in-flight` (the lowest number in flight
            times latency, by weight), `round-robin` (by weight) or `failover` (the first that has
            not just failed).
        hosts: Hosts that records may name, for a `url` such as `{+url}`: names, `*.example.com`,
            addresses and networks, or `*` for any host with a public address; each may have a port
            (`:8443`, `:*` for any; by default that of the scheme).
        host_limit: Maximum attempts in flight at each of these hosts, within `limit` (8).
        host_rate: Maximum attempts per unit of time at each of them, within `rate`: `"2/s"`
            (unlimited).
        limit: Maximum attempts in flight (64, or the sum of those of the endpoints if each has
            one).  `"adaptive"` or `{"min": 4, "max": 256}` finds out
            how many the API can take.
        rate: Maximum attempts per unit of time, retries included: `"50/s"`, `"300/m"`, `"1000/h"`;
            or `{"requests": "500/m", "tokens": "90000/m", "burst": "1s"}`, in which `requests` or
            `tokens` may be left out (unlimited).  `burst` is how much of the rate may come at once
            (0.1 s, and at least one request).
        rate_group: Name of a group of APIs that share one rate, which is given once or is the same.
        rate_headers: Names of the response headers that hold what remains of a quota and when it is
            renewed, beside the well-known ones: `{"remaining": "x-quota-left", "reset":
            "x-quota-reset"}`, in which one may be left out; False if only Retry-After counts.
        cost: Units, such as tokens, that a request reserves from the rate and the budget: an
            expression over its body that gives a number, or an object with the numbers `input` and
            `output`; or `"chars/4"`, a quarter of the characters of the body.
        spent: Expression over the response's body for the units that were spent, in the same forms;
            it corrects the reservation.  Where there is no `cost`, the mean of it is reserved.
        price: Money for these units: `{"input": "2.50/1M", "output": "10/1M", "call": "0.01"}`, in
            which every key may be left out.
        retries: Attempts after the first (2); refusals, such as 429 and 503, do not count while the
            API serves others.
        connect_timeout: Duration of connecting (10 s).
        attempt_timeout: Duration of one attempt, connecting and reading the response included
            (30 s).
        timeout: Duration of a call: its attempts, and its waits after failures, but not those for a
            slot, a rate, a pause or endpoints that are down (60 s).
        idempotent: Whether a request may be applied twice, so that ambiguous failures are retried
            (by method).
        idempotency_key: Send an `Idempotency-Key` header that stays the same in all attempts for a
            record, which makes requests idempotent: `"{event_id}"` takes it from fields of the
            record, True derives it from the record and its index.
        breaker: When calls stop going to a failing endpoint: `{"failures": 5, "open": "1s",
            "max_open": "30s", "wait": "5m"}`, in which every key may be left out; False for no
            breaker.
        hedge: When a slow idempotent call gets a second attempt beside its first: after a duration,
            after the API's 95th percentile (`"p95"`), or after that and only while the record holds
            up the output (`"head"`).  At most 5 % of attempts are added.
        max_response: Maximum size of a response body, after decompression (16 MiB).
        compress: `gzip` compresses request bodies of 1 KiB or more, unless the API turns out not to
            accept them (415).
        redirects: Maximum redirects to follow, within the same origin.
        auth: Credentials: `{"bearer": token}`, `{"basic": [user, password]}`,
            `{"digest": [user, password]}`, or
            `{"oauth2": {...}}` with `token_url`, `client_id`, `client_secret` and optionally
            `scope`, `params` (a table of further parameters, such as `audience`) and
            `auth_method` (`basic`, or `post` for id and secret in the body).  `{"call": sign, ...}`
            calls `sign(method, url, headers, body, ...)` for each request, which returns headers
            to add; it is a function, or text such as `"package.module:function"`.
        tls: Paths `ca`, `cert` and `key` of PEM files, and `verify`, which False turns off.
        proxy: URL of an HTTP proxy.
        socket: Path of a Unix socket to connect to, or `@name` of an abstract one; the host in
            `url` stays in the Host header and, with https, in TLS.  `http+unix://%2Frun%2Fx.sock/v1`
            as `url` does the same for the host `localhost`.
        connect_to: Where to connect instead of host and port of the URL, `"host:port"`; Host header
            and TLS remain those of the URL.
        http2: Whether to speak HTTP/2 with servers that do.
        traceparent: Whether each attempt carries a `traceparent` header (W3C Trace Context), with
            one trace for each record, whose id is in the outcome.  A header of that name in
            `headers` is sent instead.
        share: Whether records in the window whose requests are identical share one answer: one of
            them makes the request, and the outcome of the others has `shared`.
        cache: Keep ok answers on disk, and use them in place of requests that are identical:
            `{"dir": "cache", "ttl": "24h"}`, and optionally `max_size` of all answers (1 GiB; the
            least recently used are dropped).  Outcomes that come from there have `cached`.
        client: An `httpx.AsyncClient`, of httpx or httpx2, to send with; it is left open.
        transport: `native`, `httpx`, `asks` (an extra), or `auto`, which picks one (`auto`).

    Raises:
        ConfigError: A value cannot be used; the message says what to use instead.
    """

    name: str
    url: UrlText = ""
    method: Annotated[str, Rule(parse_method)] = "POST"
    headers: Annotated[Mapping[str, str | Off], Rule(parse_headers)] = {}
    body: Text | None = None
    body_format: Annotated[BodyFormat, choice(BodyFormat)] = "json"
    files_root: Annotated[str | PurePath, Rule(parse_folder)] | None = None
    json: JsonBody = None
    text: TemplateText | None = None
    preset: Annotated[str | Mapping[str, Any] | Preset, Rule(find_preset)] | None = None
    model: TemplateText | None = None
    prompt: TemplateText | None = None
    system: TemplateText | None = None
    max_tokens: Annotated[int | str, Rule(parse_max_tokens)] | None = None
    params: Annotated[Mapping[str, Any], Rule(parse_params)] | None = None
    select: Text | None = None
    stream: Annotated[StreamFormat, choice(StreamFormat)] | None = None
    last: Switch = False
    when: Text | None = None
    after: Annotated[Sequence[str], items('["lookup"]', str)] = ()
    fallback_of: Text | None = None
    fallback_on: Annotated[Sequence[int | str], items(_FAILURES, int, str)] | None = None
    batch: Annotated[Mapping[str, Any] | Batch | Off, optional(parse_batch)] | None = None
    pages: Annotated[Mapping[str, Any] | PagesSettings | Off, optional(parse_pages)] | None = None
    poll: Annotated[Mapping[str, Any] | PollSettings | Off, optional(parse_poll)] | None = None
    ok_status: Annotated[Sequence[int | str], items('["2xx", 404]', int, str)] = ("2xx",)
    ok_when: Text | None = None
    retry_on: Annotated[Sequence[int | str], items('["5xx", 409]', int, str)] = ()
    retry_when: Text | None = None
    capture_headers: Annotated[Sequence[str], items('["etag"]', str)] = ()
    endpoints: Endpoints = ()
    balance: Annotated[Balance, choice(Balance)] = "least-in-flight"
    hosts: Annotated[Sequence[str], Rule(parse_hosts)] | None = None
    host_limit: WholeFromOne | None = None
    host_rate: Annotated[str, Rule(parse_rate)] | None = None
    limit: Limit | None = None
    rate: Rate | None = None
    rate_group: Annotated[str, Rule(parse_group)] | None = None
    rate_headers: Annotated[Mapping[str, str] | bool, Rule(parse_rate_headers)] | None = None
    cost: Text | None = None
    spent: Text | None = None
    price: Annotated[Mapping[str, Any] | Price, Rule(parse_price, show_price)] | None = None
    retries: WholeFromZero | None = None
    connect_timeout: Duration | None = None
    attempt_timeout: Duration | None = None
    timeout: Duration | None = None
    idempotent: Switch | None = None
    idempotency_key: Annotated[bool | str, Rule(parse_key)] = False
    breaker: Breaker | None = None
    hedge: Annotated[float | str, Rule(or_false(parse_hedge))] | None = None
    max_response: Size | None = None
    compress: Annotated[Compression, choice(Compression)] | None = None
    redirects: WholeFromZero = 0
    auth: Annotated[Mapping[str, Any] | Auth | Off, optional(parse_auth)] | None = None
    tls: Annotated[Mapping[str, Any] | Tls, table(parse_tls)] | None = None
    proxy: Text | None = None
    socket: Annotated[str | PurePath, Rule(parse_socket)] | None = None
    connect_to: Annotated[str, Rule(parse_connect_to)] | None = None
    http2: Switch = False
    traceparent: Switch = False
    share: Switch = False
    cache: Annotated[Mapping[str, Any] | CacheSettings | Off, optional(parse_cache)] | None = None
    client: Any = None  # checked where the transport is chosen
    transport: Transport | None = None

    def __repr__(self) -> str:
        return f"<Api {self.name}>"  # no more: the rest may hold secrets

    def __post_init__(self) -> None:
        check_name(self.name)
        try:
            for key in _PATHS:
                if (path := getattr(self, key)) is not None:
                    force_setattr(self, key, spelled(path))
            check_settings(self)
            _expand(self)
            for key, value in settle(msgspec.structs.asdict(self)).items():
                force_setattr(self, key, value)
            check_one_body(msgspec.structs.asdict(self))
            if not self.url and not self.endpoints:
                raise ConfigError(f"missing URL: use one such as {EXAMPLE_URL}", key="url")
            if self.fallback_on is not None and self.fallback_of is None:
                why = "only for a fallback: set it there, beside fallback_of, or leave it out"
                raise ConfigError(why, key="fallback_on")
        except ConfigError as exc:
            error = placed(exc, self.__struct_fields__).within(api=self.name)
            raise error.in_python() from None


def _expand(api: Api) -> None:
    """Put the keys of an API's preset in its place.

    Raises:
        ConfigError: they do not go together, or there is a value for a preset and none.
    """
    check_no_slots({key: getattr(api, key) for key in ("url", "headers", "json", "text")})
    if api.preset is None:
        for key in SLOTS:
            if getattr(api, key) is not None:
                raise ConfigError("only for a preset: add preset, or leave it out", key=key)
        return
    preset = find_preset(api.preset)
    given = {
        field.name: value
        for field in msgspec.structs.fields(Api)
        if field.name != "name" and (value := getattr(api, field.name)) != _default(field)
    }
    expanded = expand(preset, given)
    for key in ("preset", *SLOTS):
        force_setattr(api, key, None)
    for key, value in expanded.items():
        if key not in api.__struct_fields__ or key in ("name", "client"):
            raise ConfigError(
                f"{preset.name}: {unknown_key(key, api.__struct_fields__).why}", key="preset"
            )
        force_setattr(api, key, value)
    try:
        check_settings(api)
    except ConfigError as exc:
        raise ConfigError(f"{preset.name}: {exc.why}", key=exc.key) from None


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a run.

    Durations are seconds, or text such as `"250ms"`, `"10s"`, `"2m"`, `"1h"` or `"7d"`; sizes are
    bytes, or text such as `"64KiB"` or `"16MiB"`.

    Args:
        limit: Maximum attempts in flight for each API that has no `limit` of its own (64); forms as
            in `Api`.
        rate: Maximum attempts per unit of time for each API that has no `rate` of its own, such as
            `"50/s"` (unlimited); forms as in `Api`.
        retries: Attempts after the first, for APIs without their own (2).
        connect_timeout: Duration of connecting, for APIs without their own (10 s).
        attempt_timeout: Duration of one attempt, for APIs without their own (30 s).
        timeout: Duration of a call, as in `Api`, for APIs without their own (60 s).
        idempotent: Whether requests may be applied twice, for APIs that do not say (by method).
        max_response: Maximum size of a response body, for APIs without their own (16 MiB).
        transport: Transport of APIs without their own (`auto`).
        total_limit: Maximum attempts in flight over all APIs (unlimited).
        chunk_size: Maximum records of a chunk (100, or the largest batch).
        chunk_linger: Duration that a chunk waits for more records after its first.
        window: Maximum records admitted and not yet written (1024, or 4 times the largest limit or
            batch; up to 8192 while slots would idle behind a slow record).
        window_bytes: Maximum size of those records and their responses.
        max_line: Maximum size of an input line.
        unordered: Whether results come as they complete, not in input order.
        join: When a record is settled: `all`, `first`, `quorum:N` or `best-effort:T`.
        max_failures: Number of records that are not ok past which the run gives up, or a share
            such as `"5%"`, which counts from 100 records on (unlimited).
        max_cost: Maximum amount of money that calls may cost by the `price` of their APIs, such as
            25 or `"0.50"` (unlimited).
        deadline: Duration of the whole run (unlimited).
        drain_timeout: Duration that admitted records have to finish after a signal.
        timings: Whether outcomes have the timings of their last attempts.
        on_down: What happens once an API has been down for longer than its `breaker.wait`: `wait`
            gives the run up, so that it can be resumed; `fail` fails the calls of that API, as long
            as another is not down.
        env_proxy: Whether `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` in the
            environment count.

    Raises:
        ConfigError: A value cannot be used; the message says what to use instead.
    """

    limit: Limit | None = None
    rate: Rate | None = None
    retries: WholeFromZero | None = None
    connect_timeout: Duration | None = None
    attempt_timeout: Duration | None = None
    timeout: Duration | None = None
    idempotent: Switch | None = None
    max_response: Size | None = None
    transport: Transport | None = None
    total_limit: WholeFromOne | None = None
    chunk_size: WholeFromOne | None = None
    chunk_linger: DurationOrZero = 0.0
    window: WholeFromOne | None = None
    window_bytes: Size = WINDOW_BYTES
    max_line: Size = MAX_LINE
    unordered: Switch = False
    join: Annotated[str, Rule(parse_join)] = "all"
    max_failures: Annotated[int | str, Rule(parse_max_failures)] | None = None
    max_cost: Annotated[float | str, Rule(parse_max_cost)] | None = None
    deadline: Duration | None = None
    drain_timeout: DurationOrZero = DRAIN_TIMEOUT
    on_down: Annotated[OnDown, choice(OnDown)] = "wait"
    timings: Switch = False
    env_proxy: Switch = True

    def __post_init__(self) -> None:
        try:
            check_settings(self)
        except ConfigError as exc:
            raise exc.in_python() from None
