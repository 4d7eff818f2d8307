"""The options of `run`, which `check` and others share; every one is declared here, once.

What is not given is None, so that a configuration file can have its say; the `fallback` of an
option is what counts where neither speaks.  The defaults of a run's and an API's settings stand in
`core.config.settings`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from tmux_fanout.cli.help import Option
from tmux_fanout.cli.types import (
    API,
    COUNT,
    DURATION,
    FILE,
    HEADER,
    JOIN,
    LIMIT,
    MAX_FAILURES,
    NUMBER,
    RATE,
    SIZE,
    WORKERS,
)


def _option(*names: str, heading: str, **settings: Any) -> Option:
    return Option(names, heading=heading, **settings)


_apis = partial(_option, heading="APIs")
_of_apis = partial(_apis, in_file=False)  # a file says it under [api.NAME] or [defaults]
_input = partial(_option, heading="Input and output")
_flow = partial(_option, heading="Limits and the window")
_time = partial(_option, heading="Time and failures")
_report = partial(_option, heading="Reports, on standard error")

FILES = click.Argument(["files"], metavar="[FILE]...", nargs=-1)

HOW_MANY = _option(
    "-n",
    "--records",
    "count",
    heading="What to explain",
    type=COUNT,
    default=1,
    help="How many records.  [1]",
)

RUN_OPTIONS = (
    _of_apis(
        "-a",
        "--api",
        "apis",
        type=API,
        multiple=True,
        help="An API; repeatable; URL may be an RFC 6570 template with fields of the record.",
    ),
    _apis(
        "-c",
        "--config",
        metavar="FILE",
        in_file=False,
        help="TOML.  [$TMUX_FANOUT_CONFIG, else ./tmux-fanout.toml if it is there]",
    ),
    _of_apis("-X", "--method", help="Of the -a APIs; the record is the body.  [POST]"),
    _of_apis(
        "-H",
        "--header",
        "headers",
        type=HEADER,
        multiple=True,
        help="Of the -a APIs; {field} is from the record, ${VAR} from the environment; repeatable.",
    ),
    _of_apis("--body", metavar="EXPR", help="JMESPath: what to send of the record.  [all of it]"),
    _of_apis(
        "--select", metavar="EXPR", help="JMESPath: what to keep of the response.  [all of it]"
    ),
    _of_apis("--when", metavar="EXPR", help="JMESPath: whether to call at all.  [yes]"),
    _apis(
        "--transport",
        type=click.Choice(["auto", "native", "httpx", "asks"]),
        help="What sends the requests.  [auto]",
    ),
    _apis(
        "--env-proxy/--no-env-proxy",
        help="Whether https_proxy, no_proxy and their kin count.  [yes]",
    ),
    _input(
        "-i",
        "--input-format",
        type=click.Choice(["jsonl", "lines", "csv", "tsv"]),
        help="What a record is; .gz .bz2 .xz .zst are seen.  [by file extension, else jsonl]",
    ),
    _input(
        "-e",
        "--emit",
        type=click.Choice(["envelope", "merge", "body"]),
        fallback="envelope",
        help="All that came of a record; the record with the bodies merged in; one API's body "
        "alone.  [envelope]",
    ),
    _input(
        "-o",
        "--output",
        type=FILE,
        help="Where results go, if not to standard output; .gz and .zst are compressed.",
    ),
    _input(
        "--resume",
        is_flag=True,
        fallback=False,
        help="Go on where -o FILE ends, after holding what it has against the input.",
    ),
    _input("--force", is_flag=True, fallback=False, help="Overwrite what the FILEs have."),
    _input(
        "--failed",
        type=FILE,
        help="Where the input lines go whose records are not ok, to be fed in again.",
    ),
    _input("--max-line", type=SIZE, help="Longest input line.  [16MiB]"),
    _input("--unordered", is_flag=True, help="Emit records as they complete, not in input order."),
    _flow("-l", "--limit", type=LIMIT, help="Attempts in flight for each API.  [64]"),
    _flow("--total-limit", type=COUNT, help="Attempts in flight over all APIs.  [none]"),
    _flow("--rate", type=RATE, help="Attempts of each API, retries included; also /m, /h.  [none]"),
    _flow("--chunk-size", type=COUNT, help="Records that a chunk holds at most.  [100]"),
    _flow("--chunk-linger", type=DURATION, help="How long a chunk waits for more records.  [0]"),
    _flow(
        "--window",
        type=COUNT,
        help="Records admitted and not yet written.  "
        "[1024, at least 4 x the largest limit; up to 8192 behind a slow record]",
    ),
    _flow("--window-bytes", type=SIZE, help="The same in bytes, responses included.  [64MiB]"),
    _flow(
        "--workers",
        type=WORKERS,
        fallback=1,
        help="Processes that share these limits, or auto: one for each core.  [1]",
    ),
    _time("--connect-timeout", type=DURATION, help="To connect.  [10s]"),
    _time("--attempt-timeout", type=DURATION, help="For one attempt.  [30s]"),
    _time("--timeout", type=DURATION, help="For a call with its retries.  [60s]"),
    _time("--deadline", type=DURATION, help="For the whole run.  [none]"),
    _time(
        "--drain-timeout",
        type=DURATION,
        help="That a first SIGINT or SIGTERM lets admitted records finish in.  [30s]",
    ),
    _time("-r", "--retries", type=NUMBER, help="Attempts after the first.  [2]"),
    _time(
        "--idempotent",
        is_flag=True,
        help="Requests may be sent twice: retry ambiguous failures too.  [by method]",
    ),
    _time(
        "--join",
        type=JOIN,
        help="When a record is settled: all, first, quorum:N or best-effort:T.  [all]",
    ),
    _time(
        "--max-failures",
        type=MAX_FAILURES,
        help="Give up the run past so many records that are not ok, or past a share.  [none]",
    ),
    _report(
        "--summary",
        type=click.Choice(["auto", "table", "json", "none"]),
        fallback="auto",
        help="At the end; auto: a table on a terminal, else a line if anything is not ok.  [auto]",
    ),
    _report("--progress/--no-progress", help="Live display.  [when it is a terminal]"),
    _report(
        "-v",
        "--verbose",
        count=True,
        fallback=0,
        help="Say what runs, and why records are not ok; -vv: what each call came to.",
    ),
    _report(
        "-q", "--quiet", is_flag=True, fallback=False, help="No summary, progress or warnings."
    ),
)

_READING = ("config", "input_format", "max_line")

VERIFY_OPTIONS = (
    click.Argument(["inputs"], metavar="INPUT...", nargs=-1, required=True),
    click.Argument(["output"], metavar="OUTPUT"),
    _option(
        "--json",
        "as_json",
        heading="The ledger",
        is_flag=True,
        default=False,
        help="One JSON object on one line, not a table.",
    ),
    *(option for option in RUN_OPTIONS if option.name in _READING),
    _input(
        "--unordered",
        is_flag=True,
        help="Lines may stand in any order, as a run with --unordered writes them.",
    ),
)
