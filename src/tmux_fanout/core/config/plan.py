"""From settings to what the engine works with: values filled in and parsed, requests prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from tmux_fanout.core.config import settings as default
from tmux_fanout.core.config.choice import choose
from tmux_fanout.core.config.dependencies import Ties, chain, tie
from tmux_fanout.core.config.endpoint_plan import describe_credentials, plan_endpoints, plan_series
from tmux_fanout.core.config.hosts.host_plan import (
    HostPlan,
    check_limits,
    check_transport,
    plan_hosts,
)
from tmux_fanout.core.config.request_plan import plan_cache, plan_responses, plan_stream
from tmux_fanout.core.config.rules import parse_method
from tmux_fanout.core.config.settings import Api, OnDown, RunSettings
from tmux_fanout.core.config.tables import (
    parse_batch,
    parse_breaker,
    parse_limit,
    parse_rate_headers,
    parse_rates,
    parse_tls,
)
from tmux_fanout.core.endpoints.breaker import BreakerSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import SentAuth
from tmux_fanout.core.http.messages import IDEMPOTENT_METHODS, Endpoint, Origin
from tmux_fanout.core.http.proxies import Proxy
from tmux_fanout.core.http.rate_headers import WELL_KNOWN, RateHeaders
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.core.http.urls import expand_url
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.balance import Balance
from tmux_fanout.core.policy.hedging import Hedge, parse_hedge
from tmux_fanout.core.policy.join import ALL, JoinPolicy, parse_join
from tmux_fanout.core.policy.max_failures import MaxFailures, parse_max_failures
from tmux_fanout.core.policy.rate import RateSettings, share_rates
from tmux_fanout.core.policy.retry import RetryPolicy
from tmux_fanout.core.requests.batch import BatchPlan, plan_batch
from tmux_fanout.core.requests.builder import RequestBuilder
from tmux_fanout.core.requests.response_reader import ResponseReader
from tmux_fanout.core.requests.reuse.cache import CachePlan
from tmux_fanout.core.requests.series.steps import SeriesPlan
from tmux_fanout.core.results.fallback import Fallback
from tmux_fanout.core.routes.connect_to import Destination, plan_connect_to
from tmux_fanout.core.spending.plan import SpendingPlan, plan_max_cost, plan_spending
from tmux_fanout.core.spending.prices import parse_price
from tmux_fanout.core.units import parse_duration, parse_size

S = TypeVar("S")
T = TypeVar("T")


class ApiPlan(msgspec.Struct, frozen=True, kw_only=True):
    """An API with nothing left open; times in seconds, sizes in bytes.

    Attributes:
        requests: builds the requests, for the first endpoint.
        responses: reads the responses.
        limit: maximum attempts in flight.
        max_limit: number of connections that there are open files for, if that lowers the limit.
        adaptive: bounds between which the limit adapts; None: it is fixed.
        rate: how much may begin per second; None: unlimited.
        rate_group: name of the APIs that share this rate; None: it is the API's own.
        rate_headers: which headers make attempts pause, beside Retry-After; None: no others.
        spending: how units and money are known; None: they are not counted.
        retry: how often, and for how long, attempts are repeated.
        breaker: when an endpoint is left alone; None: never.
        hedge: when a second attempt is made; None: never.
        connect_timeout: of connecting.
        attempt_timeout: of one attempt.
        max_response: maximum size of a decoded body.
        hosts: where requests may go, if their hosts come from records; else None.
        endpoints: where requests may go; empty if there is only one, without bounds of its own.
        credentials: as for `Endpoint`.
        balance: how one of them is chosen.
        after: names of the APIs whose outcomes this one waits for, by their indexes among the
            outcomes.
        is_fallback: whether it is called only where another API is not ok.
        fallback: the API that is called where this one is not ok, or None.
        batch: how records share requests; None: they do not.
        series: what a call does after its first request; None: nothing.
        compress: whether bodies of requests are compressed.
        redirects: maximum redirects to follow.
        tls: how https is verified.
        proxies: the proxies, by the origins that they lead to.
        connect_to: where connections lead instead of host and port of their origins; None: there.
        http2: whether to speak HTTP/2 with servers that do.
        traceparent: whether attempts carry the id of a trace.
        share: whether calls with identical requests share one answer.
        cache: where answers are kept on disk, or None.
        client: a client of the user's own to send with.
        transport: what sends the requests.
        why: the reason for that transport.
    """

    name: str
    requests: RequestBuilder
    responses: ResponseReader
    limit: int
    max_limit: int | None = None
    adaptive: Adaptive | None = None
    rate: RateSettings | None = None
    rate_group: str | None = None
    rate_headers: RateHeaders | None = WELL_KNOWN
    spending: SpendingPlan | None = None
    retry: RetryPolicy
    breaker: BreakerSettings | None = BreakerSettings()
    hedge: Hedge | None = None
    connect_timeout: float
    attempt_timeout: float
    max_response: int
    hosts: HostPlan | None = None
    endpoints: tuple[Endpoint, ...] = ()
    credentials: str = ""
    balance: Balance = "least-in-flight"
    after: Mapping[int, str] = {}
    is_fallback: bool = False
    fallback: Fallback | None = None
    batch: BatchPlan | None = None
    series: SeriesPlan | None = None
    compress: bool = False
    redirects: int = 0
    tls: Tls = Tls()
    proxies: Mapping[Origin, Proxy] = {}
    connect_to: Destination | None = None
    http2: bool = False
    traceparent: bool = False
    share: bool = False
    cache: CachePlan | None = None
    client: Any = None
    transport: Literal["native", "httpx", "asks"]
    why: str

    @property
    def max_pause(self) -> float:
        """Maximum seconds of a pause that an endpoint asks for."""
        return (self.breaker or BreakerSettings()).patience(has_served=True)

    @property
    def max_connections(self) -> int:
        """Maximum number of connections; those to other hosts stay idle, as many as are used."""
        return 2 * self.limit if self.hosts else self.limit

    @property
    def origin(self) -> Origin:
        """The origin of its requests, or of those to its first endpoint; `ANYWHERE` with hosts."""
        return self.requests.origin

    @property
    def auths(self) -> tuple[SentAuth | None, ...]:
        """The credentials that are added to its requests, those of each endpoint."""
        return tuple(endpoint.auth for endpoint in self.endpoints) or (self.requests.auth,)


class ResolvedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a run that the engine takes as they are: seconds, bytes, numbers.

    See `RunSettings`; None means unlimited.
    """

    total_limit: int | None
    chunk_linger: float
    window_bytes: int
    max_line: int
    unordered: bool
    deadline: float | None
    drain_timeout: float
    on_down: OnDown
    timings: bool


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A run with nothing left open.

    Attributes:
        apis: in the order of the configuration, fallbacks included.
        chains: for each outcome of a record, in the order of the output: indexes of the API that
            it is of, and of the fallbacks of that one, in the order in which they are called.
        window: maximum records admitted and not yet written.
        stretched_window: the same where slots would idle otherwise (`core.ordering.stretching`).
        chunk_size: maximum records of a chunk.
        join: when a record is settled.
        max_failures: when the run gives up; None: never.
        max_cost: how much the calls may cost, in trillionths; None: unlimited.
        settings: the rest, resolved.
    """

    apis: tuple[ApiPlan, ...]
    chains: tuple[tuple[int, ...], ...]
    window: int
    stretched_window: int
    chunk_size: int
    join: JoinPolicy = ALL
    max_failures: MaxFailures | None = None
    max_cost: int | None = None
    settings: ResolvedSettings

    @property
    def has_marks(self) -> bool:
        """Whether outcomes may be shared or cached, or have the id of a trace."""
        return any(api.traceparent or api.share or api.cache for api in self.apis)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that outcomes have in the output, in its order."""
        return tuple(self.apis[first].name for first, *_ in self.chains)


