"""JSON as bytes that pass through: validated, never rebuilt.

Decoding a record and encoding it again would cost time and change it (the spelling of numbers,
the order of keys, duplicates).  msgspec walks the text once; `Raw` keeps the bytes.  msgspec does
not check the encoding inside strings, so that is checked separately.

Where an expression or a template needs values, `decode_spelled` keeps each number's spelling
(`JSONNumber`), and `encode_json` writes it back.  msgspec is the fast path for both; the standard
library's `json` accepts what msgspec rejects: lone surrogates, and numbers beyond a double or with
more digits than `int` accepts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import accumulate
from math import isfinite, isinf
from typing import Any

import msgspec

MAX_LEVELS = 500  # of nesting in a record


class JSONNumber(float):
    """A number that keeps its spelling: it computes as a float and is written as it was read.

    Attributes:
        text: the spelling.  The value is infinite where a double cannot hold it.
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> JSONNumber:
        number = super().__new__(cls, text)
        number.text = text
        return number


def _write_number(value: Any) -> msgspec.Raw:
    if isinstance(value, JSONNumber):
        return msgspec.Raw(value.text.encode())
    kind = type(value).__name__
    raise TypeError(f"it has no form for a value of type {kind!r}: convert that first")


_decode = msgspec.json.Decoder(msgspec.Raw).decode
_decode_spelled = msgspec.json.Decoder(float_hook=JSONNumber).decode
_encode = msgspec.json.Encoder(enc_hook=_write_number).encode

_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_find_value = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode

_SPACE = re.compile(r"[ \t\n\r]*")
_MINUS_ZERO = re.compile(rb"-0(?:[\s,\]}]|\Z)")  # which msgspec decodes as 0

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

# What could steer a terminal: C0 and DEL, C1, and the bidirectional controls (Unicode UAX #9).
_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")


class NotJSON(ValueError):
    """The bytes are not one JSON value (RFC 8259)."""


def check_json(text: bytes) -> None:
    """Check that `text` is one JSON value in UTF-8.

    Raises:
        NotJSON: it is not; the message says why.
    """
    try:
        _decode(text)
        if not text.isascii():
            text.decode()
    except msgspec.DecodeError as exc:
        if _has_lone_surrogate(text):
            return
        why = str(exc).removeprefix("JSON is malformed: ")
        raise NotJSON("it ends too early" if "truncated" in why else why) from exc
    except RecursionError as exc:
        raise NotJSON("it is nested too deeply") from exc
    except UnicodeDecodeError as exc:
        raise NotJSON(f"it is not UTF-8: {exc.reason} at byte {exc.start}") from exc


def decode_json(text: bytes) -> Any:
    """Return the Python value of JSON text that `check_json` accepts.

    A number that neither `int` nor `float` can hold becomes a `JSONNumber`.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError):
        return json.loads(text.decode(), parse_int=_integer, parse_float=_float)


def decode_spelled(text: bytes) -> Any:
    """Return the value of JSON text that `check_json` accepts, with numbers as spelled.

    Integers are plain `int`, which has one spelling, except `-0` and those that `int` rejects.
    """
    if not _MINUS_ZERO.search(text):
        try:
            return _decode_spelled(text)
        except (msgspec.DecodeError, ValueError):
            pass  # a lone surrogate, or an integer with too many digits
    return json.loads(text.decode(), parse_int=_spelled_integer, parse_float=JSONNumber)


def encode_json(value: Any) -> bytes:
    """Encode a value as JSON, with numbers as spelled and lone surrogates as escapes.

    Raises:
        ValueError: an integer has more digits than Python writes.
        RecursionError: the value is nested too deeply.
    """
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return spell_json(value).encode()


def encode_value(value: Any) -> bytes:
    """Encode a value of Python as JSON.

    Raises:
        NotJSON: it holds what JSON does not have, such as `nan`, which msgspec would turn into
            null; the message says what.
    """
    try:
        text = encode_json(value)
    except RecursionError as exc:
        raise NotJSON("it is nested too deeply") from exc
    except (TypeError, ValueError, msgspec.MsgspecError) as exc:
        is_long = "digits" in str(exc)  # of int()
        raise NotJSON("a number has too many digits" if is_long else str(exc)) from exc
    if b"null" in text:
        stack = [msgspec.to_builtins(value, enc_hook=str)]
        while stack:
            item = stack.pop()
            if isinstance(item, dict):
                stack += item.values()
            elif isinstance(item, (list, tuple)):
                stack += item
            elif isinstance(item, float) and not isfinite(item):
                raise NotJSON(f"it has no number {item}")
    return text


def spell_json(value: Any) -> str:
    """Encode any value as JSON in ASCII, more slowly than `encode_json`."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(k)}:{spell_json(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(spell_json, value))}]"
    return value.text if isinstance(value, JSONNumber) else json.dumps(value, allow_nan=False)


