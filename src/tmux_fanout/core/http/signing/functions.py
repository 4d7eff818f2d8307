"""Functions of the user's that sign requests: their setting, and what they return.

    auth = { call = "signing:hmac", key = "${KEY}" }

calls `hmac(method, url, headers, body, key=...)` for each request, which returns headers to add.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.auth import Signer
from tmux_fanout.core.http.messages import Headers
from tmux_fanout.core.text import one_of, show_key

EXAMPLE = '"package.module:function"'
_DATES = (datetime.date, datetime.time)  # and so datetime


def parse_signer(table: Mapping[Any, Any], forms: Collection[str]) -> Signer:
    """Return the function under `auth.call`, with the keys beside it.

    Args:
        table: all of `auth`.
        forms: the keys of all credentials, of which there can be one.

    Raises:
        ConfigError: it names no function, or a value cannot be an argument.
    """
    function = table["call"]
    if not callable(function) and (not isinstance(function, str) or not function.strip()):
        raise ConfigError(f"not a function: use text such as {EXAMPLE}", key="call")
    arguments = {}
    for name, value in table.items():
        if name == "call":
            continue
        if name in forms:
            why = f"{one_of(['call', name])}, not both: leave one of the two out"
            raise ConfigError(why, key=name)
        if not isinstance(name, str) or not name.isidentifier():
            why = f"no name of an argument, {show_key(str(name))}: use letters, digits and _"
            raise ConfigError(why)
        if isinstance(value, _DATES):
            raise ConfigError("a date: put it in quotes", key=name)
        arguments[name] = value
    return Signer(function, arguments)


def expand_arguments(
    arguments: Mapping[str, Any], expand: Callable[[str, str], str]
) -> dict[str, Any]:
    """Return arguments with the variables in their texts expanded, those in tables and lists too.

    Args:
        arguments: as they are written.
        expand: returns the text for one, and is given the key that it is under.
    """
    return {name: _expanded(value, name, expand) for name, value in arguments.items()}


def _expanded(value: Any, key: str, expand: Callable[[str, str], str]) -> Any:
    if isinstance(value, str):
        return expand(value, key)
    if type(value) is dict:
        return {name: _expanded(each, f"{key}.{name}", expand) for name, each in value.items()}
    if type(value) is list:
        return [_expanded(each, key, expand) for each in value]
    return value


def show_signer(signer: Signer) -> dict[str, Any]:
    """Return a signer as the table that it was written as."""
    return {"call": signer.function, **signer.arguments}


def with_headers(headers: Headers, added: Mapping[str, str]) -> Headers:
    """Return the headers of a request with others, which replace those of the same names."""
    names = {name.lower() for name in added}
    kept = [header for header in headers if header[0].lower() not in names]
    return (*kept, *added.items())


def names_function(tables: Any) -> bool:
    """Return whether the tables of a configuration file name a function by its module."""
    if isinstance(tables, list):
        return any(map(names_function, tables))
    if not isinstance(tables, Mapping):
        return False
    auth = tables.get("auth")
    if isinstance(auth, Mapping) and ":" in str(auth.get("call", "")):
        return True
    return any(map(names_function, tables.values()))
