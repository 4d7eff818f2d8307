"""What `--live FILE` changes while a run lasts: limits, rates, and which APIs are paused.

Everything is relative to what the run began with, as worker processes divide that.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.policy.rate import parse_rate
from tmux_fanout.core.text import describe, invalid, nearest, printable

_KEYS = ("limit", "rate", "paused")
_TOP_KEYS = (*_KEYS, "total_limit", "api")
MAX_LIMIT = 100_000  # a multiple of any limit gives each number up to this exactly


class ApiTuning(msgspec.Struct, frozen=True, array_like=True):
    """What one API may do.

    Attributes:
        limit: its slots, as a multiple of those that it began with; it has one at least.
        rate: its rate, as a multiple of the one that it began with.
        paused: whether none of its attempts begins.
    """

    limit: float = 1.0
    rate: float = 1.0
    paused: bool = False


class Tuning(msgspec.Struct, frozen=True, array_like=True):
    """What a run may do.

    Attributes:
        apis: in the order of the plan.
        total: the slots over all APIs, as a multiple of those that the run began with.
    """

    apis: Sequence[ApiTuning]
    total: float = 1.0


def untuned(plan: RunPlan) -> Tuning:
    """Return what a run may do that nothing was changed of."""
    return Tuning([ApiTuning() for _ in plan.apis])


def parse_tuning(text: str, plan: RunPlan) -> Tuning:
    """Return what a file says.

    Raises:
        ConfigError: it has a mistake; the message names the key.
    """
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ConfigError(f"not TOML: {printable(str(exc))}") from None
    _check_keys(found, _TOP_KEYS, "")
    own = found.get("api", {})
    names = plan.names
    if not isinstance(own, dict) or not all(isinstance(each, dict) for each in own.values()):
        raise ConfigError("api: write a table for each, such as [api.NAME]")
    for name, keys in own.items():
        if name not in names:
            raise ConfigError(f"there is no API {describe(name)}; {nearest(name, names)}")
        _check_keys(keys, _KEYS, f"api.{name}.")
    total = 1.0
    if "total_limit" in found:
        began = plan.settings.total_limit
        if began is None:
            raise ConfigError("total_limit: the run has none: start it with --total-limit")
        total = _limit(found["total_limit"], "total_limit") / began
    for_all = {key: value for key, value in found.items() if key in _KEYS}
    return Tuning([_api(api, for_all, own.get(api.name, {})) for api in plan.apis], total)


def _check_keys(found: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in found:
        if key not in known:
            raise ConfigError(f"{where}{printable(key)}: unknown key; {nearest(key, known)}")


def _api(api: ApiPlan, for_all: Mapping[str, Any], own: Mapping[str, Any]) -> ApiTuning:
    """Return what an API may do: what is said of all APIs holds where it has no own value."""
    limit = rate = 1.0
    values = {**for_all, **own}
    keys = {key: f"api.{api.name}.{key}" if key in own else key for key in values}
    if "limit" in values:
        slots = _limit(values["limit"], keys["limit"])
        if api.max_limit is not None and slots > api.max_limit:
            why = f"{slots} is more than the {api.max_limit} that there are open files for"
            raise ConfigError(f"{keys['limit']}: {why}: start the run with a higher `ulimit -n`")
        limit = slots / api.limit
    if "rate" in values:
        rate = _rate(values["rate"], api.rate.requests if api.rate else None, keys["rate"])
    paused = values.get("paused", False)
    if not isinstance(paused, bool):
        raise ConfigError(f"{keys['paused']}: use true or false")
    return ApiTuning(limit, rate, paused)


def _limit(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_LIMIT:
        advice = f"a number from 1 to {MAX_LIMIT}, or paused = true"
        raise ConfigError(f"{key}: {invalid('limit', value, advice)}")
    return value


def _rate(value: object, began: float | None, key: str) -> float:
    """Return a rate as a multiple of the one that the run began with."""
    try:
        rate = parse_rate(value)
    except ConfigError as exc:
        raise ConfigError(f"{key}: {exc.why}") from None
    if began is None:
        why = "the run has no rate of requests there: start it with one, which may be high"
        raise ConfigError(f"{key}: {why}")
    return rate / began


def slots_in(tuning: Tuning, plan: RunPlan) -> int:
    """Return how many attempts may be under way over all APIs, each at its limit."""
    return sum(slots_of(each.limit, api.limit) for api, each in zip(plan.apis, tuning.apis))


def without_limits(tuning: Tuning) -> Tuning:
    """Return what is left to a worker process, whose share of the limits follows them."""
    return Tuning([replace(each, limit=1.0) for each in tuning.apis])


def slots_of(multiple: float, slots: int) -> int:
    """Return a multiple of slots, one at least."""
    return max(1, int(slots * multiple + 1e-6))


def changes(former: Tuning, now: Tuning, plan: RunPlan) -> Iterator[str]:
    """Yield what has changed, in words."""
    if former.total != now.total and plan.settings.total_limit is not None:
        yield f"total_limit {slots_of(now.total, plan.settings.total_limit)}"
    for api, was, each in zip(plan.apis, former.apis, now.apis):
        if was.limit != each.limit:
            yield f"{api.name}: limit {slots_of(each.limit, api.limit)}"
        if was.rate != each.rate and api.rate and api.rate.requests:
            yield f"{api.name}: rate {api.rate.requests * each.rate:.4g}/s"
        if was.paused != each.paused:
            yield f"{api.name}: {'paused' if each.paused else 'resumed'}"
