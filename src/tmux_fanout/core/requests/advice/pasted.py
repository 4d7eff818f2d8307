"""JSON that was pasted where an expression belongs."""

from __future__ import annotations

import json
import re
from typing import Any

from tmux_fanout.core.requests.advice.rewriting import quoted, raw_text

_FIELD = re.compile(r"\$?\{\{? *([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*) *\}?\}")
_MAX_LEVELS = 40


def rewrite_json(text: str) -> str | None:
    """Return the expression for a JSON object, or a list of some, that was meant as one.

    `{message}` in its texts stands for a field.  None if the text is no such JSON.
    """
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and not any(isinstance(item, dict) for item in value):
        # `[]` flattens a list, `[0]` is an index, `["first name", "last name"]` a list of fields.
        return None
    return _expression(value, _MAX_LEVELS)


def _expression(value: Any, levels: int) -> str:
    """Return the expression whose value is `value`, with fields filled in."""
    if isinstance(value, str):
        return _text(value)
    if levels == 0 or not value or not isinstance(value, (dict, list)):
        return "`" + json.dumps(value).replace("`", "\\`") + "`"
    if isinstance(value, list):
        return f"[{', '.join(_expression(item, levels - 1) for item in value)}]"
    pairs = (f"{quoted(key)}: {_expression(item, levels - 1)}" for key, item in value.items())
    return f"{{{', '.join(pairs)}}}"


def _text(text: str) -> str:
    parts = _FIELD.split(text)
    written = [part if index % 2 else raw_text(part) for index, part in enumerate(parts) if part]
    return (
        written[0]
        if len(written) == 1
        else f"join('', [{', '.join(written)}])"
        if written
        else "''"
    )