def plan_run(apis: Sequence[Api], settings: RunSettings, env: Mapping[str, str]) -> RunPlan:
    """Resolve the settings of a run.

    Args:
        apis: at least one, with unique names.
        settings: for the run, and for APIs that leave a setting open.
        env: the environment, for `${VAR}` and for `http_proxy` and the like.

    Raises:
        ConfigError: settings contradict each other, a URL or an expression is invalid, a variable
            is not set, or names are not unique.
    """
    if not apis:
        raise ConfigError("no API to call: use at least one Api")
    names = [api.name for api in apis]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two APIs are called {twice!r}: give each its own name")
    chains = chain(names, [api.fallback_of for api in apis])
    rates = share_rates(
        names,
        [api.rate_group for api in apis],
        [_parsed(api.rate, parse_rates) for api in apis],
        _parsed(settings.rate, parse_rates),
    )
    plans = tuple(
        _plan_api(api, rate, ties, settings, env)
        for api, rate, ties in zip(apis, rates, tie(apis, chains))
    )
    batch_size = max(plan.batch.size if plan.batch else 1 for plan in plans)
    limit = max(plan.limit for plan in plans)
    window = settings.window or max(default.WINDOW, 4 * limit, 4 * batch_size)
    is_rigid = settings.window is not None or settings.unordered
    return RunPlan(
        apis=plans,
        chains=tuple(chains),
        window=window,
        stretched_window=window if is_rigid else max(default.STRETCHED_WINDOW, window),
        chunk_size=settings.chunk_size or max(default.CHUNK_SIZE, batch_size),
        join=_plan_join(settings, len(chains)),
        max_failures=_parsed(settings.max_failures, parse_max_failures),
        max_cost=plan_max_cost(settings.max_cost, [plan.spending for plan in plans]),
        settings=_resolve(settings),
    )


