"""From settings to what the engine works with: every value filled in, every request prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from tmux_fanout.core.config import settings as default
from tmux_fanout.core.config.choice import choose
from tmux_fanout.core.config.dependencies import depend
from tmux_fanout.core.config.request_plan import (
    parsed,
    plan_endpoints,
    plan_oauth2,
    plan_requests,
    plan_responses,
)
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.config.tables import parse_batch, parse_breaker, parse_limit, parse_tls
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import IDEMPOTENT_METHODS, Endpoint, Origin
from tmux_fanout.core.http.proxies import Proxy
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.balance import Balance
from tmux_fanout.core.policy.breaker import BreakerSettings
from tmux_fanout.core.policy.hedging import Hedge, parse_hedge
from tmux_fanout.core.policy.join import ALL, JoinPolicy, parse_join
from tmux_fanout.core.policy.max_failures import MaxFailures, parse_max_failures
from tmux_fanout.core.policy.rate import parse_rate
from tmux_fanout.core.policy.retry import RetryPolicy
from tmux_fanout.core.requests.batch import BatchPlan, plan_batch
from tmux_fanout.core.requests.builder import RequestBuilder
from tmux_fanout.core.requests.response_reader import ResponseReader

T = TypeVar("T")


class ApiPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One API with nothing left open; times in seconds, sizes in bytes.

    Attributes:
        limit: attempts in flight, at most.
        adaptive: between what the limit finds itself, or None.
        budget_share: how much of the retry budget is this process's.
        endpoints: where requests may go, if there is a choice; they are built for the first.
        after: names of the APIs whose outcomes are waited for, by their places in the plan.
        proxies: which lead to which of the origins.
        why: why it is this transport, in words.
    """

    name: str
    requests: RequestBuilder
    responses: ResponseReader
    limit: int
    adaptive: Adaptive | None = None
    rate: float | None = None
    retry: RetryPolicy
    budget_share: float = 1.0
    breaker: BreakerSettings | None = BreakerSettings()
    hedge: Hedge | None = None
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
    """A run with nothing left open.

    Attributes:
        window: records admitted and not yet written.
        stretched_window: the same where slots would idle otherwise (`core.ordering.stretching`).
    """

    apis: tuple[ApiPlan, ...]
    window: int
    stretched_window: int
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
    window = settings.window or max(default.WINDOW, 4 * limit, 4 * batch)
    is_rigid = settings.window is not None or settings.unordered
    return RunPlan(
        apis=plans,
        window=window,
        stretched_window=window if is_rigid else max(default.STRETCHED_WINDOW, window),
        chunk_size=settings.chunk_size or max(default.CHUNK_SIZE, batch),
        join=_plan_join(settings, len(apis)),
        max_failures=None if most is None else parse_max_failures(most),
        settings=settings,
    )


def _plan_api(
    api: Api, after: Mapping[int, str], run: RunSettings, env: Mapping[str, str]
) -> ApiPlan:
    method = api.method.upper()
    try:
        endpoints = plan_endpoints(api, env)
        requests = plan_requests(api, method, endpoints, env)
        responses = plan_responses(api)
        batch = plan_batch(parsed(api.batch, parse_batch), requests)
        oauth2 = plan_oauth2(api, env)
        retry = _plan_retries(api, run, method)
        hedge = _plan_hedge(api, retry)
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
    limit = parse_limit(_first(api.limit, run.limit, default.LIMIT))
    return ApiPlan(
        name=api.name,
        requests=requests,
        responses=responses,
        limit=limit.max if isinstance(limit, Adaptive) else limit,
        adaptive=limit if isinstance(limit, Adaptive) else None,
        rate=parse_rate(rate) if rate is not None else None,
        breaker=BreakerSettings() if api.breaker is None else parse_breaker(api.breaker),
        retry=retry,
        hedge=hedge,
        connect_timeout=_number(api.connect_timeout, run.connect_timeout, default.CONNECT_TIMEOUT),
        attempt_timeout=_number(api.attempt_timeout, run.attempt_timeout, default.ATTEMPT_TIMEOUT),
        max_response=int(_number(api.max_response, run.max_response, default.MAX_RESPONSE)),
        endpoints=endpoints if len(endpoints) > 1 else (),
        balance=api.balance,
        after=after,
        batch=batch,
        redirects=api.redirects,
        oauth2=oauth2,
        tls=parsed(api.tls, parse_tls) or Tls(),
        proxies=choice.proxies,
        http2=api.http2,
        client=api.client,
        transport=choice.transport,
        why=choice.why,
    )


def _plan_retries(api: Api, run: RunSettings, method: str) -> RetryPolicy:
    return RetryPolicy(
        retries=_first(api.retries, run.retries, default.RETRIES),
        timeout=_number(api.timeout, run.timeout, default.TIMEOUT),
        method=method,
        idempotent=api.idempotency_key
        or _first(api.idempotent, run.idempotent, method in IDEMPOTENT_METHODS),
    )


def _plan_join(settings: RunSettings, apis: int) -> JoinPolicy:
    join = parse_join(settings.join)
    if join.needed is not None and join.needed > apis:
        why = f"quorum:{join.needed} needs as many APIs, and there are only {apis}"
        raise ConfigError(why, key="join")
    return join


def _plan_hedge(api: Api, retry: RetryPolicy) -> Hedge | None:
    if api.hedge is None:
        return None
    if not retry.idempotent:
        why = f"a second {retry.method} may be applied twice; add idempotent = true if it may"
        raise ConfigError(why, key="hedge")
    if api.batch is not None:
        raise ConfigError("a batch cannot be hedged; keep one of the two", key="hedge")
    return parse_hedge(api.hedge)


def _first(*choices: T | None) -> T:
    """The API's own value, else the run's, else the default."""
    return next(choice for choice in choices if choice is not None)


def _number(*choices: float | str | None) -> float:
    """The same for durations and sizes, which the settings have turned into numbers."""
    return float(next(choice for choice in choices if choice is not None))
