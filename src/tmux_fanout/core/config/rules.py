"""Rules of settings: how a value may be written, and how `check` prints it.

A setting carries its rule in its type, where it is declared:

    timeout: Duration | None = None

`check_settings` applies the rules when settings are made, so that a mistake surfaces there.  The
settings keep what was written; a plan parses it, by the function that the rule names, into what
the engine works with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import PurePath
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import unsafe_in_header
from tmux_fanout.core.http.urls import EXAMPLE_URL
from tmux_fanout.core.merging.inheritance import OPTIONAL
from tmux_fanout.core.requests.templates.body import JsonTemplate, TextTemplate
from tmux_fanout.core.requests.templates.text import split_text
from tmux_fanout.core.text import invalid, one_of
from tmux_fanout.core.units import parse_duration, parse_size, show_duration

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "te"})


def _as_written(value: Any) -> Any:
    return value


class Rule(msgspec.Struct, frozen=True):
    """The rule of one setting.

    Attributes:
        parse: returns the value that the engine works with; raises ConfigError for a mistake.
        show: returns a value that TOML can hold and that means the same, for `check` to print.
    """

    parse: Callable[[Any], Any]
    show: Callable[[Any], Any] = _as_written

    def __repr__(self) -> str:
        return "Rule(...)"  # short, since it is part of the signatures of settings


@cache
def rules_of(kind: type[msgspec.Struct]) -> Mapping[str, Rule]:
    """Return the rules that the fields of a settings type declare, by field."""
    hints = get_type_hints(kind, include_extras=True)
    rules = {field: _find_rule(hints[field]) for field in kind.__struct_fields__}
    return {field: rule for field, rule in rules.items() if rule}


def _find_rule(hint: Any) -> Rule | None:
    """Return the rule in a type such as `Annotated[int, Rule(...)]`, or in `... | None`."""
    options = get_args(hint)
    if NoneType in options:
        rule = next(filter(None, map(_find_rule, options)), None)
        return rule and Rule(lambda value: None if value is None else rule.parse(value), rule.show)
    return next((each for each in options if isinstance(each, Rule)), None)


def check_settings(settings: msgspec.Struct) -> None:
    """Check each field of newly made settings by its rule; one that may be left out may be False.

    Raises:
        ConfigError: a value cannot be used; the error has the key.
    """
    for field, rule in rules_of(type(settings)).items():
        value = getattr(settings, field)
        if value is False and field in OPTIONAL:
            continue
        try:
            rule.parse(value)
        except ConfigError as exc:
            raise exc.within(field) from None


def parse_timeout(value: Any) -> float:
    """Return a duration of more than zero, in seconds.

    Raises:
        ConfigError: it is not one.
    """
    seconds = parse_duration(value)
    if seconds == 0:
        advice = "more than zero, such as 250ms, 10s, 2m or 1h"
        raise ConfigError(invalid("duration", value, advice))
    return seconds


def show_exact_duration(value: Any) -> str | float:
    """Return a duration with its unit, or in seconds where rounding would change it."""
    seconds = parse_duration(value)
    text = show_duration(seconds)
    return text if parse_duration(text) == seconds else seconds


def _show_exact_size(value: Any) -> str | int:
    size = parse_size(value)
    units = (("GiB", 30), ("MiB", 20), ("KiB", 10))
    return next((f"{size >> n}{unit}" for unit, n in units if not size % (1 << n)), size)


def parse_whole_from(minimum: int) -> Callable[[Any], int]:
    """Return a parser of whole numbers of at least `minimum`."""

    def parse(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            advice = f"a whole number of at least {minimum}"
            raise ConfigError(invalid("number", value, advice))
        return value

    return parse


def _parse_switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(invalid("value", value, "true or false"))
    return value


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(invalid("value", value, "text in quotes"))
    return value


def parse_folder(value: Any) -> str:
    """Return the path of a folder, whether there is one or not.

    Raises:
        ConfigError: it is no path.
    """
    if not isinstance(value, str) or not value or "\0" in value or "://" in value:
        raise ConfigError(invalid("folder", value, 'a path in quotes such as "documents"'))
    return value


def spelled(value: Any) -> Any:
    """Return the text of a path such as `pathlib.Path`, also of those in a table."""
    if isinstance(value, Mapping):
        return {key: spelled(each) for key, each in value.items()}
    return value.__fspath__() if isinstance(value, PurePath) else value


def parse_url_text(value: Any) -> str:
    """Return text that is to hold a URL; a plan parses it, once its variables are expanded.

    Raises:
        ConfigError: it is no text.
    """
    if not isinstance(value, str):
        raise ConfigError(invalid("URL", value, f"text such as {EXAMPLE_URL!r}"))
    return value


def _parse_json(value: Any) -> JsonTemplate | None:
    return None if value is None else JsonTemplate(value)


def _parse_template(value: Any) -> TextTemplate:
    return TextTemplate(_parse_text(value))


Duration = Annotated[float | str, Rule(parse_timeout, show_exact_duration)]
DurationOrZero = Annotated[float | str, Rule(parse_duration, show_exact_duration)]
Size = Annotated[int | str, Rule(parse_size, _show_exact_size)]
WholeFromOne = Annotated[int, Rule(parse_whole_from(1))]
WholeFromZero = Annotated[int, Rule(parse_whole_from(0))]
Switch = Annotated[bool, Rule(_parse_switch)]
Text = Annotated[str, Rule(_parse_text)]
UrlText = Annotated[str, Rule(parse_url_text)]
JsonBody = Annotated[Any, Rule(_parse_json)]
TemplateText = Annotated[str, Rule(_parse_template)]


def parse_max_tokens(value: Any) -> None:
    """Check a number of tokens, which may come from the record.

    Raises:
        ConfigError: it is neither a number nor text with a field.
    """
    if isinstance(value, str) and len(split_text(value)) > 1:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(invalid("number", value, "one of at least 1, or text such as '{field}'"))


def parse_params(value: Any) -> None:
    """Check further members of a body.

    Raises:
        ConfigError: they are no table, or no values of JSON.
    """
    if not isinstance(value, Mapping):
        raise ConfigError("not a table: use one such as { temperature = 0.2 }")
    JsonTemplate(value)


def choice(words: Any) -> Rule:
    """Return the rule of a setting that is one of the words of a `Literal`."""
    known = get_args(words)

    def parse(value: Any) -> str:
        if value not in known:
            words = known if isinstance(value, str) else [f'"{word}"' for word in known]
            raise ConfigError(invalid("value", value, one_of(words)))
        return str(value)

    return Rule(parse)


def items(example: str, *kinds: type) -> Rule:
    """Return the rule of a setting that is a list.

    Args:
        example: a list to show in messages.
        kinds: types that the list may hold.
    """

    def parse(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ConfigError(invalid("list", value, f"one such as {example}"))
        for item in value:
            if not isinstance(item, kinds) or isinstance(item, bool):
                raise ConfigError(invalid("item", item, f"a list such as {example}"))
        return tuple(value)

    return Rule(parse)


def _invalid_token(what: str, value: object, use: str) -> str:
    """Return the message for text that is not an HTTP token, shown up to where it ceases to be one.

    What follows may be a secret.
    """
    if not isinstance(value, str):
        return invalid(what, value, use)
    start = _TOKEN.match(value)
    return f"invalid {what} '{start[0] if start else ''}…': use {use}"


def check_name(name: object) -> None:
    """Check that an API can have a name.

    Raises:
        ConfigError: it cannot.  A URL is not shown, since it may hold a secret.
    """
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise ConfigError(_invalid_token("API name", name, "printable text such as lookup"))
    if name == "_errors":
        raise ConfigError("reserved API name '_errors', a key of the output: use another")
    if "://" in name:
        raise ConfigError(invalid("API name", name, "a name such as lookup"))


def parse_group(name: Any) -> str:
    """Return the name of a group.

    Raises:
        ConfigError: it is not one.
    """
    if not isinstance(name, str) or not name.isprintable() or not name or "://" in name:
        raise ConfigError(invalid("group name", name, "a name such as openai"))
    return name


def parse_method(method: Any) -> str:
    """Return an HTTP method in upper case (RFC 9110, section 9.1).

    Raises:
        ConfigError: it is not one.
    """
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise ConfigError(_invalid_token("method", method, "one such as GET or POST"))
    return method.upper()


def parse_headers(headers: Any) -> Mapping[str, str]:
    """Return headers if all of them can be sent; False stands for one that is not.

    Raises:
        ConfigError: one cannot.
    """
    if not isinstance(headers, Mapping):
        raise ConfigError('not a table: use one such as { Accept = "text/plain" }')
    for name, value in headers.items():
        check_header(name, "" if value is False else value)
    return headers


def parse_header_name(name: Any) -> bytes:
    """Return the name of a response header as responses have it: bytes in lower case.

    Raises:
        ConfigError: no header can have this name.
    """
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ConfigError(_invalid_token("header name", name, "one such as X-Quota-Left"))
    return name.lower().encode()


def check_header(name: Any, value: Any) -> None:
    """Check that a header can be sent (RFC 9110, section 5).

    Raises:
        ConfigError: it cannot.  The value is not shown, since it may be a secret.
    """
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        why = _invalid_token("header name", name, "one such as X-Api-Key")
        raise ConfigError(why, unknown=str(name))
    if name.lower() in _FRAMING_HEADERS:
        raise ConfigError("tmux-fanout sets this header itself: leave it out", key=name)
    if not isinstance(value, str):
        raise ConfigError(
            "the value is not text: put it in quotes, or use false for none", key=name
        )
    if unsafe_in_header(value):
        why = "the value has characters that no header can hold: leave them out"
        raise ConfigError(why, key=name)