def _resolve(settings: RunSettings) -> ResolvedSettings:
    return ResolvedSettings(
        total_limit=settings.total_limit,
        chunk_linger=parse_duration(settings.chunk_linger),
        window_bytes=parse_size(settings.window_bytes),
        max_line=parse_size(settings.max_line),
        unordered=settings.unordered,
        deadline=None if settings.deadline is None else parse_duration(settings.deadline),
        drain_timeout=parse_duration(settings.drain_timeout),
        on_down=settings.on_down,
        timings=settings.timings,
    )


def _plan_api(
    api: Api, rate: RateSettings | None, ties: Ties, run: RunSettings, env: Mapping[str, str]
) -> ApiPlan:
    try:
        method = parse_method(api.method)
        is_guarded = bool(api.idempotency_key) and not _is_idempotent(api, run, method)
        batch = _parsed(api.batch, parse_batch)
        hosts = plan_hosts(api, expand_url(api.url, env, "url"), describe_credentials(api))
        requests, endpoints = plan_endpoints(api, method, batch, env, hosts.url if hosts else None)
        retry = _plan_retries(api, run, method)
        max_response = _size(api.max_response, run.max_response, default.MAX_RESPONSE)
        limit = parse_limit(_first(api.limit, run.limit, _sum_of_limits(endpoints), default.LIMIT))
        origins = dict.fromkeys([requests.origin, *(endpoint.origin for endpoint in endpoints)])
        choice = choose(
            api,
            _first(api.transport, run.transport, "auto"),
            origins,
            env,
            env_proxy=run.env_proxy,
        )
        if hosts:
            check_limits(limit, rate)
            check_transport(choice, env if run.env_proxy else {})
        return ApiPlan(
            name=api.name,
            requests=requests,
            responses=plan_responses(api),
            limit=limit.max if isinstance(limit, Adaptive) else limit,
            adaptive=limit if isinstance(limit, Adaptive) else None,
            rate=rate,
            rate_group=api.rate_group,
            rate_headers=_rate_headers(api),
            spending=plan_spending(
                api.cost,
                api.spent,
                _parsed(api.price, parse_price),
                None if rate is None else rate.tokens,
                [each.tokens for each in endpoints if each.tokens is not None],
                stream=plan_stream(api),
            ),
            breaker=parse_breaker(_first(api.breaker, True)),
            retry=retry,
            hedge=_plan_hedge(api, retry),
            connect_timeout=_seconds(
                api.connect_timeout, run.connect_timeout, default.CONNECT_TIMEOUT
            ),
            attempt_timeout=_seconds(
                api.attempt_timeout, run.attempt_timeout, default.ATTEMPT_TIMEOUT
            ),
            max_response=max_response,
            hosts=hosts,
            endpoints=endpoints if len(endpoints) > 1 or _is_bounded(endpoints) else (),
            credentials=endpoints[0].credentials if endpoints else describe_credentials(api),
            balance=api.balance,
            after=ties.after,
            is_fallback=ties.is_fallback,
            fallback=ties.fallback and replace(ties.fallback, is_guarded=is_guarded),
            batch=None if batch is None else plan_batch(batch, requests),
            series=plan_series(
                api, requests, endpoints, retry=retry, max_response=max_response, env=env
            ),
            compress=api.compress is not None,
            redirects=api.redirects,
            tls=_parsed(api.tls, parse_tls) or Tls(),
            proxies=choice.proxies,
            connect_to=plan_connect_to(api.connect_to, env, origins),
            http2=api.http2,
            traceparent=api.traceparent,
            share=api.share,
            cache=plan_cache(api, env),
            client=api.client,
            transport=choice.transport,
            why=choice.why,
        )
    except ConfigError as exc:
        raise exc.within(api=api.name) from None


