"""Sparklines: a character for each value, as high as that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*#@"  # for terminals that have no blocks


def sparkline(
    values: Sequence[float | None],
    scale: Callable[[float], float] = float,
    floor: float | None = None,
    characters: str = BLOCKS,
) -> str:
    """Return a character for each value, the higher the greater it is; a blank where there is none.

    Args:
        values: in order.
        scale: from values to heights.
        floor: the value at the bottom; None: the least.
        characters: from low to high.
    """
    heights = [None if value is None else scale(value) for value in values]
    known = [height for height in heights if height is not None]
    if not known:
        return " " * len(values)
    low, high = min(known) if floor is None else scale(floor), max(known)
    steps = len(characters) - 1
    return "".join(
        " "
        if height is None
        else characters[round(steps * (height - low) / (high - low)) if high > low else 0]
        for height in heights
    )
