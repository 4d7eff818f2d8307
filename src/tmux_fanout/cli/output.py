"""The options `--output`, `--resume` and `--force`: what they come to, and the file they open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import trio

from tmux_fanout.cli.stderr import show_over
from tmux_fanout.core.errors import ConfigError, InputError, OutputError
from tmux_fanout.core.results.compression import compressor_for, is_compressed
from tmux_fanout.core.results.resume import Differs, Kept
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.dead_letters import OtherLetters, Replay
from tmux_fanout.engine.io.output_file import OutputFile
from tmux_fanout.engine.io.resume import find_what_is_kept
from tmux_fanout.engine.io.source import STDIN, FileSource

_STDOUT = "-"


class Destination(NamedTuple):
    """Where results go.

    Attributes:
        path: of a file; None: to standard output.
        resume: whether to go on where the file ends.
        force: whether to overwrite what it has.
    """

    path: str | None
    resume: bool
    force: bool


class CannotResume(Exception):
    """An output is left as it is; the message says why, and `status` is that of the command."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


def choose_destination(options: Mapping[str, Any], given: Mapping[str, Any]) -> Destination:
    """What the options say of the output.

    Args:
        options: with what the configuration file says.
        given: without.

    Raises:
        ConfigError: they do not go together.
    """
    path, resume, force = (options[name] for name in ("output", "resume", "force"))
    if path == _STDOUT:
        path = None
    if resume and force:  # one of them may be the file's, and gives way
        resume, force = bool(given["resume"]), bool(given["force"])
        if resume == force:
            raise ConfigError(
                "--resume keeps what FILE has, --force does not; leave one of them out"
            )
    if path is None:
        if resume or (force and options["failed"] is None):
            flag = "--resume" if resume else "--force"
            raise ConfigError(f"{flag}: it is about the FILE of --output; add -o FILE")
        return Destination(None, resume=False, force=force)
    check_name(path)
    if resume:
        _check_resumable(path, options)
    return Destination(path, resume, force)


def check_name(path: str, option: str = "--output") -> None:
    """Return if a file of this name can be written.

    Args:
        option: that names it, for the message.

    Raises:
        ConfigError: it is to be compressed in a way that is not to be had.
    """
    try:
        compressor_for(path)
    except ConfigError as exc:
        raise ConfigError(f"{option}: {exc}") from None


def _check_resumable(path: str, options: Mapping[str, Any]) -> None:
    if is_compressed(path):
        raise ConfigError("--resume: what is compressed cannot be gone on with; drop the extension")
    if options["emit"] != "envelope":
        raise ConfigError(f"--resume: it needs --emit envelope, and not {options['emit']}")
    if options["unordered"]:
        raise ConfigError("--resume: it needs the order of the input; leave --unordered out")


def open_output(
    destination: Destination, inputs: Sequence[str], option: str = "--output"
) -> OutputFile | None:
    """Open the file; None for standard output.

    Args:
        inputs: the paths of the input.
        option: that names it, for messages.

    Raises:
        ConfigError: it cannot be written, is one of the inputs, or has something in it.
    """
    if destination.path is None:
        return None
    try:
        output = OutputFile(destination.path, to_resume=destination.resume)
    except ConfigError as exc:
        raise ConfigError(f"{option}: {exc}") from None
    try:
        _check_open(output, destination, inputs, option)
    except BaseException:
        output.close()
        raise
    return output


def _check_open(
    output: OutputFile, destination: Destination, inputs: Sequence[str], option: str
) -> None:
    shown = printable(repr(output.path))
    if any(output.is_same(0 if path == STDIN else path) for path in inputs):
        raise ConfigError(f"{option}: {shown} is an input too; name another file")
    if destination.resume and not output.is_regular:
        raise ConfigError(f"--resume: {shown} is no regular file, and keeps nothing; name one")
    if output.size and not (destination.resume or destination.force):
        advice = "--force to overwrite it"
        if option == "--output":
            advice = f"--resume to go on where it ends, or {advice}"
        raise ConfigError(f"{option}: {shown} has something in it; add {advice}")


async def resume(
    output: OutputFile,
    source: FileSource,
    names: Sequence[str],
    *,
    replay: Replay | None = None,
    shows_progress: bool,
) -> Kept:
    """Cut the file where the run is to go on, once all before that is found to be right.

    Args:
        replay: the dead letters, which are brought in line with it.

    Raises:
        CannotResume: it is not, or cannot be told; nothing was changed.
    """
    progress = CheckProgress(output)
    try:
        with output.reader() as reader, replay or nullcontext():
            looked_at = progress.show if shows_progress else None
            failed = replay.add if replay else None
            kept = await find_what_is_kept(reader, source, names, looked_at, failed)
            if replay:
                await replay.check_beginning(source)
    except OtherLetters as exc:
        why = f"--failed: {printable(repr(output.path))} goes with other dead letters: {exc}; "
        why += "name the FILE that was its own, or a new one; nothing was changed"
        raise CannotResume(why, status=3) from exc
    except Differs as exc:
        why = f"--resume: {printable(repr(output.path))} is not the output for this input: {exc}; "
        why += "it is left as it is; name the input and the APIs that it is of, or another -o FILE"
        raise CannotResume(why, status=3) from exc
    except (InputError, OutputError) as exc:
        raise CannotResume(f"{exc}; the output is left as it is", status=1) from exc
    finally:
        progress.hide()
    try:
        if kept.size != output.size:
            output.truncate(kept.size)
    except OSError as exc:
        why = f"--resume: {printable(repr(output.path))} cannot be cut: {exc.strerror}"
        raise CannotResume(why, status=1) from exc
    return kept


class CheckProgress:
    """Says how much of a file was looked at, where that takes a while."""

    def __init__(self, output: OutputFile) -> None:
        self._output = output
        self._said_at = trio.current_time()
        self._is_shown = False

    def show(self, size: int) -> None:
        now = trio.current_time()
        if now - self._said_at >= 1:
            self._said_at, self._is_shown = now, True
            show_over(f"{printable(self._output.path)}: {size / self._output.size:.0%} looked at")

    def hide(self) -> None:
        if self._is_shown:
            show_over("")
