"""Words that shells take for what they are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shells import SHELLS, printed

from tmux_fanout.core.explain.shell import Placeholders, comment, is_plain, printf_format, quote

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(
    lambda text: not text.endswith("\n")
)
NASTY = [
    "",
    "-n",
    "it's",
    '"$HOME"',
    "`id`",
    "a\\b",
    "!x",
    "$(id)",
    "*",
    "~",
    "=ls",
    "%s",
    "#",
    "é",
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("text", [*NASTY, "tab\there", "two\nlines", "\x1b[31m", "\u202egnp"])
def test_quote_survives_any_shell(shell: str, text: str) -> None:
    """Characters with a meaning in a shell survive."""
    assert printed(f"printf %s {quote(text)}", shell) == text.encode()


@settings(max_examples=60)
@given(TEXTS)
def test_quote_gives_one_harmless_word(text: str) -> None:
    """Any text is one word, and nothing in the word can steer a terminal."""
    word = quote(text)
    assert word.isprintable()
    assert printed(f"printf '%s|' {word}") == text.encode() + b"|"


def test_quote_encodes_a_header_in_latin_1() -> None:
    """Headers are not UTF-8 on the wire."""
    assert quote("café", "latin-1") == "\"$(printf 'caf\\351')\""
    assert printed(f"printf %s {quote('café', 'latin-1')}") == b"caf\xe9"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "data", [b"-n", b"100%\\", b"\0\x00a\0", b"1\n2\n", b"\xff\x001", bytes(range(256))]
)
def test_printf_format_prints_the_bytes(shell: str, data: bytes) -> None:
    """NUL, trailing line breaks and invalid UTF-8 are included."""
    assert printed(f"printf {printf_format(data)}", shell) == data


@settings(max_examples=60)
@given(st.binary())
def test_printf_format_prints_any_bytes(data: bytes) -> None:
    """The format is one printable line, whatever the bytes."""
    shown = printf_format(data)
    assert shown.isprintable()
    assert printed(f"printf {shown}") == data


@pytest.mark.parametrize(
    ("data", "plain"),
    [(b"{}", True), ("é".encode(), True), (b"a\tb", False), (b"\xff", False), (b"\x1b", False)],
)
def test_is_plain(data: bytes, plain: bool) -> None:
    """Printable text is plain; text that steers a terminal or completes words is not."""
    assert is_plain(data) == plain


def test_placeholders_are_shown_as_expansions() -> None:
    """The shell inserts the value, with any blanks and quotes in it."""
    placeholders = Placeholders("abc")
    text = f"Bearer {placeholders.variable('TOKEN')}; it's {placeholders.variable('BASE', '/')}"
    word = placeholders.quote(text)
    assert word == "'Bearer '\"${TOKEN}\"'; it'\\''s '\"${BASE%/}\""
    shown = printed(f"printf %s {word}", TOKEN="a 'b' \"$c\"", BASE="/x/")
    assert shown == b"Bearer a 'b' \"$c\"; it's /x"


def test_placeholders_are_named_in_messages() -> None:
    """Messages show the variable that a placeholder stands for."""
    placeholders = Placeholders("abc")
    assert (
        placeholders.named(f"'/{placeholders.variable('TOKEN')}/..' is no path")
        == "'/${TOKEN}/..' is no path"
    )


def test_placeholders_hide_a_variable_that_no_shell_can_name() -> None:
    """`${MY-VAR}` would expand to the value of MY, or else "VAR"."""
    placeholders = Placeholders("abc")
    assert placeholders.quote(placeholders.variable("MY-VAR")) == "'***'"


def test_an_alias_shows_its_meaning_only() -> None:
    """The text before the placeholder is not shown."""
    placeholders = Placeholders("abc")
    alias = placeholders.alias("https://host/", placeholders.variable("HOOK"))
    assert alias.startswith("https://host/")
    assert placeholders.are_in(alias)
    assert placeholders.quote(alias + "/1") == '"${HOOK}"/1'
    assert repr(placeholders) == "<Placeholders: 2>"


def test_placeholders_of_another_nonce_are_text() -> None:
    """A record with text like a placeholder cannot get a variable into its request."""
    placeholders = Placeholders("abc")
    other = Placeholders("abd").variable("TOKEN")
    assert placeholders.quote(placeholders.variable("A") + other) == '"${A}"' + other


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("record 0, lookup", "# record 0, lookup"),
        ("a; rm -rf $HOME", "# 'a; rm -rf $HOME'"),
        ("file 'gone.pdf': none", "# \"file 'gone.pdf': none\""),
        ('it\'s "$HOME"', "# 'it'\\''s \"$HOME\"'"),
        ("it's over!", "# 'it'\\''s over!'"),
        ("f: 0 bytes of ü.txt", "# f: 0 bytes of ü.txt"),
        ("it's `id`", "# 'it'\\''s `id`'"),
        ("two\nlines", "# 'two\\x0alines'"),
    ],
)
def test_comment_is_one_harmless_line(text: str, line: str) -> None:
    """The line is harmless even where a shell has no comments."""
    assert comment(text) == line


def test_quote_encodes_a_path_that_is_not_text() -> None:
    """Python decodes the bytes of paths and variables to surrogates."""
    assert printed(f"printf %s {quote('/a' + chr(0xDCFF))}") == b"/a\xff"
