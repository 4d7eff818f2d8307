"""Settings that are tables or take several forms: `auth`, `batch`, `breaker`, `limit`, `rate`..."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from tmux_fanout.core.config.rules import (
    Rule,
    parse_header_name,
    parse_headers,
    parse_timeout,
    parse_url_text,
    parse_whole_from,
    show_exact_duration,
)
from tmux_fanout.core.endpoints.breaker import BreakerSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import FORMS, Auth, Basic, Bearer, Digest, OAuth2, Signer
from tmux_fanout.core.http.oauth2 import parse_params, show_params
from tmux_fanout.core.http.rate_headers import RateHeaders
from tmux_fanout.core.http.signing.functions import parse_signer, show_signer
from tmux_fanout.core.http.tls import Tls
from tmux_fanout.core.policy.adaptive import Adaptive
from tmux_fanout.core.policy.rate import BURST_SECONDS, RateSettings, parse_rate, show_rate
from tmux_fanout.core.requests.builder import split_header
from tmux_fanout.core.requests.options import Batch, EndpointSettings, PagesSettings, PollSettings
from tmux_fanout.core.requests.reuse.cache import CacheSettings
from tmux_fanout.core.text import invalid, joined, nearest, one_of, show_key
from tmux_fanout.core.units import parse_duration, parse_size

S = TypeVar("S", bound=msgspec.Struct)

_AUTH = (
    "use { bearer = ... }, { basic = [user, password] }, { digest = [user, password] }, "
    "{ oauth2 = { ... } } or { call = ... }; false for none"
)
_AUTH_FORMS = tuple(FORMS.values())
_KEY = "true, or text with a {field} of the record, such as '{event_id}'"
_ENDPOINTS = '["https://eu.example.com"] or [{ url = "https://eu.example.com", limit = 8 }]'
_MAX_WEIGHT = 1_000_000
_RATE = 'N/s, N/m or N/h, such as 50/s, or { requests = "500/m", tokens = "90000/m" }'
_LIMIT = 'a whole number of at least 1, "adaptive" or { min = 4, max = 256 }'
_CACHE_DIR = '"${HOME}/.cache/fanout"'
_CACHE = f'{{ dir = {_CACHE_DIR}, ttl = "24h" }}'
_RATE_HEADERS = '{ remaining = "x-quota-left", reset = "x-quota-reset" }'


def parse_auth(value: object) -> Auth:
    """Return the credentials under `auth`.

    Raises:
        ConfigError: they have none of the forms.  No value is shown.
    """
    if isinstance(value, (Bearer, Basic, Digest, Signer)):
        return value
    if isinstance(value, OAuth2):
        value = {"oauth2": value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"invalid credentials: {_AUTH}")
    if "call" in value:
        return parse_signer(value, _AUTH_FORMS)
    for form in value:
        if form not in _AUTH_FORMS:
            raise unknown_key(form, _AUTH_FORMS)
    if len(value) > 1:
        raise ConfigError(f"{joined([*value])}: only one of them is possible: leave the other out")
    if not value:
        raise ConfigError(f"invalid credentials: {_AUTH}")
    [(form, content)] = value.items()
    try:
        if form == "bearer":
            return _parse_bearer(content)
        if form == "basic":
            return Basic(*_parse_pair(content))
        if form == "digest":
            return Digest(*_parse_pair(content))
        return _parse_table(OAuth2, content, params=parse_params)
    except ConfigError as exc:
        raise exc.within(form) from None


def or_false(parse: Callable[[object], Any]) -> Callable[[object], Any]:
    """Return the parser of a setting that `false` switches off; that is returned as it is."""
    return lambda value: False if value is False else parse(value)


def _parse_bearer(token: object) -> Bearer:
    if not isinstance(token, str) or not token:
        raise ConfigError("invalid token: use text in quotes")
    return Bearer(token)


def _parse_pair(pair: object) -> tuple[str, str]:
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise ConfigError("invalid credentials: use [user, password]")
    user, password = pair
    if not isinstance(user, str) or not isinstance(password, str):
        raise ConfigError("invalid credentials: use [user, password], both in quotes")
    if ":" in user:  # RFC 7617, section 2; RFC 7616 hashes it with a colon after it as well
        raise ConfigError("invalid user: use a name without a colon")
    return user, password


def parse_tls(value: object) -> Tls:
    """Return the settings under `tls`.

    Raises:
        ConfigError: a key is unknown, or contradicts another.
    """
    tls = _parse_table(Tls, value)
    if tls.key is not None and tls.cert is None:
        raise ConfigError("a key without its certificate: add cert")
    if tls.ca is not None and not tls.verify:
        raise ConfigError("verify = false ignores ca: leave one of the two out")
    return tls


def parse_batch(value: object) -> Batch:
    """Return the settings under `batch`.

    Raises:
        ConfigError: a key is unknown, or its value cannot be used.
    """
    return _parse_table(Batch, value, size=parse_whole_from(1), bytes=_check_size)


def parse_pages(value: object) -> PagesSettings:
    """Return the settings under `pages`.

    Raises:
        ConfigError: a key is unknown, or its value cannot be used.
    """
    return _parse_table(PagesSettings, value, max=parse_whole_from(1))


def parse_poll(value: object) -> PollSettings:
    """Return the settings under `poll`.

    Raises:
        ConfigError: a key is unknown, or its value cannot be used.
    """
    return _parse_table(PollSettings, value, every=_check_duration, max=_check_duration)


def parse_cache(value: object) -> CacheSettings:
    """Return the settings under `cache`.

    Raises:
        ConfigError: a key is unknown or missing, or its value cannot be used.
    """
    if not isinstance(value, (Mapping, CacheSettings)):
        raise ConfigError(f"not a table: use {_CACHE}")
    if isinstance(value, Mapping):
        known = CacheSettings.__struct_fields__
        if unknown := [key for key in value if key not in known]:
            raise unknown_key(unknown[0], known)
        for key in ("dir", "ttl"):
            if key not in value:
                raise ConfigError(f"missing {key}: use {_CACHE}")
    cache = _parse_table(CacheSettings, value, ttl=_check_duration, max_size=_check_size)
    if not cache.dir.strip():
        raise ConfigError(f"invalid folder: use one such as {_CACHE_DIR}", key="dir")
    if len(split_header(cache.dir)) > 1:
        raise ConfigError("a folder cannot come from a record: leave {...} out", key="dir")
    return cache


def _check_duration(value: Any) -> Any:
    parse_timeout(value)
    return value


def parse_endpoints(value: object) -> tuple[EndpointSettings, ...]:
    """Return the endpoints under `endpoints`: URLs, tables, or both.

    Raises:
        ConfigError: it is no list, or one of them cannot be used; the message has its number.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigError(invalid("list", value, f"one such as {_ENDPOINTS}"))
    endpoints = []
    for number, item in enumerate(value, 1):
        try:
            endpoints.append(_parse_endpoint(item))
        except ConfigError as exc:
            raise at_endpoint(number, exc) from None
    return tuple(endpoints)


