"""Compress the bodies of an API's requests, until it turns out that it cannot read them.

A call whose compressed request is answered with 415 is sent again as it is, as a part of the same
attempt, and no other one is compressed meanwhile.  The first answer to a request that was not
compressed tells whether that was the reason: if so, all bodies are sent as they are from then on;
if not, they are compressed again, and 415 is an answer like any other.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.http.prepared import Prepared
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.requests.compression.gzip import (
    MIN_SIZE,
    UNSUPPORTED,
    compress,
    compressed_head,
    is_compressed,
    is_verdict,
    may_be_refused_coding,
    plain,
)
from tmux_fanout.engine.calls.call import Answer, Attempt, Call
from tmux_fanout.engine.calls.outcomes.timings import Ended

_REFUSED = "does not accept compressed bodies (HTTP 415): they are sent uncompressed from now on"
_MAX_AT_ONCE = 64 << 10  # bytes; compressing more would keep other calls waiting for milliseconds

Repeat = Callable[[Call, Response], bool]
"""Make the last attempt of a call once more; return whether there is time for it."""


class Compression:
    """Compress requests, and send those again as they are whose coding is refused.

    Args:
        name: of the API, for messages.
        statistics: of the API; records that it refuses.
        notify: called with one line for the user once it does.
    """

    def __init__(self, name: str, statistics: ApiStatistics, notify: Callable[[str], None]) -> None:
        self._name = name
        self._statistics = statistics
        self._notify = notify
        self._heads = Prepared(compressed_head)
        self._is_on = True
        self._is_in_doubt = False  # since a 415, until another answer tells what that meant
        self._is_settled = False  # what it means is known

    def __repr__(self) -> str:
        return f"<Compression: {'on' if self._is_on else 'off'}>"

    def at_once(self, request: Request, attempt: Attempt) -> Request | None:
        """Return a request as it is sent; None if compressing it takes long."""
        ready = self._ready(request, attempt)
        if ready is not None:
            return ready
        body = request.content
        return None if len(body) > _MAX_AT_ONCE else self._taken(request, attempt, compress(body))

    async def in_thread(self, request: Request, attempt: Attempt) -> Request:
        """Return a request as it is sent, however long that takes."""
        ready = self.at_once(request, attempt)
        if ready is not None:
            return ready
        body = request.content
        try:
            coded = await trio.to_thread.run_sync(compress, body, abandon_on_cancel=True)
        except RuntimeError:  # no thread can be started
            coded = compress(body)
        return self._taken(request, attempt, coded)

    def _ready(self, request: Request, attempt: Attempt) -> Request | None:
        """Return a request as it is sent; None if it has to be compressed for that."""
        call = attempt.call
        if is_compressed(request):
            return request if self._codes(call) else self._noted(plain(request), attempt)
        if len(request.content) < MIN_SIZE or not self._codes(call):
            return request
        head = self._heads[request.head]
        if head is None:
            return request
        if call.request is not None and is_compressed(call.request):
            return self._noted(Request(head, call.request.content), attempt)
        return None

    def _codes(self, call: Call) -> bool:
        return self._is_on and not hasattr(call, "is_plain")

    def _taken(self, request: Request, attempt: Attempt, coded: bytes) -> Request:
        """Have a compressed body sent, and kept for further attempts, unless it is no smaller."""
        head = self._heads[request.head]
        if head is None or len(coded) >= len(request.content):
            return request
        call = attempt.call
        if call.request is not None and call.outcome is None:
            of_first_endpoint = self._heads[call.request.head]
            if of_first_endpoint is not None:
                call.request = Request(of_first_endpoint, coded)
        return self._noted(Request(head, coded), attempt)

    def _noted(self, request: Request, attempt: Attempt) -> Request:
        attempt.request = request
        return request

    def ended(self, ended: Ended, repeat: Repeat) -> Ended:
        """Return what is called with each attempt that has ended, in place of `ended`."""

        def conclude(attempt: Attempt, answer: Answer) -> None:
            if not (isinstance(answer, Response) and self._repeats(attempt, answer, repeat)):
                ended(attempt, answer)

        return conclude

    def _repeats(self, attempt: Attempt, answer: Response, repeat: Repeat) -> bool:
        """Learn from an answer; return whether the call is sent again as it is."""
        call, request = attempt.call, attempt.request
        if request is None or request.body is None:
            return False
        if not is_compressed(request):
            if self._is_in_doubt and len(request.content) >= MIN_SIZE:
                self._learn(answer)
            return False
        if call.outcome is not None or not may_be_refused_coding(answer):
            return False
        if self._is_settled and self._is_on:
            return False
        if not self._is_settled:
            self._is_on, self._is_in_doubt = False, True
        call.is_plain = True
        return repeat(call, answer)

    def _learn(self, answer: Response) -> None:
        """Learn from an answer to a large request that was not compressed what the 415 meant."""
        if not is_verdict(answer):
            return
        self._is_in_doubt, self._is_settled = False, True
        self._is_on = answer.status == UNSUPPORTED
        if not self._is_on:
            self._statistics.tell_once("compress", f"{self._name} {_REFUSED}", self._notify)
