"""What would run, as a configuration file: every value filled in, every secret hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tmux_fanout.core.config.config_file import API_KEYS, quote_key, quote_text
from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.config.settings import DURATIONS, SIZES, Api
from tmux_fanout.core.http.auth import Basic, Bearer, OAuth2
from tmux_fanout.core.policy.rate import show_rate
from tmux_fanout.core.redaction import redact_setting
from tmux_fanout.core.units import parse_duration, show_duration


def show_config(apis: Sequence[Api], plan: RunPlan, options: Mapping[str, Any]) -> str:
    """A configuration file, in TOML, that comes to the same plan, but for what is hidden.

    Args:
        apis: as they were configured.
        plan: what they came to.
        options: what `[run]` is to hold beside the plan's settings; None is left out.
    """
    resolved = {"window": plan.window, "chunk_size": plan.chunk_size}
    settings = {**msgspec.structs.asdict(plan.settings), **resolved, **options}
    run = {key: value for key, value in settings.items() if key not in API_KEYS}
    lines = ["[run]", *_lines(run, window=_why_window(plan))]
    for api, planned in zip(apis, plan.apis):
        keys = _lines(_keys(api, planned), transport=planned.why)
        lines += ["", f"[api.{quote_key(api.name)}]", *keys]
    return "\n".join(lines) + "\n"


def _why_window(plan: RunPlan) -> str:
    if plan.stretched_window == plan.window:
        return ""
    return f"as it is not set, up to {plan.stretched_window} behind a slow record"


def _keys(api: Api, plan: ApiPlan) -> dict[str, Any]:
    """All that an API is set to."""
    written = {key: getattr(api, key) for key in API_KEYS}
    planned = {
        "method": plan.requests.method,
        "limit": _plain(plan.adaptive or plan.limit),
        "rate": None if plan.rate is None else show_rate(plan.rate),
        "retries": plan.retry.retries,
        "connect_timeout": plan.connect_timeout,
        "attempt_timeout": plan.attempt_timeout,
        "timeout": plan.retry.timeout,
        "idempotent": plan.retry.idempotent,
        "breaker": _breaker(plan),
        "max_response": plan.max_response,
        "transport": plan.transport,
    }
    keys = {
        key: redact_setting(key, _plain(value)) for key, value in {**written, **planned}.items()
    }
    if not api.endpoints:
        del keys["balance"]
    return keys


def _breaker(plan: ApiPlan) -> dict[str, Any] | bool:
    if plan.breaker is None:
        return False
    fields = msgspec.structs.asdict(plan.breaker)
    failures = fields.pop("failures")
    return {"failures": failures, **{key: _duration(value) for key, value in fields.items()}}


def _plain(value: Any) -> Any:
    """A table as it is written."""
    if isinstance(value, Bearer):
        return {"bearer": value.token}
    if isinstance(value, Basic):
        return {"basic": [value.user, value.password]}
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.asdict(value).items()
        table = {key: field for key, field in fields if field is not None}
        return {"oauth2": table} if isinstance(value, OAuth2) else table
    return value


def _lines(table: Mapping[str, Any], **remarks: str) -> list[str]:
    """The keys that are set to anything, with the remarks on some of them."""
    return [
        f"{quote_key(key)} = {_toml(_as_written(key, value))}"
        + (f"  # {remarks[key]}" if remarks.get(key) else "")
        for key, value in table.items()
        if value is not None and value not in ("", (), [], {})
    ]


def _as_written(key: str, value: Any) -> Any:
    """Durations and sizes with a unit, if that is exact."""
    if key in DURATIONS:
        return _duration(value)
    if key in SIZES:
        units = (("GiB", 30), ("MiB", 20), ("KiB", 10))
        return next((f"{value >> n}{unit}" for unit, n in units if not value % (1 << n)), value)
    return value


def _duration(seconds: float) -> str | float:
    text = show_duration(seconds)
    return text if parse_duration(text) == seconds else seconds


def _toml(value: Any) -> str:
    """A value in TOML (v1.0.0)."""
    if isinstance(value, str):
        return quote_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{quote_key(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)
