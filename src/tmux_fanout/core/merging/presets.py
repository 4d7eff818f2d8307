"""Presets: named bundles of keys of an API, with slots for what differs from one use to the next.

    [preset.openai-chat]
    url = "https://api.openai.com/v1/chat/completions"
    json = { model = "$(model)", messages = [{ role = "user", content = "$(prompt)" }] }

A slot such as `$(model)` takes the value of the key `model`, of an API or of the preset itself.
Where `$(system?)` has no value, its key is left out; so is a table in a list that has it, and
whatever is empty then.  `params` is merged into `json`, table by table.  The keys that an API has
itself replace those of the preset.

Presets are data: some ship with the program (`presets/*.toml`), and no code knows any of them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.merging.inheritance import BODIES, inherit
from tmux_fanout.core.redaction import is_secret_name
from tmux_fanout.core.text import describe, nearest

SLOTS = ("model", "prompt", "system", "max_tokens", "params")
_EXAMPLES = {
    "model": 'model = "..."',
    "prompt": 'prompt = "Summarise: {text}"',
    "system": 'system = "..."',
    "max_tokens": "max_tokens = 1024",
    "params": "params = { ... }",
}
_SLOT = re.compile(r"\$\((\w+)(\??)\)")
_ORIGIN = re.compile(r"[^/?{]*//[^/?{]*")
_WRITTEN_ORIGIN = re.compile(r"(?:[^/?#${]*//)?(?:\$\{[^}]*\}|[^/?#])*")
_NOTHING = object()
_SUFFIX = ".toml"


class Preset(msgspec.Struct, frozen=True):
    """A preset.

    Attributes:
        name: what messages call it.
        keys: of an API, slots included.
    """

    name: str
    keys: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Preset {self.name}>"  # no more: the rest may hold secrets

    @property
    def has_credentials(self) -> bool:
        """Whether it says who calls."""
        headers = self.keys.get("headers", {})
        return "auth" in self.keys or (
            isinstance(headers, Mapping) and any(map(is_secret_name, headers))
        )

    def at(self, url: object) -> Preset:
        """Return the preset for a URL; its credentials are only for the origin that it names."""
        own = _origin(self.keys.get("url"))
        if not own or _origin(url) in ("", own):
            return self
        kept = {key: each for key, each in self.keys.items() if key != "auth"}
        if isinstance(headers := kept.get("headers"), Mapping):
            kept["headers"] = {
                name: text for name, text in headers.items() if not is_secret_name(name)
            }
        return Preset(self.name, kept)

    def takes(self, given: Mapping[str, Any]) -> set[str]:
        """Return which of `SLOTS` have a place beside the keys that an API has."""
        base = _remaining(self, given)
        of_json = {"params"} if isinstance(base.get("json"), Mapping) else set[str]()
        return of_json.union(slot for slot, _ in _slots(base))

    def without(self, keys: Container[str]) -> Preset:
        """Return the preset without some of its keys."""
        return Preset(self.name, {key: each for key, each in self.keys.items() if key not in keys})


@cache
def shipped_names() -> tuple[str, ...]:
    """Return the names of the presets that ship with the program."""
    from importlib.resources import files  # only needed with presets

    found = [each.name for each in (files("tmux_fanout") / "presets").iterdir()]
    return tuple(sorted(name[: -len(_SUFFIX)] for name in found if name.endswith(_SUFFIX)))


@cache
def shipped_text(name: str) -> str:
    """Return a preset that ships with the program as TOML; data of the package, like its code."""
    from importlib.resources import files  # only needed with presets

    return (files("tmux_fanout") / "presets" / f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def find_preset(value: object, own: Mapping[str, Any] | None = None) -> Preset:
    """Return a preset with what it takes over from the preset that it names itself.

    Args:
        value: its name, or its keys.
        own: the keys of presets of the user's, by name.

    Raises:
        ConfigError: there is none of this name, or presets name each other.
    """
    return _find(value, own or {}, ())


def _find(value: object, own: Mapping[str, Any], path: tuple[str, ...]) -> Preset:
    if isinstance(value, Preset):
        return value
    if isinstance(value, str):
        if value in path:
            ring = ", then ".join([*path[path.index(value) :], value])
            raise ConfigError(f"presets that are made of each other, {ring}: remove one preset")
        name, keys = f"preset {describe(value)}", _keys_of(value, own)
        # One that is called as a shipped one may be made of that.
        own = {key: each for key, each in own.items() if key != value}
        path = path if value in shipped_names() else (*path, value)
    elif isinstance(value, Mapping):
        name, keys = "the preset", value
    else:
        advice = f"use one of {', '.join(shipped_names())}"
        raise ConfigError(f"invalid preset {describe(value)}: {advice}")
    if "preset" not in keys:
        return Preset(name, keys)
    parent = _find(keys["preset"], own, path)
    own_keys = {key: each for key, each in keys.items() if key != "preset"}
    return Preset(name, inherit(parent.at(keys.get("url")).keys, own_keys))


def _keys_of(name: str, own: Mapping[str, Any]) -> Mapping[str, Any]:
    if name in own:
        keys: Mapping[str, Any] = own[name]
        return keys
    if name not in shipped_names():
        raise ConfigError(
            f"unknown preset {describe(name)}: {nearest(name, [*own, *shipped_names()])}"
        )
    import tomllib  # only needed with presets

    shipped: Mapping[str, Any] = tomllib.loads(shipped_text(name))["preset"][name]
    return shipped


def expand(preset: Preset, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of an API, with those of its preset.

    Args:
        preset: the preset.
        given: the keys that the API has itself.

    Raises:
        ConfigError: a slot has no value, or a value no slot; the error has the key.
    """
    preset = preset.at(given.get("url"))
    values = {key: each for key, each in {**preset.keys, **given}.items() if key in SLOTS}
    check_no_slots(values)
    own = {key: each for key, each in given.items() if key not in SLOTS and key != "preset"}
    base = _remaining(preset, given)
    if "endpoints" in own and isinstance(base.get("url"), str):
        base["url"] = _ORIGIN.sub("", base["url"], count=1)
    _check_slots(preset.name, base, values, given)
    filled = {}
    for key, value in base.items():
        content = _fill(value, values)
        if content is not _NOTHING:
            filled[key] = content
    if "params" in values:
        filled["json"] = _merge(filled["json"], values["params"])
    return inherit(filled, own)


