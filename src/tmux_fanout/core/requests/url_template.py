"""Request targets from records: URI Templates (RFC 6570).

Only path and query are expanded.  Scheme, host and port are fixed when the configuration is read,
and the target goes into the request line of a connection to that origin, so no record can reach
another host.  Nor can one reach another depth of the path: a simple expansion encodes `/`, and a
value that a server would take for a step up (`.`, `..`), or that leaves a segment empty, fails its
record.

A field that is missing or null is undefined, in the words of the RFC, and left out in a query
(`{?a,b}`, `{&a}`) and where its name ends in `?`.  Elsewhere it fails the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import uritemplate

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.requests.fields import as_text, find_optional, missing_field

_WORD = r"(?:\w|%[0-9A-Fa-f]{2})+"
_VARIABLE = rf"{_WORD}(?:[.-]{_WORD})*\??(?::[1-9]\d{{0,3}}|\*)?"
_QUERY = ("?", "&")
_EXPRESSION = re.compile(rf"\{{([+./;?&]?)({_VARIABLE}(?:,{_VARIABLE})*)\}}")


class UnsafeExpansion(ValueError):
    """A record's value would change the shape of the path; the text says how."""


class UrlTemplate:
    """Path and query of a URL, with expressions.

    Args:
        template: as in RFC 6570, without fragment expansion; variable names may be dotted paths,
            in which blanks and the like are percent-encoded, and end in `?`.

    Raises:
        ConfigError: the template is invalid.
    """

    def __init__(self, template: str) -> None:
        literal = _EXPRESSION.sub("", template)
        if "{" in literal or "}" in literal:
            why = "invalid URI template: use expressions such as {id} or {?lang}"
            raise ConfigError(why, key="url")
        expressions = _EXPRESSION.findall(template)
        plain = _EXPRESSION.sub(_unmarked, template)
        self._template = uritemplate.URITemplate(plain)
        path, query = re.split(r"(?=\{\?)", plain, maxsplit=1) if "{?" in plain else (plain, "")
        self._path, self._query = uritemplate.URITemplate(path), uritemplate.URITemplate(query)
        self._continues = "&" in query
        self._keys = tuple((name, unquote(name)) for name in self._template.variable_names)
        self._required = frozenset(
            name
            for operator, spec in expressions
            for name in _names(spec)
            if operator not in _QUERY and not name.endswith("?")
        )
        self._slashed = frozenset(
            name.removesuffix("?")
            for operator, spec in expressions
            for name in _names(spec)
            if operator == "+"
        )
        self._risky = len(_risky_segments(self._shape(name for name, _ in self._keys)))

    def __repr__(self) -> str:
        return f"<UrlTemplate: {', '.join(key for _, key in self._keys)}>"

    @property
    def names(self) -> Sequence[str]:
        """The names of its variables."""
        return [key for _, key in self._keys]

    def expand(self, record: Any) -> str:
        """Return the request target for a record.

        Raises:
            MissingField: the record lacks a field.
            UnsafeExpansion: a value would change the shape of the path.
        """
        values: dict[str, Any] = {}
        for name, key in self._keys:
            if (found := find_optional(record, key)) is not None:
                values[name] = _value(found, key)
            elif name in self._required:
                raise missing_field(record, key)
        if any(set("?#").intersection(str(values[name])) for name in self._slashed & values.keys()):
            raise UnsafeExpansion("url: the value of a {+...} expression contains ? or #")
        target = self._expand(values)
        if target and not target.startswith(("/", "?")):
            raise UnsafeExpansion("url: the path for this record does not begin with /")
        risky = _risky_segments(target)
        if len(risky) > self._risky and len(risky) > len(_risky_segments(self._shape(values))):
            # The rest of the target may hold a secret.
            raise UnsafeExpansion(f"url: the record would add a path segment {risky[-1]!r}")
        return target if target[:1] == "/" else "/" + target

    def _expand(self, values: dict[str, Any]) -> str:
        target: str = self._template.expand(values)
        if self._continues and "?" not in target:  # an empty {?...}, and then {&...} or &
            query = self._query.expand(values)
            target = self._path.expand(values) + re.sub("^&", "?", query)
        return target

    def _shape(self, names: Iterable[str]) -> str:
        """Return the target where only these variables are defined, as text without a slash."""
        return self._expand(dict.fromkeys(names, "x"))


def _names(spec: str) -> Iterator[str]:
    """Yield the names in the variables of an expression, without their modifiers."""
    for variable in spec.split(","):
        yield re.split(r"[:*]", variable)[0]


def _unmarked(expression: re.Match[str]) -> str:
    """Return an expression as in the RFC, which has no `?` after names."""
    operator, spec = expression.groups()
    return f"{{{operator}{spec.replace('?', '')}}}"


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
