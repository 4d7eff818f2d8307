"""A transport to a server that is only a model, in virtual time.

Answers wait in a heap, and one task hands out those that are due.  So an attempt costs no task, and
many thousands of them a second can be simulated.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import trio

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.json_text import split_list
from tmux_fanout.core.planning.model import Answers, ApiModel
from tmux_fanout.core.policy.rate import Pacer, RateSettings
from tmux_fanout.transports.base import P, Progress

_REFUSED = Response(429, (), b"null", 0)


class ModelTransport:
    """Answers requests as a model says.

    Args:
        plan: of the API.
        model: of the API.
        random: draws the answers.

    Attributes:
        refused: number of answers with status 429.
    """

    def __init__(self, plan: ApiPlan, model: ApiModel, random: Random) -> None:
        self.refused = 0
        self._is_batched = plan.batch is not None
        self._answers = model.answers
        self._bounds = model.bounds
        self._bodies = model.bodies
        self._draw = random.random
        self._pacer = None if model.rate is None else Pacer(RateSettings(model.rate))
        self._due: list[tuple[float, int, _Flight]] = []
        self._count = 0
        self._scope: trio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<ModelTransport: {len(self._due)} answers to come>"

    def _answer(self, request: Request, now: float) -> tuple[float, Response | TransportError]:
        """Return what a request comes to, and after how many seconds."""
        index = min(bisect_right(self._bounds, self._draw()), len(self._bounds) - 1)
        answers = self._answers[index]
        if self._pacer:
            if self._pacer.wait(now) > 0:
                self.refused += 1
                return answers.latency.at(0.0), _REFUSED
            self._pacer.take(now)
        seconds = answers.latency.at(self._draw())
        error = answers.kind.error
        if error == "timeout":
            return math.inf, _REFUSED  # the engine ends its patience
        if error is not None and error != "status":
            return seconds, _failure(answers)
        self.refused += answers.kind.status == 429
        body = self._body(request) if error is None else b"null"
        return seconds, Response(answers.kind.status, (), body, len(body), is_plain=True)

    def _body(self, request: Request) -> bytes:
        if not self._is_batched:
            return self._bodies[int(self._draw() * len(self._bodies))]
        items = len(split_list(request.content) or ())
        bodies = [self._bodies[int(self._draw() * len(self._bodies))] for _ in range(items)]
        return b"[%b]" % b",".join(bodies)

    async def send(self, request: Request, progress: Progress) -> Response:
        progress.sent = True
        seconds, answer = self._answer(request, trio.current_time())
        await trio.sleep(seconds)
        if isinstance(answer, TransportError):
            raise answer
        return answer

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> _Flight | None:
        if self._scope is None or progress.fresh:
            return None
        progress.sent = True
        seconds, answer = self._answer(request, now)
        flight = _Flight(lambda: answered(progress, answer))
        if seconds < math.inf:
            self._count += 1
            due = now + seconds
            heappush(self._due, (due, self._count, flight))
            self._scope.deadline = min(self._scope.deadline, due)
        return flight

    async def attend(self, passed: Callable[[], object]) -> None:
        try:
            while True:
                with trio.CancelScope() as self._scope:
                    if self._due:
                        self._scope.deadline = self._due[0][0]
                    await trio.sleep_forever()
                now = trio.current_time()
                while self._due and self._due[0][0] <= now:
                    _, _, flight = heappop(self._due)
                    if flight.land is not None:
                        flight.land()
                passed()
        finally:
            self._scope = None

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""


class _Flight:
    """An attempt under way."""

    def __init__(self, land: Callable[[], object]) -> None:
        self.land: Callable[[], object] | None = land

    def cancel(self) -> None:
        self.land = None


def _failure(answers: Answers) -> TransportError:
    kind = answers.kind.error or "protocol"
    is_lost = kind in ("connect", "protocol")
    return TransportError(kind, "as in the model", sent=kind != "connect", transient=is_lost)
