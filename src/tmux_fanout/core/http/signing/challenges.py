"""The challenges of a 401 (RFC 9110, section 11.6.1), and those of HTTP Digest among them.

A server lists challenges by its own preference, strongest first; the first that can be answered is
taken (RFC 7616, section 3.7).  Texts are decoded as Latin-1, so that they are hashed, and sent
back, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import algorithms_available
from typing import NamedTuple

import msgspec

from tmux_fanout.core.text import joined, printable

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|(?=,)|$)")
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))', re.DOTALL)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")  # RFC 9110, section 11.2
_GAP = re.compile(r"[ \t,]*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

_HASHES = {"md5": "md5", "sha-256": "sha256", "sha-512-256": "sha512_256"}
_SESSION = "-sess"


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge of HTTP Digest that can be answered (RFC 7616, section 3.3).

    Attributes:
        realm, nonce: to be sent back.
        opaque: to be sent back; None: there is none.
        algorithm: as it is written; None: there is none, which is MD5.
        hash_name: of the hash function in hashlib.
        is_session: whether the algorithm is one that makes a key for a session.
        qop: what is protected: the request line (`auth`), or the body as well (`auth-int`); None:
            the server has the older form without a counter (RFC 2069).
        stale: whether only the previous nonce was wrong, not the credentials.
        hides_user: whether the name of the user is hashed.
        is_utf8: whether it is said to be in UTF-8.
    """

    realm: str
    nonce: str
    opaque: str | None = None
    algorithm: str | None = None
    hash_name: str = "md5"
    is_session: bool = False
    qop: str | None = None
    stale: bool = False
    hides_user: bool = False
    is_utf8: bool = False

    def __repr__(self) -> str:
        return f"<Challenge {self.algorithm or 'MD5'}, {self.qop or 'no qop'}>"


class Unanswerable(NamedTuple):
    """Why none of the challenges can be answered, for a message."""

    why: str


def find_challenge(values: Sequence[bytes]) -> Challenge | Unanswerable:
    """Return the challenge to answer.

    Args:
        values: of the WWW-Authenticate headers of a 401.
    """
    schemes, reason = [], ""
    for scheme, params in _challenges(values):
        schemes.append(scheme)
        if scheme.lower() != "digest":
            continue
        found = _read(params)
        if isinstance(found, Challenge):
            return found
        reason = reason or found.why
    if reason:
        return Unanswerable(f"its challenge has {reason}")
    if schemes:
        asked = printable(joined(list(dict.fromkeys(schemes))), 60)
        return Unanswerable(f"it asks for {asked}, not Digest")
    return Unanswerable("it sends no challenge for Digest")


def find_next_nonce(value: bytes | None) -> str | None:
    """Return the nonce that an Authentication-Info header names for later requests, if any.

    See RFC 7616, section 3.5.
    """
    if value is None or b"nextnonce" not in value.lower():
        return None
    params, _ = _parameters(value.decode("latin-1"), 0)
    return params.get("nextnonce") or None


def _challenges(values: Sequence[bytes]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the challenges in order: their schemes, and their parameters."""
    for value in values:
        text = value.decode("latin-1")
        position = _skip(_GAP, text, 0)
        while scheme := _SCHEME.match(text, position):
            params, position = _parameters(text, _skip(_TOKEN68, text, scheme.end()))
            yield scheme[1], params


def _parameters(text: str, position: int) -> tuple[dict[str, str], int]:
    """Return the parameters from a position on, with names in lower case, and where they end."""
    params: dict[str, str] = {}
    position = _skip(_GAP, text, position)
    while found := _PARAMETER.match(text, position):
        params.setdefault(found[1].lower(), _value(found))
        position = _skip(_GAP, text, found.end())
    return params, position


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position


def _value(parameter: re.Match[str]) -> str:
    quoted = parameter[2]
    return parameter[3] if quoted is None else _ESCAPED.sub(r"\1", quoted)


def _read(params: dict[str, str]) -> Challenge | Unanswerable:
    for name in ("realm", "nonce"):
        if name not in params:
            return Unanswerable(f"no {name}")
    algorithm = params.get("algorithm")
    known = (algorithm or "MD5").lower()
    is_session = known.endswith(_SESSION)
    hash_name = _HASHES.get(known.removesuffix(_SESSION), "")
    if hash_name not in algorithms_available:
        return Unanswerable(f"the algorithm {printable(known, 40)}, which is not supported")
    offered = [word.strip().lower() for word in params.get("qop", "").split(",") if word.strip()]
    qop = next((each for each in ("auth", "auth-int") if each in offered), None)
    if offered and qop is None:
        return Unanswerable(f"the qop {printable(offered[0], 40)}, which is not supported")
    if is_session and qop is None:
        return Unanswerable(f"the algorithm {printable(known, 40)} without a qop")
    return Challenge(
        realm=params["realm"],
        nonce=params["nonce"],
        opaque=params.get("opaque"),
        algorithm=algorithm,
        hash_name=hash_name,
        is_session=is_session,
        qop=qop,
        stale=params.get("stale", "").lower() == "true",
        hides_user=params.get("userhash", "").lower() == "true",
        is_utf8=params.get("charset", "").lower() == "utf-8",
    )
