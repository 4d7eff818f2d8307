"""The `run` command: from options to a plan and a source."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio

from tmux_fanout.cli.job import STDERR, STDOUT, Reports, do_job
from tmux_fanout.cli.stderr import complain
from tmux_fanout.core.envelope import ENCODERS
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.outcome import Result
from tmux_fanout.core.plan import RunPlan, plan_run
from tmux_fanout.core.settings import Api, RunSettings
from tmux_fanout.engine.source import STDIN, FileSource
from tmux_fanout.transports.extras import require_extras

_SPARE_DESCRIPTORS = 64

NO_API = (
    'no API to call; name one: echo \'{"text": "hi"}\' | tmux-fanout '
    "-a echo=https://httpbin.org/post   (or see it work without any: tmux-fanout demo)"
)


def run_command(closed: Sequence[int], **options: Any) -> int:
    """The `run` command.  Returns the exit status; every mistake is one line on standard error.

    Args:
        closed: the standard descriptors that were closed at the start.
        options: as in `main.run`.
    """
    try:
        plan = plan_from_options(options, os.environ)
        _encoder(plan, options)
        paths = _check_paths(options["files"] or (STDIN,), closed)
        require_extras(plan.apis)
    except ConfigError as exc:
        complain(str(exc))
        return 2
    _allow_descriptors(sum(api.limit for api in plan.apis))
    return trio.run(_run, plan, paths, options, strict_exception_groups=True)


def plan_from_options(options: Mapping[str, Any], env: Mapping[str, str]) -> RunPlan:
    """What the options of `run` say.

    Raises:
        ConfigError: they do not make sense; the message names the option.
    """
    if not options["apis"]:
        raise ConfigError(NO_API)
    fields = {name: options[name] for name in RunSettings.__struct_fields__ if name in options}
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        settings = RunSettings(**given)
    except ConfigError as exc:
        field, _, why = str(exc).partition(":")
        raise ConfigError(f"--{field.replace('_', '-')}:{why}") from None
    headers = _joined(options["headers"])
    words = {word: options[word] for word in ("method", "body", "select", "when")}
    apis = [Api(name, url, headers=headers, **words) for name, url in options["apis"]]
    return plan_run(apis, settings, env)


def _joined(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """One line for each name (RFC 9110, section 5.3; for Cookie, RFC 6265, section 5.4)."""
    lines: dict[str, tuple[str, list[str]]] = {}
    for name, value in headers:
        lines.setdefault(name.lower(), (name, []))[1].append(value)
    return {
        name: ("; " if key == "cookie" else ", ").join(values)
        for key, (name, values) in lines.items()
    }


def _check_paths(paths: Sequence[str], closed: Sequence[int]) -> Sequence[str]:
    if STDOUT in closed:
        raise ConfigError("standard output is closed; send it to a file, or to /dev/null")
    for path in paths:
        if path == STDIN:
            if 0 in closed:
                raise ConfigError("standard input is closed; name a FILE, or pipe records in")
        elif "://" in path:  # not shown: it may hold a secret
            raise ConfigError("a URL is not a FILE; write -a NAME=URL")
        elif os.path.isdir(path):
            raise ConfigError(f"{path!r} is a directory; name a file of records")
        elif not os.access(path, os.R_OK):
            why = "may not be read" if os.path.exists(path) else "does not exist"
            raise ConfigError(f"{path!r} {why}; name a file of records, or - for standard input")
    return paths


def _allow_descriptors(connections: int) -> None:
    """Raise the soft limit of open files as far as the connections need and the system lets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _encoder(plan: RunPlan, options: Mapping[str, Any]) -> Callable[[Result], bytes]:
    return ENCODERS[options["emit"]]([api.name for api in plan.apis])


async def _run(plan: RunPlan, paths: Sequence[str], options: Mapping[str, Any]) -> int:
    settings = plan.settings
    source = FileSource(
        paths,
        options["input_format"],
        max_line=settings.max_line,
        chunk_size=settings.chunk_size,
        chunk_linger=settings.chunk_linger,
    )
    try:
        return await do_job(plan, source, _reports(options, paths), _encoder(plan, options))
    finally:
        source.close()


def _reports(options: Mapping[str, Any], paths: Sequence[str]) -> Reports:
    quiet, on_terminal = options["quiet"], os.isatty(STDERR)
    summary = options["summary"]
    if summary == "auto":
        summary = "none" if quiet else "table" if on_terminal else "line"
    progress = options["progress"]
    if progress is None:
        is_typed = STDIN in paths and os.isatty(0)
        progress = on_terminal and not quiet and not is_typed
    return Reports(summary=summary, progress=progress, verbose=options["verbose"] and not quiet)