def _sum_of_limits(endpoints: Sequence[Endpoint]) -> int | None:
    """Return how many attempts the endpoints take together, if each has a limit."""
    limits = [endpoint.limit for endpoint in endpoints if endpoint.limit is not None]
    return sum(limits) if limits and len(limits) == len(endpoints) else None


def _is_bounded(endpoints: Sequence[Endpoint]) -> bool:
    return any(endpoint.is_bounded for endpoint in endpoints)


def _plan_retries(api: Api, run: RunSettings, method: str) -> RetryPolicy:
    return RetryPolicy(
        retries=_first(api.retries, run.retries, default.RETRIES),
        timeout=_seconds(api.timeout, run.timeout, default.TIMEOUT),
        method=method,
        idempotent=bool(api.idempotency_key) or _is_idempotent(api, run, method),
        rate_headers=_rate_headers(api),
    )


def _rate_headers(api: Api) -> RateHeaders | None:
    return parse_rate_headers(_first(api.rate_headers, True))


def _is_idempotent(api: Api, run: RunSettings, method: str) -> bool:
    """Whether requests may be applied twice even without a key."""
    return _first(api.idempotent, run.idempotent, method in IDEMPOTENT_METHODS)


def _plan_join(settings: RunSettings, apis: int) -> JoinPolicy:
    join = parse_join(settings.join)
    if join.needed is not None and join.needed > apis:
        advice = f"use quorum:{apis} or less, or add APIs"
        raise ConfigError(f"quorum:{join.needed} of {_count(apis)}: {advice}", key="join")
    return join


def _count(apis: int) -> str:
    return "one API" if apis == 1 else f"{apis} APIs"


def _plan_hedge(api: Api, retry: RetryPolicy) -> Hedge | None:
    if api.hedge is None:
        return None
    if not retry.idempotent:
        why = f"a second {retry.method} may be applied twice: add idempotent = true if that is fine"
        raise ConfigError(why, key="hedge")
    if api.batch is not None:
        raise ConfigError("a batch cannot be hedged: leave out hedge or batch", key="hedge")
    return parse_hedge(api.hedge)


def _first(*choices: T | None) -> T:
    """Return the API's own value, else the run's, else the default."""
    return next(choice for choice in choices if choice is not None)


def _seconds(*choices: float | str | None) -> float:
    return parse_duration(next(choice for choice in choices if choice is not None))


def _size(*choices: int | str | None) -> int:
    return parse_size(next(choice for choice in choices if choice is not None))


def _parsed(value: S | None, parse: Callable[[S], T]) -> T | None:
    return None if value is None else parse(value)
