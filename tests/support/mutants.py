"""Almost valid bytes, as a broken or hostile server may send them.

The number of mutants of each kind is small unless TMUX_FANOUT_MUTATIONS sets another.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from random import Random

from support.thoroughness import share_of

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Response

MUTATIONS = int(os.environ.get("TMUX_FANOUT_MUTATIONS", share_of(200)))

_SPECIAL = b"\r\n\0 \t:;,=0123456789abcdefx\x7f\x80\xff"


def mutant(random: Random, data: bytes, words: Sequence[bytes]) -> bytes:
    """Return `data` with one to three random changes.

    Args:
        words: byte strings that may be inserted.
    """
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        _change(random, changed, words)
    return bytes(changed)


def _change(random: Random, data: bytearray, words: Sequence[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice([1, 1, 2, 5, 20, 1000]))
    kind = random.randrange(7)
    if kind == 0:
        del data[at:end]
    elif kind == 1:
        data[at:at] = data[at:end]
    elif kind == 2:
        data[at:at] = random.choice(words)
    elif kind == 3:
        del data[at:]
    elif kind == 4:
        other = random.randrange(len(data) + 1)
        data[other:other] = data[at:end]
    elif at < len(data):
        data[at] = random.choice(_SPECIAL) if kind == 5 else data[at] ^ (1 << random.randrange(8))


class Nonces:
    """Random words that tie each request to its response."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._made: dict[bytes, None] = {}

    def make(self) -> bytes:
        nonce = b"%032x" % self._random.getrandbits(128)
        self._made[nonce] = None
        if len(self._made) > 1000:
            del self._made[next(iter(self._made))]
        return nonce

    def others_in(self, data: bytes, own: Collection[bytes]) -> list[bytes]:
        """Return the nonces of other requests that occur in these bytes."""
        return [nonce for nonce in self._made if nonce not in own and nonce in data]


def all_of(answer: Response) -> bytes:
    """Return a response's body and headers as one byte string."""
    return answer.body + b"".join(name + value for name, value in answer.headers)


async def outcome(
    send: Callable[..., Awaitable[Response]], *arguments: object
) -> Response | TransportError:
    """Return a request's response or transport error; any other exception is a bug."""
    try:
        return await send(*arguments)
    except TransportError as error:
        return error
