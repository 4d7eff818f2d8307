"""Neither the live display nor notices mix with lines being written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from tmux_fanout.engine.io.result_sink import ResultSink


@pytest.mark.parametrize("on_terminal", [True, False])
async def test_display_is_hidden_while_lines_are_written(on_terminal: bool) -> None:
    """The display is hidden for a whole write to a terminal, and otherwise only for updates."""
    held = False
    seen: list[tuple[str, bool]] = []

    @contextmanager
    def hold() -> Iterator[None]:
        nonlocal held
        held = True
        yield
        held = False

    class Slow:
        async def write(self, lines: bytes) -> None:
            seen.append(("before waiting", held))
            await trio.lowlevel.checkpoint()
            seen.append(("after waiting", held))

        async def consumer_gone(self) -> None:
            await trio.sleep_forever()

        def hurry(self, patience: float) -> None:
            seen.append(("hurried", held))

    sink = ResultSink(
        lambda _: b"",
        Slow(),
        None,
        lambda _: seen.append(("look", held)),
        lambda text: seen.append((text, held)),
        on_terminal=on_terminal,
    )
    sink.hide_display = hold
    await sink.put([])
    sink.notify("a notice")
    assert seen == [
        ("look", True),
        ("before waiting", on_terminal),
        ("after waiting", on_terminal),
        ("a notice", True),
    ]
    assert not held


async def test_notices_wait_until_the_lines_on_a_terminal_are_whole() -> None:
    """A long line is written in pieces, and a notice between two of them would spoil it."""
    seen: list[str] = []

    class InPieces:
        async def write(self, lines: bytes) -> None:
            seen.append("a piece")
            sink.notify("a notice")
            await trio.lowlevel.checkpoint()
            seen.append("the rest")

        async def consumer_gone(self) -> None:
            await trio.sleep_forever()

        def hurry(self, patience: float) -> None:
            """Nothing waits."""

    sink = ResultSink(lambda _: b"", InPieces(), None, None, seen.append, on_terminal=True)
    await sink.put([])
    assert seen == ["a piece", "the rest", "a notice"]
