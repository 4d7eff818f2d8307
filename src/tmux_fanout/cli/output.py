"""The options `--output`, `--resume`, `--mend` and `--force`, and the file that they open."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import trio

from tmux_fanout.cli.progress import Display
from tmux_fanout.core.display.layout import wrap
from tmux_fanout.core.errors import ConfigError, InputError, OutputError
from tmux_fanout.core.results.compression import compressor_for, is_compressed
from tmux_fanout.core.results.resume import Kept, OutputMismatch
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.dead_letters import DeadLetterMismatch, Replay
from tmux_fanout.engine.io.output_file import OutputFile
from tmux_fanout.engine.io.resume import find_what_is_kept
from tmux_fanout.engine.io.source import STDIN, FileSource

_STDOUT = "-"


class Destination(NamedTuple):
    """Where results go.

    Attributes:
        path: of a file; None: standard output.
        resume: whether to continue where the file ends.
        force: whether to overwrite the file.
        mend: whether to make the failed calls of the file again.
        anyway: whether to resume even where the file was written with other settings.
        may_resume: whether the command has `--resume`.
    """

    path: str | None
    resume: bool
    force: bool
    mend: bool = False
    anyway: bool = False
    may_resume: bool = True

    @property
    def keeps(self) -> bool:
        """Whether what the file holds is needed."""
        return self.resume or self.mend


class CannotResume(Exception):
    """An output cannot be resumed and is left unchanged; `status` is the exit status."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


def choose_destination(options: Mapping[str, Any], given: Mapping[str, Any]) -> Destination:
    """Return where the options send results.

    Args:
        options: merged with the configuration file.
        given: as they are on the command line.

    Raises:
        ConfigError: options contradict each other.
    """
    path = None if options["output"] == _STDOUT else options["output"]
    has_failed = options["failed"] is not None
    options, given = _with_resume(options), _with_resume(given)
    chosen = {name: bool(options[name]) for name in ("resume", "mend", "force")}
    _give_way(chosen, given, "resume", "mend", "--mend does what --resume does, and more")
    _give_way(chosen, given, "resume", "force", "--resume keeps FILE and --force overwrites it")
    if not has_failed:  # which --force is about, beside --mend
        _give_way(chosen, given, "mend", "force", "--mend keeps FILE and --force overwrites it")
    destination = Destination(path, **chosen, anyway=bool(options["resume_anyway"]))
    if path is None:
        if destination.keeps or (destination.force and not has_failed):
            flag = next(name for name, is_chosen in chosen.items() if is_chosen)
            raise ConfigError(f"--{flag} without --output: add -o FILE")
        return destination
    check_name(path)
    if destination.keeps:
        _check_comparable(path, options, "--resume" if destination.resume else "--mend")
    return destination


