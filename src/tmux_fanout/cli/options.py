"""The options of `run`, which `check` and other commands share.

An option that is not given is None, so that the configuration file can set it; its `fallback`
counts where neither does.  The defaults of a run's and an API's settings are in
`core.config.settings`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from tmux_fanout.cli.help import Option
from tmux_fanout.cli.types import (
    API,
    CLUSTER,
    COLUMNS,
    COUNT,
    DELIMITER,
    DURATION,
    FILE,
    HEADER,
    JOIN,
    LATENCY,
    LIMIT,
    MAX_COST,
    MAX_FAILURES,
    METRICS,
    NUMBER,
    PATH,
    RATE,
    SIZE,
    WORKERS,
)


def _option(*names: str, heading: str, **settings: Any) -> Option:
    return Option(names, heading=heading, **settings)


_apis = partial(_option, heading="APIs")
_of_apis = partial(_apis, in_file=False, is_ordered=True)  # a file has keys under [api.NAME]
_input = partial(_option, heading="Input and output")
_flow = partial(_option, heading="Limits and the window")
_time = partial(_option, heading="Time and failures")
_report = partial(_option, heading="Reports, on standard error")

FILES = click.Argument(["files"], type=PATH, metavar="[FILE]...", nargs=-1)

HOW_MANY = _option(
    "-n",
    "--records",
    "count",
    heading="What to explain",
    type=COUNT,
    default=1,
    help="Number of records.  [1]",
)

_planning = partial(_option, heading="The plan")

PLAN_OPTIONS = (
    _planning(
        "-n",
        "--records",
        "records",
        type=COUNT,
        help="Number of records; those of FILE stand for them.  [those of FILE]",
    ),
    _planning(
        "--from",
        "sources",
        type=PATH,
        multiple=True,
        help="Take latencies and failures from an output of an earlier run, or from what its "
        "--learn wrote.  Repeatable.",
    ),
    _planning(
        "--sample",
        type=COUNT,
        metavar="N",
        help="Call the APIs for N of the records, and take latencies and failures from that.",
    ),
    _planning(
        "--latency",
        "latencies",
        type=LATENCY,
        multiple=True,
        help="Latency of an API: NAME=fixed:50ms, NAME=exponential:80ms (the mean) or "
        "NAME=lognormal:120ms,p99=2s (the median); without NAME= of all others.  Repeatable.",
    ),
    _planning(
        "--json", "as_json", is_flag=True, default=False, help="Print the plan as one JSON object."
    ),
)

RUN_OPTIONS = (
    _of_apis(
        "-a",
        "--api",
        "apis",
        type=API,
        help="Add an API.  URL may be an RFC 6570 template of record fields.  Repeatable.",
    ),
    _apis(
        "-c",
        "--config",
        type=PATH,
        in_file=False,
        help="Configuration file (TOML).  [$TMUX_FANOUT_CONFIG, else ./tmux-fanout.toml]",
    ),
    _apis(
        "--profile",
        metavar="NAME",
        in_file=False,
        help="Profile of the configuration file, whose [profile.NAME...] tables win over the "
        "others.  [$TMUX_FANOUT_PROFILE]",
    ),
    _apis(
        "--env-file",
        type=PATH,
        in_file=False,
        help="Variables for ${VAR}, as NAME=value lines; those of the environment come first.",
    ),
    _of_apis(
        "-X",
        "--method",
        help="HTTP method of the -a APIs.  This and the next four, given several times, hold each "
        "for the -a APIs after it.  [POST]",
    ),
    _of_apis("--body", metavar="EXPR", help="JMESPath: the body.  [the record]"),
    _of_apis(
        "--body-format",
        type=click.Choice(["json", "raw", "form", "multipart"]),
        help="How the body is written: JSON, text as it is, form fields, or a form with files, "
        "which --body names by file(path).  [json]",
    ),
    _of_apis(
        "--select",
        metavar="EXPR",
        help="JMESPath: the part of the response to keep.  [all]",
    ),
    _of_apis("--when", metavar="EXPR", help="JMESPath: whether to call.  [always]"),
    _of_apis(
        "-H",
        "--header",
        "headers",
        type=HEADER,
        help="Header of the -a APIs; {field} comes from the record, ${VAR} from the environment.  "
        "Repeatable.",
    ),
    _of_apis(
        "--hosts",
        metavar="PATTERN",
        help="A host that records may name, for -a APIs such as page='{+url}': NAME, *.NAME, an "
        "address or network, each also with :PORT; * is any public host.  Repeatable.",
    ),
    _apis(
        "--transport",
        type=click.Choice(["auto", "native", "httpx", "asks"]),
        help="HTTP implementation.  [auto]",
    ),
    _apis(
        "--env-proxy/--no-env-proxy",
        help="Honour https_proxy, no_proxy and the like.  [yes]",
    ),
    _input(
        "-i",
        "--input-format",
        type=click.Choice(["jsonl", "lines", "csv", "tsv"]),
        help="Format of records; .gz, .bz2, .xz and .zst are detected.  "
        "[by file extension, else jsonl]",
    ),
    _input(
        "--delimiter",
        type=DELIMITER,
        help="Character between the fields of csv and tsv.  [that of a sep= line, else comma or "
        "tab]",
    ),
    _input(
        "--quote",
        type=click.Choice(["minimal", "none"]),
        help="Quotes in csv and tsv: enclose fields where necessary, or are text.  "
        "[minimal for csv, none for tsv]",
    ),
    _input(
        "-e",
        "--emit",
        type=click.Choice(["envelope", "merge", "body", "csv", "tsv"]),
        help="Output of a record: everything; the record with the bodies merged in; the body "
        "alone, of a single API; or a row of --columns.  [envelope]",
    ),
    _input(
        "--columns",
        type=COLUMNS,
        help="Columns of csv and tsv: NAME=JMESPATH over the envelope, separated by commas, as in "
        "'id=record.id, score=results.a.body.score'.",
    ),
    _input(
        "-o",
        "--output",
        type=FILE,
        help="Write results to FILE, compressed if it ends in .gz or .zst.  [standard output]",
    ),
    _input(
        "--resume",
        is_flag=True,
        fallback=False,
        help="Continue where -o FILE ends, after checking it against the input and the settings.",
    ),
    _input(
        "--resume-anyway",
        is_flag=True,
        fallback=False,
        help="Like --resume, also with other settings than FILE was written with.",
    ),
    _input(
        "--mend",
        is_flag=True,
        fallback=False,
        help="Repeat the calls of -o FILE that are not ok, and make those of APIs that it lacks; "
        "keep the rest.",
    ),
    _input("--force", is_flag=True, fallback=False, help="Overwrite output files."),
    _input(
        "--failed",
        type=FILE,
        help="Write the input lines of records that are not ok to FILE, to run again; an "
        "idempotency_key of true would then differ, one of fields would not.",
    ),
    _input("--max-line", type=SIZE, help="Maximum length of an input line.  [16MiB]"),
    _input("--unordered", is_flag=True, help="Emit results as they complete, not in input order."),
    _flow("-l", "--limit", type=LIMIT, help="Maximum attempts in flight for each API.  [64]"),
    _flow("--total-limit", type=COUNT, help="Maximum attempts in flight over all APIs.  [none]"),
    _flow(
        "--rate",
        type=RATE,
        help="Maximum attempts per unit of time for each API, retries included; also N/m, N/h.  "
        "At most a tenth of a second's worth, or one, starts at once.  [none]",
    ),
    _flow("--chunk-size", type=COUNT, help="Maximum records of a chunk.  [100]"),
    _flow("--chunk-linger", type=DURATION, help="Time that a chunk waits for more records.  [0]"),
    _flow(
        "--window",
        type=COUNT,
        help="Maximum records admitted and not yet written.  "
        "[1024, at least 4 x the largest limit; up to 8192 behind a slow record]",
    ),
    _flow(
        "--window-bytes",
        type=SIZE,
        help="Maximum size of these records and their responses.  [64MiB]",
    ),
    _flow(
        "--live",
        type=FILE,
        help="Take limits and rates, and which APIs are paused, from FILE as it changes (TOML).",
    ),
    _flow(
        "--workers",
        type=WORKERS,
        fallback=1,
        help="Number of processes, which share these limits; auto: one per core.  [1]",
    ),
    _flow(
        "--cluster",
        type=CLUSTER,
        help="Make the calls on the workers of a Dask cluster, which share these limits: "
        "tcp://HOST:PORT, tls://HOST:PORT or file:scheduler.json.  [none]",
    ),
    _flow(
        "--trust-network",
        is_flag=True,
        fallback=False,
        help="Use a cluster without TLS although it is not on this machine.",
    ),
    _time("--connect-timeout", type=DURATION, help="Time to connect.  [10s]"),
    _time("--attempt-timeout", type=DURATION, help="Time for one attempt.  [30s]"),
    _time("--timeout", type=DURATION, help="Time for a call's attempts and retries.  [60s]"),
    _time("--deadline", type=DURATION, help="Time for the whole run.  [none]"),
    _time(
        "--drain-timeout",
        type=DURATION,
        help="Time for admitted records to finish after a first SIGINT or SIGTERM.  [30s]",
    ),
    _time("-r", "--retries", type=NUMBER, help="Attempts after the first.  [2]"),
    _time(
        "--idempotent",
        is_flag=True,
        help="Requests may be applied twice: retry ambiguous failures, too.  [by method]",
    ),
    _time(
        "--join",
        type=JOIN,
        help="When a record is settled: all, first, quorum:N or best-effort:T.  [all]",
    ),
    _time(
        "--max-failures",
        type=MAX_FAILURES,
        help="Give up past this number, or share, of records that are not ok.  [none]",
    ),
    _time(
        "--max-cost",
        type=MAX_COST,
        help="Give up before calls cost more than this, by the price of their APIs.  [none]",
    ),
    _time(
        "--on-down",
        type=click.Choice(["wait", "fail"]),
        help="When an API is down for longer than 5 minutes (breaker.wait): wait, then give up, so "
        "that --resume goes on; or fail its calls, while another API is not down.  [wait]",
    ),
    _report(
        "--summary",
        type=click.Choice(["auto", "table", "json", "none"]),
        fallback="auto",
        help="Summary at the end; auto: a table on a terminal, else a line if a record is not ok.  "
        "[auto]",
    ),
    _report(
        "--summary-file",
        type=FILE,
        help="Write the summary to FILE as JSON, in place of an earlier one.",
    ),
    _report(
        "--metrics",
        type=METRICS,
        help="Serve metrics for Prometheus at /metrics of ADDR:PORT, such as 127.0.0.1:9464, or "
        "of a socket, unix:PATH.",
    ),
    _report(
        "--metrics-file",
        type=FILE,
        help="Write them to FILE, anew every 5 seconds and at the end, for node_exporter.",
    ),
    _report(
        "--learn",
        type=FILE,
        help="Write to FILE, as TOML, the limits, rates and latencies that were found, for "
        "plan --from and for the next run.",
    ),
    _input(
        "--timings",
        is_flag=True,
        help="Add to envelopes when each record was begun, and times of each call's last attempt.",
    ),
    _report(
        "--strict",
        is_flag=True,
        fallback=False,
        help="Make it an error if `when` is true of no record, `select` or `pages.next` finds "
        "nothing in any response, or no record has a value for a field of URL, headers or body.",
    ),
    _report("--progress/--no-progress", help="Live display.  [on a terminal]"),
    _report(
        "--display",
        type=click.Choice(["auto", "full", "none"]),
        fallback="auto",
        help="Live display: auto, as --progress says; full, on the whole terminal, with keys that "
        "pause, slow down and end the run; or none.  [auto]",
    ),
    _report(
        "-v",
        "--verbose",
        count=True,
        fallback=0,
        help="Show what runs, and why records are not ok; -vv: the outcome of each call.",
    ),
    _report(
        "-q", "--quiet", is_flag=True, fallback=False, help="No summary, progress or warnings."
    ),
)

_CONVERTING = ("columns", "output", "force")

CONVERT_OPTIONS = (
    click.Argument(["path"], type=PATH, metavar="OUTPUT"),
    _input(
        "-e",
        "--emit",
        type=click.Choice(["merge", "body", "csv", "tsv"]),
        help="Form to convert to.  [csv with --columns]",
    ),
    *(option for option in RUN_OPTIONS if option.name in _CONVERTING),
)

REPORT_OPTIONS = (
    click.Argument(["paths"], type=PATH, metavar="OUTPUT...", nargs=-1, required=True),
    _option(
        "--text",
        "form",
        heading="The report",
        flag_value="text",
        help="Write tables and sparklines instead of a page.",
    ),
    _option(
        "--json",
        "form",
        heading="The report",
        flag_value="json",
        help="Write the figures as one JSON object on one line.",
    ),
    _option(
        "--summary-file",
        "summaries",
        heading="The report",
        type=FILE,
        multiple=True,
        help="Summary of the run that wrote OUTPUT, which has what held it back.  Repeatable, in "
        "the order of the OUTPUTs.",
    ),
    _option(
        "-o",
        "--output",
        heading="The report",
        type=FILE,
        help="Write to FILE.  [standard output]",
    ),
    _option(
        "--force",
        heading="The report",
        is_flag=True,
        default=False,
        help="Overwrite FILE.",
    ),
)

PRESETS_OPTIONS = (
    click.Argument(["name"], metavar="[NAME]", required=False),
    *(option for option in RUN_OPTIONS if option.name == "config"),
)

_testing = partial(_option, heading="The tests")
_chaos = partial(_option, heading="Faults at random")

TEST_OPTIONS = (
    *(option for option in RUN_OPTIONS if option.name in ("config", "profile")),
    _testing(
        "-k",
        "expression",
        metavar="TEXT",
        help="Run only the tests whose name contains TEXT.",
    ),
    _testing("-v", "--verbose", is_flag=True, default=False, help="Show the name of each test."),
    _chaos(
        "--chaos",
        "seed",
        type=click.INT,
        metavar="SEED",
        help="Run the records of the tests against APIs that fail at random, and check that the "
        "run keeps its promises.  The same SEED draws the same faults.",
    ),
    _chaos("--records", type=COUNT, help="Number of records for --chaos.  [300]"),
)

_READING = ("config", "profile", "input_format", "delimiter", "quote", "max_line")

VERIFY_OPTIONS = (
    click.Argument(["inputs"], type=PATH, metavar="INPUT...", nargs=-1, required=True),
    click.Argument(["output"], type=PATH, metavar="OUTPUT"),
    _option(
        "--json",
        "as_json",
        heading="The ledger",
        is_flag=True,
        default=False,
        help="Print one JSON object on one line instead of a table.",
    ),
    *(option for option in RUN_OPTIONS if option.name in _READING),
    _input(
        "--unordered",
        is_flag=True,
        help="Accept lines in any order, as a run with --unordered writes them.",
    ),
)