def at_endpoint(number: int, error: ConfigError) -> ConfigError:
    """Return an error with the number of the endpoint, from 1, that it is about."""
    what = f"{error.key}: {error.why}" if error.key else error.why
    return ConfigError(f"endpoint {number}: {what}", unknown=error.unknown)


def _parse_endpoint(value: object) -> EndpointSettings:
    if isinstance(value, EndpointSettings):
        value = _written(value)
    if isinstance(value, str):
        value = {"url": value}
    if not isinstance(value, Mapping):
        raise ConfigError(invalid("item", value, f"a list such as {_ENDPOINTS}"))
    parsed = {}
    for key, written in value.items():
        if key not in _ENDPOINT_KEYS:
            raise unknown_key(key, tuple(_ENDPOINT_KEYS))
        try:
            parsed[key] = _ENDPOINT_KEYS[key](written)
        except ConfigError as exc:
            raise exc.within(key) from None
    if not parsed.get("url"):
        raise ConfigError("missing key 'url': add it")
    return EndpointSettings(**parsed)


def _check_size(value: Any) -> Any:
    if parse_size(value) == 0:
        raise ConfigError(invalid("size", value, "one such as 64KiB or 4MiB"))
    return value


def _check_rate(value: Any) -> Any:
    parse_rates(value)
    return value