def _with_resume(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options with `--resume` where `--resume-anyway` is among them."""
    return {**options, "resume": options["resume"] or options["resume_anyway"]}


def _give_way(
    chosen: dict[str, bool], given: Mapping[str, Any], one: str, other: str, why: str
) -> None:
    """Drop one of two options that contradict each other, if it is only the configuration file's.

    Args:
        chosen: whether each is set, here or there.
        given: the command line.
        why: they contradict each other.
    """
    if not (chosen[one] and chosen[other]):
        return
    chosen[one], chosen[other] = bool(given[one]), bool(given[other])
    if chosen[one] == chosen[other]:
        raise ConfigError(f"{why}: leave one of the two out")


def check_name(path: str, option: str = "--output") -> None:
    """Check that the compression that a file name asks for is available.

    Args:
        path: of the file.
        option: that names it, for the message.

    Raises:
        ConfigError: it is not.
    """
    try:
        compressor_for(path)
    except ConfigError as exc:
        raise ConfigError(f"{option}: {exc}") from None


def _check_comparable(path: str, options: Mapping[str, Any], flag: str) -> None:
    if is_compressed(path):
        verb = "resumed" if flag == "--resume" else "mended"
        raise ConfigError(f"{flag}: a compressed file cannot be {verb}: drop the extension")
    if options["emit"] != "envelope":
        advice = "use --emit envelope, and tmux-fanout convert at the end"
        raise ConfigError(f"{flag} with --emit {options['emit']}: {advice}")
    if options["unordered"]:
        raise ConfigError(f"{flag} with --unordered: leave --unordered out")


def open_output(
    destination: Destination, inputs: Sequence[str], option: str = "--output"
) -> OutputFile | None:
    """Open the file; return None for standard output.

    Args:
        destination: where results go.
        inputs: paths of the input.
        option: that names the file, for messages.

    Raises:
        ConfigError: the file cannot be written, is one of the inputs, or is not empty.
    """
    if destination.path is None:
        return None
    if is_input(destination.path, inputs):
        shown = printable(repr(destination.path))
        raise ConfigError(f"{option}: {shown} is an input, too: use another file")
    try:
        output = OutputFile(destination.path, to_resume=destination.keeps)
    except ConfigError as exc:
        raise ConfigError(f"{option}: {exc}") from None
    try:
        _check_open(output, destination, option)
    except BaseException:
        output.discard()
        output.close()
        raise
    return output


def is_input(output: str | int, inputs: Sequence[str]) -> bool:
    """Return whether what is written to an output would come back in an input.

    That is so for one regular file or FIFO under any name.  A terminal or a socket is both without
    harm.

    Args:
        output: path or descriptor.
        inputs: paths of the input.
    """
    try:
        status = os.stat(output)
    except OSError:  # it does not exist yet, or opening it will say what is wrong
        return False
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
        return False
    return any(_is_at(0 if path == STDIN else path, status) for path in inputs)


def _is_at(path: str | int, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except OSError:
        return False


def _check_open(output: OutputFile, destination: Destination, option: str) -> None:
    shown = printable(repr(output.path))
    if destination.keeps and not output.is_regular:
        flag = "--resume" if destination.resume else "--mend"
        raise ConfigError(f"{flag}: {shown} is not a regular file: use one that is")
    if destination.mend and output.is_new:
        advice = "name the output of an earlier run, or leave --mend out"
        raise ConfigError(f"--mend: {shown} does not exist: {advice}")
    if output.size and not (destination.keeps or destination.force):
        advice = "--force to overwrite it"
        if option == "--output" and destination.may_resume:
            advice = f"--resume to continue where it ends, or {advice}"
        raise ConfigError(f"{option}: {shown} is not empty: add {advice}")


async def resume(
    output: OutputFile,
    source: FileSource,
    names: Sequence[str],
    different: str = "",
    *,
    replay: Replay | None = None,
    shows_progress: bool,
) -> Kept:
    """Cut the file where the run continues, after checking everything before against the input.

    Args:
        output: the file.
        source: the input, which is read up to where the run continues.
        names: of the APIs.
        different: settings that differ from those that the file was written with, which matters if
            any of its lines are kept; an empty text if there are none.
        replay: the dead letters, which are brought in line with the file.
        shows_progress: whether to show how much has been checked.

    Raises:
        CannotResume: file and input do not match, or cannot be read; nothing has been changed.
    """
    progress = CheckProgress(output)

    def report_size(size: int) -> None:
        if size and different:
            raise CannotResume(_other_settings(output, different), status=3)
        if shows_progress:
            progress.show(size)

    try:
        with output.reader() as reader, replay or nullcontext():
            failed = replay.add if replay else None
            kept = await find_what_is_kept(reader, source, names, report_size, failed)
            if replay:
                await replay.check_beginning(source)
    except DeadLetterMismatch as exc:
        why = f"--failed: not written by the run that wrote {printable(repr(output.path))}: {exc}; "
        why += "use the FILE of that run, or a new one; nothing was changed"
        raise CannotResume(why, status=3) from exc
    except OutputMismatch as exc:
        why = f"--resume: {printable(repr(output.path))} is not the output for this input: {exc}; "
        why += "use the input and the APIs that it was made from, or another -o FILE; "
        why += "nothing was changed"
        raise CannotResume(why, status=3) from exc
    except (InputError, OutputError) as exc:
        raise CannotResume(f"{exc}; nothing was changed", status=1) from exc
    finally:
        progress.hide()
    try:
        if kept.size != output.size:
            output.truncate(kept.size)
    except OSError as exc:
        why = f"--resume: {printable(repr(output.path))} cannot be truncated: {exc.strerror}"
        raise CannotResume(why, status=1) from exc
    return kept


def _other_settings(output: OutputFile, different: str) -> str:
    why = f"--resume: {printable(repr(output.path))} was written with other settings: {different}; "
    why += "use those that it was written with, or --resume-anyway to go on with the new ones; "
    return why + "nothing was changed"


class CheckProgress:
    """Shows how much of a file has been checked, where that takes longer than a second."""

    def __init__(self, output: OutputFile) -> None:
        self._output = output
        self._shown_at = trio.current_time()
        self._display = Display()

    def show(self, size: int) -> None:
        now = trio.current_time()
        if now - self._shown_at >= 1:
            self._shown_at = now
            text = f"{printable(self._output.path)}: {size / self._output.size:.0%} checked"
            self._display.show(lambda width, height: wrap(text, width)[:height])

    def hide(self) -> None:
        self._display.hide()
