"""Text with fields of the record: `Summarise: {text}`.

{field}     a field, by the names that headers have, too
{field?}    one that may be missing
{{  }}      the braces themselves
"""

from __future__ import annotations

import re
from typing import Any

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.json_text import encode_json
from tmux_fanout.core.requests.fields import FIELD_NAME, as_text, find_optional, missing_field

Parts = tuple[str, ...]
"""Alternating text and field names, text first; a name that ends in ? may be missing."""

_BRACE = re.compile(rf"\{{\{{|\}}\}}|\{{({FIELD_NAME}\??)\}}|[{{}}]")
_LONE = {
    "{": "a { that begins no field: write {field}, or {{ for a brace",
    "}": "a } that ends no field: write {field}, or }} for a brace",
}
_VARIABLE = "${VAR} is not filled in here: send a secret in a header, or write ${{ for ${"


def split_text(text: str) -> Parts:
    """Split text at each `{field}`.

    Raises:
        ConfigError: a brace is neither doubled nor that of a field.
    """
    parts, literal, end = [], "", 0
    for brace in _BRACE.finditer(text):
        literal += text[end : brace.start()]
        end = brace.end()
        if brace[0] != "{{" and brace[0] != "}}" and literal.endswith("$") and brace[0] != "}":
            raise ConfigError(_at(text, brace.start(), _VARIABLE))
        if brace[1] is not None:
            parts += [literal, brace[1]]
            literal = ""
        elif brace[0] in _LONE:
            raise ConfigError(_at(text, brace.start(), _LONE[brace[0]]))
        else:
            literal += brace[0][0]
    return (*parts, literal + text[end:])


def _at(text: str, position: int, why: str) -> str:
    """Return a message with the number of the line, if there are several."""
    return f"line {text.count(chr(10), 0, position) + 1}: {why}" if "\n" in text else why


def is_field(parts: Parts) -> bool:
    """Whether text is one field and nothing else."""
    return len(parts) == 3 and not parts[0] and not parts[2]


def find(record: Any, name: str) -> Any:
    """Return the value of a field; None for one that may be missing, and is.

    Raises:
        MissingField: the record lacks it.
    """
    is_optional = name[-1] == "?"
    found = find_optional(record, name[:-1] if is_optional else name)
    if found is None and not is_optional:
        raise missing_field(record, name)
    return found


def fill(parts: Parts, record: Any) -> str:
    """Return text with its fields filled in: objects and lists as JSON, nothing for missing ones.

    Raises:
        MissingField: the record lacks a field that must be there.
    """
    filled = list(parts)
    for index in range(1, len(parts), 2):
        value = find(record, parts[index])
        if value is None:
            filled[index] = ""
        elif isinstance(value, (dict, list)):
            filled[index] = encode_json(value).decode()
        else:
            filled[index] = as_text(value, parts[index].removesuffix("?"))
    return "".join(filled)