def check_no_slots(keys: Mapping[str, Any]) -> None:
    """Check that an API's own keys, and values of slots, have no slots themselves."""
    for key, value in keys.items():
        for slot, optional in _slots(value):
            if slot in SLOTS:
                where = f"slots such as $({slot}{optional}) work in keys of [preset.NAME] only"
                raise ConfigError(f"{where}: write the value itself", key=key)


def _origin(url: object) -> str:
    """Return where a URL leads, as it is written; "" if it is only a path, or no text."""
    found = _WRITTEN_ORIGIN.match(url) if isinstance(url, str) else None
    return found[0].lower() if found else ""


def _remaining(preset: Preset, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a preset that those of an API leave in place, without values of slots."""
    replaced = {*SLOTS, *given} - {"headers"}
    if replaced.intersection(BODIES):
        replaced.update(BODIES)
    return {**preset.without(replaced).keys}


def _check_slots(
    name: str, base: Mapping[str, Any], values: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Check that each slot that must have a value has one, and that each given value has a slot."""
    known = set[str]()
    for slot, optional in _slots(base):
        known.add(slot)
        if slot not in SLOTS:
            why = f"{name}: unknown slot $({slot}): {nearest(slot, SLOTS)}"
            raise ConfigError(why, key="preset")
        if not optional and slot not in values:
            raise ConfigError(f"{name} needs it: add {_EXAMPLES[slot]}", key=slot)
    if isinstance(base.get("json"), Mapping):
        known.add("params")
    for key in SLOTS:
        if key in given and key not in known:
            raise ConfigError(f"{name} has no place for it: leave it out", key=key)


def _slots(value: Any) -> Iterator[tuple[str, str]]:
    """Yield each slot in a value: its name, and `?` where it may be left out."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _slots(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _slots(item)
    elif isinstance(value, str):
        yield from _SLOT.findall(value)


def _fill(value: Any, values: Mapping[str, Any]) -> Any:
    """Return a value with its slots filled in; `_NOTHING` if it is to be left out."""
    if isinstance(value, str):
        whole = _SLOT.fullmatch(value)
        if whole:
            return values.get(whole[1], _NOTHING)
        return _SLOT.sub(lambda slot: str(values.get(slot[1], "")), value)
    if isinstance(value, Mapping):
        members = {key: _fill(item, values) for key, item in value.items()}
        kept = {key: item for key, item in members.items() if item is not _NOTHING}
        return _NOTHING if members and not kept else kept
    if isinstance(value, (list, tuple)):
        items = [_fill(item, values) for item in value if not _is_incomplete(item, values)]
        left = [item for item in items if item is not _NOTHING]
        return _NOTHING if value and not left else left
    return value


def _is_incomplete(item: Any, values: Mapping[str, Any]) -> bool:
    """Whether an item of a list is a table with a slot that has no value."""
    return isinstance(item, Mapping) and any(
        isinstance(member, str) and _fill(member, values) is _NOTHING for member in item.values()
    )


def _merge(below: Any, above: Any) -> Any:
    """Return two values of JSON merged, table by table."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merge(below[key], value) if key in below else value
    return merged
