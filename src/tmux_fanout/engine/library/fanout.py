"""`fanout` for trio programs, and `fanout_sync` for all others.

Both spell out their keywords, so that signatures, editors and type checkers show them.  The values
are checked where those of the command line are, in `RunSettings`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from tmux_fanout.core.config.settings import Api, OnDown, TransportName
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.engine.io.iterables import (
    AsyncIterableSource,
    BlockingIterableSource,
    IterableSource,
)
from tmux_fanout.engine.library.plan import Plan, resolve
from tmux_fanout.engine.library.results import (
    ClosableSource,
    Progress,
    Results,
    in_trio,
    open_results,
)
from tmux_fanout.engine.library.sync import SyncResults


def fanout(
    records: Iterable[Any] | AsyncIterable[Any],
    apis: Sequence[Api] | Plan,
    *,
    limit: int | str | Mapping[str, int] | Adaptive | None = None,
    rate: str | Mapping[str, Any] | None = None,
    retries: int | None = None,
    connect_timeout: float | str | None = None,
    attempt_timeout: float | str | None = None,
    timeout: float | str | None = None,
    idempotent: bool | None = None,
    max_response: int | str | None = None,
    transport: TransportName | None = None,
    total_limit: int | None = None,
    chunk_size: int | None = None,
    window: int | None = None,
    window_bytes: int | str | None = None,
    unordered: bool | None = None,
    join: str | None = None,
    max_failures: int | str | None = None,
    max_cost: float | str | None = None,
    on_down: OnDown | None = None,
    timings: bool | None = None,
    deadline: float | str | None = None,
    env_proxy: bool | None = None,
    cluster: str | None = None,
    trust_network: bool | None = None,
    progress: Progress | None = None,
) -> AbstractAsyncContextManager[Results]:
    """Send each record to several HTTP APIs at once, and iterate over the results in input order.

    Durations are seconds or strings such as `"10s"`; sizes are bytes or strings such as `"64MiB"`.
    The keywords from `limit` to `transport` are defaults for every API that does not set its own.
    A keyword that is left out has the value of the plan, if `apis` is a `Plan` that has one, and
    otherwise the default in parentheses.

    Example::

        async with fanout(records, [Api("a", "https://...")], timeout=20) as results:
            async for result in results:
                print(result.ok, result["a"].body)

    Args:
        records: A non-blocking iterable, or an async iterable, of JSON-serialisable values or of
            bytes that hold JSON text.  What JSON cannot hold, such as NaN and infinities, is sent
            to nobody: its result has an `error` of kind `invalid_record`.  It is read no further
            ahead than `window` and one chunk allow.
        apis: The APIs to call, each with its own name; or a plan, which may come from a
            configuration file.
        limit: Maximum number of attempts in flight per API (64); `"adaptive"`, or a mapping or
            `Adaptive` with `min` and `max`, finds the number while running.
        rate: Maximum number of attempts per API and unit of time, retries included, such as
            `"50/s"`, `"300/m"` or `"1000/h"`, or a mapping as in `Api` (no maximum).
        retries: Maximum number of attempts after the first (2).  Refusals, such as 429 and 503, do
            not count while the API serves others.
        connect_timeout: Maximum duration of connecting (10 s).
        attempt_timeout: Maximum duration of one attempt, connecting included (30 s).
        timeout: Maximum duration of a call: its attempts, and its waits after failures (60 s).
            Waiting for a slot, a rate, a pause or an API that is down does not count.
        idempotent: Whether requests may be applied twice, so that ambiguous failures are retried
            (decided by the HTTP method).
        max_response: Maximum size of a response body, after decoding (16 MiB).
        transport: HTTP implementation to use; `"auto"` chooses one for each API (`"auto"`).
        total_limit: Maximum number of attempts in flight over all APIs (no maximum).
        chunk_size: Maximum number of records read together (100, or the size of the largest batch).
        window: Maximum number of records read and not yet handed out (1024, or four times the
            largest limit or batch if that is more, and up to 8192 while free slots would otherwise
            wait for a slow record).
        window_bytes: Maximum size of these records and their responses together (64 MiB).
        unordered: Whether to hand out results as they complete instead of in input order (False).
        join: When a record is settled and its remaining calls are cancelled: `"all"`, `"first"`,
            `"quorum:N"` or `"best-effort:T"` (`"all"`).
        max_failures: Number of records that are not ok, or a share of them such as `"5%"`, which
            counts from 100 records on, beyond which no more records are read and unfinished calls
            become `cancelled` (no maximum).
        max_cost: Amount of money, such as 25 or `"0.50"`, that calls may cost by the `price` of
            their APIs (no maximum).  No attempt begins that might pass it; once none fits any more,
            unfinished calls become `cancelled`.
        on_down: What happens once an API has been down for longer than its `breaker.wait`:
            `"wait"` ends the run as `max_failures` does; `"fail"` fails the calls of that API, as
            long as another is not down (`"wait"`).
        timings: Whether outcomes have the timings of their last attempts (False).
        deadline: Maximum duration of the run (no maximum).  Calls that it stops get an error of
            kind `deadline`.
        env_proxy: Whether to honour `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` in the
            environment (True).
        cluster: Address of the scheduler of a Dask cluster whose workers make the calls under
            limits that they share, such as `"tls://scheduler:8786"`, or `"file:scheduler.json"`;
            an extra, `dask`.  `${VAR}` then comes from the environment of each worker (this
            process makes the calls).
        trust_network: Whether to use a cluster without TLS although it is not on this machine
            (False).
        progress: Function to call with the run's statistics every half second, and once more when
            the run ends.  It runs in the event loop's thread, so it must not block.

    Returns:
        An async context manager whose value is an async iterator of `Result`, with `statistics`.  A
        failed call is data: a result that is not ok.  Leaving the block cancels all unfinished
        calls; no task, socket or thread outlives it.

    Raises:
        ConfigError: An API or a keyword has an invalid value.  Raised by the call itself, before
            anything is sent; if a cluster cannot be used, where the run starts.
        RuntimeError: The block is not entered by a trio task.
        Exception: Whatever `records` or `progress` raises.  It ends the run, and is raised by the
            iteration after all results that precede it.
    """
    resolved = resolve(
        records,
        apis,
        progress,
        limit=limit,
        rate=rate,
        retries=retries,
        connect_timeout=connect_timeout,
        attempt_timeout=attempt_timeout,
        timeout=timeout,
        idempotent=idempotent,
        max_response=max_response,
        transport=transport,
        total_limit=total_limit,
        chunk_size=chunk_size,
        window=window,
        window_bytes=window_bytes,
        unordered=unordered,
        join=join,
        max_failures=max_failures,
        max_cost=max_cost,
        on_down=on_down,
        timings=timings,
        deadline=deadline,
        env_proxy=env_proxy,
        cluster=cluster,
        trust_network=trust_network,
    )

    def open_source() -> ClosableSource:
        if isinstance(records, AsyncIterable):
            return AsyncIterableSource(records)
        return IterableSource(records, resolved.plan.chunk_size)

    return open_results(resolved, open_source, progress)


def fanout_sync(
    records: Iterable[Any],
    apis: Sequence[Api] | Plan,
    *,
    limit: int | str | Mapping[str, int] | Adaptive | None = None,
    rate: str | Mapping[str, Any] | None = None,
    retries: int | None = None,
    connect_timeout: float | str | None = None,
    attempt_timeout: float | str | None = None,
    timeout: float | str | None = None,
    idempotent: bool | None = None,
    max_response: int | str | None = None,
    transport: TransportName | None = None,
    total_limit: int | None = None,
    chunk_size: int | None = None,
    window: int | None = None,
    window_bytes: int | str | None = None,
    unordered: bool | None = None,
    join: str | None = None,
    max_failures: int | str | None = None,
    max_cost: float | str | None = None,
    on_down: OnDown | None = None,
    timings: bool | None = None,
    deadline: float | str | None = None,
    env_proxy: bool | None = None,
    cluster: str | None = None,
    trust_network: bool | None = None,
    progress: Progress | None = None,
) -> SyncResults:
    """Send each record to several HTTP APIs at once, from a program that does not use trio.

    The engine runs in a thread of its own, so calls proceed while the program handles a result.
    Every keyword means the same as in `fanout`.

    Example::

        for result in fanout_sync(records, [Api("a", "https://...")]):
            print(result.ok, result["a"].body)

    Args:
        records: An iterable of JSON-serialisable values, or of bytes that hold JSON text; for what
            is neither, see `fanout`.  One that may block, such as a generator, is read in a second
            thread, so it must not depend on the thread that it runs in.
        apis: The APIs to call, or a plan; see `fanout`.
        limit: See `fanout`.
        rate: See `fanout`.
        retries: See `fanout`.
        connect_timeout: See `fanout`.
        attempt_timeout: See `fanout`.
        timeout: See `fanout`.
        idempotent: See `fanout`.
        max_response: See `fanout`.
        transport: See `fanout`.
        total_limit: See `fanout`.
        chunk_size: See `fanout`.
        window: See `fanout`.
        window_bytes: See `fanout`.
        unordered: See `fanout`.
        join: See `fanout`.
        max_failures: See `fanout`.
        max_cost: See `fanout`.
        on_down: See `fanout`.
        timings: See `fanout`.
        deadline: See `fanout`.
        env_proxy: See `fanout`.
        cluster: See `fanout`.
        trust_network: See `fanout`.
        progress: Function to call with the run's statistics every half second, and once more when
            the run ends.  It runs in the engine's thread, so it must not block.

    Returns:
        An iterator of `Result`, with `statistics` and `close`.  It is a context manager as well:
        leaving its block cancels all unfinished calls.

    Raises:
        ConfigError: An API or a keyword has an invalid value.  Raised by the call itself, before
            anything is sent; if a cluster cannot be used, where the run starts.
        RuntimeError: The caller is a trio task; use `fanout` there.
        Exception: Whatever `records` or `progress` raises.  It ends the run, and is raised by the
            iteration after all results that precede it.
    """
    if in_trio():
        raise RuntimeError("fanout_sync would block trio; write: async with fanout(...) as results")
    resolved = resolve(
        records,
        apis,
        progress,
        limit=limit,
        rate=rate,
        retries=retries,
        connect_timeout=connect_timeout,
        attempt_timeout=attempt_timeout,
        timeout=timeout,
        idempotent=idempotent,
        max_response=max_response,
        transport=transport,
        total_limit=total_limit,
        chunk_size=chunk_size,
        window=window,
        window_bytes=window_bytes,
        unordered=unordered,
        join=join,
        max_failures=max_failures,
        max_cost=max_cost,
        on_down=on_down,
        timings=timings,
        deadline=deadline,
        env_proxy=env_proxy,
        cluster=cluster,
        trust_network=trust_network,
    )

    def open_source() -> ClosableSource:
        if isinstance(records, Collection):
            return IterableSource(records, resolved.plan.chunk_size)
        return BlockingIterableSource(records, resolved.plan.chunk_size)

    return SyncResults(lambda: open_results(resolved, open_source, progress))
