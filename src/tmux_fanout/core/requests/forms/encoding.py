"""From an object to a form."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from tmux_fanout.core.json_text import encode_json
from tmux_fanout.core.requests.fields import as_text
from tmux_fanout.core.text import describe, printable
from tmux_fanout.core.uploads.form import (
    Field,
    File,
    NamedFile,
    UnsafePath,
    Upload,
    guess_type,
    steps_of,
)

_JSON = "application/json"
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:\s*;[\x20-\x7e]*)?", re.ASCII)


class Unsendable(ValueError):
    """A value that cannot be sent where the settings put it."""


def encode_form(value: Any) -> bytes:
    """Encode an object as a form (WHATWG URL, section 5.2); a list repeats its key."""
    if not isinstance(value, dict):
        raise Unsendable(
            "body_format form: the body is not an object: use one such as {q: message}"
        )
    pairs = [
        (key, as_text(item, key))
        for key, found in value.items()
        for item in (found if isinstance(found, list) else [found])
        if item is not None
    ]
    return urlencode(pairs).encode()


def make_upload(value: Any, root: str) -> Upload:
    """Return an object as a form with a part for each member; a list repeats its key.

    A member that is null is left out, and one that is an object is sent as JSON.

    Args:
        value: what an expression gives; files in it are those of `file()`.
        root: path of the folder that they are in.

    Raises:
        Unsendable: it is no object, or names a file by a path that may lead out of the folder.
        UnsuitableField: a value is neither text, a number, an object nor a file.
    """
    if not isinstance(value, dict):
        example = "{file: file(@)}" if isinstance(value, str) else "{file: file(path)}"
        raise Unsendable(
            f"body_format multipart: the body is not an object: use one such as {example}"
        )
    return Upload(
        [
            _part(key, item, root)
            for key, found in value.items()
            for item in (found if isinstance(found, list) else [found])
            if item is not None
        ],
        root,
    )


def _part(name: str, value: Any, root: str) -> Field | File:
    name.encode()  # half a character cannot be sent
    if isinstance(value, NamedFile):
        return _file(name, value, root)
    if not isinstance(value, (dict, list)):
        return Field(name, as_text(value, name).encode())
    try:
        return Field(name, encode_json(value), _JSON)
    except TypeError:  # not even msgspec knows it, as it is a file
        why = "file() within an object or list: put it at the top, as in {file: file(path)}"
        raise Unsendable(f"body: field {printable(name)}: {why}") from None


def _file(name: str, file: NamedFile, root: str) -> File:
    try:
        steps = steps_of(file.path, root)
    except UnsafePath as exc:
        raise Unsendable(f"{name_file(name, file.path)}: {exc}") from None
    filename = steps[-1] if file.filename is None else file.filename
    for text in (file.path, filename):
        text.encode()
    if file.type is not None and not _MEDIA_TYPE.fullmatch(file.type):
        why = f"invalid type {describe(file.type)}: use one such as application/pdf"
        raise Unsendable(f"{name_file(name, file.path)}: {why}")
    return File(name, file.path, steps, file.type or guess_type(filename), filename)


def name_file(field: str, path: str) -> str:
    """Return how a message begins that is about a file."""
    return f"body: field {printable(field)}: file {describe(path)}"
