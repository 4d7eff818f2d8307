"""Finding a field of a record by its dotted name."""

from __future__ import annotations

import math
from typing import Any

from tmux_fanout.core.json_text import JSONNumber
from tmux_fanout.core.units import parse_whole


class MissingField(LookupError):
    """A record has no such field; the text is its name."""


def find_field(record: Any, name: str) -> Any:
    """The value at a dotted path: `user.id`, `items.0.sku`; `value` is all of a record that is
    no object.

    A key that has the dots in it goes before the path.

    Raises:
        MissingField: there is none, or it is null.
    """
    if not isinstance(record, dict):
        record = {"value": record}
    is_whole = name in record and not name.startswith("_results.")  # which no record may forge
    found = record[name] if is_whole else _descend(record, name)
    if found is None:
        raise MissingField(name)
    return found


def _descend(value: Any, name: str) -> Any:
    for step in name.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and (place := parse_whole(step)) is not None:
            value = value[place] if place < len(value) else None
        else:
            return None
    return value


def as_text(value: Any, name: str) -> str:
    """Return a scalar as it stands in a URL, a header or a form.

    Numbers keep their spelling; booleans are `true` and `false`.

    Args:
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
    raise MissingField(f"{name} (which is neither text nor number)")
