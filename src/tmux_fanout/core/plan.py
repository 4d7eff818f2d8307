"""From settings to what the engine works with: every value filled in, every request prepared."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from tmux_fanout.core import settings as default
from tmux_fanout.core.batch import BatchPlan, plan_batch
from tmux_fanout.core.choice import choose
from tmux_fanout.core.content_coding import ACCEPT_ENCODING
from tmux_fanout.core.dependencies import depend
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.expressions import Expression
from tmux_fanout.core.giving_up import MaxFailures, parse_max_failures
from tmux_fanout.core.http import (
    BODILESS_METHODS,
    IDEMPOTENT_METHODS,
    Endpoint,
    Origin,
)
from tmux_fanout.core.join import ALL, JoinPolicy, parse_join
from tmux_fanout.core.oauth2 import token_request
from tmux_fanout.core.pacing import parse_rate
from tmux_fanout.core.proxies import Proxy
from tmux_fanout.core.request_builder import (
    CONTENT_TYPES,
    HeaderTemplate,
    RequestBuilder,
    split_header,
)
from tmux_fanout.core.response_reader import ResponseReader, parse_ok_status
from tmux_fanout.core.retry import RetryPolicy
from tmux_fanout.core.settings import (
    Api,
    Balance,
    RunSettings,
    check_header,
)
from tmux_fanout.core.tables import (
    Basic,
    Bearer,
    BreakerSettings,
    OAuth2,
    Tls,
    parse_auth,
    parse_batch,
    parse_breaker,
    parse_tls,
)
from tmux_fanout.core.url_template import UrlTemplate
from tmux_fanout.core.urls import expand_variables, parse_url
from tmux_fanout.core.version import __version__

T = TypeVar("T")
S = TypeVar("S")


class ApiPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One API with nothing left open; times in seconds, sizes in bytes.

    Attributes:
        endpoints: where requests may go, if there is a choice; they are built for the first.
        after: names of the APIs whose outcomes are waited for, by their places in the plan.
        proxies: which lead to which of the origins.
        why: why it is this transport, in words.
    """

    name: str
    requests: RequestBuilder
    responses: ResponseReader
    limit: int
    rate: float | None = None
    retry: RetryPolicy
    breaker: BreakerSettings | None = BreakerSettings()
    connect_timeout: float
    attempt_timeout: float
    max_response: int
    endpoints: tuple[Endpoint, ...] = ()
    balance: Balance = "least-in-flight"
    after: Mapping[int, str] = {}
    batch: BatchPlan | None = None
    redirects: int = 0
    oauth2: OAuth2 | None = None
    tls: Tls = Tls()
    proxies: Mapping[Origin, Proxy] = {}
    http2: bool = False
    client: Any = None
    transport: Literal["native", "httpx", "asks"]
    why: str

    @property
    def origin(self) -> Origin:
        """Where its requests go, or those for its first endpoint."""
        return self.requests.origin


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A run with nothing left open."""

    apis: tuple[ApiPlan, ...]
    window: int
    chunk_size: int
    join: JoinPolicy = ALL
    max_failures: MaxFailures | None = None
    settings: RunSettings


def plan_run(apis: Sequence[Api], settings: RunSettings, env: Mapping[str, str]) -> RunPlan:
    """Resolve the settings of a run.

    Args:
        apis: at least one; their names differ.
        settings: for the run, and for what the APIs leave open.
        env: for `${VAR}`, and for `http_proxy` and its kin.

    Raises:
        ConfigError: a URL is none, a variable is not set, or names are not unique.
    """
    if not apis:
        raise ConfigError("no API to call; give at least one Api")
    names = [api.name for api in apis]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two APIs are called {twice!r}; give each its own name")
    order = depend(names, [api.after for api in apis])
    plans = tuple(_plan_api(api, after, settings, env) for api, after in zip(apis, order))
    batch = max(plan.batch.size if plan.batch else 1 for plan in plans)
    limit = max(plan.limit for plan in plans)
    most = settings.max_failures
    return RunPlan(
        apis=plans,
        window=settings.window or max(default.WINDOW, 4 * limit, 4 * batch),
        chunk_size=settings.chunk_size or max(default.CHUNK_SIZE, batch),
        join=parse_join(settings.join),
        max_failures=None if most is None else parse_max_failures(most),
        settings=settings,
    )


def _plan_api(
    api: Api, after: Mapping[int, str], run: RunSettings, env: Mapping[str, str]
) -> ApiPlan:
    method = api.method.upper()
    try:
        endpoints = _endpoints(api, env)
        requests = _request_builder(api, method, endpoints, env)
        responses = _response_reader(api)
        batch = plan_batch(_table(api.batch, parse_batch), requests)
        oauth2 = _oauth2(api, env)
        choice = choose(
            api,
            _first(api.transport, run.transport, "auto"),
            {requests.origin: None, **dict.fromkeys(endpoint.origin for endpoint in endpoints)},
            env,
            env_proxy=run.env_proxy,
        )
    except ConfigError as exc:
        raise exc.within(api=api.name) from None
    rate = api.rate if api.rate is not None else run.rate
    return ApiPlan(
        name=api.name,
        requests=requests,
        responses=responses,
        limit=_first(api.limit, run.limit, default.LIMIT),
        rate=parse_rate(rate) if rate is not None else None,
        breaker=BreakerSettings() if api.breaker is None else parse_breaker(api.breaker),
        retry=RetryPolicy(
            retries=_first(api.retries, run.retries, default.RETRIES),
            timeout=_number(api.timeout, run.timeout, default.TIMEOUT),
            method=method,
            idempotent=api.idempotency_key
            or _first(api.idempotent, run.idempotent, method in IDEMPOTENT_METHODS),
        ),
        connect_timeout=_number(api.connect_timeout, run.connect_timeout, default.CONNECT_TIMEOUT),
        attempt_timeout=_number(api.attempt_timeout, run.attempt_timeout, default.ATTEMPT_TIMEOUT),
        max_response=int(_number(api.max_response, run.max_response, default.MAX_RESPONSE)),
        endpoints=endpoints if len(endpoints) > 1 else (),
        balance=api.balance,
        after=after,
        batch=batch,
        redirects=api.redirects,
        oauth2=oauth2,
        tls=_table(api.tls, parse_tls) or Tls(),
        proxies=choice.proxies,
        http2=api.http2,
        client=api.client,
        transport=choice.transport,
        why=choice.why,
    )


def _first(*choices: T | None) -> T:
    """The API's own value, else the run's, else the default."""
    return next(choice for choice in choices if choice is not None)


def _number(*choices: float | str | None) -> float:
    """The same for durations and sizes, which the settings have turned into numbers."""
    return float(next(choice for choice in choices if choice is not None))


def _table(value: object, parse: Callable[[object], S]) -> S | None:
    """A table that the settings have turned into a struct, typed as one."""
    return None if value is None else parse(value)


def _endpoints(api: Api, env: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """The base URLs of an API; none where its `url` is the whole."""
    endpoints = []
    for url in api.endpoints:
        try:
            origin, target, credentials = parse_url(expand_variables(url, env))
        except ConfigError as exc:
            raise ConfigError(exc.why, key="endpoints") from None
        if credentials or set("{?").intersection(target):
            raise ConfigError("write base URLs, without user, {...} or ?", key="endpoints")
        endpoints.append(Endpoint(origin, target.rstrip("/")))
    if endpoints and "://" in api.url:
        why = "it is relative to the endpoints; write a path such as /v1/{id}"
        raise ConfigError(why, key="url")
    return tuple(endpoints)


def _oauth2(api: Api, env: Mapping[str, str]) -> OAuth2 | None:
    auth = _table(api.auth, parse_auth)
    if not isinstance(auth, OAuth2):
        return None
    written = msgspec.structs.asdict(auth).items()
    fields = {
        key: text and expand_variables(text, env, f"auth.oauth2.{key}") for key, text in written
    }
    settings = OAuth2(**fields)
    try:
        token_request(settings)
    except ConfigError as exc:
        raise exc.within("auth.oauth2") from None
    return settings


def _authorization(api: Api, userinfo: str, env: Mapping[str, str]) -> str | None:
    """The value of the Authorization header that `auth`, or else the URL, gives."""
    auth = _table(api.auth, parse_auth)
    if isinstance(auth, Bearer):
        return f"Bearer {expand_variables(auth.token, env, 'auth.bearer')}"
    if isinstance(auth, Basic):
        userinfo = expand_variables(f"{auth.user}:{auth.password}", env, "auth.basic")
    if not userinfo:
        return None
    return f"Basic {base64.b64encode(userinfo.encode()).decode()}"


def _check_bearer(authorization: str) -> None:
    try:
        check_header("Authorization", authorization)
    except ConfigError as exc:
        raise ConfigError(exc.why, key="auth") from None


def _headers(api: Api, env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, HeaderTemplate]]:
    """The headers that no record changes, and those with fields.

    What comes from the environment is not looked at for fields.
    """
    headers, templated = {}, {}
    for name, text in api.headers.items():
        parts = split_header(text)
        if len(parts) > 1 and name.lower() == "host":
            raise ConfigError("a host cannot come from a record", key=f"headers.{name}")
        key = f"headers.{name}"
        expanded = [
            part if place % 2 else expand_variables(part, env, key)
            for place, part in enumerate(parts)
        ]
        check_header(name, "".join(expanded))
        if len(parts) > 1:
            templated[name] = tuple(expanded)
        else:
            headers[name] = expanded[0]
    return headers, templated


def _request_builder(
    api: Api, method: str, endpoints: Sequence[Endpoint], env: Mapping[str, str]
) -> RequestBuilder:
    url = expand_variables(api.url, env, "url")
    if endpoints:
        base = endpoints[0]
        path = url if not url or url.startswith(("/", "?", "{/", "{?", "{+")) else f"/{url}"
        url = f"{base.origin.scheme}://{base.origin.authority}{base.prefix}{path}"
    origin, target, userinfo = parse_url(url)
    headers, templated = _headers(api, env)
    has_body = api.body is not None or method not in BODILESS_METHODS
    defaults = {
        "Host": origin.authority,
        "User-Agent": f"tmux-fanout/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": ACCEPT_ENCODING,
    }
    if has_body:
        defaults["Content-Type"] = CONTENT_TYPES[api.body_format]
    batch = _table(api.batch, parse_batch)
    if batch and batch.format == "ndjson":
        defaults["Content-Type"] = "application/x-ndjson"
    given = {name.lower() for name in (*headers, *templated)}
    if api.auth is not None and "authorization" in given:
        why = "there is an Authorization header too; keep one of the two"
        raise ConfigError(why, key="auth")
    if api.auth is not None and userinfo:
        raise ConfigError("there is a user in the URL too; keep one of the two", key="auth")
    authorization = _authorization(api, userinfo, env)
    if authorization is not None:
        _check_bearer(authorization)
        defaults["Authorization"] = authorization
    sent = [(name, value) for name, value in defaults.items() if name.lower() not in given]
    sent += headers.items()
    return RequestBuilder(
        method=method,
        origin=origin,
        target=UrlTemplate(target) if "{" in target or "}" in target else target,
        headers=tuple(sent),
        templated=tuple(templated.items()),
        when=Expression("when", api.when, strict=False) if api.when is not None else None,
        body=Expression("body", api.body, strict=True) if api.body is not None else None,
        body_format=api.body_format,
        has_body=has_body,
        key_for=api.name if api.idempotency_key else None,
    )


def _response_reader(api: Api) -> ResponseReader:
    return ResponseReader(
        ok_status=parse_ok_status(api.ok_status),
        select=Expression("select", api.select, strict=False) if api.select is not None else None,
        capture=tuple(name.lower() for name in api.capture_headers),
    )
