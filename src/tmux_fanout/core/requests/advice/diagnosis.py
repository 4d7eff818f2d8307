"""Say what is wrong with an expression before any record is read."""

from __future__ import annotations

import re
from collections.abc import Iterator

import jmespath

from tmux_fanout.core.errors import IN_SHELL
from tmux_fanout.core.requests.advice.pasted import rewrite_json, rewrite_template
from tmux_fanout.core.requests.advice.rewriting import (
    Rewritten,
    rewrite_invalid,
    rewrite_names,
    rewrite_valid,
    shown,
)

_LONG_NUMBER = re.compile(r"[0-9]{4301}")
_QUOTES = "'\"`"


def find_trap(text: str) -> str | None:
    """Return what to write instead of a text that does not say what was probably meant.

    That is JSON, and an expression that is valid but takes text or a value for the name of a field.
    """
    pasted = rewrite_json(text)
    if pasted is not None:
        bare = " (the name of a field has no quotes)" if "'" in pasted else ""
        return f"JSON, not JMESPath: write {shown(pasted)}{bare}"
    meant = rewrite_valid(text)
    if meant and _is_valid(text):
        return f"{'; '.join(meant.reasons)}: write {shown(meant.text)}"
    return None


def diagnose(text: str, error: Exception) -> str:
    """Return what to change in an invalid expression, as precisely as it is known.

    Args:
        text: the expression.
        error: as compiling it has raised; jmespath passes on Python's own for odd text.
    """
    for meant in _meanings(text):
        if _is_valid(meant.text):
            return f"{'; '.join(meant.reasons)}: write {shown(meant.text)}"
    position = getattr(error, "lex_position", None)
    if position is not None:
        return _at(text, position, error)
    if not text.strip():
        return "use one that is not empty"
    return "use a shorter number" if _LONG_NUMBER.search(text) else "see jmespath.org"


def _meanings(text: str) -> Iterator[Rewritten]:
    """Yield what an invalid expression may have been meant to be, the most probable first."""
    if meant := rewrite_invalid(text):
        yield meant
    if template := rewrite_template(text):
        yield Rewritten(template, ["this is text with fields, not JMESPath"])
    if named := rewrite_names(text):
        yield named
        if meant := rewrite_invalid(named.text):
            yield Rewritten(meant.text, [*named.reasons, *meant.reasons])


def _at(text: str, position: int, error: Exception) -> str:
    if position >= len(text.rstrip()):
        return f"it is incomplete{IN_SHELL}"
    if text[position] in _QUOTES and "Unclosed" in str(error):
        return f"the {text[position]} at character {position + 1} is not closed"
    return f"see character {position + 1}"


def _is_valid(text: str) -> bool:
    try:
        jmespath.compile(text)
    except Exception:  # as in `diagnose`
        return False
    return True