def _parse_weight(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value <= _MAX_WEIGHT:
        advice = f"a number above 0, up to {_MAX_WEIGHT}, such as 2"
        raise ConfigError(invalid("weight", value, advice))
    return float(value)


_ENDPOINT_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "url": parse_url_text,
    "auth": or_false(parse_auth),
    "headers": parse_headers,
    "limit": parse_whole_from(1),
    "rate": _check_rate,
    "weight": _parse_weight,
}


def _written(endpoint: EndpointSettings) -> dict[str, Any]:
    """Return the keys of an endpoint that say more than the defaults."""
    defaults = EndpointSettings(url="")
    fields = msgspec.structs.asdict(endpoint).items()
    return {key: field for key, field in fields if field != getattr(defaults, key)}


def show_endpoints(value: Any) -> list[Any]:
    """Return endpoints as they are written in a list of TOML."""
    shown = [_written(endpoint) for endpoint in parse_endpoints(value)]
    for keys in shown:
        if "auth" in keys:
            keys["auth"] = _show_table(keys["auth"])
        if "rate" in keys:
            keys["rate"] = show_rates(keys["rate"])
    return [keys["url"] if list(keys) == ["url"] else keys for keys in shown]


def parse_breaker(value: object) -> BreakerSettings | None:
    """Return the settings under `breaker`; None if it is false, so that there is no breaker.

    Raises:
        ConfigError: a key is unknown, or its value cannot be used.
    """
    if isinstance(value, bool):
        return BreakerSettings() if value else None
    return _parse_table(
        BreakerSettings,
        value,
        failures=parse_whole_from(1),
        open=parse_duration,
        max_open=parse_duration,
        wait=parse_duration,
    )


