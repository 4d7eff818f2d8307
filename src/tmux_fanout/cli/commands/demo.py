"""The `demo` command: the engine at work on embedded APIs."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

import trio

from tmux_fanout.cli.job import do_job
from tmux_fanout.cli.progress import can_draw
from tmux_fanout.cli.reporting.conclusion import Reports
from tmux_fanout.cli.stderr import complain, say
from tmux_fanout.core.config.descriptors import fit
from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.results.envelope import envelope_encoder
from tmux_fanout.demo import RECORDS, serve
from tmux_fanout.engine.io.iterables import IterableSource
from tmux_fanout.engine.process import allow_connections, check_open_files, connections_left

_NEXT = (
    "Each of {count} sample records went to three APIs at once.  Next: tmux-fanout demo --serve "
    '--port 8080, and in another shell: echo \'{{"text": "hi"}}\' | tmux-fanout '
    "-a fast=http://127.0.0.1:8080/fast -a slow=http://127.0.0.1:8080/slow"
)


def demo_command(*, serve_only: bool, port: int) -> int:
    """Run the demo, or keep its APIs running, and return the exit status."""
    status = 2
    try:
        check_open_files()
        status = trio.run(
            _keep_running if serve_only else _demo, port, strict_exception_groups=True
        )
    except* OSError as group:
        why = _reason(group)
        complain(f"--port {port}: {why}: use another, or 0 for any free one")
    except* ConfigError as mistakes:
        complain(str(mistakes.exceptions[0]))
    except* KeyboardInterrupt:
        status = 130
    return status


def _reason(group: BaseExceptionGroup[OSError]) -> str:
    """Return why the port cannot be used, in the words of the system and without its number."""
    first = group.exceptions[0]
    if isinstance(first, BaseExceptionGroup):
        return _reason(first)
    return os.strerror(first.errno).lower() if first.errno else str(first)


async def _demo(port: int) -> int:
    async with trio.open_nursery(strict_exception_groups=True) as nursery:
        urls: Mapping[str, str] = await nursery.start(serve, port)
        plan = plan_run([Api(*item) for item in urls.items()], RunSettings(), os.environ)
        allow_connections(2 * sum(api.limit for api in plan.apis))
        plan = fit(plan, connections_left() // 2)  # each connection has both of its ends here
        source = IterableSource(RECORDS, plan.chunk_size)
        reports = Reports("table", can_draw(os.environ), verbose=0)
        status = await do_job(plan, source, reports, envelope_encoder(list(urls)))
        nursery.cancel_scope.cancel()
    if status != exit_status(Ending.OUTPUT_CLOSED, all_ok=False):
        say(_NEXT.format(count=len(RECORDS)))
    return status


async def _keep_running(port: int) -> int:
    status = 0
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            urls: Mapping[str, str] = await nursery.start(serve, port)
            apis = " ".join(f"-a {name}={url}" for name, url in urls.items())
            say("Three APIs are running; Ctrl-C stops them.  In another shell:")
            say(f'  echo \'{{"text": "hi"}}\' | tmux-fanout {apis}')
            status = 128 + await anext(signals)
            nursery.cancel_scope.cancel()
    return status
