"""Which API waits for which."""

from __future__ import annotations

from collections.abc import Sequence

from tmux_fanout.core.errors import ConfigError, describe
from tmux_fanout.core.tables import nearest


def depend(names: Sequence[str], after: Sequence[Sequence[str]]) -> list[tuple[int, ...]]:
    """For each API, the places of those whose outcomes it waits for.

    Args:
        names: of all APIs.
        after: for each of them, the names under `after`.

    Raises:
        ConfigError: a name is not known, or APIs wait for each other.
    """
    for name, awaited in zip(names, after):
        for other in awaited:
            if other not in names:
                why = f"no API is called {describe(other)}; {nearest(str(other), names)}"
                raise ConfigError(why, key="after", api=name)
    places = [tuple(dict.fromkeys(names.index(other) for other in each)) for each in after]
    cycle = _find_cycle(places)
    if cycle:
        ring = " after ".join(names[place] for place in cycle)
        raise ConfigError(f"a circle, {ring}; break it", key="after", api=names[cycle[0]])
    return places


def _find_cycle(places: Sequence[Sequence[int]]) -> list[int]:
    """APIs that wait for each other, the first of them once more at the end; or none."""
    free: set[int] = set()

    def follow(place: int, path: list[int]) -> list[int]:
        if place in path:
            return [*path[path.index(place) :], place]
        if place in free:
            return []
        for other in places[place]:
            if found := follow(other, [*path, place]):
                return found
        free.add(place)
        return []

    return next((found for place in range(len(places)) if (found := follow(place, []))), [])
