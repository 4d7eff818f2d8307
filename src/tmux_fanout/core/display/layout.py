"""Fit text and tables into the width of a terminal without cutting anything off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, takewhile
from unicodedata import category, east_asian_width

_GAPS = (2, 1)  # cells between columns: the first with which a table fits


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes.

    Characters of East Asian scripts and emoji take two, combining ones none (UAX #11).
    """
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def flow(parts: Iterable[str], width: int) -> list[str]:
    """Join parts by commas, and break lines between them, or within one that is too long.

    Args:
        parts: in order.
        width: maximum number of cells of a line; at least 3.
    """
    lines: list[str] = []
    line = ""
    for part in parts:
        longer = f"{line}, {part}" if line else part
        if cells(longer) < width:  # a comma may follow
            line = longer
        else:
            if line:
                lines.append(f"{line},")
            *whole, line = wrap(part, width - 1)
            lines += whole
    return [*lines, line] if line else lines


def wrap(text: str, width: int) -> list[str]:
    """Break a text at blanks, and within words that are too long.

    Args:
        text: to break; it has no line breaks.
        width: maximum number of cells of a line; at least 2.
    """
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if cells(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _chop(word, width)
        lines += whole
    return [*lines, line]


def _chop(word: str, width: int) -> Iterator[str]:
    while cells(word) > width:
        sizes = accumulate(map(_cells_of, word))
        fits = max(1, sum(1 for _ in takewhile(lambda size: size <= width, sizes)))
        yield word[:fits]
        word = word[fits:]
    yield word


def table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return rows as lines with aligned columns: names to the left, numbers to the right.

    Where they are too wide, columns move together; then names stand above their numbers; and where
    that is not enough, the numbers of a row take several lines.

    Args:
        rows: a header and one row or more, each a name and its cells.
        width: maximum number of cells of a line.
    """
    widths = [max(map(cells, column)) for column in zip(*rows)]
    for gap in _GAPS:
        if _total(widths, gap) <= width:
            names = [row[0] + _blank(row[0], widths[0]) for row in rows]
            return [_line(name, row[1:], widths[1:], gap) for name, row in zip(names, rows)]
    for gap in _GAPS:
        blocks = list(_blocks(widths[1:], width, gap))
        if len(blocks) == 1:
            break
    lines = []
    for name, *numbers in rows:
        lines += wrap(name, width)
        lines += [_line("", numbers[block], widths[1:][block], gap) for block in blocks]
    return lines


def _blocks(widths: Sequence[int], width: int, gap: int) -> Iterator[slice]:
    """Yield the columns of each line, as many as fit behind an indent."""
    start = 0
    for end in range(1, len(widths) + 1):
        if end == len(widths) or _total([0, *widths[start : end + 1]], gap) > width:
            yield slice(start, end)
            start = end


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _line(name: str, numbers: Sequence[str], widths: Sequence[int], gap: int) -> str:
    right = (_blank(number, size) + number for number, size in zip(numbers, widths))
    return (" " * gap).join([name, *right]).rstrip()


def _blank(text: str, width: int) -> str:
    return " " * (width - cells(text))