def check_record(text: bytes) -> None:
    """Check that `text` is one JSON value in UTF-8, nested in at most `MAX_LEVELS`.

    A parser's own limit depends on the depth of the stack, so that a record could be valid in one
    run, and invalid in the next or for `verify`.

    Raises:
        NotJSON: it is not; the message says why.
    """
    if len(text) > 2 * MAX_LEVELS and _is_too_deep(text):
        raise NotJSON("it is nested too deeply")
    check_json(text)


def _is_too_deep(text: bytes) -> bool:
    if text.count(b"[") + text.count(b"{") <= MAX_LEVELS:
        return False
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    return any(level > MAX_LEVELS for level in accumulate(map(_STEP.__getitem__, brackets)))


def _has_lone_surrogate(text: bytes) -> bool:
    """Whether text that msgspec rejects is JSON with a lone surrogate, as in `"\\ud800"`.

    RFC 8259, section 8.2, allows it.
    """
    if b"\\ud" not in text and b"\\uD" not in text:
        return False
    try:
        json.loads(text.decode(), parse_int=_integer, parse_constant=_reject)
    except (ValueError, RecursionError):
        return False
    return True


def _reject(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _integer(digits: str) -> int | JSONNumber:
    try:
        return int(digits)
    except ValueError:  # more digits than int() accepts
        return JSONNumber(digits)


def _spelled_integer(digits: str) -> int | JSONNumber:
    return JSONNumber(digits) if digits == "-0" else _integer(digits)


def _float(text: str) -> float:
    number = JSONNumber(text)
    return number if isinf(number) else float(number)


def split_object(text: bytes) -> dict[str, bytes] | None:
    """Return the members of a JSON object, each value as it is spelled; None for other values.

    Args:
        text: JSON that `check_json` accepts.
    """
    if not text.lstrip().startswith(b"{"):
        return None
    try:
        return {key: bytes(value) for key, value in _decode_members(text).items()}
    except msgspec.DecodeError:  # a lone surrogate
        whole = text.decode()
        return {
            _find_value(whole, start)[0]: _after_colon(whole[start:end])
            for start, end in _scan(whole, _end_of_member)
        }


def split_list(text: bytes) -> list[bytes] | None:
    """Return the items of a JSON array as they are spelled; None for other values.

    Args:
        text: JSON that `check_json` accepts.
    """
    if not text.lstrip().startswith(b"["):
        return None
    try:
        return list(map(bytes, _decode_items(text)))
    except msgspec.DecodeError:  # a lone surrogate
        whole = text.decode()
        return [whole[start:end].encode() for start, end in _scan(whole, _end_of_value)]


def _scan(text: str, end_of: Callable[[str, int], int]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each member of an object, or item of an array."""
    at = _skip_space(text, _skip_space(text, 0) + 1)
    while text[at] not in "]}":
        end = end_of(text, at)
        yield at, end
        at = _skip_space(text, end)
        if text[at] == ",":
            at = _skip_space(text, at + 1)


def _end_of_value(text: str, start: int) -> int:
    return _find_value(text, start)[1]


def _end_of_member(text: str, start: int) -> int:
    colon = _skip_space(text, _end_of_value(text, start))
    return _end_of_value(text, _skip_space(text, colon + 1))


def _after_colon(member: str) -> bytes:
    colon = _skip_space(member, _end_of_value(member, 0))
    return member[_skip_space(member, colon + 1) :].encode()


def _skip_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def encode_text(text: str) -> bytes:
    """Encode `text` as a JSON string."""
    return encode_json(text)


class Body(msgspec.Struct, frozen=True, gc=False):
    """A response body as JSON text for a line of output, and the encoding of its string."""

    json: bytes
    encoding: str | None = None


def harmless_row(row: bytes, *, in_ascii: bool = False) -> bytes:
    """Return a row of a table with terminal control characters, except for tabs, as escapes.

    Args:
        row: in UTF-8.
        in_ascii: as for `harmless`.
    """
    text = _STEERING.sub(lambda m: m[0] if m[0] == "\t" else _escape(m), row.decode())
    return (_BEYOND_ASCII.sub(_escape, text) if in_ascii else text).encode()


def harmless(line: bytes, *, in_ascii: bool = False) -> bytes:
    """Return a line of JSON with the same value, with terminal control characters escaped.

    Inside strings such characters become `\\u` escapes.  Outside strings they can only be white
    space, which becomes spaces, except for the line break at the end.

    Args:
        line: in UTF-8.
        in_ascii: whether to escape all that is not ASCII, for terminals that do not know UTF-8: the
            bytes of a letter may be control characters to them.
    """
    spaced = line.translate(bytes.maketrans(b"\t\r", b"  "))
    text = _STEERING.sub(_escape, spaced.decode())
    return (_BEYOND_ASCII.sub(_escape, text) if in_ascii else text).encode()


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
