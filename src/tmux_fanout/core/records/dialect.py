"""How the rows of a table are written: what separates fields, and whether quotes enclose them."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.records.framing import BOM
from tmux_fanout.core.text import invalid

Quote = Literal["minimal", "none"]

_TAB = ("\\t", "tab")
_ADVICE = "one ASCII character such as ';' or '|', or tab"
_SEPARATOR = re.compile(rb'"?sep=([\x01-\x09\x0b\x0c\x0e-\x21\x23-\x7f])"?\r?', re.IGNORECASE)

MAX_SEPARATOR_LINE = len(BOM) + len(b'"sep=;"\r\n')


class DialectOptions(msgspec.Struct, frozen=True):
    """What the user says about all tables.

    Attributes:
        delimiter: Between fields; None: as the file's `sep=` line says, else by its format.
        quote: `minimal`: fields may be quoted; `none`: a quote is text; None: by the format.
    """

    delimiter: str | None = None
    quote: Quote | None = None


class Dialect(msgspec.Struct, frozen=True):
    """How the rows of one file are written.

    Attributes:
        delimiter: The character between fields.
        has_quotes: Whether a field may be enclosed in quotes.
        is_delimiter_known: Whether the user or the file says so, not only its format.
        is_quote_known: Whether the user says so.
    """

    delimiter: str
    has_quotes: bool
    is_delimiter_known: bool = False
    is_quote_known: bool = False

    def after(self, first_line: bytes) -> Dialect | None:
        """Return the dialect of a file with this first line; None unless it is a `sep=` line.

        Spreadsheets write and honour such a line before the header row.
        """
        found = _SEPARATOR.fullmatch(first_line)
        if found is None:
            return None
        if self.is_delimiter_known:
            return self
        return msgspec.structs.replace(self, delimiter=found[1].decode(), is_delimiter_known=True)


def dialect_of(form: Literal["csv", "tsv"], options: DialectOptions) -> Dialect:
    """Return how files of a format are written: TSV has tabs, and quotes that are text."""
    default = "none" if form == "tsv" else "minimal"
    return Dialect(
        options.delimiter or ("\t" if form == "tsv" else ","),
        (options.quote or default) == "minimal",
        is_delimiter_known=options.delimiter is not None,
        is_quote_known=options.quote is not None,
    )


def parse_delimiter(text: str) -> str:
    """Return the character that a delimiter is spelled as.

    Raises:
        ConfigError: It cannot separate fields.
    """
    character = "\t" if text.lower() in _TAB else text
    if len(character) != 1 or not character.isascii() or character in '"\r\n\0':
        raise ConfigError(invalid("delimiter", text, _ADVICE))
    return character
