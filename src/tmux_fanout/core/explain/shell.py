"""Words of a command for a POSIX shell, with values that the shell itself fills in.

A command that is shown must not hold a secret, and must work when pasted.  So where a value comes
from a variable, the command has the shell's own expansion of that variable.  But requests are built
from text that is expanded, encoded and joined.  Meanwhile a placeholder stands for the expansion:
letters and digits, which encoding does not change, with a nonce, which no record can guess.
"""

from __future__ import annotations

import re
import shlex

from tmux_fanout.core.merging.references import COMMAND, FILE
from tmux_fanout.core.text import printable

_BARE = re.compile(r"(?!=)[A-Za-z0-9_@%+=:,./-]+")  # without special meaning in any shell
_HARMLESS = re.compile(r"(?!=)[\w@%+=:,./ -]+")
_IN_DOUBLE_QUOTES = re.compile(r"[^$`\\\"!]*'[^$`\\\"!]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HIDDEN = "***"
_ESCAPES = {"%": "%%", "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class Placeholders:
    """Text that stands for the shell's expansions while requests are built.

    Args:
        nonce: letters and digits that occur in no record.
    """

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._shown: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._pattern = re.compile(f"(x{nonce}n[0-9]+x)")

    def __repr__(self) -> str:
        return f"<Placeholders: {len(self._shown)}>"

    def variable(self, name: str, cut: str = "") -> str:
        """Return a placeholder for the value of a variable.

        Args:
            name: of the variable; `***` stands for one that a shell cannot name.
            cut: text to remove from the end of the value, as in `${VAR%/}`.
        """
        if not _NAME.fullmatch(name):
            source = "" if cut else _substitution(name)
            return self._add(f'"{source}"') if source else _HIDDEN
        expansion = f"{name}%{cut}" if cut else name
        return self._add(f'"${{{expansion}}}"')

    def alias(self, before: str, meaning: str) -> str:
        """Return text that begins with `before`, and for which `meaning` is shown."""
        alias = before + self._add("")
        self._aliases[alias] = meaning
        return alias

    def are_in(self, text: str) -> bool:
        """Whether text contains placeholders."""
        return bool(self._pattern.search(text))

    def named(self, text: str) -> str:
        """Return text for people, with `${VAR}` for each placeholder."""

        def name(match: re.Match[str]) -> str:
            return self._shown.get(match[0], match[0]).removeprefix('"').removesuffix('"')

        return self._pattern.sub(name, text)

    def quote(self, text: str, encoding: str = "utf-8") -> str:
        """Return text as one word that the shell expands to its bytes in an encoding."""
        for alias, meaning in self._aliases.items():
            text = text.replace(alias, meaning)
        pieces = [piece for piece in self._pattern.split(text) if piece]
        return "".join([self._shown.get(p) or quote(p, encoding) for p in pieces]) or "''"

    def _add(self, shown: str) -> str:
        placeholder = f"x{self._nonce}n{len(self._shown)}x"
        self._shown[placeholder] = shown
        return placeholder


def _substitution(name: str) -> str:
    """Return what has a shell read a secret from a file or a command; "" for other names."""
    if name.startswith(FILE):
        path = name.removeprefix(FILE)
        home = "~/" if path.startswith("~/") else ""
        return f"$(cat {home}{quote(path.removeprefix(home))})"
    if name.startswith(COMMAND):
        return f"$({' '.join(map(quote, shlex.split(name.removeprefix(COMMAND))))})"
    return ""


def quote(text: str, encoding: str = "utf-8") -> str:
    """Quote text as one shell word; a trailing newline is lost."""
    if _BARE.fullmatch(text):
        return text
    if text.isprintable() and (text.isascii() or encoding == "utf-8"):
        return _in_quotes(text)
    return f'"$(printf {printf_format(text.encode(encoding, "surrogateescape"))})"'


def _in_quotes(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def is_plain(data: bytes) -> bool:
    """Whether bytes are text that can be shown on one line, and pasted, unchanged."""
    try:
        return data.decode().isprintable()
    except UnicodeDecodeError:
        return False


def printf_format(data: bytes) -> str:
    """Return a printable, quoted format with which `printf` prints the bytes."""
    text = data.decode(errors="surrogateescape")
    shown = "".join([_ESCAPES.get(c) or (c if c.isprintable() else _octal(c)) for c in text])
    return _in_quotes("\\055" + shown[1:] if shown.startswith("-") else shown)


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape"))


def comment(text: str) -> str:
    """Return text as a comment that is harmless even where the shell has no comments.

    An interactive zsh has none: it would run text after a `;`, which may come from a record.
    """
    shown = printable(text)
    if _HARMLESS.fullmatch(shown):
        return f"# {shown}"
    # Single quotes in double ones are easier to read than `'\\''`.
    return f'# "{shown}"' if _IN_DOUBLE_QUOTES.fullmatch(shown) else f"# {_in_quotes(shown)}"
