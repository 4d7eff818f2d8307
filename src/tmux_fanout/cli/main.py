"""The commands and their options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, TypeVar

import click

from tmux_fanout import __version__
from tmux_fanout.cli.help import Command, Group, Option
from tmux_fanout.cli.stderr import complain, occupy_standard_descriptors
from tmux_fanout.cli.types import API, COUNT, DURATION, HEADER, NUMBER, PORT, SIZE

F = TypeVar("F", bound=Callable[..., Any])

_CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

EPILOG = """\b
Durations: 250ms, 10s, 2m, 1h or plain seconds.  Sizes: 64KiB, 16MiB or bytes.
Exit status: 0 all ok; 1 some records are not; 2 usage; 124 --deadline passed;
130, 143 SIGINT, SIGTERM; 141 the reader of standard output has gone.
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
    except OSError as exc:  # help that cannot be written
        complain(f"cannot write to standard output: {exc.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is buffered
        status = 1
    sys.exit(status or 0)


class _OptionMaker(Protocol):
    def __call__(self, *names: str, **settings: Any) -> Callable[[F], F]: ...


def _option(heading: str) -> _OptionMaker:
    """`click.option` for options under a heading."""

    def option(*names: str, **settings: Any) -> Callable[[F], F]:
        return click.option(*names, cls=Option, heading=heading, **settings)

    return option


_apis = _option("APIs")
_input = _option("Input and output")
_flow = _option("Limits and the window")
_time = _option("Time and retries")
_report = _option("Reports, on standard error")


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


@click.command("run", cls=Command, context_settings=_CONTEXT, epilog=EPILOG)
@click.argument("files", metavar="[FILE]...", nargs=-1)
@_apis(
    "-a",
    "--api",
    "apis",
    type=API,
    multiple=True,
    help="An API; repeatable; URL may be an RFC 6570 template with fields of the record.",
)
@_apis("-X", "--method", default="POST", help="Of the -a APIs; the record is the body.  [POST]")
@_apis(
    "-H",
    "--header",
    "headers",
    type=HEADER,
    multiple=True,
    help="Of the -a APIs; {field} is from the record, ${VAR} from the environment; repeatable.",
)
@_apis("--body", metavar="EXPR", help="JMESPath: what to send of the record.  [all of it]")
@_apis("--select", metavar="EXPR", help="JMESPath: what to keep of the response.  [all of it]")
@_apis("--when", metavar="EXPR", help="JMESPath: whether to call at all.  [yes]")
@_apis(
    "--transport",
    type=click.Choice(["auto", "native", "httpx"]),
    help="What sends the requests.  [auto]",
)
@_apis(
    "--no-env-proxy",
    "env_proxy",
    flag_value=False,
    default=None,
    help="Pass over https_proxy, no_proxy and their kin.",
)
@_input(
    "-i",
    "--input-format",
    type=click.Choice(["jsonl", "lines", "csv", "tsv"]),
    help="What a record is; .gz .bz2 .xz .zst are seen.  [by file extension, else jsonl]",
)
@_input(
    "-e",
    "--emit",
    type=click.Choice(["envelope", "merge", "body"]),
    default="envelope",
    help="All that came of a record; the record with the bodies merged in; one API's body alone."
    "  [envelope]",
)
@_input("--max-line", type=SIZE, help="Longest input line.  [16MiB]")
@_input("--unordered", is_flag=True, help="Emit records as they complete, not in input order.")
@_flow("-l", "--limit", type=COUNT, help="Attempts in flight for each API.  [64]")
@_flow("--total-limit", type=COUNT, help="Attempts in flight over all APIs.  [none]")
@_flow("--chunk-size", type=COUNT, help="Records that a chunk holds at most.  [100]")
@_flow("--chunk-linger", type=DURATION, help="How long a chunk waits for more records.  [0]")
@_flow(
    "--window",
    type=COUNT,
    help="Records admitted and not yet written.  [1024, at least 4 x the largest limit]",
)
@_flow("--window-bytes", type=SIZE, help="The same in bytes, responses included.  [64MiB]")
@_time("--connect-timeout", type=DURATION, help="To connect.  [10s]")
@_time("--attempt-timeout", type=DURATION, help="For one attempt.  [30s]")
@_time("--timeout", type=DURATION, help="For a call with its retries.  [60s]")
@_time("--deadline", type=DURATION, help="For the whole run.  [none]")
@_time(
    "--drain-timeout",
    type=DURATION,
    help="That a first SIGINT or SIGTERM lets admitted records finish in.  [30s]",
)
@_time("-r", "--retries", type=NUMBER, help="Attempts after the first.  [2]")
@_time(
    "--idempotent",
    is_flag=True,
    default=None,
    help="Requests may be sent twice: retry ambiguous failures too.  [by method]",
)
@_report(
    "--summary",
    type=click.Choice(["auto", "table", "json", "none"]),
    default="auto",
    help="At the end; auto: a table on a terminal, else a line if anything is not ok.  [auto]",
)
@_report("--progress/--no-progress", default=None, help="Live display.  [when it is a terminal]")
@_report("-v", "--verbose", is_flag=True, help="Say what runs, and why records are not ok.")
@_report("-q", "--quiet", is_flag=True, help="No summary and no progress.")
@click.pass_obj
def run(closed: list[int], /, **options: Any) -> int:
    """Fan the records of FILEs, or of standard input (also -), out to APIs.

    Several files are one stream.  For each record every API is called; the line of output has the
    record as it was and what each API answered.
    """
    from tmux_fanout.cli.run import run_command

    return run_command(closed, **options)


@click.command("demo", cls=Command, context_settings=_CONTEXT)
@_option("Options")("--serve", is_flag=True, help="Leave the APIs up, and run nothing.")
@_option("Options")("--port", type=PORT, default=0, help="Where they listen.  [any free port]")
def demo(serve: bool, port: int) -> int:
    """See it work: three HTTP APIs on loopback (one fast, one slow, one flaky), sample records.

    Needs no configuration and no network.
    """
    from tmux_fanout.cli.demo import demo_command

    return demo_command(serve_only=serve, port=port)


cli.add_command(run)
cli.add_command(demo)
