"""Which APIs wait for which others, and the results that they then see."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.json_text import decode_spelled
from tmux_fanout.core.results.envelope import encode_outcome
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.text import describe, nearest


def depend(names: Sequence[str], after: Sequence[Sequence[str]]) -> list[dict[int, str]]:
    """Return for each API the names of those whose outcomes it waits for, by their indexes.

    Args:
        names: of all APIs.
        after: for each of them, the names under `after`.

    Raises:
        ConfigError: a name is unknown, or APIs wait for each other.
    """
    for name, awaited in zip(names, after):
        for other in awaited:
            if other not in names:
                others = [each for each in names if each != name]
                advice = nearest(str(other), others) if others else "there is no other API"
                why = f"unknown API {describe(other)}: {advice}"
                raise ConfigError(why, key="after", api=name)
    awaited_by = [{names.index(other): other for other in each} for each in after]
    cycle = _find_cycle(awaited_by)
    if cycle:
        ring = " after ".join(names[index] for index in cycle)
        why = f"APIs wait for each other, {ring}: remove one of these"
        raise ConfigError(why, key="after", api=names[cycle[0]])
    return awaited_by


def results_of(
    after: Mapping[int, str], outcomes: Sequence[Outcome | None]
) -> dict[str, Any] | ErrorInfo:
    """Return what an API's expressions see as `_results`: outcomes by name, as in an envelope.

    Args:
        after: as from `depend`.
        outcomes: of all APIs; those waited for are settled.

    Returns:
        An error of kind `template` where one of them is not ok.
    """
    results = {}
    for index, name in after.items():
        outcome = outcomes[index]
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


def _find_cycle(edges: Sequence[Collection[int]]) -> list[int]:
    """Return indexes that lead from one to the next and back to the first; empty if none do."""
    clear: set[int] = set()

    def follow(index: int, path: list[int]) -> list[int]:
        if index in path:
            return [*path[path.index(index) :], index]
        if index in clear:
            return []
        for other in edges[index]:
            if found := follow(other, [*path, index]):
                return found
        clear.add(index)
        return []

    return next((found for index in range(len(edges)) if (found := follow(index, []))), [])
