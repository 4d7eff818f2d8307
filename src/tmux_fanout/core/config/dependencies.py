"""Which APIs wait for which others, and the results that they see; which are fallbacks of which."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.json_text import decode_spelled
from tmux_fanout.core.results.envelope import encode_outcome
from tmux_fanout.core.results.fallback import FALLBACK_ON, Fallback, parse_fallback_on
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.core.text import describe, nearest


def depend(
    names: Sequence[str], after: Sequence[Sequence[str]], fallbacks: Mapping[str, str] | None = None
) -> list[dict[int, str]]:
    """Return for each API the names of those whose outcomes it waits for, by their indexes.

    Args:
        names: of all APIs that are no fallbacks.
        after: for each of them, the names under `after`.
        fallbacks: names of the fallbacks, with the API that each is a fallback of.

    Raises:
        ConfigError: a name is unknown, or APIs wait for each other.
    """
    for name, awaited in zip(names, after):
        for other in awaited:
            if fallbacks and other in fallbacks:
                why = f"{other} is a fallback, whose outcome is that of {fallbacks[other]}"
                raise ConfigError(f"{why}: name that one", key="after", api=name)
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


def chain(names: Sequence[str], fallback_of: Sequence[str | None]) -> list[tuple[int, ...]]:
    """Return the indexes of each API that is no fallback, and of its fallbacks in their order.

    Args:
        names: of all APIs.
        fallback_of: for each of them, the name of the API that it is the fallback of, or None.

    Raises:
        ConfigError: a name is unknown, an API has two fallbacks, or APIs are fallbacks of each
            other.
    """
    next_of: dict[int, int] = {}
    for index, (name, other) in enumerate(zip(names, fallback_of)):
        if other is None:
            continue
        if other not in names:
            others = [each for each in names if each != name]
            advice = nearest(other, others) if others else "there is no other API"
            raise _invalid_fallback(f"unknown API {describe(other)}: {advice}", name)
        if other == name:
            raise _invalid_fallback("an API cannot be its own fallback: name another one", name)
        first = next_of.setdefault(names.index(other), index)
        if first != index:
            advice = f"use fallback_of = {names[first]!r}, to be called after that one"
            raise _invalid_fallback(f"{names[first]} is the fallback of {other}: {advice}", name)
    cycle = _find_cycle([[next_of[i]] if i in next_of else [] for i in range(len(names))])
    if cycle:
        ring = ", then ".join(names[index] for index in cycle)
        why = f"APIs are fallbacks of each other, {ring}: remove fallback_of from one of these"
        raise _invalid_fallback(why, names[cycle[0]])
    return [
        (index, *_follow(next_of, index))
        for index, other in enumerate(fallback_of)
        if other is None
    ]


def _invalid_fallback(why: str, name: str) -> ConfigError:
    return ConfigError(why, key="fallback_of", api=name)


def _follow(next_of: Mapping[int, int], index: int) -> Iterator[int]:
    """Yield what comes after an index."""
    while (following := next_of.get(index)) is not None:
        yield following
        index = following


class Ties(NamedTuple):
    """What an API has to do with the others.

    Attributes:
        after: names of the APIs whose outcomes it waits for, by their indexes among the outcomes.
        is_fallback: whether it is called only where another API is not ok.
        fallback: the API that is called where this one is not ok, or None.
    """

    after: dict[int, str]
    is_fallback: bool
    fallback: Fallback | None


def tie(apis: Sequence[Api], chains: Sequence[Sequence[int]]) -> list[Ties]:
    """Return the ties of each API; a fallback waits for what the API before it does.

    Args:
        apis: all of them.
        chains: as from `chain`.

    Raises:
        ConfigError: as from `depend`, or a fallback has an `after` of its own.
    """
    firsts = {apis[index].name: apis[each[0]].name for each in chains for index in each[1:]}
    for api in apis:
        if api.name in firsts and api.after:
            why = f"a fallback waits for what {firsts[api.name]} does: leave it out"
            raise ConfigError(why, key="after", api=api.name)
    named = [apis[each[0]] for each in chains]
    awaited = depend([api.name for api in named], [api.after for api in named], firsts)
    ties = {}
    for each, after in zip(chains, awaited):
        for index, following in zip_longest(each, each[1:]):
            fallback = None if following is None else _fallback(apis[following], following)
            ties[index] = Ties(after, index != each[0], fallback)
    return [ties[index] for index in range(len(apis))]


def _fallback(api: Api, index: int) -> Fallback:
    try:
        on = parse_fallback_on(FALLBACK_ON if api.fallback_on is None else api.fallback_on)
    except ConfigError as exc:
        raise exc.within(api=api.name) from None
    return Fallback(index, api.name, on)


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
