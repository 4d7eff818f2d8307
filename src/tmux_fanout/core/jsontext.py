"""JSON as bytes that pass through: validated, never rebuilt.

Decoding a record and encoding it again would cost time and change it (the spelling of numbers,
the order of keys, duplicates).  msgspec walks the text once; `Raw` keeps the bytes.  It takes the
inside of strings on trust, so the encoding is checked apart.
"""

from __future__ import annotations

import base64
import json
import re
from itertools import accumulate
from typing import Any

import msgspec

MOST_LEVELS = 500  # of nesting in a record

_decode = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

# What could steer a terminal: C0 and DEL, C1, and the bidirectional controls (Unicode UAX #9).
_STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class NotJSON(ValueError):
    """The bytes are not one JSON value (RFC 8259)."""


def check_json(text: bytes) -> None:
    """Return if `text` is one JSON value in UTF-8.

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
        raise NotJSON(str(exc).removeprefix("JSON is malformed: ")) from exc
    except RecursionError as exc:
        raise NotJSON("it is nested too deep") from exc
    except UnicodeDecodeError as exc:
        raise NotJSON(f"it is not UTF-8: {exc.reason} at byte {exc.start}") from exc


def decode_json(text: bytes) -> Any:
    """The Python value of JSON text that `check_json` has passed.

    Numbers out of the range of Python's become infinite floats.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text.decode(), parse_int=_integer)


def check_record(text: bytes) -> None:
    """Return if `text` is one JSON value in UTF-8, with at most `MOST_LEVELS`.

    A parser's own limit depends on how deep the stack is already, so that a record would be one in
    one run, and none in the next or for `verify`.

    Raises:
        NotJSON: it is not; the message says why.
    """
    if len(text) > 2 * MOST_LEVELS and _has_levels_past_the_most(text):
        raise NotJSON("it is nested too deep")
    check_json(text)


def _has_levels_past_the_most(text: bytes) -> bool:
    if text.count(b"[") + text.count(b"{") <= MOST_LEVELS:
        return False
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    return any(level > MOST_LEVELS for level in accumulate(map(_STEP.__getitem__, brackets)))


def _has_lone_surrogate(text: bytes) -> bool:
    """Whether text that msgspec refuses is JSON all the same: RFC 8259 allows `"\\ud800"`."""
    if b"\\ud" not in text and b"\\uD" not in text:
        return False
    try:
        json.loads(text.decode(), parse_int=_integer, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # more digits than int() takes
        return float(digits)


def encode_text(text: str) -> bytes:
    """`text` as a JSON string."""
    return _encode(text)


class Body(msgspec.Struct, frozen=True, gc=False):
    """A response body as it stands in a line of output: JSON text, and how it was encoded."""

    json: bytes
    encoding: str | None = None


def embed(body: bytes) -> Body:
    """A response body as a JSON value on one line.

    JSON stays as it is but for line breaks, which can only stand between its tokens; other UTF-8
    text becomes a string; anything else base64.
    """
    try:
        check_json(body)
    except NotJSON:
        try:
            return Body(encode_text(body.decode()))
        except UnicodeDecodeError:
            return Body(b'"' + base64.b64encode(body) + b'"', "base64")
    return Body(body.translate(None, b"\r\n") if b"\n" in body or b"\r" in body else body)


def harmless(line: bytes) -> bytes:
    """A line of JSON in which nothing can steer a terminal, with the same value.

    Inside strings such characters become `\\u` escapes; outside strings JSON allows of them only
    white space, which becomes blanks, but for the line break at the end.
    """
    spaced = line.translate(bytes.maketrans(b"\t\r", b"  "))
    return _STEERING.sub(lambda m: f"\\u{ord(m[0]):04x}", spaced.decode()).encode()
