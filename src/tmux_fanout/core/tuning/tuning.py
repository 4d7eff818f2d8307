"""What `--live FILE` changes while a run lasts: limits, rates, and which APIs are paused.

Everything is a share of what the run began with, which connections, windows and the shares of
worker processes are made for.  So a run can be slowed and quickened again, up to that.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.policy.rate import parse_rate, show_rate
from tmux_fanout.core.text import describe, invalid, nearest, printable

_KEYS = ("limit", "rate", "paused")
_TOP_KEYS = (*_KEYS, "total_limit", "api")


class ApiTuning(msgspec.Struct, frozen=True, array_like=True):
    """What one API may do.

    Attributes:
        limit: share of its slots, above 0 and up to 1; it has one at least.
        rate: share of its rate, above 0 and up to 1.
        paused: whether none of its attempts begins.
    """

    limit: float = 1.0
    rate: float = 1.0
    paused: bool = False


class Tuning(msgspec.Struct, frozen=True, array_like=True):
    """What a run may do.

    Attributes:
        apis: in the order of the plan.
        total: share of the slots over all APIs.
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
        most = plan.settings.total_limit
        if most is None:
            raise ConfigError("total_limit: the run has none: start it with --total-limit")
        total = _share(found["total_limit"], most, "total_limit")
    for_all = {key: value for key, value in found.items() if key in _KEYS}
    return Tuning([_api(api, for_all, own.get(api.name, {})) for api in plan.apis], total)


def _check_keys(found: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in found:
        if key not in known:
            raise ConfigError(f"{where}{printable(key)}: unknown key; {nearest(key, known)}")


def _api(api: ApiPlan, for_all: Mapping[str, Any], own: Mapping[str, Any]) -> ApiTuning:
    """Return what an API may do: what is said of all APIs holds up to its own values."""
    limit = rate = 1.0
    where = f"api.{api.name}."
    if "limit" in own:
        limit = _share(own["limit"], api.limit, f"{where}limit")
    elif "limit" in for_all:
        limit = _share(for_all["limit"], None, "limit") / api.limit
    most = api.rate.requests if api.rate else None
    if "rate" in own:
        rate = _rate(own["rate"], most, f"{where}rate")
    elif "rate" in for_all:
        rate = _rate(for_all["rate"], most, "rate", is_bounded=False)
    paused = own.get("paused", for_all.get("paused", False))
    if not isinstance(paused, bool):
        raise ConfigError(f"{where if 'paused' in own else ''}paused: use true or false")
    return ApiTuning(min(limit, 1.0), min(rate, 1.0), paused)


def _share(value: object, most: int | None, key: str) -> float:
    """Return a limit as a share of the run's; the limit itself if that is None."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        advice = "a number from 1, or paused = true"
        raise ConfigError(f"{key}: {invalid('limit', value, advice)}")
    if most is not None and value > most:
        why = f"{value} is more than the {most} that the run began with: start it with a higher one"
        raise ConfigError(f"{key}: {why}")
    return value / (most or 1)


def _rate(value: object, most: float | None, key: str, *, is_bounded: bool = True) -> float:
    """Return a rate as a share of the run's."""
    try:
        rate = parse_rate(value)
    except ConfigError as exc:
        raise ConfigError(f"{key}: {exc.why}") from None
    if most is None:
        why = "the run has no rate of requests there: start it with one, which may be high"
        raise ConfigError(f"{key}: {why}")
    if is_bounded and rate > most:
        began = show_rate(most)
        why = f"more than the {began} that the run began with: start it with a higher one"
        raise ConfigError(f"{key}: {why}")
    return rate / most


def slots_of(share: float, slots: int) -> int:
    """Return a share of slots, one at least."""
    return max(1, int(slots * share + 1e-9))


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
