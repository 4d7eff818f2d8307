"""JMESPath's functions, for numbers that keep their spelling, and some more.

A function that moves numbers (`max`, `sort`, `values`) returns them as they are spelled; one that
computes returns an `int` or a `float`.  What it computes must be a number that JSON can hold:
JSON has no infinity, and Python writes no integer of more than 4,300 digits.

`lower`, `split` and `trim` are those of JEP 14; the others that the specification does not have are
our own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from jmespath import functions

from tmux_fanout.core.json_text import (
    JSONNumber,
    NotJSON,
    check_record,
    decode_spelled,
    encode_json,
)
from tmux_fanout.core.requests.fields import kind_of
from tmux_fanout.core.text import describe, nearest
from tmux_fanout.core.uploads.form import NamedFile

_OF_FILES = ("path", "type", "filename")
_TOO_LARGE = 10**4300
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")  # RFC 8259, section 6


class Functions(functions.Functions):  # type: ignore[misc]  # jmespath has no types
    """The functions of one expression.

    Attributes:
        time: what `now()` returns, in seconds since 1970.
    """

    time = 0.0

    def call_function(self, function_name: str, resolved_args: list[Any]) -> Any:
        """Call a function by its name.

        Raises:
            ArithmeticError: the result is a number that JSON cannot hold.
        """
        result = super().call_function(function_name, resolved_args)
        if _is_past_json(result):
            raise ArithmeticError(f"{function_name}(): the result is too large for a number")
        return result

    def _get_allowed_pytypes(self, types: list[str]) -> tuple[list[str], list[tuple[str, ...]]]:
        names, elements = super()._get_allowed_pytypes(types)
        return _with_spelled(names), [tuple(_with_spelled(list(each))) for each in elements]

    def _convert_to_jmespath_type(self, pyobject: str) -> str:
        type_name: str = super()._convert_to_jmespath_type(
            "float" if pyobject == JSONNumber.__name__ else pyobject
        )
        return type_name

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_string(self, arg: Any) -> str:
        _check_has_text("to_string", arg)
        return arg if isinstance(arg, str) else _NOT_ASCII.sub(_escape, encode_json(arg).decode())

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_number(self, arg: Any) -> int | float | None:
        if isinstance(arg, str) and _NUMBER.fullmatch(arg):
            return decode_spelled(arg.encode())  # type: ignore[no-any-return]  # a number
        number: int | float | None = super()._func_to_number(arg)
        return None if _is_past_json(number) else number

    @functions.signature({"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_from_json(self, text: str) -> Any:
        try:
            json = text.encode()
            check_record(json)
        except (NotJSON, UnicodeEncodeError) as exc:
            raise ValueError(f"from_json(): the text is not JSON: {exc}") from None
        return decode_spelled(json)

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_json(self, value: Any) -> str:
        _check_has_text("to_json", value)
        return encode_json(value).decode()

    @functions.signature({"types": ["string"]}, {"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_split(self, text: str, separator: str) -> list[str]:
        return text.split(separator) if separator else list(text)

    @functions.signature({"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_trim(self, text: str) -> str:
        return text.strip()

    @functions.signature({"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_lower(self, text: str) -> str:
        return text.lower()

    @functions.signature({"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_base64(self, text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    @functions.signature({"types": ["string"]})  # type: ignore[untyped-decorator]
    def _func_sha256(self, text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    @functions.signature({"types": ["string", "object", "null"]})  # type: ignore[untyped-decorator]
    def _func_file(self, named: Any) -> NamedFile | None:
        if named is None or isinstance(named, str):
            return None if named is None else NamedFile(named)
        unknown = next((key for key in named if key not in _OF_FILES), None)
        if unknown is not None:
            raise ValueError(
                f"file(): unknown key {describe(unknown)}: {nearest(unknown, _OF_FILES)}"
            )
        if named.get("path") is None:
            raise ValueError("file(): no path: use file(path) or file({path: path, type: type})")
        for key, text in named.items():
            if text is not None and not isinstance(text, str):
                raise ValueError(f"file(): {key} is {kind_of(text)}, not text")
        return NamedFile(named["path"], named.get("type"), named.get("filename"))

    @functions.signature()  # type: ignore[untyped-decorator]
    def _func_now(self) -> str:
        moment = datetime.fromtimestamp(self.time, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _check_has_text(function: str, value: Any) -> None:
    if isinstance(value, NamedFile):
        why = "the content of a file is not text: give the field file(path) alone"
        raise ValueError(f"{function}() takes values of JSON, not a file: {why}")


def _with_spelled(names: list[str]) -> list[str]:
    return [*names, JSONNumber.__name__] if "float" in names else names


def _is_past_json(value: Any) -> bool:
    """Return whether a computed value is a number that JSON text cannot hold."""
    if type(value) is float:
        return not math.isfinite(value)
    return type(value) is int and abs(value) >= _TOO_LARGE


def _escape(character: re.Match[str]) -> str:
    return json.dumps(character[0])[1:-1]
