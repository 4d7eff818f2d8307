"""Text for messages."""

from __future__ import annotations

import pytest

from tmux_fanout.core.text import counted, one_of


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 records"), (1, "1 record"), (2, "2 records"), (12_345, "12,345 records")],
)
def test_one_is_singular(number: int, text: str) -> None:
    """No message says `1 records`."""
    assert counted(number, "record") == text


@pytest.mark.parametrize(
    ("words", "text"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_words_are_joined_as_alternatives(words: list[str], text: str) -> None:
    """A single word stands alone."""
    assert one_of(words) == text
