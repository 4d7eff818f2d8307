"""The settings that are tables: `auth`, `tls`, `batch`, `breaker` and `limit` of an API."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Literal, TypeVar, get_args, get_type_hints

import msgspec

from tmux_fanout.core.errors import ConfigError, describe
from tmux_fanout.core.units import parse_duration

S = TypeVar("S", bound=msgspec.Struct)


class Bearer(msgspec.Struct, frozen=True):
    """A token as it is (RFC 6750)."""

    token: str

    def __repr__(self) -> str:
        return "<Bearer>"


class Basic(msgspec.Struct, frozen=True):
    """A user and a password (RFC 7617)."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "<Basic>"


class OAuth2(msgspec.Struct, frozen=True, kw_only=True):
    """Client credentials (RFC 6749, section 4.4): a token is fetched, shared and renewed."""

    token_url: str
    client_id: str
    client_secret: str
    scope: str | None = None

    def __repr__(self) -> str:
        return "<OAuth2>"


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """How https is verified, and who we are.

    Attributes:
        ca: path of a file, or a directory, of the certificates to trust; None: the system's.
        cert: path of our own certificate, its chain after it.
        key: path of the private key, where it is not in `cert`.
        verify: whether the server's certificate is looked at.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Many records in one request.

    Attributes:
        size: most records of a request.
        format: a JSON list, or one JSON value on each line.
        items: JMESPath to the list in the response; None: the response is the list.
        key: field by which an item that was sent is matched with one that came back; None: by
            position.
    """

    size: int
    format: Literal["json", "ndjson"] = "json"
    items: str | None = None
    key: str | None = None


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When an endpoint is left alone; durations in seconds, or texts such as `"10s"`.

    Attributes:
        failures: in a row, after which it is.
        open: how long at first.
        max_open: how long at most, as each failed probe doubles it.
        wait: how long a call waits for it to come back, before it fails.
    """

    failures: int = 5
    open: float | str = 1.0
    max_open: float | str = 30.0
    wait: float | str = 60.0


class Adaptive(msgspec.Struct, frozen=True, kw_only=True):
    """Between what a limit finds itself (see `core.adaptive`)."""

    min: int = 1
    max: int = 256


Auth = Bearer | Basic | OAuth2

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


def nearest(word: str, known: Collection[str]) -> str:
    """Advice on a word that is not known: the nearest that is, or all of them."""
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def show_key(key: str) -> str:
    """A key of TOML for messages, up to where it ceases to be a bare one: a secret may follow."""
    bare = re.match("[A-Za-z0-9_-]{0,60}", key)
    return key if bare and bare[0] == key != "" else f'"{bare[0] if bare else ""}…"'


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
