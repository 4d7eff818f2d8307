"""Texts for messages: printable, without secrets, with the nearest known word."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches


def printable(text: str, limit: int = 300) -> str:
    """`text` on one line, at most `limit` characters, with nothing that could steer a terminal."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "…"


def describe(value: object) -> str:
    """A setting that cannot be used, for its message: texts and numbers as they were written.

    Of anything else only the type is shown, since a secret may stand in it.
    """
    if isinstance(value, str) and "://" in value:
        return "a URL"  # it may have a secret in it
    if value is None or isinstance(value, (str, int, float)):
        return printable(repr(value), 100)
    return f"a value of type {type(value).__name__}"


def nearest(word: str, known: Collection[str]) -> str:
    """Advice on a word that is not known: the nearest that is, or all of them."""
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def show_key(key: str) -> str:
    """A key of TOML for messages, up to where it ceases to be a bare one: a secret may follow."""
    bare = re.match("[A-Za-z0-9_-]{0,60}", key)
    return key if bare and bare[0] == key != "" else f'"{bare[0] if bare else ""}…"'


def one_of(words: Sequence[str]) -> str:
    """Words to choose from, for messages."""
    return ", ".join(words[:-1]) + " or " + words[-1]
