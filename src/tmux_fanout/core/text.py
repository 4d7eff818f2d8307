"""Text for messages: printable, free of secrets, with the nearest known word."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches


def printable(text: str, limit: int = 300) -> str:
    """Return `text` on one line, with nothing in it that could steer a terminal.

    Args:
        text: any text, control characters and lone surrogates included.
        limit: maximum number of characters; longer text is cut and ends in `…`.
    """
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "…"


def describe(value: object) -> str:
    """Return a setting as a message may show it: strings and numbers as they were written.

    The notation is that of JSON and TOML; `ConfigError.in_python` turns it into Python's.
    Of anything else only the type is shown, and a URL is not shown at all: both may hold secrets.
    """
    if isinstance(value, str) and "://" in value:
        return "a URL"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (str, int, float)):
        return printable(repr(value), 100)
    return f"a value of type {type(value).__name__}"


def invalid(what: str, value: object, use: str) -> str:
    """Return the message for a value that cannot be used: `invalid port '80x': use ...`.

    Args:
        what: what the value was meant to be.
        value: shown as by `describe`.
        use: what to write instead.
    """
    shown = describe(value)
    if shown.startswith("a "):  # a type or a URL, not a value
        shown = f"({shown})"
    return f"invalid {what} {shown}: use {use}"


def nearest(word: str, known: Collection[str]) -> str:
    """Return advice on an unknown word: the most similar known one, or all of them."""
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"


def show_key(key: str) -> str:
    """Return a TOML key for a message, up to its first unusual character: a secret may follow."""
    bare = re.match("[A-Za-z0-9_-]{0,60}", key)
    start = bare[0] if bare else ""
    return f"'{key}'" if start == key != "" else f"'{start}…'"


def one_of(words: Sequence[str]) -> str:
    """Join words as alternatives: `a, b or c`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def joined(words: Sequence[str]) -> str:
    """Join words that all count: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or the plural: `1 record`, `2,000 records`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