def parse_limit(value: object) -> int | Adaptive:
    """Return the limit under `limit`: a number, or the bounds of an adaptive one.

    Raises:
        ConfigError: it is neither.
    """
    if value == "adaptive":
        return Adaptive()
    if not isinstance(value, (Mapping, Adaptive)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(invalid("limit", value, _LIMIT))
        return value
    limit = _parse_table(Adaptive, value)
    if not 1 <= limit.min <= limit.max:
        raise ConfigError("invalid bounds: use a min of at least 1, and a max of at least min")
    return limit


def parse_rate_headers(value: object) -> RateHeaders | None:
    """Return the headers under `rate_headers`; None if it is false, and only Retry-After counts.

    Raises:
        ConfigError: a key is unknown, a name cannot be a header's, or there is none.
    """
    if isinstance(value, bool):
        return RateHeaders() if value else None
    if not isinstance(value, Mapping):
        raise ConfigError(f"not a table: use {_RATE_HEADERS}, or false")
    names = _parse_table(RateHeaders, value, remaining=parse_header_name, reset=parse_header_name)
    if not names.remaining and not names.reset:
        raise ConfigError(f"an empty table: use {_RATE_HEADERS}, or one of the two keys")
    if names.remaining == names.reset:
        raise ConfigError("one header for both keys: name two, or leave one of the keys out")
    return names


def parse_key(value: object) -> bool | str:
    """Return what is under `idempotency_key`: a template, or whether keys are derived.

    Raises:
        ConfigError: it is neither, or a template without fields, which gives all records one key.
    """
    if not isinstance(value, (bool, str)):
        raise ConfigError(invalid("value", value, _KEY))
    if isinstance(value, str) and len(split_header(value)) == 1:
        raise ConfigError(f"a key without a field would be that of every record: use {_KEY}")
    return value


def parse_rates(value: object) -> RateSettings:
    """Return the rate under `rate`: attempts per unit of time, or a table.

    Raises:
        ConfigError: it is neither, or a key of the table cannot be used.
    """
    if not isinstance(value, (Mapping, RateSettings)):
        try:
            return RateSettings(parse_rate(value))
        except ConfigError:
            raise ConfigError(invalid("rate", value, _RATE)) from None
    if isinstance(value, RateSettings):
        return value
    written = _parse_table(
        RateSettings, value, requests=parse_rate, tokens=parse_rate, burst=parse_duration
    )
    if written.requests is None and written.tokens is None:
        raise ConfigError('neither requests nor tokens: add one, such as requests = "500/m"')
    return written


def show_rates(value: object) -> str | dict[str, str | float]:
    """Return a rate as text where that says it all, else as a table."""
    rate = parse_rates(value)
    shown: dict[str, str | float] = {
        key: show_rate(each)
        for key, each in (("requests", rate.requests), ("tokens", rate.tokens))
        if each is not None
    }
    if rate.burst != BURST_SECONDS:
        return shown | {"burst": show_exact_duration(rate.burst)}
    return str(shown["requests"]) if shown.keys() == {"requests"} else shown


def table(parse: Callable[[object], Any]) -> Rule:
    """Return the rule of a setting that is a table, by its parser."""
    return Rule(parse, lambda value: _show_table(parse(value)))


def optional(parse: Callable[[object], Any]) -> Rule:
    """Return the rule of a setting that is a table, or False for none."""
    return table(or_false(parse))


def _show_table(value: Any) -> Any:
    """Return a parsed setting as the table that it was written as."""
    if value is None:
        return False  # no breaker
    if isinstance(value, Auth):
        return _show_auth(value)
    if not isinstance(value, msgspec.Struct):
        return value
    fields = msgspec.structs.asdict(value).items()
    shown = {key: field for key, field in fields if field not in (None, ())}
    if isinstance(value, BreakerSettings):
        durations = ("open", "max_open", "wait")
        return shown | {key: show_exact_duration(shown[key]) for key in durations if key in shown}
    return shown


def _show_auth(auth: Auth) -> dict[str, Any]:
    if isinstance(auth, Bearer):
        return {"bearer": auth.token}
    if isinstance(auth, (Basic, Digest)):
        return {FORMS[type(auth)]: [auth.user, auth.password]}
    if isinstance(auth, Signer):
        return show_signer(auth)
    fields = msgspec.structs.asdict(auth).items()
    shown = {key: field for key, field in fields if field not in (None, ())}
    params = show_params(parse_params(auth.params))
    return {"oauth2": shown | {"params": params} if params else shown}


def unknown_key(key: object, known: Collection[str]) -> ConfigError:
    """Return the error for an unknown key, with the nearest known one."""
    word = str(key)
    advice = nearest(word.lower().replace("-", "_"), known)
    return ConfigError(f"unknown key {show_key(word)}: {advice}", unknown=word)


def _parse_table(kind: type[S], value: object, **parsers: Callable[[Any], Any]) -> S:
    """Return a table as a struct.

    Args:
        kind: the struct.
        value: the table, or the struct.
        parsers: of the keys that take more than their type says.
    """
    fields = kind.__struct_fields__
    if isinstance(value, kind):
        given = msgspec.structs.asdict(value)
        value = {key: field for key, field in given.items() if field is not None}
    if not isinstance(value, Mapping):
        raise ConfigError(f"not a table: use one with {', '.join(fields)}")
    parsed = dict(value)
    for key, written in value.items():
        if key not in fields:
            raise unknown_key(key, fields)
        if key in parsers:
            try:
                parsed[key] = parsers[key](written)
            except ConfigError as exc:
                raise exc.within(key) from None
    try:
        return msgspec.convert(parsed, kind)
    except msgspec.ValidationError as exc:
        raise _in_our_words(str(exc), kind) from None


_KINDS = {"int": "a whole number", "str": "text in quotes", "bool": "true or false"}


def _in_our_words(message: str, kind: type[msgspec.Struct]) -> ConfigError:
    """Return the error for a message such as "Expected `int`, got `str` - at `$.size`"."""
    missing = re.search(r"missing required field `(\w+)`", message)
    if missing:
        return ConfigError(f"missing key '{missing[1]}': add it")
    where = re.search(r"at `\$\.(\w+)", message)
    expected = re.search(r"Expected `(\w+)", message)
    key = where[1] if where else ""
    if expected:
        use = _KINDS.get(expected[1], expected[1])
    else:  # "Invalid enum value 'xml' - at `$.format`"
        use = one_of(get_args(get_type_hints(kind)[key]))
    return ConfigError(f"invalid value: use {use}", key=key)
