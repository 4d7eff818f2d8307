"""Finding a field of a record by its dotted name."""

from __future__ import annotations

from typing import Any


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
    found = record[name] if name in record else _descend(record, name)
    if found is None:
        raise MissingField(name)
    return found


def _descend(value: Any, name: str) -> Any:
    for step in name.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def as_text(value: Any, name: str) -> str:
    """A scalar as it stands in a URL or a header: numbers and booleans in JSON's spelling.

    Raises:
        MissingField: it is an object or a list.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    raise MissingField(f"{name} (which is neither text nor number)")
