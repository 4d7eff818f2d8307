"""HTTP Digest (RFC 7616): the arithmetic of credentials, and when a 401 is worth another request.

A nonce is used for many requests, each with the next number of a counter that all calls share.  So
only the first request to an origin is sent without credentials, to learn the nonce, and with it all
others are sent at once.

A 401 to a request with credentials has two meanings.  The nonce may be used up: the server says so
(`stale`), or has accepted these credentials before.  Then the request is repeated with the nonce of
its own response, which no other call has used yet; so it works with servers that take a nonce only
once.  Otherwise the credentials are wrong, and the 401 is the answer.
"""

from __future__ import annotations

import hashlib
from urllib.parse import quote

from msgspec.structs import replace

from tmux_fanout.core.http.auth import Digest
from tmux_fanout.core.http.signing.challenges import Challenge

_MAX_COUNT = 0xFFFFFFFF  # eight hexadecimal digits


def begin_session(credentials: Digest, challenge: Challenge, cnonce: str) -> Session:
    """Return the session that answers a challenge.

    Args:
        credentials: of the user.
        challenge: of the server.
        cnonce: random text, for this session.
    """
    texts = [credentials.user.encode(), challenge.realm.encode("latin-1")]
    secret = _hash(challenge, b":".join([*texts, credentials.password.encode()]))
    if challenge.is_session:  # section 3.4.2
        secret = _hash(challenge, f"{secret}:{challenge.nonce}:{cnonce}".encode("latin-1"))
    return Session(credentials.user, secret, challenge, cnonce)


class Session:
    """The credentials for requests with one nonce.

    Args:
        user: name of the user.
        secret: the hash that stands for the password, `H(A1)`.
        challenge: that has the nonce.
        cnonce: random text, for this session.

    Attributes:
        challenge: as above.
        is_accepted: whether the server has accepted these credentials.
    """

    def __init__(self, user: str, secret: str, challenge: Challenge, cnonce: str) -> None:
        self.challenge = challenge
        self.is_accepted = False
        self._user = user
        self._secret = secret
        self._cnonce = cnonce
        self._count = 0

    def __repr__(self) -> str:
        return f"<Session: {self.challenge!r}, {self._count} requests>"

    @property
    def is_used_up(self) -> bool:
        """Whether its counter is at the end."""
        return self._count >= _MAX_COUNT

    def renewed(self, nonce: str) -> Session:
        """Return the session that the server continues this one with, by another nonce."""
        challenge = replace(self.challenge, nonce=nonce)
        session = Session(self._user, self._secret, challenge, self._cnonce)
        session.is_accepted = True
        return session

    def answers(self, challenge: Challenge) -> bool:
        """Whether it is for the nonce of a challenge."""
        own = self.challenge
        return (own.realm, own.nonce) == (challenge.realm, challenge.nonce)

    def authorize(self, method: str, target: str, body: bytes | None) -> str:
        """Return the value of the Authorization header of the next request (section 3.4).

        Args:
            method: of the request.
            target: path and query, as in the request line.
            body: of the request; None: it has none.
        """
        challenge = self.challenge
        self._count += 1
        count = f"{self._count:08x}"
        action = f"{method}:{target}"
        if challenge.qop == "auth-int":
            action += f":{_hash(challenge, body or b'')}"
        protected = [self._secret, challenge.nonce, _hash(challenge, action.encode("latin-1"))]
        if challenge.qop is not None:
            protected[2:2] = [count, self._cnonce, challenge.qop]
        response = _hash(challenge, ":".join(protected).encode("latin-1"))
        fields = [
            self._username(),
            f"realm={_quoted(challenge.realm)}",
            f"nonce={_quoted(challenge.nonce)}",
            f"uri={_quoted(target)}",
            f'response="{response}"',
        ]
        if challenge.algorithm is not None:
            fields.append(f"algorithm={challenge.algorithm}")
        if challenge.opaque is not None:
            fields.append(f"opaque={_quoted(challenge.opaque)}")
        if challenge.qop is not None:
            fields += [f"qop={challenge.qop}", f"nc={count}", f"cnonce={_quoted(self._cnonce)}"]
        if challenge.hides_user:
            fields.append("userhash=true")
        return f"Digest {', '.join(fields)}"

    def _username(self) -> str:
        realm = self.challenge.realm.encode("latin-1")
        if self.challenge.hides_user:  # section 3.4.4
            hidden = _hash(self.challenge, self._user.encode() + b":" + realm)
            return f'username="{hidden}"'
        if self.challenge.is_utf8 and not self._user.isascii():
            return f"username*=UTF-8''{quote(self._user, safe='')}"  # RFC 8187
        return f"username={_quoted(self._user.encode().decode('latin-1'))}"


def _hash(challenge: Challenge, data: bytes) -> str:
    return hashlib.new(challenge.hash_name, data, usedforsecurity=False).hexdigest()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Protection:
    """What is known of how an origin protects itself.

    Args:
        credentials: of the user, for this origin.

    Attributes:
        session: with the latest nonce; None: there is none yet.
        is_open: whether a request without credentials was answered.
    """

    def __init__(self, credentials: Digest) -> None:
        self.session: Session | None = None
        self.is_open = False
        self._credentials = credentials

    def __repr__(self) -> str:
        return f"<Protection: {self.session!r}>"

    def note_answer(self, used: Session | None, status: int, next_nonce: str | None) -> None:
        """Record that a request was answered with another status than 401.

        Args:
            used: the session of the request; None: it was without credentials.
            status: of the answer.
            next_nonce: the nonce that the server wants later requests to have, if any.
        """
        if used is None:
            if status < 500 and status != 429:  # others may come before any check
                self.is_open = self.session is None
            return
        used.is_accepted = True
        if self.session is used:
            if next_nonce is not None:
                self.session = used.renewed(next_nonce)
            elif used.is_used_up:
                self.session = None

    def renew(self, used: Session | None, challenge: Challenge, cnonce: str) -> Session | None:
        """Record a 401, and return the session to repeat its request with; None: it is the answer.

        Args:
            used: the session of the request; None: it was without credentials.
            challenge: of the 401.
            cnonce: random text.
        """
        self.is_open = False
        if used is not None and used.answers(challenge) and not challenge.stale:
            return None  # the nonce is good, and the credentials are not
        if self.session is not None and self.session.answers(challenge):
            return self.session
        new = begin_session(self._credentials, challenge, cnonce)
        if self.session is used:
            self.session = new
        is_worth_it = used is None or challenge.stale or used.is_accepted
        return new if is_worth_it else None
