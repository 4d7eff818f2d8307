"""Reports: tables of numbers with their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The values of several rounds, shown as `median (minimum to maximum)`."""

    values: Sequence[float]

    def __str__(self) -> str:
        low, high = number(min(self.values)), number(max(self.values))
        return f"{number(median(self.values))} ({low} to {high})"

    def as_json(self) -> dict[str, Any]:
        rounded = [float(f"{value:.5g}") for value in self.values]
        return {
            "median": median(rounded),
            "least": min(rounded),
            "most": max(rounded),
            "rounds": rounded,
        }


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return ours / theirs, round by round, so that what slows a whole round cancels out."""
    return Spread([a / b for a, b in zip(ours, theirs)])


@dataclass(frozen=True, kw_only=True)
class Report:
    """The results of a case.

    Attributes:
        rows: cells by column, as texts, numbers or spreads; empty if the case cannot run here.
        notes: what a reader of the rows has to know.
    """

    case: str
    server: str
    rows: Sequence[dict[str, Any]] = ()
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        head = [f"{self.case}; server: {self.server}", *self.notes]
        table = ["", *_table(self.rows)] if self.rows else []
        return "\n".join([*head, *table, ""])

    def as_json(self) -> dict[str, Any]:
        rows = [{key: _plain(value) for key, value in row.items()} for row in self.rows]
        return {"case": self.case, "server": self.server, "notes": list(self.notes), "rows": rows}


def number(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([_cell(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = []
    for first, *rest in cells:
        right = (cell.rjust(width) for cell, width in zip(rest, widths[1:]))
        lines.append("   ".join([first.ljust(widths[0]), *right]).rstrip())
    return lines


def _cell(value: Any) -> str:
    return number(value) if isinstance(value, int | float) else str(value)


def _plain(value: Any) -> Any:
    return value.as_json() if isinstance(value, Spread) else value
