"""Words of a command line for a POSIX shell, some of them filled in by the shell itself.

A command that is shown must not hold a secret, and must work when it is pasted.  So where a value
comes from a variable, the shell's own expansion of that variable is shown.  But requests are built
of texts, which are expanded, encoded and joined on their way.  What stands for the expansion while
that is done is a mark: letters and digits, which nothing on the way changes, and with a nonce in
them, which no record can guess.
"""

from __future__ import annotations

import re

from tmux_fanout.core.text import printable

_BARE = re.compile(r"(?!=)[A-Za-z0-9_@%+=:,./-]+")  # what no shell reads anything into
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HIDDEN = "***"
_ESCAPES = {"%": "%%", "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class Placeholders:
    """What stands for expansions of the shell in the texts that requests are made of.

    Args:
        nonce: letters and digits that stand in no record.
    """

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._shown: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._pattern = re.compile(f"(x{nonce}n[0-9]+x)")

    def __repr__(self) -> str:
        return f"<Placeholders: {len(self._shown)}>"

    def variable(self, name: str, cut: str = "") -> str:
        """A mark for the value of a variable.

        Args:
            name: one that no shell knows becomes `***`.
            cut: what to take off its end, as in `${VAR%/}`.
        """
        if not _NAME.fullmatch(name):
            return _HIDDEN
        expansion = f"{name}%{cut}" if cut else name
        return self._add(f'"${{{expansion}}}"')

    def alias(self, before: str, meaning: str) -> str:
        """A text that begins with `before` and stands for all of `meaning`, marks included."""
        alias = before + self._add("")
        self._aliases[alias] = meaning
        return alias

    def are_in(self, text: str) -> bool:
        """Whether a text has marks in it."""
        return bool(self._pattern.search(text))

    def named(self, text: str) -> str:
        """A text for people: with `${VAR}` in place of marks."""
        return self._pattern.sub(lambda m: self._shown.get(m[0], m[0]).strip('"'), text)

    def quote(self, text: str, encoding: str = "utf-8") -> str:
        """A text as one word, which the shell turns into its bytes in an encoding."""
        for alias, meaning in self._aliases.items():
            text = text.replace(alias, meaning)
        pieces = [piece for piece in self._pattern.split(text) if piece]
        return "".join([self._shown.get(p) or quote(p, encoding) for p in pieces]) or "''"

    def _add(self, shown: str) -> str:
        mark = f"x{self._nonce}n{len(self._shown)}x"
        self._shown[mark] = shown
        return mark


def quote(text: str, encoding: str = "utf-8") -> str:
    """A text as one word, whatever is in it but a line break at its end."""
    if _BARE.fullmatch(text):
        return text
    if text.isprintable() and (text.isascii() or encoding == "utf-8"):
        return _in_quotes(text)
    return f'"$(printf {printf_format(text.encode(encoding, "surrogateescape"))})"'


def _in_quotes(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def is_plain(data: bytes) -> bool:
    """Whether bytes are text that can be shown on one line, and pasted, as it is."""
    try:
        return data.decode().isprintable()
    except UnicodeDecodeError:
        return False


def printf_format(data: bytes) -> str:
    """Any bytes as the quoted format of a `printf` that prints them, itself printable."""
    text = data.decode(errors="surrogateescape")
    shown = "".join([_ESCAPES.get(c) or (c if c.isprintable() else _octal(c)) for c in text])
    return _in_quotes("\\055" + shown[1:] if shown.startswith("-") else shown)


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape"))


def comment(text: str) -> str:
    """A text as a comment; harmless, too, to a shell that takes none where it is typed at.

    zsh is such a shell: it would run what stands behind a `;`, and that may come from a record.
    """
    shown = printable(text)
    return f"# {shown if _BARE.fullmatch(shown.replace(' ', '')) else _in_quotes(shown)}"
