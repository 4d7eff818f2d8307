"""Answers that are kept on disk (`cache`): which are, under which key, and in which form.

What is kept is the response, not what an API selects of it, so `select` may change.  A key is the
digest of all that an answer depends on: the request with its credentials, and the settings that
say which answers are ok, or make several requests of a call.  It is salted, so that nobody who gets
hold of a file can look for tokens in it.

These caches are asked for, last as long as they are told to, and serve one user only.  So of the
rules for HTTP caches (RFC 9111) just one is kept: an answer with `Cache-Control: no-store` is not
stored (section 5.2.2.5).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

import msgspec

from tmux_fanout.core.http.auth import Digest, OAuth2, SentAuth
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.requests.builder import RequestBuilder
from tmux_fanout.core.requests.reuse.identity import Identity

MAX_SIZE = "1GiB"
_MAX_SHARE = 0.25  # of the size of a cache, that one answer may have
_NO_PART = frozenset({"user-agent", "accept-encoding"})
_SET_COOKIE = b"set-cookie"


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A cache, as it is written.

    Attributes:
        dir: folder of the file.
        ttl: for how long an answer is used.
        max_size: maximum size of all answers.
    """

    dir: str
    ttl: float | str
    max_size: int | str = MAX_SIZE


class CachePlan(msgspec.Struct, frozen=True, kw_only=True):
    """The cache of one API.

    Attributes:
        dir: folder of the file, with its variables filled in.
        shown: the same, for messages.
        ttl: seconds for which an answer is used.
        max_size: maximum bytes of all answers.
        context: the settings that an answer depends on, beside the request.
    """

    dir: str
    shown: str
    ttl: float
    max_size: int
    context: bytes


class CacheKeys:
    """Makes the keys of one API's answers.

    Args:
        plan: of the cache.
        requests: builds the requests.
        salt: of the file.
    """

    def __init__(self, plan: CachePlan, requests: RequestBuilder, salt: bytes) -> None:
        self._identity = Identity(requests, _NO_PART)
        self._start = sha256(salt)
        self._start.update(b"%d:%b" % (len(plan.context), plan.context))
        # A variable of the environment may be no valid UTF-8, which msgspec does not encode.
        self._start.update(
            json.dumps(_client(requests.auth), default=_kind, skipkeys=True).encode()
        )

    def __repr__(self) -> str:
        return f"<CacheKeys: {self._identity!r}>"

    def key_of(self, request: Request) -> bytes:
        """Return the key of the answer to a request."""
        key = self._start.copy()
        key.update(self._identity.of(request))
        return key.digest()


def _client(auth: SentAuth | None) -> object:
    """Return whose requests carry these credentials, as far as settings tell."""
    if isinstance(auth, OAuth2):
        return auth.token_url, auth.client_id, auth.scope
    if isinstance(auth, Digest):
        return "digest", auth.user
    return auth and ("call", auth.name, auth.arguments)


def _kind(value: object) -> str:
    """Return what tells apart the objects that a program gives to its function."""
    return value.hex() if isinstance(value, bytes) else type(value).__qualname__


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


def forbids_storing(response: Response) -> bool:
    """Return whether a response asks not to be stored."""
    return any(
        directive.strip().lower() == b"no-store"
        for name, value in response.headers
        if name == b"cache-control"
        for directive in value.split(b",")
    )


def pack(response: Response, capture: tuple[str, ...], max_size: int) -> bytes | None:
    """Return a response as it is kept; None if it is too large for the cache.

    Args:
        response: the response.
        capture: names of headers that outcomes have; cookies are kept only if they are among them.
        max_size: of the cache, in bytes.
    """
    keeps_cookies = "set-cookie" in capture
    headers = [each for each in response.headers if keeps_cookies or each[0] != _SET_COOKIE]
    packed = _encode(_Kept(response.status, headers, response.body))
    return packed if len(packed) <= max_size * _MAX_SHARE else None


def unpack(packed: bytes) -> Response | None:
    """Return a response that was kept; None if it is damaged."""
    try:
        kept = _decode(packed)
    except msgspec.MsgspecError:
        return None
    return Response(kept.status, kept.headers, kept.body, 0)


def context_of(settings: Mapping[str, object]) -> bytes:
    """Return settings that answers depend on as bytes; those that are not used are left out."""
    return msgspec.json.encode(
        {key: value for key, value in sorted(settings.items()) if value}, enc_hook=str
    )
