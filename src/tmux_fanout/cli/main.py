"""The commands and their options."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from tmux_fanout import __version__
from tmux_fanout.cli.help import Command, Group, Option
from tmux_fanout.cli.options import FILES, HOW_MANY, RUN_OPTIONS, VERIFY_OPTIONS
from tmux_fanout.cli.stderr import complain, occupy_standard_descriptors
from tmux_fanout.cli.types import PORT

_CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EPILOG = """\b
Durations: 250ms, 10s, 2m, 1h or plain seconds.  Sizes: 64KiB, 16MiB or bytes.
Exit status: 0 all ok; 1 some records are not; 2 usage; 3 --resume refused; 4 --max-failures;
124 --deadline passed; 130, 143 SIGINT, SIGTERM; 141 the reader of standard output has gone.
"""


def main() -> NoReturn:
    """Run the command line, and exit with its status."""
    closed = occupy_standard_descriptors()
    try:
        status = cli(prog_name="tmux-fanout", standalone_mode=False, obj=closed)
    except click.ClickException as exc:
        complain(f"{exc.format_message()}  (tmux-fanout --help lists the options)")
        status = 2
    except (KeyboardInterrupt, click.Abort):
        status = 130
    except (MemoryError, BaseExceptionGroup) as exc:
        if not _is_out_of_memory(exc):
            raise
        complain("out of memory; lower --window-bytes, --limit or max_response, then use --resume")
        status = 1
    except OSError as exc:  # help that cannot be written
        complain(f"cannot write to standard output: {exc.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is buffered
        status = 1
    sys.exit(status or 0)


def _is_out_of_memory(exc: BaseException) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return any(map(_is_out_of_memory, exc.exceptions))
    return isinstance(exc, MemoryError)


@click.group(
    cls=Group, default="run", default_if_no_args=True, context_settings=_CONTEXT, epilog=EPILOG
)
@click.version_option(__version__, prog_name="tmux-fanout", message="%(prog)s %(version)s")
def cli() -> None:
    """Records in; for each, several HTTP APIs called at once, under limits; one line per record
    out, in input order, as soon as it is ready.

    \b
      cat records.jsonl | tmux-fanout -a one=https://a.example/v1 -a two=https://b.example/v1
      tmux-fanout demo

    `run` is the default command: `tmux-fanout ...` is `tmux-fanout run ...`, and the options below
    are its own.
    """


@click.command(
    "run", cls=Command, params=[FILES, *RUN_OPTIONS], context_settings=_CONTEXT, epilog=EPILOG
)
@click.pass_obj
def run(closed: list[int], /, **options: Any) -> int:
    """Fan the records of FILEs, or of standard input (also -), out to APIs.

    Several files are one stream.  For each record every API is called; the line of output has the
    record as it was and what each API answered.  Options win over the configuration file.
    """
    from tmux_fanout.cli.commands.run import run_command

    return run_command(closed, **options)


@click.command(
    "check", cls=Command, params=[FILES, *RUN_OPTIONS], context_settings=_CONTEXT, epilog=EPILOG
)
@click.pass_obj
def check(closed: list[int], /, **options: Any) -> int:
    """Print what would run, secrets hidden, and send nothing.

    Options and configuration file are those of `run`; what comes out is a configuration file with
    every value that would be used.  The exit status is 0, or 2 where there is a mistake.
    """
    from tmux_fanout.cli.commands.check import check_command

    return check_command(closed, **options)


@click.command(
    "explain",
    cls=Command,
    params=[FILES, HOW_MANY, *RUN_OPTIONS],
    context_settings=_CONTEXT,
    epilog=EPILOG,
)
@click.pass_obj
def explain(closed: list[int], /, count: int, **options: Any) -> int:
    """Print the requests for the first records as curl commands, and send nothing.

    Options and configuration file are those of `run`.  The commands work when they are pasted into
    a shell: what comes from ${VAR} stays "${VAR}"; other secrets are ***, for you to put back.  The
    exit status is 1 where there is no request for a record: it is none, or lacks a field.
    """
    from tmux_fanout.cli.commands.explain import explain_command

    return explain_command(closed, count, **options)


@click.command("verify", cls=Command, params=[*VERIFY_OPTIONS], context_settings=_CONTEXT)
@click.pass_obj
def verify(closed: list[int], /, **options: Any) -> int:
    """Hold an OUTPUT of --emit envelope against its INPUT, several files in the order of the run.

    The ledger goes to standard output: records read, ok, not ok by kind, and cut short; records
    that are missing; lines that are doubled, out of order, altered, or of no record.  The options
    are those that the run had.

    \b
    Exit status: 0 every record has its line, ok or not; 1 some are missing or were cut short, so
    that --resume has something to do; 2 usage; 3 the output does not belong to the input.
    """
    from tmux_fanout.cli.commands.verify import verify_command

    return verify_command(closed, env=os.environ, **options)


@click.command("demo", cls=Command, context_settings=_CONTEXT)
@click.option(
    "--serve",
    cls=Option,
    heading="Options",
    is_flag=True,
    help="Leave the APIs up, and run nothing.",
)
@click.option(
    "--port",
    cls=Option,
    heading="Options",
    type=PORT,
    default=0,
    help="Where they listen.  [any free port]",
)
def demo(serve: bool, port: int) -> int:
    """See it work: three HTTP APIs on loopback (one fast, one slow, one flaky), sample records.

    Needs no configuration and no network.
    """
    from tmux_fanout.cli.commands.demo import demo_command

    return demo_command(serve_only=serve, port=port)


cli.add_command(run)
cli.add_command(check)
cli.add_command(explain)
cli.add_command(verify)
cli.add_command(demo)
