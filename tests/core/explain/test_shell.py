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
    """What would mean something to a shell comes out as it went in."""
    assert printed(f"printf %s {quote(text)}", shell) == text.encode()


@settings(max_examples=60)
@given(TEXTS)
def test_quote_gives_one_harmless_word(text: str) -> None:
    """Any text is one word, and nothing in the word can steer a terminal."""
    word = quote(text)
    assert word.isprintable()
    assert printed(f"printf '%s|' {word}") == text.encode() + b"|"


def test_quote_spells_a_header_in_latin_1() -> None:
    """Headers are not UTF-8 on the wire."""
    assert quote("café", "latin-1") == "\"$(printf 'caf\\351')\""
    assert printed(f"printf %s {quote('café', 'latin-1')}") == b"caf\xe9"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "data", [b"-n", b"100%\\", b"\0\x00a\0", b"1\n2\n", b"\xff\x001", bytes(range(256))]
)
def test_printf_format_prints_the_bytes(shell: str, data: bytes) -> None:
    """NUL, line breaks at the end and what is no UTF-8 included."""
    assert printed(f"printf {printf_format(data)}", shell) == data


@settings(max_examples=60)
@given(st.binary())
def test_printf_format_prints_any_bytes(data: bytes) -> None:
    """And is itself one printable line."""
    shown = printf_format(data)
    assert shown.isprintable()
    assert printed(f"printf {shown}") == data


@pytest.mark.parametrize(
    ("data", "plain"),
    [(b"{}", True), ("é".encode(), True), (b"a\tb", False), (b"\xff", False), (b"\x1b", False)],
)
def test_is_plain(data: bytes, plain: bool) -> None:
    """Printable text is; what steers a terminal, or completes words in a shell, is not."""
    assert is_plain(data) == plain


def test_marks_are_shown_as_expansions() -> None:
    """The shell puts the value in place, blanks and quotes in it included."""
    marks = Placeholders("abc")
    text = f"Bearer {marks.variable('TOKEN')}; it's {marks.variable('BASE', '/')}"
    word = marks.quote(text)
    assert word == "'Bearer '\"${TOKEN}\"'; it'\\''s '\"${BASE%/}\""
    shown = printed(f"printf %s {word}", TOKEN="a 'b' \"$c\"", BASE="/x/")
    assert shown == b"Bearer a 'b' \"$c\"; it's /x"


def test_marks_are_named_in_messages() -> None:
    """For people, a mark is the variable that it stands for."""
    marks = Placeholders("abc")
    assert marks.named(f"'/{marks.variable('TOKEN')}/..' is no path") == "'/${TOKEN}/..' is no path"


def test_marks_hide_a_variable_that_no_shell_can_name() -> None:
    """`${MY-VAR}` would be the value of MY, or else "VAR"."""
    marks = Placeholders("abc")
    assert marks.quote(marks.variable("MY-VAR")) == "'***'"


def test_an_alias_shows_its_meaning_only() -> None:
    """What stands before the mark is not shown."""
    marks = Placeholders("abc")
    alias = marks.alias("https://host/", marks.variable("HOOK"))
    assert alias.startswith("https://host/")
    assert marks.are_in(alias)
    assert marks.quote(alias + "/1") == '"${HOOK}"/1'
    assert repr(marks) == "<Placeholders: 2>"


def test_marks_of_another_nonce_are_text() -> None:
    """A record that holds what looks like a mark cannot have a variable put into its request."""
    marks = Placeholders("abc")
    other = Placeholders("abd").variable("TOKEN")
    assert marks.quote(marks.variable("A") + other) == '"${A}"' + other


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("record 0, lookup", "# record 0, lookup"),
        ("a; rm -rf $HOME", "# 'a; rm -rf $HOME'"),
        ("it's `id`", "# 'it'\\''s `id`'"),
        ("two\nlines", "# 'two\\x0alines'"),
    ],
)
def test_comment_is_one_harmless_line(text: str, line: str) -> None:
    """Even where the shell does not take comments."""
    assert comment(text) == line


def test_quote_spells_a_path_that_is_no_text() -> None:
    """Paths and variables are bytes, which Python has as surrogates."""
    assert printed(f"printf %s {quote('/a' + chr(0xDCFF))}") == b"/a\xff"
