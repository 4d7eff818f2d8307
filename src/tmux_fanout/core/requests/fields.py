"""Fields of a record by their dotted names, and as text."""

from __future__ import annotations

import math
from typing import Any

from tmux_fanout.core.json_text import JSONNumber
from tmux_fanout.core.units import parse_whole


class MissingField(LookupError):
    """A record lacks a field; the text is its name."""


def find_field(record: Any, name: str) -> Any:
    """Return the value at a dotted path, such as `user.id` or `items.0.sku`.

    A key that contains the dots takes precedence over the path.  `value` is the whole of a record
    that is not an object.

    Raises:
        MissingField: there is no such field, or it is null.
    """
    if not isinstance(record, dict):
        record = {"value": record}
    # No record may forge `_results`.
    is_whole = name in record and not name.startswith("_results.")
    found = record[name] if is_whole else _descend(record, name)
    if found is None:
        raise MissingField(name)
    return found


def _descend(value: Any, name: str) -> Any:
    for step in name.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and (index := parse_whole(step)) is not None:
            value = value[index] if index < len(value) else None
        else:
            return None
    return value


def has_field(record: Any, name: str) -> bool:
    """Return whether there is a value at a dotted path, other than null."""
    try:
        find_field(record, name)
    except MissingField:
        return False
    return True


def as_text(value: Any, name: str) -> str:
    """Return a scalar as text for a URL, a header or a form.

    Numbers keep their spelling; booleans are `true` and `false`.

    Args:
        value: any JSON value.
        name: of the field, for the message.

    Raises:
        MissingField: the value is an object or a list, or not a finite number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, JSONNumber):
        return value.text
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    raise MissingField(f"{name} (which is neither text nor a number)")
