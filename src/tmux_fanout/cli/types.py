"""The types of option values, and what the shell completes them with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem  # not needed for --help

FILE_NAME = "tmux-fanout.toml"
VARIABLE = "TMUX_FANOUT_CONFIG"
PROFILE_VARIABLE = "TMUX_FANOUT_PROFILE"

SHELLS = ("bash", "zsh", "fish")

_SPECIAL = frozenset(
    " \t\"'\\$`,;&|<>(){}[]*?!#~:="
)  # characters that a shell would not leave alone

Complete = Callable[[click.Context, str], "Sequence[CompletionItem[str]]"]


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A type whose values a function of the core parses; its ConfigError is a usage error."""

    def __init__(
        self, name: str, parse: Callable[[str], Any], complete: Complete | None = None
    ) -> None:
        self.name = name
        self._parse = parse
        self._complete = complete

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        return [*self._complete(ctx, incomplete)] if self._complete else []


def complete_files(ctx: click.Context, incomplete: str) -> Sequence[CompletionItem[str]]:
    """Let the shell complete the name of a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def complete_apis(ctx: click.Context, incomplete: str) -> Sequence[CompletionItem[str]]:
    """Return the names of the configuration file's APIs, which `-a NAME=URL` gives another URL."""
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(f"{name}=", help="of the configuration file")
        for name in _names(ctx.params.get("config"))
        if name.startswith(incomplete)
    ]


def _names(path: str | None) -> Sequence[str]:
    """Return the names of the APIs of the file that a run would use; none if it cannot be read."""
    import tomllib  # not needed for --help

    try:
        with open(path or os.environ.get(VARIABLE) or FILE_NAME, "rb") as file:
            apis = tomllib.load(file).get("api", {})
    except (OSError, ValueError, RecursionError):
        return ()
    if not isinstance(apis, dict):
        return ()
    return [name for name in apis if name.isprintable() and not _SPECIAL & {*name}]


def _duration(text: str) -> float:
    from tmux_fanout.core.units import parse_duration

    return parse_duration(text)


def _size(text: str) -> int:
    from tmux_fanout.core.units import parse_size

    return parse_size(text)


def _api(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not equals or not name or "://" in name:
        raise ValueError("not an API: use NAME=URL, such as -a lookup=https://api.example.com/v1")
    return name, url


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError("not a header: use 'Name: value', such as -H 'Accept: text/plain'")
    return name.strip(), value.strip()


def _whole(text: str, minimum: int) -> int:
    from tmux_fanout.core.text import invalid  # neither is needed for --help
    from tmux_fanout.core.units import parse_whole

    number = parse_whole(text)
    if number is None or number < minimum:
        raise ValueError(invalid("number", text, f"a whole number of at least {minimum}"))
    return number


def _limit(text: str) -> int:
    if text == "adaptive":
        advice = 'adaptive limits are set in the configuration file, as limit = "adaptive"'
        raise ValueError(f"invalid limit 'adaptive': use a number; {advice} under [defaults]")
    return _whole(text, 1)


def _delimiter(text: str) -> str:
    from tmux_fanout.core.records.dialect import parse_delimiter

    return parse_delimiter(text)


def _workers(text: str) -> int | str:
    from tmux_fanout.core.dealing.shares import parse_workers

    return parse_workers(text)


def _file(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("invalid file name: use one such as results.jsonl")
    if "://" in text:  # not shown: it may hold a secret
        raise ValueError("invalid file name (a URL): use the name of a file to write")
    return text


def _port(text: str) -> int:
    from tmux_fanout.core.text import invalid
    from tmux_fanout.core.units import parse_whole

    number = parse_whole(text)
    if number is None or number > 65535:
        raise ValueError(invalid("port", text, "a number from 0 to 65535"))
    return number


def _checked(module: str, parse: str) -> Callable[[str], str]:
    """Return a check by a parser of the core, loaded on first use; the value stays text."""

    def check(text: str) -> str:
        getattr(import_module(f"tmux_fanout.core.{module}"), parse)(text)
        return text

    return check


DELIMITER = Parsed("C", _delimiter)
RATE = Parsed("N/s", _checked("policy.rate", "parse_rate"))
JOIN = Parsed("POLICY", _checked("policy.join", "parse_join"))
LATENCY = Parsed("LATENCY", _checked("planning.distributions", "parse_latency"))
MAX_COST = Parsed("AMOUNT", _checked("spending.prices", "parse_max_cost"))
MAX_FAILURES = Parsed("N or P%", _checked("policy.max_failures", "parse_max_failures"))
DURATION = Parsed("T", _duration)
SIZE = Parsed("SIZE", _size)
API = Parsed("NAME=URL", _api, complete_apis)
HEADER = Parsed("'NAME: VALUE'", _header)
FILE = Parsed("FILE", _file, complete_files)
PATH = Parsed("FILE", str, complete_files)  # that is opened, or refused, later
LIMIT = Parsed("N", _limit)
COLUMNS = Parsed("SPEC", _checked("conversion.columns", "parse_columns"))
COUNT = Parsed("N", lambda text: _whole(text, 1))
METRICS = Parsed("ADDRESS", _checked("report.listening", "parse_listening"))
CLUSTER = Parsed("ADDRESS", _checked("dealing.cluster", "parse_cluster"))
WORKERS = Parsed("N", _workers)
PORT = Parsed("P", _port)
NUMBER = Parsed("N", lambda text: _whole(text, 0))
