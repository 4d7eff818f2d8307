"""Say where a key belongs that stands one level too high or too low in an API's settings.

`audience` under `auth.oauth2` is a parameter: `params = { audience = ... }`.  `limit` under
`breaker` is a key of the API.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from tmux_fanout.core.endpoints.breaker import BreakerSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import FORMS, OAuth2
from tmux_fanout.core.http.rate_headers import RateHeaders
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.rate import RateSettings
from tmux_fanout.core.requests.options import Batch, PagesSettings, PollSettings
from tmux_fanout.core.requests.reuse.cache import CacheSettings
from tmux_fanout.core.spending.prices import Price
from tmux_fanout.core.text import one_of, show_key

_TABLES: Mapping[str, Collection[str]] = {
    "auth": tuple(FORMS.values()),
    "auth.oauth2": OAuth2.__struct_fields__,
    "auth.oauth2.params": ("audience", "organization", "resource"),
    "batch": Batch.__struct_fields__,
    "breaker": BreakerSettings.__struct_fields__,
    "cache": CacheSettings.__struct_fields__,
    "headers": ("accept", "apikey", "authorization", "content_type", "user_agent", "x_api_key"),
    "limit": Adaptive.__struct_fields__,
    "pages": PagesSettings.__struct_fields__,
    "params": (  # of presets
        *("temperature", "top_p", "top_k", "stop", "seed", "frequency_penalty", "presence_penalty"),
        *("response_format", "reasoning_effort", "tools", "tool_choice", "thinking"),
        "generationconfig",
    ),
    "poll": PollSettings.__struct_fields__,
    "price": Price._fields,
    "rate": RateSettings.__struct_fields__,
    "rate_headers": RateHeaders.__struct_fields__,
    "tls": Tls.__struct_fields__,
}
_AMBIGUOUS = (
    "batch",
    "limit",
    "pages",
    "poll",
    "price",
)  # whose keys, such as `input`, may mean something else
_OF_ENDPOINTS = ("auth", "headers")  # the tables that an endpoint has, too
_IN_ENDPOINT = re.compile(r"(endpoint \d+: )(?:([\w.]+): )?unknown key ")


def placed(error: ConfigError, api_keys: Collection[str]) -> ConfigError:
    """Return an error about an unknown key with the place where it belongs, if that is known.

    Args:
        error: any error in the settings of an API, with the key inside them.
        api_keys: the keys of an API.
    """
    if not error.unknown:
        return error
    number, at = "", error.key
    if found := _IN_ENDPOINT.match(error.why):
        number, at = found[1] + (f"{found[2]}: " if found[2] else ""), found[2] or error.key
    advice = where(error.unknown, at, api_keys)
    if advice is None:
        return error
    why = f"{number}unknown key {show_key(error.unknown)} here: {advice}"
    return ConfigError(why, key=error.key, api=error.api, unknown=error.unknown)


def where(key: str, at: str | None, api_keys: Collection[str] = ()) -> str | None:
    """Return what to write instead of a key that is unknown where it stands; None if unknown.

    Args:
        key: the key.
        at: the table that it is in, dotted inside the settings of an API; "" for these themselves;
            None outside of an API.
        api_keys: the keys of an API.
    """
    word = key.lower().replace("-", "_")
    homes = [path for path, keys in _TABLES.items() if word in keys and path != at]
    if at is None:
        homes = [path for path in homes if path not in _AMBIGUOUS]
        write = where(key, "") if homes else None
        return write and f"under [defaults] or [api.NAME], {write}"
    inside = [path for path in homes if _is_inside(path, at)]
    if inside:
        below = (path.removeprefix(at).strip(".") if at != "endpoints" else path for path in inside)
        return f"write {one_of([_nested([*path.split('.'), key]) for path in below])}"
    if key in api_keys and at:
        return f"it is a key of the API: move it out of {at}"
    return f"it is a key of {one_of(homes)}: move it there" if homes else None


def _is_inside(path: str, at: str) -> bool:
    if at == "endpoints":
        return path.partition(".")[0] in _OF_ENDPOINTS
    return not at or path.startswith(f"{at}.")


def _nested(keys: list[str]) -> str:
    """Return tables within each other, with three dots for the value: `a = { b = ... }`."""
    first, *rest = keys
    return f"{first} = {{ {_nested(rest)} }}" if rest else f"{first} = ..."
