"""The replies of the embedded APIs.

Three APIs accept log records, with any method:

    /fast    the number of words in the message, at once
    /slow    the first words of the message, after 50 to 250 ms
    /flaky   the severity of the level (RFC 5424); about every fifth body first gets a 503 with
             Retry-After: 1

Three more form a text API, which accepts {"text": ...} and needs an `apikey` header of any value:

    /summarize             the first words
    /ner                   names
    /most_common_phrases   words that occur more than once

Replies depend only on the request, never on chance, so that every demo is the same.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

NAMES = ("fast", "slow", "flaky")

_MIN_DELAY, _MAX_DELAY = 50, 250  # milliseconds
_REFUSED_ONE_IN = 5
_RETRY_AFTER = 1
_SEVERITIES = {"error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}
_SUMMARY_WORDS = 4


class Request(NamedTuple):
    """A request; `key` is the value of its `apikey` header."""

    method: bytes
    target: bytes
    body: bytes
    keep_alive: bool
    key: bytes = b""


class Reply(NamedTuple):
    """A response; `delay` is the time before it, in seconds."""

    status: HTTPStatus
    value: dict[str, Any]
    delay: float = 0.0
    headers: str = ""


class Apis:
    """Decides on replies.

    A body is refused at most once a minute, so that a call with default settings always succeeds,
    and refusals are forgotten after that, so that memory stays bounded.
    """

    _MEMORY = 60.0

    def __init__(self) -> None:
        self._refused: dict[int, float] = {}  # times by checksum of the request, oldest first

    def __repr__(self) -> str:
        return f"<Apis: {len(self._refused)} requests refused recently>"

    def answer(self, request: Request, now: float) -> Reply:
        """Return the reply to a request at the time `now`, in seconds."""
        path = request.target.partition(b"?")[0]
        seed = zlib.crc32(request.target + request.body)
        level, text = _read(request.body)
        if path == b"/fast":
            return Reply(HTTPStatus.OK, {"words": len(text.split())})
        if path == b"/slow":
            delay = _MIN_DELAY + seed % (_MAX_DELAY - _MIN_DELAY + 1)
            return Reply(HTTPStatus.OK, {"summary": _summary(text)}, delay / 1000)
        if path == b"/flaky":
            return self._flaky(seed, level, now)
        if path in _TEXT_APIS:
            return _text_api(path, request.key, text)
        return Reply(HTTPStatus.NOT_FOUND, {"error": f"no API here; there are {', '.join(NAMES)}"})

    def _flaky(self, seed: int, level: str, now: float) -> Reply:
        if seed % _REFUSED_ONE_IN == 0 and self._refuse(seed, now):
            value, header = {"error": "try again later"}, f"Retry-After: {_RETRY_AFTER}\r\n"
            return Reply(HTTPStatus.SERVICE_UNAVAILABLE, value, headers=header)
        return Reply(HTTPStatus.OK, {"severity": _SEVERITIES.get(level, 6)})

    def _refuse(self, seed: int, now: float) -> bool:
        while self._refused and next(iter(self._refused.values())) <= now - self._MEMORY:
            del self._refused[next(iter(self._refused))]
        return self._refused.setdefault(seed, now) == now


def _read(body: bytes) -> tuple[str, str]:
    """Return level and message of a log record; any other body is itself the message."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    fields = value if isinstance(value, dict) else {"message": value}
    message, level = fields.get("message", fields.get("text")), fields.get("level", "")
    if isinstance(message, str) and isinstance(level, str):
        return level, message
    return "", body.decode(errors="replace")


def _summary(text: str) -> str:
    words = text.split()
    return " ".join(words[:_SUMMARY_WORDS]) + (" ..." if len(words) > _SUMMARY_WORDS else "")


def _text_api(path: bytes, key: bytes, text: str) -> Reply:
    if not key:
        return Reply(HTTPStatus.UNAUTHORIZED, {"error": "no apikey header"})
    return Reply(HTTPStatus.OK, _TEXT_APIS[path](text))


def _entities(text: str) -> list[str]:
    """Return capitalised words, except the first, which always is."""
    return [word.strip(".,") for word in text.split()[1:] if word[:1].isupper()]


def _common(text: str) -> list[str]:
    """Return words that occur more than once, most frequent first."""
    counts = Counter(word.strip(".,").lower() for word in text.split())
    return [word for word, count in counts.most_common() if count > 1]


_TEXT_APIS: dict[bytes, Callable[[str], dict[str, Any]]] = {
    b"/summarize": lambda text: {"summary": _summary(text)},
    b"/ner": lambda text: {"entities": _entities(text)},
    b"/most_common_phrases": lambda text: {"phrases": _common(text)},
}
