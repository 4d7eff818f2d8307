"""The `verify` command: check an output against its input."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import trio

from tmux_fanout.cli.commands.inputs import (
    OUTPUT,
    check_dialect,
    check_paths,
    check_standard_streams,
    check_stdout,
    open_result,
)
from tmux_fanout.cli.configuration import configure_input
from tmux_fanout.cli.stderr import complain
from tmux_fanout.core.display.ledger_text import ledger_json, ledger_table
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.results.ledger import Ledger, Verdict
from tmux_fanout.core.text import printable
from tmux_fanout.engine.io.source import STDIN, FileSource
from tmux_fanout.engine.io.verify import NoEnvelopes, verify

STDOUT = 1
_CHUNK = 1000  # records read at a time


def verify_command(
    closed: Sequence[int],
    inputs: Sequence[str],
    output: str,
    as_json: bool,
    env: Mapping[str, str],
    **options: Any,
) -> int:
    """Run the `verify` command, and return the exit status.

    Args:
        closed: standard descriptors that were closed at the start.
        inputs: paths, in reading order.
        output: path of the output of a run over them.
        as_json: whether to print the ledger as JSON.
        env: the environment, to find the configuration file.
        options: `config`, `input_format`, `delimiter`, `quote`, `max_line` and `unordered`, as
            `run` has them.
    """
    try:
        check_stdout(closed)
        check_paths(inputs, closed)
        check_paths([output], closed, OUTPUT)
        check_standard_streams([*inputs, output])
        if [*inputs, output].count(STDIN) > 1:
            raise ConfigError("standard input can only be read once: use a file for the others")
        configuration = configure_input(options, env)
        check_dialect(options, inputs, configuration.input_format)
        lines = open_result(output)
    except ConfigError as exc:
        complain(str(exc))
        return 2
    source = FileSource(
        inputs,
        configuration.input_format,
        max_line=configuration.max_line,
        chunk_size=_CHUNK,
        chunk_linger=0,
        dialect=configuration.dialect,
    )
    ledger = Ledger(unordered=configuration.unordered)
    try:
        error = trio.run(verify, ledger, source, lines, strict_exception_groups=True)
        return _report(ledger, error, as_json)
    except NoEnvelopes:
        shown = printable(output)
        complain(f"{shown}: no line is of --emit envelope: use the output of such a run")
        return Verdict.FOREIGN
    except BrokenPipeError:
        return exit_status(Ending.OUTPUT_CLOSED, all_ok=False)
    finally:
        source.close()
        lines.close()


def _report(ledger: Ledger, error: str, as_json: bool) -> int:
    data = f"{(ledger_json if as_json else ledger_table)(ledger)}\n".encode()
    while data:
        data = data[os.write(STDOUT, data) :]
    if error:
        complain(error)
        return max(ledger.verdict, Verdict.INCOMPLETE)
    return ledger.verdict
