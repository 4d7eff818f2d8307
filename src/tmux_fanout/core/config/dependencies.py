"""Which API waits for which, and what it then sees."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.json_text import decode_spelled
from tmux_fanout.core.results.envelope import encode_outcome
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.text import describe, nearest


def depend(names: Sequence[str], after: Sequence[Sequence[str]]) -> list[dict[int, str]]:
    """For each API, those whose outcomes it waits for: their names, by their places.

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
    places = [{names.index(other): other for other in each} for each in after]
    cycle = _find_cycle(places)
    if cycle:
        ring = " after ".join(names[place] for place in cycle)
        raise ConfigError(f"a circle, {ring}; break it", key="after", api=names[cycle[0]])
    return places


def results_of(
    after: Mapping[int, str], outcomes: Sequence[Outcome | None]
) -> dict[str, Any] | ErrorInfo:
    """What the expressions of an API see as `_results`: outcomes by name, as in an envelope.

    Args:
        after: as from `depend`.
        outcomes: of all APIs; those waited for are there.

    Returns:
        An error of kind `template` where one of them is not ok.
    """
    results = {}
    for place, name in after.items():
        outcome = outcomes[place]
        assert outcome is not None
        if not outcome.ok:
            return ErrorInfo("template", f"not called, since {name} is not ok")
        try:
            results[name] = decode_spelled(encode_outcome(outcome))
        except RecursionError:
            return ErrorInfo(
                "template", f"not called, since the body of {name} is nested too deeply"
            )
    return results


def _find_cycle(places: Sequence[Collection[int]]) -> list[int]:
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
