"""The library for asyncio programs: `from tmux_fanout.asyncio import fanout`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from tmux_fanout.core.config.settings import Api, OnDown, TransportName
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.engine.library.asyncio_results import AsyncioResults, open_asyncio_results
from tmux_fanout.engine.library.plan import Plan, resolve
from tmux_fanout.engine.library.results import Progress, open_results

__all__ = ["AsyncioResults", "fanout"]


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
) -> AbstractAsyncContextManager[AsyncioResults]:
    """Send each record to several HTTP APIs at once, from an asyncio program.

    The engine runs in a thread of its own, so calls proceed while the program handles a result.
    Every keyword means the same as in `tmux_fanout.fanout`.

    Example::

        async with fanout(records, [Api("a", "https://...")], timeout=20) as results:
            async for result in results:
                print(result.ok, result["a"].body)

    Args:
        records: A non-blocking iterable, or an async iterable, of JSON-serialisable values or of
            bytes that hold JSON text; for what is neither, see `tmux_fanout.fanout`.  It is
            iterated over in the event loop of the program, and no further ahead than `window` and
            one chunk allow.
        apis: The APIs to call, or a plan; see `tmux_fanout.fanout`.
        limit: See `tmux_fanout.fanout`.
        rate: See `tmux_fanout.fanout`.
        retries: See `tmux_fanout.fanout`.
        connect_timeout: See `tmux_fanout.fanout`.
        attempt_timeout: See `tmux_fanout.fanout`.
        timeout: See `tmux_fanout.fanout`.
        idempotent: See `tmux_fanout.fanout`.
        max_response: See `tmux_fanout.fanout`.
        transport: See `tmux_fanout.fanout`.
        total_limit: See `tmux_fanout.fanout`.
        chunk_size: See `tmux_fanout.fanout`.
        window: See `tmux_fanout.fanout`.
        window_bytes: See `tmux_fanout.fanout`.
        unordered: See `tmux_fanout.fanout`.
        join: See `tmux_fanout.fanout`.
        max_failures: See `tmux_fanout.fanout`.
        max_cost: See `tmux_fanout.fanout`.
        on_down: See `tmux_fanout.fanout`.
        timings: See `tmux_fanout.fanout`.
        deadline: See `tmux_fanout.fanout`.
        env_proxy: See `tmux_fanout.fanout`.
        cluster: See `tmux_fanout.fanout`.
        trust_network: See `tmux_fanout.fanout`.
        progress: Function to call with the run's statistics every half second, and once more when
            the run ends.  It runs in the event loop, so it must not block.

    Returns:
        An async context manager whose value is an async iterator of `Result`, with `statistics`.  A
        failed call is data: a result that is not ok.  Leaving the block, by an error or by being
        cancelled, too, cancels all unfinished calls; no task, socket or thread outlives it.

    Raises:
        ConfigError: An API or a keyword has an invalid value.  Raised by the call itself, before
            anything is sent; if a cluster cannot be used, where the run starts.
        RuntimeError: No asyncio event loop runs where the block is entered.
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
    return open_asyncio_results(
        lambda open_source: open_results(resolved, open_source, None),
        records,
        resolved.plan.chunk_size,
        progress,
    )
