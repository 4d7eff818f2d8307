"""Fields of a record by their dotted names, and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tmux_fanout.core.json_text import JSONNumber
from tmux_fanout.core.text import counted, printable
from tmux_fanout.core.units import parse_whole

FIELD_NAME = r"\w+(?:(?:[.-]| +)\w+)*"  # of a `{field}` in headers and bodies


class MissingField(LookupError):
    """A record lacks a field.

    Args:
        path: of the field, as it was written.
        why: which part of it is missing; "" if that is all of it.
    """

    def __init__(self, path: str, why: str = "") -> None:
        super().__init__(f"{path}: {why}" if why else path)
        self.path = path
        self.why = why

    @property
    def sentence(self) -> str:
        """What is wrong, for people."""
        return printable(f"the record has no field {self}")


class UnsuitableField(MissingField):
    """A field is there, but cannot stand where it is needed."""

    @property
    def sentence(self) -> str:
        return printable(f"the field {self.path} is {self.why}")


def find_field(record: Any, name: str) -> Any:
    """Return the value at a dotted path, such as `user.id` or `items.0.sku`.

    A key that contains the dots takes precedence over the path.  `value` is the whole of a record
    that is not an object.

    Raises:
        MissingField: there is no such field, or it is null.
    """
    found = find_optional(record, name)
    if found is None:
        raise missing_field(record, name)
    return found


def find_optional(record: Any, name: str) -> Any:
    """Return the value at a dotted path, as `find_field` does; None if there is none."""
    if not isinstance(record, dict):
        record = {"value": record}
    # No record may forge `_results`.
    is_whole = name in record and not name.startswith("_results.")
    return record[name] if is_whole else _descend(record, name)


def _descend(value: Any, name: str) -> Any:
    for step in name.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and (index := parse_whole(step)) is not None:
            value = value[index] if index < len(value) else None
        else:
            return None
    return value


def missing_field(record: Any, name: str) -> MissingField:
    """Return the error for a dotted path that a record lacks."""
    return MissingField(name, _why_missing(record, name))


def _why_missing(record: Any, name: str) -> str:
    """Return which part of a dotted path is missing."""
    steps = name.split(".")
    if not isinstance(record, dict) and steps[0] != "value":
        return f"the record is {kind_of(record)}, which is called {{value}}"
    fields = record if isinstance(record, dict) else {"value": record}
    if name in fields:
        return why_missing(fields, [name], [name])
    return why_missing(fields, steps, [".".join(steps[: n + 1]) for n in range(len(steps))])


def why_missing(value: Any, steps: Sequence[str | int], paths: Sequence[str]) -> str:
    """Return which step of a path is missing, or null; "" if all of it is missing.

    Args:
        value: what the path begins at.
        steps: keys and indexes; in a list, a key may be a number.
        paths: up to and with each step, as they are written.
    """
    for number, step in enumerate(steps):
        owner = paths[number - 1] if number else ""
        index = parse_whole(step) if isinstance(step, str) else step
        if isinstance(value, dict) and isinstance(step, str):
            if step not in value:
                missing = f"{owner} has no {step}" if owner else f"there is no {step}"
                return missing if len(steps) > 1 else ""
            value = value[step]
        elif isinstance(value, list) and index is not None:
            if not -len(value) <= index < len(value):
                return f"{owner or 'it'} has {counted(len(value), 'item')}"
            value = value[index]
        else:
            return f"{owner or 'the record'} is {kind_of(value)}"
        if value is None:
            return "it is null" if number == len(steps) - 1 else f"{paths[number]} is null"
    return ""


def kind_of(value: Any) -> str:
    """Return what kind of JSON a value is, with its article."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    for kind, words in ((str, "text"), (dict, "an object"), (list, "a list")):
        if isinstance(value, kind):
            return words
    return "a number"


def as_text(value: Any, name: str) -> str:
    """Return a scalar as text for a URL, a header or a form.

    Numbers keep their spelling; booleans are `true` and `false`.

    Args:
        value: any JSON value.
        name: of the field, for the message.

    Raises:
        UnsuitableField: the value is an object or a list, or not a finite number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, JSONNumber):
        return value.text
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    raise UnsuitableField(name, f"{kind_of(value)}, where text or a number is needed")
