"""Request targets from records: URI Templates (RFC 6570).

Only path and query are expanded.  Scheme, host and port are fixed when the configuration is read,
and the target goes into the request line of a connection to that origin, so no record can reach
another host.  Nor can one reach another depth of the path: a simple expansion encodes `/`, and a
value that a server would take for a step up (`.`, `..`), or that leaves a segment empty, fails its
record.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import uritemplate

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.requests.fields import as_text, find_field

_WORD = r"(?:\w|%[0-9A-Fa-f]{2})+"
_VARIABLE = rf"{_WORD}(?:[.-]{_WORD})*(?::[1-9]\d{{0,3}}|\*)?"
_EXPRESSION = re.compile(rf"\{{([+./;?&]?)({_VARIABLE}(?:,{_VARIABLE})*)\}}")


class UnsafeExpansion(ValueError):
    """A record's value would change the shape of the path; the text says how."""


class UrlTemplate:
    """Path and query of a URL, with expressions.

    Args:
        template: as in RFC 6570, without fragment expansion; variable names may be dotted paths,
            in which blanks and the like are percent-encoded.

    Raises:
        ConfigError: the template is invalid.
    """

    def __init__(self, template: str) -> None:
        literal = _EXPRESSION.sub("", template)
        if "{" in literal or "}" in literal:
            why = "invalid URI template: use expressions such as {id} or {?lang}"
            raise ConfigError(why, key="url")
        self._template = uritemplate.URITemplate(template)
        self._keys = tuple((name, unquote(name)) for name in self._template.variable_names)
        reserved = [spec for operator, spec in _EXPRESSION.findall(template) if operator == "+"]
        self._slashed = frozenset(re.split(r"[,:*]", ",".join(reserved)))
        shape = _EXPRESSION.sub(lambda m: "" if m[1] in ("?", "&") else "x", template)
        self._risky = len(_risky_segments(shape))

    def __repr__(self) -> str:
        return f"<UrlTemplate: {', '.join(key for _, key in self._keys)}>"

    def expand(self, record: Any) -> str:
        """Return the request target for a record.

        Raises:
            MissingField: the record lacks a field.
            UnsafeExpansion: a value would change the shape of the path.
        """
        values = {name: _value(find_field(record, key), key) for name, key in self._keys}
        if any(set("?#").intersection(str(values[name])) for name in self._slashed & values.keys()):
            raise UnsafeExpansion("url: the value of a {+...} expression contains ? or #")
        target = self._template.expand(values)
        if not target.startswith(("/", "?")):
            raise UnsafeExpansion("url: the path for this record does not begin with /")
        risky = _risky_segments(target)
        if len(risky) > self._risky:
            # The rest of the target may hold a secret.
            raise UnsafeExpansion(f"url: the record would add a path segment {risky[-1]!r}")
        return target if target[0] == "/" else "/" + target


def _value(value: Any, name: str) -> Any:
    """Return a variable's value in a form of RFC 6570: text, a list of text, or pairs."""
    if isinstance(value, list):
        return [as_text(item, name) for item in value if item is not None]
    if isinstance(value, dict):
        return {key: as_text(item, name) for key, item in value.items() if item is not None}
    return as_text(value, name)


def _risky_segments(target: str) -> list[str]:
    """Return the segments of the path that servers may remove: empty ones, `.` and `..`."""
    path = target.partition("?")[0].removeprefix("/")
    return [segment for segment in path.split("/") if _is_risky(unquote(segment))]


def _is_risky(segment: str) -> bool:
    """Whether a server may remove a segment: some decode slashes first, or cut at a `;`."""
    pieces = [piece.partition(";")[0] for piece in re.split(r"[/\\]", segment)]
    return segment == "" or any(piece in (".", "..") for piece in pieces)
