"""The `explain` command: print what a run would send, without sending it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

import trio

from tmux_fanout.cli.commands.inputs import announce_typing, check_standard_streams
from tmux_fanout.cli.commands.run import prepare
from tmux_fanout.cli.stderr import complain, complain_of, warn
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ConfigError, ErrorInfo, InputError, TransportError
from tmux_fanout.core.explain.explainer import Explainer
from tmux_fanout.core.uploads.form import Upload
from tmux_fanout.engine.io.source import FileSource
from tmux_fanout.transports.layers.uploads import measure

STDOUT = 1


def explain_command(closed: Sequence[int], count: int, **options: Any) -> int:
    """Run the `explain` command, and return the exit status: 1 if a record cannot be sent.

    Args:
        closed: standard descriptors that were closed at the start.
        count: number of records to explain.
        options: as in `options.RUN_OPTIONS`.
    """
    try:
        job = prepare(closed, options, os.environ, is_local=True)
        check_standard_streams(job.paths)
        explainer = Explainer(
            job.configuration.apis,
            job.configuration.settings,
            job.configuration.plan,
            job.configuration.env,
            nonce=secrets.token_hex(8),
            now=time.time(),
            is_folder=os.path.isdir,
            inspect=_inspect,
        )
    except ConfigError as exc:
        complain_of(exc)
        return 2
    if not job.configuration.options["quiet"]:
        announce_typing(job.paths)
    source = FileSource(
        job.paths,
        job.configuration.options["input_format"],
        max_line=job.configuration.plan.settings.max_line,
        chunk_size=1,
        chunk_linger=0,
        dialect=job.configuration.dialect,
        notify=warn,
    )
    try:
        return trio.run(_explain, explainer, source, count, strict_exception_groups=True)
    except BrokenPipeError:
        return exit_status(Ending.OUTPUT_CLOSED, all_ok=False)
    finally:
        source.close()


def _inspect(upload: Upload) -> ErrorInfo | None:
    """Look at the files of a form; return why they cannot be sent, or None."""
    try:
        measure(upload)
    except TransportError as error:
        return ErrorInfo(error.kind, error.message)
    return None


async def _explain(explainer: Explainer, source: FileSource, count: int) -> int:
    """Explain records as they arrive, and read none beyond the last."""
    found = 0
    is_broken = False
    try:
        while found < count and (chunk := await source.next_chunk()):
            _print(explainer.explain(chunk[0]))
            found += 1
    except InputError as exc:
        complain(str(exc))
        is_broken = True
    _print(explainer.finish())
    if not found and not is_broken:
        complain("the input has no record to explain")
    return exit_status(Ending.FINISHED, all_ok=explainer.all_ok and not is_broken)


def _print(lines: Iterable[str]) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    while data:
        data = data[os.write(STDOUT, data) :]
