"""A server's side of HTTP Digest (RFC 7616), written apart from the client's."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from urllib.request import parse_http_list, parse_keqv_list

from support.server import Peer, response

USER, PASSWORD, REALM = "me", "c4n4ry-password", "a, b"


class DigestGuard:
    """Decides which requests pass.

    Args:
        qop: that it offers; "" for none.
        algorithm: that it asks for; "" for none.

    Attributes:
        uses: how many requests a nonce is good for; 0: any number.
        says_stale: whether it says so when a nonce is used up.
        names_next: whether it names the next nonce in answers.
        password: that it expects.
        counts: counters of the requests that passed, by nonce.
        refused: number of requests refused.
        seen: schemes of the credentials of all requests; "" for none.
    """

    def __init__(self, qop: str = "auth", algorithm: str = "SHA-256", *, more: str = "") -> None:
        self.qop = qop
        self.algorithm = algorithm
        self.more = more
        self.uses = 0
        self.says_stale = True
        self.names_next = False
        self.password = PASSWORD
        self.counts: dict[str, list[int]] = {}
        self.refused = 0
        self.seen: list[str] = []
        self._left: Counter[str] = Counter()
        self._issued = 0
        self._lock = threading.Lock()

    def challenge(self, *, stale: bool = False) -> dict[str, str]:
        """Return the headers of a 401 with a new nonce."""
        self.refused += 1
        text = f'Digest realm="{REALM}", nonce="{self.issue()}", opaque="o\\"p"'
        text += f', qop="{self.qop}"' if self.qop else ""
        text += f", algorithm={self.algorithm}" if self.algorithm else ""
        text += ", stale=true" if stale else ""
        return {"WWW-Authenticate": f"Newer x=1, {text}{self.more}"}

    def issue(self) -> str:
        self._issued += 1
        nonce = f"nonce-{self._issued}=="
        self._left[nonce] = self.uses or 1_000_000
        self.counts[nonce] = []
        return nonce

    def __call__(
        self, method: str, target: str, authorization: str, body: bytes
    ) -> dict[str, str] | None:
        """Return the headers of a 401, or None if the request passes."""
        with self._lock:
            return self._refusal(method, target, authorization, body)

    def _refusal(
        self, method: str, target: str, authorization: str, body: bytes
    ) -> dict[str, str] | None:
        scheme, _, text = authorization.partition(" ")
        self.seen.append(scheme)
        if scheme != "Digest":
            return self.challenge()
        given = parse_keqv_list(parse_http_list(text))
        assert given["uri"] == target
        assert given["opaque"] in ('o\\"p', 'o"p')
        nonce = given["nonce"]
        if given["response"] != self._expected(given, method, body):
            return self.challenge()
        if self.qop:
            count = int(given["nc"], 16)
            if count in self.counts[nonce]:  # a replay
                return self.challenge(stale=self.says_stale)
            self.counts[nonce].append(count)
        if not self._left[nonce]:
            return self.challenge(stale=self.says_stale)
        self._left[nonce] -= 1
        return None

    def _expected(self, given: dict[str, str], method: str, body: bytes) -> str:
        name = self.algorithm.lower().removesuffix("-sess") or "md5"
        hash_name = {"sha-256": "sha256", "sha-512-256": "sha512_256"}.get(name, name)

        def hashed(*parts: str) -> str:
            return hashlib.new(hash_name, ":".join(parts).encode()).hexdigest()

        user = given["username"]
        if given.get("userhash") == "true":
            assert user == hashed(USER, REALM)
        else:
            assert user == USER
        secret = hashed(USER, REALM, self.password)
        if self.algorithm.lower().endswith("-sess"):
            secret = hashed(secret, given["nonce"], given["cnonce"])
        action = [method, given["uri"]]
        if given.get("qop") == "auth-int":
            action.append(hashlib.new(hash_name, body).hexdigest())
        if not self.qop:
            return hashed(secret, given["nonce"], hashed(*action))
        protected = (given["nonce"], given["nc"], given["cnonce"], given["qop"])
        return hashed(secret, *protected, hashed(*action))

    async def script(self, peer: Peer) -> None:
        """Echo the bodies of requests that pass."""
        while received := await peer.request():
            authorization = received.headers.get("authorization", "")
            refusal = self(received.method, received.target, authorization, received.body)
            if refusal:
                fields = (f"{name}: {value}" for name, value in refusal.items())
                await peer.send(response(b"", *fields, status="401 Unauthorized"))
            elif self.names_next:
                info = f'Authentication-Info: qop=auth, nextnonce="{self.issue()}"'
                await peer.send(response(received.body, info))
            else:
                await peer.send(response(received.body))
