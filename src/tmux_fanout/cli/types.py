"""The types of option values."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click


class Parsed(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A type whose values a function of the core parses; its ConfigError is a usage error."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


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
MAX_COST = Parsed("AMOUNT", _checked("spending.prices", "parse_max_cost"))
MAX_FAILURES = Parsed("N or P%", _checked("policy.max_failures", "parse_max_failures"))
DURATION = Parsed("T", _duration)
SIZE = Parsed("SIZE", _size)
API = Parsed("NAME=URL", _api)
HEADER = Parsed("'NAME: VALUE'", _header)
FILE = Parsed("FILE", _file)
LIMIT = Parsed("N", _limit)
COLUMNS = Parsed("SPEC", _checked("conversion.columns", "parse_columns"))
COUNT = Parsed("N", lambda text: _whole(text, 1))
CLUSTER = Parsed("ADDRESS", _checked("dealing.cluster", "parse_cluster"))
WORKERS = Parsed("N", _workers)
PORT = Parsed("P", _port)
NUMBER = Parsed("N", lambda text: _whole(text, 0))
