"""The commands and their options."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, NoReturn

import click

from tmux_fanout import __version__
from tmux_fanout.cli.help import Command, Group, Option, RunCommand
from tmux_fanout.cli.options import (
    CONVERT_OPTIONS,
    FILES,
    HOW_MANY,
    PLAN_OPTIONS,
    PRESETS_OPTIONS,
    REPORT_OPTIONS,
    RUN_OPTIONS,
    TEST_OPTIONS,
    VERIFY_OPTIONS,
)
from tmux_fanout.cli.stderr import complain, occupy_standard_descriptors
from tmux_fanout.cli.types import PORT, SHELLS
from tmux_fanout.core.version import is_compiled

_CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EPILOG = """\b
Durations: 250ms, 10s, 2m, 1h, 7d or plain seconds.  Sizes: 64KiB, 16MiB or bytes.
Exit status: 0 all records ok; 1 some are not; 2 usage; 3 --resume refused; 4 --max-failures,
--max-cost, or an API was down for too long; 124 --deadline passed; 130, 143 SIGINT, SIGTERM;
141 standard output was closed by its reader.
"""


def main() -> NoReturn:
    """Run the command line, and exit with its status."""
    closed = occupy_standard_descriptors()
    try:
        status = cli(prog_name="tmux-fanout", standalone_mode=False, obj=closed)
    except click.ClickException as exc:
        from tmux_fanout.cli.arguments.unknown import describe_error  # not needed for --help

        complain(f"{describe_error(exc)}  (tmux-fanout --help lists the options)")
        status = 2
    except (KeyboardInterrupt, click.Abort):
        status = 130
    except (MemoryError, BaseExceptionGroup) as exc:
        if not _is_out_of_memory(exc):
            raise
        complain("out of memory: lower --window-bytes, --limit or max_response, then use --resume")
        status = 1
    except OSError as exc:  # help that cannot be written
        if exc.errno in (errno.EMFILE, errno.ENFILE):
            complain("too many open files: raise the limit with `ulimit -n`")
            sys.exit(2)
        complain(f"cannot write to standard output: {exc.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for buffered output
        status = 1
    sys.exit(status or 0)


def _is_out_of_memory(exc: BaseException) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return any(map(_is_out_of_memory, exc.exceptions))
    return isinstance(exc, MemoryError)


def _show_version(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted:
        build = "compiled" if is_compiled() else "pure Python"
        click.echo(f"tmux-fanout {__version__} ({build})")
        ctx.exit()


@click.group(
    cls=Group, default="run", default_if_no_args=True, context_settings=_CONTEXT, epilog=EPILOG
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version, and whether this build is compiled.",
)
def cli() -> None:
    """Send each record to several HTTP APIs at once, under limits, and write one line per record,
    in input order, as soon as it is ready.

    \b
      cat records.jsonl | tmux-fanout -a one=https://a.example/v1 -a two=https://b.example/v1
      tmux-fanout demo

    `run` is the default command: `tmux-fanout ...` means `tmux-fanout run ...`.  The options below
    are those of `run`.
    """


@click.command(
    "run", cls=RunCommand, params=[FILES, *RUN_OPTIONS], context_settings=_CONTEXT, epilog=EPILOG
)
@click.pass_obj
def run(closed: list[int], /, **options: Any) -> int:
    """Send the records of FILEs, or of standard input (-), to APIs.

    Several files form one stream.  Every API is called for each record; the output line has the
    record unchanged and the outcome of each API.  Options win over the configuration file.
    """
    from tmux_fanout.cli.commands.run import run_command

    return run_command(closed, **options)


@click.command(
    "check", cls=RunCommand, params=[FILES, *RUN_OPTIONS], context_settings=_CONTEXT, epilog=EPILOG
)
@click.pass_obj
def check(closed: list[int], /, **options: Any) -> int:
    """Print what would run, with secrets hidden, and send nothing.

    Takes the options and the configuration file of `run`.  Prints a configuration file with every
    value that a run would use.  The exit status is 0, or 2 if there is a mistake.
    """
    from tmux_fanout.cli.commands.check import check_command

    return check_command(closed, **options)


@click.command(
    "explain",
    cls=RunCommand,
    params=[FILES, HOW_MANY, *RUN_OPTIONS],
    context_settings=_CONTEXT,
    epilog=EPILOG,
)
@click.pass_obj
def explain(closed: list[int], /, count: int, **options: Any) -> int:
    """Print requests as curl commands, and send nothing.

    Explains the first records, with the options and the configuration file of `run`.  The commands
    can be pasted into a shell: ${VAR} stays "${VAR}"; other secrets are shown as ***, for you to
    fill in.  The exit status is 1 if there is no request for a record, because it is invalid or
    lacks a field.
    """
    from tmux_fanout.cli.commands.explain import explain_command

    return explain_command(closed, count, **options)


@click.command(
    "plan",
    cls=RunCommand,
    params=[FILES, *PLAN_OPTIONS, *RUN_OPTIONS],
    context_settings=_CONTEXT,
    epilog=EPILOG,
)
@click.pass_obj
def plan(closed: list[int], /, **options: Any) -> int:
    """Estimate what a run will take: time, requests, memory and money.

    Simulates the run in virtual time, with the options and the configuration file of `run` and the
    records of FILE.  How long the APIs take is known from an earlier output, from sample calls, or
    from you.  Nothing is sent without --sample.

    \b
      tmux-fanout plan records.jsonl --from earlier.jsonl
      tmux-fanout plan records.jsonl -n 1000000 --latency a=lognormal:120ms,p99=2s
    """
    from tmux_fanout.cli.commands.planning.command import PlanOptions, plan_command

    own = PlanOptions(**{name: options.pop(name) for name in PlanOptions._fields})
    return plan_command(closed, own, **options)


@click.command("test", cls=Command, params=[*TEST_OPTIONS], context_settings=_CONTEXT)
@click.pass_obj
def test(closed: list[int], /, **options: Any) -> int:
    """Run the tests of a configuration file, its [[test]] tables.

    A test has a record, the replies of the APIs, and what to expect of the result and the requests.
    It runs through the real engine, in virtual time: waits pass at once, nothing is sent, and no
    variable or secret is needed.

    \b
      [[test]]
      name = "keeps the score"
      record = { id = 1, text = "hi" }
      replies.score = [{ status = 503 }, { body = { value = 3 } }]
      expect.results.score = { body = 3, attempts = 2 }

    \b
    Exit status: 0 all passed; 1 some failed, or a promise was broken; 2 usage, a mistake in the
    configuration, or no test.
    """
    from tmux_fanout.cli.commands.testing.command import TestOptions, test_command

    return test_command(closed, TestOptions(**options), os.environ)


@click.command("verify", cls=Command, params=[*VERIFY_OPTIONS], context_settings=_CONTEXT)
@click.pass_obj
def verify(closed: list[int], /, **options: Any) -> int:
    """Check an OUTPUT of --emit envelope against its INPUT.

    Several INPUT files are in the order of the run.  Prints a ledger: records read, ok, not ok by
    kind, and cut short; missing records; lines that are repeated, out of order, altered, or of no
    record.  Use the options of the run.

    \b
    Exit status: 0 every record has its line, ok or not; 1 some are missing or were cut short, so
    that --resume would complete them; 2 usage; 3 the output does not belong to the input.
    """
    from tmux_fanout.cli.commands.verify import verify_command

    return verify_command(closed, env=os.environ, **options)


@click.command("convert", cls=Command, params=[*CONVERT_OPTIONS], context_settings=_CONTEXT)
@click.pass_obj
def convert(closed: list[int], /, **options: Any) -> int:
    """Convert an OUTPUT of --emit envelope to another form.

    Writes what the run would have written with another --emit; OUTPUT may be compressed, and - is
    standard input.

    \b
      tmux-fanout convert out.jsonl -e merge
      tmux-fanout convert out.jsonl -e csv --columns 'id=record.id, name=results.lookup.body.name'

    \b
    Exit status: 0 all lines are converted; 1 OUTPUT or what is written broke off; 2 usage; 3 a line
    is not one of --emit envelope.
    """
    from tmux_fanout.cli.commands.convert import convert_command

    return convert_command(closed, **options)


@click.command("report", cls=Command, params=[*REPORT_OPTIONS], context_settings=_CONTEXT)
@click.pass_obj
def report(closed: list[int], /, **options: Any) -> int:
    """Show what runs did, from each OUTPUT of --emit envelope.

    Writes a page with charts that needs no network: what failed and how, how long calls took, along
    the run and in all, and the slowest and failed records.  Several OUTPUTs are compared.  They may
    be compressed, and - is standard input.

    \b
      tmux-fanout report out.jsonl -o report.html
      tmux-fanout report --text before.jsonl after.jsonl

    \b
    Exit status: 0; 1 lines that cannot be read are left out, or OUTPUT or the report broke off;
    2 usage; 3 no line of an OUTPUT is of --emit envelope.
    """
    from tmux_fanout.cli.commands.report import report_command

    return report_command(closed, **options)


@click.command("presets", cls=Command, params=[*PRESETS_OPTIONS], context_settings=_CONTEXT)
@click.pass_obj
def presets(closed: list[int], /, **options: Any) -> int:
    """List the presets, or show the preset NAME as TOML.

    A preset is a bundle of keys that an API takes over by `preset = "NAME"`.  Some ship with the
    program; the configuration file may have more, under [preset.NAME].
    """
    from tmux_fanout.cli.commands.catalogue.presets import presets_command

    return presets_command(closed, env=os.environ, **options)


@click.command("completion", cls=Command, context_settings=_CONTEXT)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_obj
def completion(closed: list[int], /, shell: str) -> int:
    """Print a script that makes a shell complete commands, options, files and names of APIs.

    \b
      bash: add to ~/.bashrc    eval "$(tmux-fanout completion bash)"
      zsh:  add to ~/.zshrc     eval "$(tmux-fanout completion zsh)"
      fish: run once            tmux-fanout completion fish > \\
                                  ~/.config/fish/completions/tmux-fanout.fish

    bash must be 4.4 or later.
    """
    from tmux_fanout.cli.commands.completion import completion_command

    return completion_command(closed, cli, shell)


@click.command("demo", cls=Command, context_settings=_CONTEXT)
@click.option(
    "--serve",
    cls=Option,
    heading="Options",
    is_flag=True,
    help="Keep the APIs running, and send nothing.",
)
@click.option(
    "--port",
    cls=Option,
    heading="Options",
    type=PORT,
    default=0,
    help="Port of the APIs.  [any free port]",
)
def demo(serve: bool, port: int) -> int:
    """Send sample records to three HTTP APIs on loopback.

    One API is fast, one slow, and one flaky.  Needs no configuration and no network.
    """
    from tmux_fanout.cli.commands.demo import demo_command

    return demo_command(serve_only=serve, port=port)


cli.add_command(run)
cli.add_command(check)
cli.add_command(explain)
cli.add_command(plan)
cli.add_command(test)
cli.add_command(verify)
cli.add_command(convert)
cli.add_command(report)
cli.add_command(presets)
cli.add_command(completion)
cli.add_command(demo)
