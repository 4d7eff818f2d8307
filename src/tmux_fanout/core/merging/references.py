"""Secrets that settings refer to: `${file:/run/secrets/key}`, `${cmd:pass show key}`.

They are read before a run is planned, and then stand among the variables of the environment under
what is between the braces.  So they are expanded, and hidden, as `${VAR}` is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.urls import VARIABLE, expand_variables

FILE, COMMAND = "file:", "cmd:"
_REFERENCE = re.compile(r"\$\{((?:file|cmd):[^}]*)\}")
_EXPANDED = (
    *("url", "endpoints", "headers", "auth", "proxy", "socket", "connect_to"),
    *("idempotency_key", "cache"),
)
_IN_URLS = ("url", "endpoints", "endpoints.url")


class Named(Protocol):
    """The settings of an API."""

    @property
    def name(self) -> str: ...


class Reference(NamedTuple):
    """A reference to a secret.

    Attributes:
        name: what is between the braces.
        key: of the setting.
        api: name of the API.
    """

    name: str
    key: str
    api: str

    def error(self, why: str) -> ConfigError:
        """Return the error that the secret cannot be had."""
        return ConfigError(f"${{{self.name}}}: {why}", key=self.key, api=self.api)


def find_references(apis: Sequence[Named], *, in_urls: bool = False) -> Iterator[Reference]:
    """Yield the references in the settings of APIs.

    Args:
        apis: the settings.
        in_urls: whether to look in URLs only.
    """
    for api, path, text in _expanded(apis, in_urls=in_urls):
        yield from (Reference(name, path, api) for name in _REFERENCE.findall(text))


def find_unset(
    apis: Sequence[Named], env: Mapping[str, str], *, in_urls: bool = False
) -> Iterator[ConfigError]:
    """Yield a mistake for each variable that settings of APIs have, and that is not set.

    Args:
        apis: the settings.
        env: the environment.
        in_urls: whether to look in URLs only.
    """
    for api, path, text in _expanded(apis, in_urls=in_urls):
        for variable in VARIABLE.finditer(_REFERENCE.sub("", text)):
            try:
                expand_variables(variable[0], env, path)
            except ConfigError as exc:
                yield exc.within(api=api)


def commands_in(tables: Mapping[str, Any]) -> set[str]:
    """Return the references to commands that the tables of a file have."""
    found = {name for _, text in _texts("", tables) for name in _REFERENCE.findall(text)}
    return {name for name in found if name.startswith(COMMAND)}


def _expanded(apis: Sequence[Named], *, in_urls: bool) -> Iterator[tuple[str, str, str]]:
    """Yield the texts that may refer to something, each after the names of its API and key."""
    for api in apis:
        for key in _EXPANDED:
            for path, text in _texts(key, getattr(api, key)):
                if not in_urls or path in _IN_URLS:
                    yield api.name, path, text


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the texts in a value with their keys."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(f"{key}.{name}", item)
    elif isinstance(value, msgspec.Struct):
        yield from _texts(key, msgspec.structs.asdict(value))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(key, item)
