"""What to write for an expression over a body that looks in vain for a field."""

from __future__ import annotations

import re

from tmux_fanout.core.requests.advice.rewriting import rewrite_bare_text, shown
from tmux_fanout.core.requests.advice.tokens import tokenize

_ENVELOPE = re.compile(r"body(?![\w-])")  # as in `ok_when`, which sees more of an answer


def advise_on_body(text: str, missing: str) -> str:
    """Return what was probably meant by an expression; "" if that is not known.

    Args:
        text: the expression, which sees a body itself.
        missing: path of a field that the body lacks.
    """
    if _ENVELOPE.match(missing):
        return f"the expression sees the body itself: write {shown(_without_envelope(text))}"
    meant = rewrite_bare_text(text)
    if meant and any(reason.startswith(f"{missing} ") for reason in meant.reasons):
        return f"for text, write {shown(meant.text)}"
    return ""


def _without_envelope(text: str) -> str:
    parts, at = [], 0
    for token in tokenize(text):
        if token.text == "body" and token.before != ".":
            is_path = token.after == "."
            parts += [text[at : token.start], "" if is_path else "@"]
            at = token.end + is_path
    return "".join([*parts, text[at:]])
