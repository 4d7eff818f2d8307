"""What a run has learned of its APIs, as TOML: `run --learn` writes it.

    [api.NAME]          the limit that was found, and the rate that the API accepts
    [learned]           the processor time of a request, if that was the bottleneck
    [learned.api.NAME]  how calls ended, and how long they took

A run takes over what stands under `[api.NAME]`, and has no use for the rest.  `plan --from` reads
both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import msgspec

from tmux_fanout.core.config.config_file import quote_key
from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.config.tables import parse_rates
from tmux_fanout.core.errors import ConfigError, ErrorKind
from tmux_fanout.core.mistakes.toml import parse_toml
from tmux_fanout.core.planning.distributions import Percentiles
from tmux_fanout.core.planning.model import OK, ApiModel, Kind, answers_of
from tmux_fanout.core.report.load import Load
from tmux_fanout.core.report.statistics import ApiStatistics, RunStatistics
from tmux_fanout.core.text import counted, printable
from tmux_fanout.core.units import parse_whole

HEADER = "# Learned by tmux-fanout from a run"

_SHARES = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}
_DIGITS = 6  # of seconds
_BUSY = 0.85  # share of the time; a request costs more in a process that mostly waits
_ADVICE = "use what `run --learn` of this version wrote"


class LearnedApi(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the calls of an API went; seconds of calls, their retries included."""

    calls: int
    requests: int
    ok: int
    failures: Mapping[str, int] = {}
    seconds: Mapping[str, float] = {}


class _Learned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    processor: float | None = None
    api: Mapping[str, LearnedApi] = {}


class Learned(msgspec.Struct, frozen=True):
    """What a file of learned values says.

    Attributes:
        processor: seconds of processor time of a request, or None.
        apis: how they answer.
        rates: attempts per second that APIs accept.
    """

    processor: float | None
    apis: Mapping[str, ApiModel]
    rates: Mapping[str, float]


def write_learned(stats: RunStatistics, plan: RunPlan, loads: Sequence[Load], *, when: str) -> str:
    """Return what a run has learned, as TOML.

    Args:
        stats: of the run.
        plan: of the run.
        loads: of its APIs when the last call ended.
        when: the date and time, for people.
    """
    lines = [f"{HEADER} that ended at {when}.", ""]
    for api, counts, load in zip(plan.apis, stats.apis, loads):
        found = list(_found(api, counts, load))
        if found:
            lines += [f"[api.{quote_key(api.name)}]", *found, ""]
    lines.append("[learned]")
    if stats.processor_seconds > _BUSY * stats.seconds * stats.processes > 0:
        lines.append(f"processor = {stats.processor_seconds / stats.attempts:.7f}")
    for counts in stats.apis:
        if counts.calls > counts.skipped and counts.latency.count:
            lines += ["", f"[learned.api.{quote_key(counts.name)}]", *_calls(counts)]
    return "\n".join(lines) + "\n"


def _found(api: ApiPlan, stats: ApiStatistics, load: Load) -> Iterator[str]:
    """Yield what a next run of an API may begin with."""
    if api.adaptive and stats.limit:
        yield f"limit = {stats.limit}"
    paces = [endpoint.pace for endpoint in load.endpoints]
    known = [pace for pace in paces if pace is not None]
    if known and len(known) == len(paces) and _is_news(sum(known), api):
        yield f'rate = "{_show_rate(sum(known))}"'


def _is_news(pace: float, api: ApiPlan) -> bool:
    return api.rate is None or (api.rate.requests is not None and pace < api.rate.requests)


def _show_rate(pace: float) -> str:
    """Return a rate that `rate` takes; it has no exponents."""
    number, unit = (pace, "s") if pace >= 1 else (pace * 3600, "h")
    return f"{max(number, 0.01):.2f}/{unit}"


def _calls(stats: ApiStatistics) -> Iterator[str]:
    made = stats.calls - stats.skipped
    yield f"calls = {made}"
    yield f"requests = {stats.attempts}"
    yield f"ok = {max(0, made - stats.errors.total())}"
    failures = {
        f"{each.kind} {each.status}" if each.status else each.kind: each.count
        for each in stats.failures
    }
    if failures:
        shown = ", ".join(f"{quote_key(kind)} = {number}" for kind, number in failures.items())
        yield f"failures = {{ {shown} }}"
    seconds = {name: stats.latency.percentile(share) for name, share in _SHARES.items()}
    seconds["max"] = stats.latency.max
    shown = ", ".join(f"{name} = {value:.{_DIGITS}f}" for name, value in seconds.items())
    yield f"seconds = {{ {shown} }}"


def parse_learned(text: str, path: str) -> Learned:
    """Return what a file of learned values says.

    Args:
        text: of the file.
        path: of the file, as messages show it.

    Raises:
        ConfigError: it is not such a file.
    """
    tables = parse_toml(text, path)
    if "learned" not in tables:
        raise ConfigError(f"{path}: no table [learned]: {_ADVICE}")
    rates = _rates(tables.get("api"), path)
    try:
        learned = msgspec.convert(tables["learned"], _Learned)
        models = {
            name: _model(api, rates.get(name), f"{path}, {counted(api.calls, 'call')}")
            for name, api in learned.api.items()
        }
    except (msgspec.ValidationError, _Unusable) as exc:
        raise ConfigError(f"{path}: [learned]: {printable(str(exc))}: {_ADVICE}") from None
    return Learned(learned.processor, models, rates)


class _Unusable(Exception):
    """A value is none that a run writes."""


def _model(api: LearnedApi, rate: float | None, source: str) -> ApiModel:
    """Return how an API answers.

    Where it refused what came too fast, the rate stands for the attempts that failed and were
    followed by others.
    """
    ends = Counter({OK: api.ok, **{_kind(word): n for word, n in api.failures.items()}})
    if not ends.total() or any(number < 0 for number in ends.values()):
        raise _Unusable("no calls")
    failed_before = 0 if rate else max(0, api.requests - api.calls)
    latency = _latency(api.seconds)
    return ApiModel(answers_of(+ends, failed_before, {}, latency), source, rate=rate)


def _kind(word: str) -> Kind:
    name, _, status = word.partition(" ")
    for kind in get_args(ErrorKind):
        if kind == name and (kind == "status") == bool(status):
            return Kind(parse_whole(status) or 0, kind)
    raise _Unusable(f"unknown failure {word!r}")


def _latency(seconds: Mapping[str, float]) -> Percentiles:
    try:
        found = [float(seconds[name]) for name in _SHARES]
    except KeyError as exc:
        raise _Unusable(f"no {exc.args[0]} in seconds") from None
    if sorted(found) != found or not 0 <= found[0] <= found[-1] < math.inf:
        raise _Unusable("the seconds are not in ascending order")
    return Percentiles(list(_SHARES.values()), found)


def _rates(apis: Any, path: str) -> dict[str, float]:
    if not isinstance(apis, Mapping):
        return {}
    rates = {}
    for name, keys in apis.items():
        if isinstance(keys, Mapping) and "rate" in keys:
            try:
                rate = parse_rates(keys["rate"])
            except ConfigError as exc:
                raise ConfigError(f"{path}: api.{quote_key(name)}.rate: {exc}") from None
            if rate.requests is not None:
                rates[name] = rate.requests
    return rates
