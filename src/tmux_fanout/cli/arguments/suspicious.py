"""Settings that are accepted, and yet are probably not what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.config.tables import parse_auth, parse_endpoints
from tmux_fanout.core.http.auth import Signer
from tmux_fanout.core.merging.inheritance import sent_headers
from tmux_fanout.core.requests.advice.pasted import rewrite_literals
from tmux_fanout.core.requests.advice.rewriting import shown
from tmux_fanout.core.text import printable

_BARE_VARIABLE = re.compile(r"(?<![\w$\\])\$([A-Za-z_][A-Za-z0-9_]*)")
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")  # of a command, as in a shell
_CAT = re.compile(r"\s*(?:cat|<)\s*([^\s'\"|;&<>]+)\s*")
_NO_CREDENTIALS = re.compile(r"(Basic|Bearer|Token) *", re.IGNORECASE)


def warnings_about(api: Api, env: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each text in which a variable, a field, a file or a credential seems to be
    lost.

    Args:
        api: its settings, which are valid.
        env: the environment.
    """
    for key, text in _texts(api):
        where = f"API {api.name!r}: {key}"
        for name in dict.fromkeys(_BARE_VARIABLE.findall(text)):
            is_whole = text.strip() == f"${name}"
            # A password may well have a dollar in it.
            if (name in env or name.isupper()) and (is_whole or not key.startswith("auth")):
                yield f"{where}: ${name} is sent as it is: write ${{{name}}} for the variable"
        if found := _substitution(key, text):
            command, better = printable(found[0], 60), _reference(found[1])
            yield f"{where}: {command} is sent as it is: write {better}"
        if key.startswith("headers") and (scheme := _NO_CREDENTIALS.fullmatch(text)):
            yield f"{where}: nothing follows {scheme[1]}: an empty variable of the shell?"
    if api.body and (meant := rewrite_literals(api.body)):
        where = f"API {api.name!r}: body"
        yield f"{where}: {meant.reasons[0]} is sent as it is: write {shown(meant.text)}"
    is_form_with_files = api.body_format == "multipart" and api.files_root not in (None, ".")
    if is_form_with_files and "file(" not in (api.body or ""):
        where = f"API {api.name!r}: files_root"
        yield f"{where}: no file is sent: write file(path) in body for each, not path alone"


def _substitution(key: str, text: str) -> re.Match[str] | None:
    """Return the command of a shell in a header, or that is all of a credential."""
    if key.startswith("auth"):
        return _SUBSTITUTION.fullmatch(text.strip())
    return _SUBSTITUTION.search(text) if "headers" in key else None


def _reference(command: str) -> str:
    """Return the reference to what a command of a shell prints."""
    if file := _CAT.fullmatch(command):
        return f"${{file:{printable(file[1], 60)}}}"
    return f"${{cmd:{printable(command.strip(), 60)}}} in a configuration file"


def _texts(api: Api) -> Iterator[tuple[str, str]]:
    """Yield the keys and values in which `${VAR}` is expanded."""
    yield "url", api.url
    for key in ("proxy", "socket", "connect_to"):
        yield key, getattr(api, key) or ""
    for endpoint in parse_endpoints(api.endpoints):
        yield "endpoints", endpoint.url
        yield from (
            (f"endpoints.headers.{name}", text)
            for name, text in sent_headers(endpoint.headers).items()
        )
        yield from _of_auth("auth of an endpoint", endpoint.auth)
    yield from ((f"headers.{name}", text) for name, text in sent_headers(api.headers).items())
    yield from _of_auth("auth", api.auth and parse_auth(api.auth))


def _of_auth(key: str, auth: Any) -> Iterator[tuple[str, str]]:
    if isinstance(auth, msgspec.Struct):
        fields = auth.arguments if isinstance(auth, Signer) else msgspec.structs.asdict(auth)
        texts = fields.items()
        yield from ((f"{key}.{name}", text) for name, text in texts if isinstance(text, str))
