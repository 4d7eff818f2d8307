"""Bodies from templates: any value of JSON whose texts have fields, or one text.

    json = { messages = [{ role = "user", content = "Summarise: {text}" }], top = "{n}" }

A template is compiled to pieces of JSON, which are the same for all records, and to parts, each of
which becomes one value of JSON.  So no value of a record can add a member or end a text.  A text
that is one field alone becomes the value of that field, whatever its type; the member or item is
left out where such a field may be missing (`{n?}`), and is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.json_text import encode_json
from tmux_fanout.core.requests.templates.text import Parts, fill, find, is_field, split_text
from tmux_fanout.core.text import describe

_JSON = 'use values of JSON, such as { text = "{message}" }'


class BodyTemplate(Protocol):
    """What makes bodies of records."""

    @property
    def names(self) -> Iterable[str]:
        """The names of its fields; those that may be missing end in `?`."""

    def render(self, record: Any) -> bytes:
        """Return the body for a record.

        Raises:
            MissingField: the record lacks a field.
            UnicodeEncodeError: text has half a character, which only JSON can hold.
        """


class _Part(Protocol):
    """What becomes one value of JSON, or several."""

    @property
    def names(self) -> Iterable[str]: ...

    def render(self, record: Any) -> bytes: ...


class TextTemplate:
    """A body that is text.

    Args:
        text: with `{field}`.

    Raises:
        ConfigError: a brace is neither doubled nor that of a field.
    """

    def __init__(self, text: str) -> None:
        self._parts = split_text(text)

    def __repr__(self) -> str:
        return f"<TextTemplate: {', '.join(self.names)}>"

    @property
    def names(self) -> Iterable[str]:
        return self._parts[1::2]

    def render(self, record: Any) -> bytes:
        return fill(self._parts, record).encode()


class JsonTemplate:
    """A body that is JSON.

    Args:
        value: of JSON; each text in it may have `{field}`.

    Raises:
        ConfigError: JSON has no such value, or a brace is neither doubled nor that of a field; the
            error has the place in the value as its key.
    """

    def __init__(self, value: Any) -> None:
        try:
            self._pieces = _joined(_compile(value))
        except RecursionError:
            raise ConfigError("nested too deeply: use fewer tables within each other") from None

    def __repr__(self) -> str:
        return f"<JsonTemplate: {', '.join(self.names)}>"

    @property
    def names(self) -> Iterable[str]:
        return _names(self._pieces)

    def render(self, record: Any) -> bytes:
        return _render(self._pieces, record)


_Piece = bytes | _Part


def _render(pieces: Iterable[_Piece], record: Any) -> bytes:
    return b"".join(
        [piece if isinstance(piece, bytes) else piece.render(record) for piece in pieces]
    )


def _names(pieces: Iterable[_Piece]) -> list[str]:
    return [name for piece in pieces if not isinstance(piece, bytes) for name in piece.names]


class _Field:
    """A value that is one field of the record."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def names(self) -> Iterable[str]:
        return (self.name,)

    def render(self, record: Any) -> bytes:
        return encode_json(find(record, self.name))


class _Text:
    """A text with fields."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def names(self) -> Iterable[str]:
        return self._parts[1::2]

    def render(self, record: Any) -> bytes:
        return encode_json(fill(self._parts, record))


class _Members:
    """An object or a list of which members or items may be missing.

    Args:
        brackets: around it.
        members: key with its colon, or b"", and value; those that are an optional field are left
            out if the record lacks it.
    """

    def __init__(self, brackets: bytes, members: list[tuple[bytes, list[_Piece]]]) -> None:
        self._open, self._close = brackets[:1], brackets[1:]
        self._members = [(key, pieces, _optional(pieces)) for key, pieces in members]

    @property
    def names(self) -> Iterable[str]:
        return [name for _, pieces, _ in self._members for name in _names(pieces)]

    def render(self, record: Any) -> bytes:
        rendered = [
            key + _render(pieces, record)
            for key, pieces, optional in self._members
            if optional is None or find(record, optional) is not None
        ]
        return self._open + b",".join(rendered) + self._close


def _optional(pieces: list[_Piece]) -> str | None:
    """Return the name of the field that a value is, if that may be missing."""
    field = pieces[0] if len(pieces) == 1 else None
    return field.name if isinstance(field, _Field) and field.name.endswith("?") else None


def _compile(value: Any) -> list[_Piece]:
    if isinstance(value, str):
        parts = split_text(value)
        if len(parts) == 1:
            return [encode_json(parts[0])]
        return [_Field(parts[1]) if is_field(parts) else _Text(parts)]
    if isinstance(value, Mapping):
        members = [(_key(key), _at(str(key), item)) for key, item in value.items()]
        return _compound(b"{}", members)
    if isinstance(value, (list, tuple)):
        return _compound(b"[]", [(b"", _at(str(n), item)) for n, item in enumerate(value)])
    is_finite = isinstance(value, float) and math.isfinite(value)
    if value is None or isinstance(value, int) or is_finite:
        return [encode_json(value)]
    raise ConfigError(f"JSON has no {_kind(value)}: {_JSON}")


def _kind(value: Any) -> str:
    if isinstance(value, float):
        return f"number {value}"
    return f"date or time {value}" if hasattr(value, "isoformat") else describe(value)[2:]


def _key(key: Any) -> bytes:
    if not isinstance(key, str):
        raise ConfigError(f"invalid key {describe(key)}: use text")
    return encode_json(key) + b":"


def _at(key: str, value: Any) -> list[_Piece]:
    try:
        return _compile(value)
    except ConfigError as exc:
        raise exc.within(key) from None


def _compound(brackets: bytes, members: list[tuple[bytes, list[_Piece]]]) -> list[_Piece]:
    if any(_optional(pieces) for _, pieces in members):
        return [_Members(brackets, [(key, _joined(value)) for key, value in members])]
    pieces: list[_Piece] = []
    for key, value in members:
        pieces += [b"," + key if pieces else key, *value]
    return [brackets[:1], *pieces, brackets[1:]]


def _joined(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Join neighbours that are the same for all records."""
    return list(_join(pieces))


def _join(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    constant = b""
    for piece in pieces:
        if isinstance(piece, bytes):
            constant += piece
            continue
        if constant:
            yield constant
        constant = b""
        yield piece
    if constant:
        yield constant
