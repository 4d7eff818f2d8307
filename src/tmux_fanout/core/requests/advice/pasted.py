"""JSON and texts with `{fields}` that were pasted where an expression belongs."""

from __future__ import annotations

import json
import re
from typing import Any

from tmux_fanout.core.requests.advice.rewriting import Rewritten, quoted, raw_text
from tmux_fanout.core.requests.advice.tokens import tokenize

_PART = r"[^\W\d](?:[\w -]*[\w-])?"
_FIELD = re.compile(rf"\$?\{{\{{? *({_PART}(?:\.{_PART})*) *\}}?\}}")
_BLOCK = re.compile(r"(?<!\{)\{ ")  # as in programs and queries: `{ id }`
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


def rewrite_template(text: str) -> str | None:
    """Return the expression for a text such as `Summarize: {message}`; None if it has no field."""
    return _text(text.strip()) if _FIELD.search(text) else None


def rewrite_literals(text: str) -> Rewritten | None:
    """Return what to write instead of an expression with fields in its texts, `'Dear {name}'`.

    None if it has none; the reasons are the fields.
    """
    parts, fields, at = [], [], 0
    for token in tokenize(text):
        found = _FIELD.search(token.text)
        if found and token.text[0] == "'" and _is_template(token.text):
            literal = token.text[1:-1].replace("\\'", "'")
            parts += [text[at : token.start], _text(literal)]
            fields.append(found[0])
            at = token.end
    return Rewritten("".join([*parts, text[at:]]), fields) if fields else None


def _is_template(text: str) -> bool:
    """Return whether all braces of a text are around fields, as they are not in a query."""
    return not _BLOCK.search(text) and not {"{", "}"} & set(_FIELD.sub("", text))


def _expression(value: Any, levels: int) -> str:
    """Return the expression whose value is `value`, with fields filled in."""
    if isinstance(value, str):
        return value if value == "@" else _text(value)
    if levels == 0 or not value or not isinstance(value, (dict, list)):
        return "`" + json.dumps(value).replace("`", "\\`") + "`"
    if isinstance(value, list):
        return f"[{', '.join(_expression(item, levels - 1) for item in value)}]"
    pairs = (f"{quoted(key)}: {_expression(item, levels - 1)}" for key, item in value.items())
    return f"{{{', '.join(pairs)}}}"


def _path(field: str) -> str:
    return ".".join(map(quoted, field.split(".")))


def _text(text: str) -> str:
    parts = _FIELD.split(text)
    written = [
        _path(part) if index % 2 else raw_text(part) for index, part in enumerate(parts) if part
    ]
    return (
        written[0]
        if len(written) == 1
        else f"join('', [{', '.join(written)}])"
        if written
        else "''"
    )
