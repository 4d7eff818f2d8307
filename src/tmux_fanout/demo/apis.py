"""What the embedded APIs answer.

Three of them take log records; they take any method:

    /fast    how many words the message has, at once
    /slow    the first words of the message, after 50 to 250 ms
    /flaky   the severity of the level (RFC 5424); for about every fifth body the first answer is
             503 with Retry-After: 1

Three more make up a text API, which takes {"text": ...} and wants an `apikey` header, of any value:

    /summarize             the first words
    /ner                   names
    /most_common_phrases   words that come more than once

Everything depends on the request alone, never on chance, so a demo goes the same way each time.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

NAMES = ("fast", "slow", "flaky")

_SHORTEST_DELAY, _LONGEST_DELAY = 50, 250  # milliseconds
_REFUSED_IN = 5
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
    """What to answer, and after how many seconds."""

    status: HTTPStatus
    value: dict[str, Any]
    delay: float = 0.0
    headers: str = ""


class Apis:
    """Decides what to answer.  A body is refused once a minute at most: a call with the default
    timeout is never refused three times, and what is remembered stays bounded.
    """

    _MEMORY = 60.0

    def __init__(self) -> None:
        self._refused: dict[int, float] = {}  # when, by checksum of the request; oldest first

    def __repr__(self) -> str:
        return f"<Apis: {len(self._refused)} requests refused of late>"

    def answer(self, request: Request, now: float) -> Reply:
        """The reply to a request at the time `now`, in seconds."""
        path = request.target.partition(b"?")[0]
        seed = zlib.crc32(request.target + request.body)
        level, text = _read(request.body)
        if path == b"/fast":
            return Reply(HTTPStatus.OK, {"words": len(text.split())})
        if path == b"/slow":
            delay = _SHORTEST_DELAY + seed % (_LONGEST_DELAY - _SHORTEST_DELAY + 1)
            return Reply(HTTPStatus.OK, {"summary": _summary(text)}, delay / 1000)
        if path == b"/flaky":
            return self._flaky(seed, level, now)
        if path in _TEXT_APIS:
            return _text_api(path, request.key, text)
        return Reply(HTTPStatus.NOT_FOUND, {"error": f"no API here; there are {', '.join(NAMES)}"})

    def _flaky(self, seed: int, level: str, now: float) -> Reply:
        if seed % _REFUSED_IN == 0 and self._refuse(seed, now):
            value, header = {"error": "try again later"}, f"Retry-After: {_RETRY_AFTER}\r\n"
            return Reply(HTTPStatus.SERVICE_UNAVAILABLE, value, headers=header)
        return Reply(HTTPStatus.OK, {"severity": _SEVERITIES.get(level, 6)})

    def _refuse(self, seed: int, now: float) -> bool:
        while self._refused and next(iter(self._refused.values())) <= now - self._MEMORY:
            del self._refused[next(iter(self._refused))]
        return self._refused.setdefault(seed, now) == now


def _read(body: bytes) -> tuple[str, str]:
    """Level and message of a log record; a text, or anything else, is a message itself."""
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
    """The words with a capital, but for the first, which has one anyway."""
    return [word.strip(".,") for word in text.split()[1:] if word[:1].isupper()]


def _common(text: str) -> list[str]:
    """The words that come more than once, the most frequent first."""
    counts = Counter(word.strip(".,").lower() for word in text.split())
    return [word for word, count in counts.most_common() if count > 1]


_TEXT_APIS: dict[bytes, Callable[[str], dict[str, Any]]] = {
    b"/summarize": lambda text: {"summary": _summary(text)},
    b"/ner": lambda text: {"entities": _entities(text)},
    b"/most_common_phrases": lambda text: {"phrases": _common(text)},
}
