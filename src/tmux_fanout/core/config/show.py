"""What would run, as a configuration file: every value filled in, every secret hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tmux_fanout.core.config.config_file import API_KEYS, quote_key, quote_text
from tmux_fanout.core.config.plan import ApiPlan, RunPlan
from tmux_fanout.core.config.rules import Rule, rules_of
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.merging.attached import ATTACHABLE, as_written
from tmux_fanout.core.redaction import redact_setting
from tmux_fanout.core.results.fallback import FALLBACK_ON


def show_config(
    apis: Sequence[Api], settings: RunSettings, plan: RunPlan, options: Mapping[str, Any]
) -> str:
    """Return a configuration file that leads to the same plan, apart from hidden secrets.

    Args:
        apis: as they were configured.
        settings: of the run, as they were configured.
        plan: the plan for both.
        options: keys for `[run]` beside the settings; None is left out.
    """
    planned = {"window": plan.window, "chunk_size": plan.chunk_size}
    run = {**msgspec.structs.asdict(settings), **planned}
    own = {key: value for key, value in run.items() if key not in API_KEYS}
    shown = {**_shown(own, rules_of(RunSettings)), **options}
    lines = ["[run]", *_lines(shown, window=_why_window(plan))]
    for api, api_plan in zip(apis, plan.apis):
        keys = _lines(_keys(api, api_plan), transport=api_plan.why)
        lines += ["", f"[api.{quote_key(api.name)}]", *keys]
    return "\n".join(lines) + "\n"


def show_preset(name: str, keys: Mapping[str, Any]) -> str:
    """Return a preset as its table in a configuration file, apart from hidden secrets."""
    lines = _lines({key: _hidden(key, value) for key, value in keys.items()})
    return "\n".join([f"[preset.{quote_key(name)}]", *lines]) + "\n"


def _hidden(key: str, value: Any) -> Any:
    """Return the value of a key as a file may show it."""
    redacted = redact_setting(key, value)
    return as_written(redacted) if key in ATTACHABLE else redacted


def _shown(table: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Return settings as values that TOML can hold; None is left out."""
    return {key: rules[key].show(value) for key, value in table.items() if value is not None}


def _why_window(plan: RunPlan) -> str:
    if plan.stretched_window == plan.window:
        return ""
    return f"as it is not set, up to {plan.stretched_window} behind a slow record"


def _keys(api: Api, plan: ApiPlan) -> dict[str, Any]:
    """Return all keys of an API, its secrets hidden."""
    written = {key: getattr(api, key) for key in API_KEYS}
    planned: dict[str, Any] = {
        "method": plan.requests.method,
        "host_limit": plan.hosts and plan.hosts.limit,
        "limit": plan.adaptive or plan.limit,
        "rate": plan.rate,
        "retries": plan.retry.retries,
        "connect_timeout": plan.connect_timeout,
        "attempt_timeout": plan.attempt_timeout,
        "timeout": plan.retry.timeout,
        "idempotent": plan.retry.idempotent and not (plan.fallback and plan.fallback.is_guarded),
        "breaker": plan.breaker or False,
        "max_response": plan.max_response,
        "transport": plan.transport,
    }
    if plan.is_fallback and api.fallback_on is None:
        planned["fallback_on"] = FALLBACK_ON
    shown = _shown({**written, **planned}, rules_of(Api))
    if not api.endpoints:
        del shown["balance"]
    if not api.stream:
        del shown["last"]
    if api.json is not None or api.text is not None:
        del shown["body_format"]
    return {key: _hidden(key, value) for key, value in shown.items()}


def _lines(table: Mapping[str, Any], **remarks: str) -> list[str]:
    """Return a line for each key with a value, with a comment where there is a remark on it."""
    return [
        f"{quote_key(key)} = {_toml(value)}" + (f"  # {remarks[key]}" if remarks.get(key) else "")
        for key, value in table.items()
        if value is not None and (value not in ("", (), [], {}) or key in ("json", "text"))
    ]


def _toml(value: Any) -> str:
    """Return a value in TOML (v1.0.0)."""
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
