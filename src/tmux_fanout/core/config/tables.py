"""The settings that are tables: `auth`, `tls`, `batch`, `breaker` and `limit` of an API."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeVar, get_args, get_type_hints

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import Auth, Basic, Bearer, OAuth2
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.breaker import BreakerSettings
from tmux_fanout.core.requests.options import Batch
from tmux_fanout.core.text import describe, nearest, show_key
from tmux_fanout.core.units import parse_duration

S = TypeVar("S", bound=msgspec.Struct)


_AUTH = "write one of { bearer = ... }, { basic = [user, password] } or { oauth2 = { ... } }"


def parse_auth(value: object) -> Auth:
    """What stands under `auth`.

    Raises:
        ConfigError: it is none of the three forms.  No value is shown.
    """
    if isinstance(value, Auth):
        return value
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ConfigError(_AUTH)
    [(form, content)] = value.items()
    if form == "bearer" and isinstance(content, str) and content:
        return Bearer(content)
    if form == "basic" and isinstance(content, (list, tuple)) and len(content) == 2:
        user, password = content
        if isinstance(user, str) and isinstance(password, str):
            if ":" in user:  # RFC 7617, section 2
                raise ConfigError("a user's name cannot hold a colon", key="basic")
            return Basic(user, password)
    if form == "oauth2":
        try:
            return _struct(OAuth2, content)
        except ConfigError as exc:
            raise exc.within("oauth2") from None
    if form not in ("bearer", "basic"):
        raise unknown_key(form, ("bearer", "basic", "oauth2"))
    raise ConfigError(_AUTH)


def parse_tls(value: object) -> Tls:
    """What stands under `tls`.

    Raises:
        ConfigError: a key is not known, or has no use.
    """
    tls = _struct(Tls, value)
    if tls.key is not None and tls.cert is None:
        raise ConfigError("a key without its certificate; add cert")
    if tls.ca is not None and not tls.verify:
        raise ConfigError("verify = false looks at no certificate; leave out ca, or verify")
    return tls


def parse_batch(value: object) -> Batch:
    """What stands under `batch`.

    Raises:
        ConfigError: a key is not known, or its value is of no use.
    """
    batch = _struct(Batch, value)
    if batch.size < 1:
        why = f"{describe(batch.size)} is not a whole number of at least 1"
        raise ConfigError(why, key="size")
    return batch


def parse_breaker(value: object) -> BreakerSettings | None:
    """What stands under `breaker`; None for false, which is to have none.

    Raises:
        ConfigError: a key is not known, or its value is of no use.
    """
    if isinstance(value, bool):
        return BreakerSettings() if value else None
    breaker = _struct(BreakerSettings, value)
    if breaker.failures < 1:
        why = f"{describe(breaker.failures)} is not a whole number of at least 1"
        raise ConfigError(why, key="failures")
    seconds = {}
    for key in ("open", "max_open", "wait"):
        try:
            seconds[key] = parse_duration(getattr(breaker, key))
        except ConfigError as exc:
            raise exc.within(key) from None
    return msgspec.structs.replace(breaker, **seconds)


def parse_limit(value: object) -> int | Adaptive:
    """What stands under `limit`: a number, or that it finds itself.

    Raises:
        ConfigError: it is neither.
    """
    if value == "adaptive":
        return Adaptive()
    if not isinstance(value, (Mapping, Adaptive)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            advice = 'write 64, "adaptive" or { min = 4, max = 256 }'
            raise ConfigError(f"{describe(value)} is not a whole number of at least 1; {advice}")
        return value
    limit = _struct(Adaptive, value)
    if not 1 <= limit.min <= limit.max:
        raise ConfigError("min is at least 1, and max at least min")
    return limit


def unknown_key(key: object, known: Collection[str]) -> ConfigError:
    """What to say of a key that is not known: the nearest one that is."""
    word = str(key)
    advice = nearest(word.lower().replace("-", "_"), known)
    return ConfigError(f"unknown key; {advice}", key=show_key(word))


def _struct(kind: type[S], value: object) -> S:
    """A table as a struct; its mistakes name the key."""
    if isinstance(value, kind):
        return value
    fields = kind.__struct_fields__
    if not isinstance(value, Mapping):
        raise ConfigError(f"write a table with {', '.join(fields)}")
    for key in value:
        if key not in fields:
            raise unknown_key(key, fields)
    try:
        return msgspec.convert(dict(value), kind)
    except msgspec.ValidationError as exc:
        raise _in_our_words(str(exc), kind) from None


_KINDS = {"int": "a whole number", "str": "a text", "bool": "true or false", "float": "a number"}


def _in_our_words(message: str, kind: type[msgspec.Struct]) -> ConfigError:
    """What msgspec has against a table, such as "Expected `int`, got `str` - at `$.size`"."""
    missing = re.search(r"missing required field `(\w+)`", message)
    if missing:
        return ConfigError("it is missing; add it", key=missing[1])
    where = re.search(r"at `\$\.(\w+)", message)
    expected = re.search(r"Expected `(\w+)", message)
    key = where[1] if where else ""
    choices = get_args(get_type_hints(kind).get(key))
    if expected:
        write = _KINDS.get(expected[1], expected[1])
    elif choices and all(isinstance(choice, str) for choice in choices):
        write = " or ".join(choices)
    else:
        write = "a smaller number"  # what else msgspec can have against it is its size
    return ConfigError(f"write {write}", key=key)
