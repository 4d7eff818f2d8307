"""Pipelines whose calls are made in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from random import Random

import trio

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.results.timings import Starts
from tmux_fanout.engine.calls.reuse.store import open_stores
from tmux_fanout.engine.calls.sharing.share import Share
from tmux_fanout.engine.calls.tracing.spans import Export
from tmux_fanout.engine.io.streams import Sink, Source
from tmux_fanout.engine.run.backend import Hooks, OpenBackend
from tmux_fanout.engine.run.local import LocalBackend
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.transports.base import Transport


def local_pipeline(
    plan: RunPlan,
    transports: Sequence[Transport],
    source: Source,
    sink: Sink,
    *,
    random: Random | None = None,
    notify: Callable[[str], None] = lambda _: None,
    watch_head: bool = False,
    on_give_up: Callable[[str], None] | None = None,
    mends: bool = False,
    starts: Starts | None = None,
    share: Share | None = None,
    export: Export | None = None,
) -> Pipeline:
    """Return a pipeline whose calls are made in this process.

    Args:
        plan, source, sink, notify, watch_head, on_give_up: as for `Pipeline`.
        transports: one for each API of the plan.
        random: for the jitter of retries.
        mends: whether records may have outcomes of an earlier run (`MendRecord`).
        starts: where to note when records are begun, or None.
        share: what this process has of the limits; None: all of them.
        export: takes the spans of the run, or None.
    """
    opener = local_backend(
        plan,
        transports,
        random or Random(),
        mends=mends,
        starts=starts,
        share=share,
        export=export,
    )
    return Pipeline(
        plan,
        source,
        sink,
        opener,
        notify=notify,
        watch_head=watch_head,
        on_give_up=on_give_up,
    )


def local_backend(
    plan: RunPlan,
    transports: Sequence[Transport],
    random: Random,
    *,
    mends: bool = False,
    starts: Starts | None = None,
    share: Share | None = None,
    export: Export | None = None,
) -> OpenBackend:
    """Return what opens a `LocalBackend`; arguments as for it."""

    @asynccontextmanager
    async def open_backend(hooks: Hooks) -> AsyncIterator[LocalBackend]:
        with hooks.scope, ExitStack() as after_calls:
            async with (
                open_stores(plan, hooks.notify) as stores,
                trio.open_nursery(strict_exception_groups=True) as nursery,
            ):
                backend = LocalBackend(
                    plan,
                    transports,
                    hooks,
                    nursery,
                    random,
                    mends=mends,
                    starts=starts,
                    share=share,
                    export=export,
                    stores=stores,
                )
                after_calls.callback(backend.close)
                yield backend
                nursery.cancel_scope.cancel()  # alarms, and attempts of calls that were lost

    return open_backend
