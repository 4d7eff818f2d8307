"""The `-a` APIs, and the options that describe them.

An option that is given once holds for all of them, wherever it stands.  One that is given several
times holds for those after it, up to the next.  Headers and hosts add up, and hold for all;
hosts only for those whose host comes from the record.

    -a x=... -a y=... -X GET            GET to both
    -X GET -a x=... -X PUT -a y=...     GET to x, PUT to y
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.requests.urls.record_url import takes_host_from_record

_API = "apis"
_HEADER = "headers"
_HOSTS = "hosts"
_KEYS = ("method", "body", "body_format", "select", "when")


class GivenApi(NamedTuple):
    """An API that `-a` names, with the keys that other options set for it."""

    name: str
    url: str
    keys: Mapping[str, Any]


def given_apis(occurrences: Sequence[tuple[str, Any]]) -> list[GivenApi]:
    """Return the `-a` APIs in their order.

    Args:
        occurrences: the options that describe them in the order of the command line: parameter and
            value, once for each time that one is given.

    Raises:
        ConfigError: an option holds for no API, or it is not clear for which.
    """
    names = [name for name, _ in occurrences]
    if occurrences and _API not in names:
        raise ConfigError(f"{_flag(names[0])}: no -a API that it could apply to: add -a NAME=URL")
    repeated = [key for key in _KEYS if names.count(key) > 1]
    for key in repeated:
        _check_places(key, occurrences)
    shared = {name: value for name, value in occurrences if name in _KEYS and name not in repeated}
    headers = _joined([value for name, value in occurrences if name == _HEADER])
    if headers:
        shared[_HEADER] = headers
    hosts = [value for name, value in occurrences if name == _HOSTS]
    apis = list(_each(occurrences, shared))
    return _with_hosts(apis, hosts) if hosts else apis


def in_this_folder(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the keys of an `-a` API, whose files are in the current folder if not elsewhere."""
    return {"files_root": ".", **keys} if keys.get("body_format") == "multipart" else keys


def _each(occurrences: Sequence[tuple[str, Any]], shared: Mapping[str, Any]) -> Iterator[GivenApi]:
    current: dict[str, Any] = {}
    for name, value in occurrences:
        if name == _API:
            api, url = value
            yield GivenApi(api, url, {**current, **shared})
        elif name in _KEYS:
            current[name] = value


def _with_hosts(apis: Sequence[GivenApi], hosts: Sequence[str]) -> list[GivenApi]:
    open_to_records = [takes_host_from_record(api.url) for api in apis]
    if not any(open_to_records):
        why = "no -a API takes its host from the record: add one such as -a page='{+url}'"
        raise ConfigError(f"--hosts: {why}")
    return [
        api._replace(keys={**api.keys, _HOSTS: hosts}) if is_open else api
        for api, is_open in zip(apis, open_to_records)
    ]


def _check_places(key: str, occurrences: Sequence[tuple[str, Any]]) -> None:
    """Check that an option that is given several times holds for some API each time, and always
    for one after it."""
    places = [each for each in occurrences if each[0] in (_API, key)]
    rule = "given several times, each holds for the -a APIs after it"
    if places[0][0] == _API:
        why = f"{rule}, but -a {places[0][1][0]} comes before the first: put one before it"
        raise ConfigError(f"{_flag(key)}: {why}")
    followers = [name for name, _ in places[1:]] + [key]
    if any(name == key == follower for (name, _), follower in zip(places, followers)):
        why = f"{rule}, but there is none after one of them: leave that one out"
        raise ConfigError(f"{_flag(key)}: {why}")


def _flag(name: str) -> str:
    return "--" + (name if name == _HOSTS else name.removesuffix("s").replace("_", "-"))


def _joined(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Join headers of the same name (RFC 9110, section 5.3; for Cookie, RFC 6265, section 5.4)."""
    lines: dict[str, tuple[str, list[str]]] = {}
    for name, value in headers:
        lines.setdefault(name.lower(), (name, []))[1].append(value)
    return {
        name: ("; " if key == "cookie" else ", ").join(values)
        for key, (name, values) in lines.items()
    }
