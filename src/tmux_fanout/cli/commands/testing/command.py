"""The `test` command: run the tests of a configuration file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tmux_fanout.cli.arguments.sources import find_config
from tmux_fanout.cli.commands.inputs import check_stdout
from tmux_fanout.cli.configuration import Configuration, configure
from tmux_fanout.cli.stderr import complain, complain_of
from tmux_fanout.cli.types import FILE_NAME
from tmux_fanout.core.ending import Ending, exit_status
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.testing.chaos_report import chaos_conclusion, chaos_report
from tmux_fanout.core.testing.promises import broken
from tmux_fanout.core.testing.report import Verdict, conclusion, failures
from tmux_fanout.core.testing.statement import ConfigTest
from tmux_fanout.core.testing.verdict import mistakes
from tmux_fanout.core.text import describe
from tmux_fanout.engine.testing.chaos import run_chaos
from tmux_fanout.engine.testing.running import run_test

_MARKS_ON_A_LINE = 80
_RECORDS = 300  # of --chaos

_EXAMPLE = '[[test]], record = { id = 1 }, replies.NAME = { body = "ok" }, expect.ok = true'


class TestOptions(NamedTuple):
    """The options of the command.

    Attributes:
        config: path of the configuration file; None: as for `run`.
        profile: name of the profile, or None.
        expression: what the names of tests must have in them, or None.
        verbose: whether to show each test.
        seed: of faults; None: none, and the tests themselves are run.
        records: number of records for the faults; None: the default.
    """

    config: str | None
    profile: str | None
    expression: str | None
    verbose: bool
    seed: int | None
    records: int | None


def test_command(closed: Sequence[int], own: TestOptions, env: Mapping[str, str]) -> int:
    """Run the `test` command, and return the exit status.

    Args:
        closed: standard descriptors that were closed at the start.
        own: its options.
        env: the environment, to find the file and the profile.
    """
    started = time.monotonic()
    try:
        check_stdout(closed)
        configuration = _configure(own, env)
        tests = configuration.tests
        chosen = _chosen(tests, own.expression)
        if own.seed is not None:
            count = _RECORDS if own.records is None else own.records
            return _run_chaos(configuration, chosen, own.seed, count)
        if own.records is not None:
            raise ConfigError("--records is the number of records of --chaos: add --chaos 1")
        verdicts = _run(configuration, chosen, _show_each if own.verbose else _show_mark)
        _write("" if own.verbose else "\n")
        lines = [*failures(verdicts)]
        lines.append(conclusion(verdicts, len(tests) - len(chosen), time.monotonic() - started))
        _write_lines(lines)
    except ConfigError as exc:
        complain_of(exc)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for buffered output
        return exit_status(Ending.OUTPUT_CLOSED, all_ok=False)
    except OSError as exc:
        complain(f"cannot write to standard output: {exc.strerror}")
        return 1
    return 0 if all(verdict.is_passed for verdict in verdicts) else 1


def _configure(own: TestOptions, env: Mapping[str, str]) -> Configuration:
    """Read the file and its tests.

    Raises:
        ConfigError: there is no file, or a mistake or no test in it.
    """
    if find_config(own.config, env) is None:
        raise ConfigError(f"no configuration file to test: use -c FILE, or write ./{FILE_NAME}")
    options = {"config": own.config, "profile": own.profile, "env_file": None, "given": ()}
    configuration = configure(options, env, is_local=True, use="test")
    if not configuration.tests:
        raise ConfigError(f"{configuration.origin}: no test: add one, such as {_EXAMPLE}")
    return configuration


def _chosen(tests: Sequence[ConfigTest], expression: str | None) -> Sequence[ConfigTest]:
    if expression is None:
        return tests
    chosen = [test for test in tests if expression.lower() in test.title.lower()]
    if not chosen:
        names = ", ".join(describe(test.name or test.title) for test in tests[:5])
        more = "" if len(tests) <= 5 else f" and {len(tests) - 5} more"
        raise ConfigError(f"-k: no test has {describe(expression)} in its name: {names}{more}")
    return chosen


def _run(
    configuration: Configuration,
    tests: Sequence[ConfigTest],
    show: Callable[[int, int, Verdict], None],
) -> Sequence[Verdict]:
    def verdicts() -> Iterator[Verdict]:
        for number, test in enumerate(tests, 1):
            observed = run_test(configuration.plan, test)
            found = list(mistakes(test, observed, configuration.env))
            verdict = Verdict(test, found, observed)
            show(number, len(tests), verdict)
            yield verdict

    return list(verdicts())


def _run_chaos(
    configuration: Configuration, tests: Sequence[ConfigTest], seed: int, count: int
) -> int:
    """Run records with faults, and return the exit status."""
    started = time.monotonic()
    chaos = run_chaos(configuration.plan, tests, seed, count)
    found = list(broken(chaos.plan, chaos.outcome))
    _write_lines(
        chaos_report(
            seed,
            chaos.outcome,
            chaos.met,
            found,
            seconds=chaos.seconds,
            is_ordered=not chaos.plan.settings.unordered,
            notices=chaos.notices,
        )
    )
    _write_lines([chaos_conclusion(seed, found, time.monotonic() - started)])
    return 1 if found else 0


def _show_mark(number: int, of: int, verdict: Verdict) -> None:
    is_full = number % _MARKS_ON_A_LINE == 0 and number < of
    _write(verdict.mark + ("\n" if is_full else ""))


def _show_each(number: int, of: int, verdict: Verdict) -> None:
    del number, of
    _write(f"{verdict.word} {verdict.test.title}\n")


def _write_lines(lines: Iterable[str]) -> None:
    _write("".join(f"{line}\n" for line in lines))


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode(errors="backslashreplace"))
    sys.stdout.buffer.flush()
