"""Pipelines whose calls are made in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager

import trio

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.engine.calls.reuse.store import open_stores
from tmux_fanout.engine.io.streams import Sink, Source
from tmux_fanout.engine.run.backend import Hooks, OpenBackend
from tmux_fanout.engine.run.local import LocalBackend
from tmux_fanout.engine.run.local_options import LocalOptions
from tmux_fanout.engine.run.pipeline import Pipeline
from tmux_fanout.transports.base import Transport


def local_pipeline(
    plan: RunPlan,
    transports: Sequence[Transport],
    source: Source,
    sink: Sink,
    options: LocalOptions | None = None,
    *,
    notify: Callable[[str], None] = lambda _: None,
    watch_head: bool = False,
) -> Pipeline:
    """Return a pipeline whose calls are made in this process.

    Args:
        plan, source, sink, notify, watch_head: as for `Pipeline`.
        transports: one for each API of the plan.
        options: what the run has besides its plan; None: the defaults.
    """
    opener = local_backend(plan, transports, options or LocalOptions())
    return Pipeline(plan, source, sink, opener, notify=notify, watch_head=watch_head)


def local_backend(
    plan: RunPlan, transports: Sequence[Transport], options: LocalOptions
) -> OpenBackend:
    """Return what opens a `LocalBackend`; arguments as for it."""

    @asynccontextmanager
    async def open_backend(hooks: Hooks) -> AsyncIterator[LocalBackend]:
        with hooks.scope, ExitStack() as after_calls:
            async with (
                open_stores(plan, hooks.notify) as stores,
                trio.open_nursery(strict_exception_groups=True) as nursery,
            ):
                backend = LocalBackend(plan, transports, hooks, nursery, options, stores=stores)
                after_calls.callback(backend.close)
                yield backend
                nursery.cancel_scope.cancel()  # alarms, and attempts of calls that were lost

    return open_backend
