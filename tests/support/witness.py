"""What the servers of a run in adversity saw, held against what the engine promises."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import trio
from support.scripted import Answer, Begun, Scenario, Script, ScriptedTransport, TasklessScripted

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.call import Attempt, Call
from tmux_fanout.engine.calls.hosts.callers import AnyCaller
from tmux_fanout.transports.base import P, Progress

EPSILON = 1e-5  # seconds, that roundings add up to

_NOT_PROCESSED = {*range(400, 500), 503}
_HALVED = {400, 413, 422}


class Sent(NamedTuple):
    """One attempt, as its server saw it; `answer` is None where it was cancelled."""

    began: float
    ended: float
    url: str
    values: tuple[int, ...]
    answer: Answer | None
    reached: bool
    is_hedge: bool


class Witness(ScriptedTransport):
    """A scripted transport that remembers every attempt, and what was wrong with it."""

    def __init__(self, script: Script, total: Total) -> None:
        super().__init__(script)
        self.sent: list[Sent] = []
        self.wrong: list[str] = []
        self._total = total

    def fly(self) -> object:
        flight = super().fly()
        self._total.flights.add(flight)
        self._total.peak = max(self._total.peak, len(self._total.flights))
        return flight

    def land(self, flight: object) -> None:
        super().land(flight)
        self._total.flights.discard(flight)

    def look_at(self, progress: Progress) -> None:
        call = cast(Attempt, progress).call
        if _is_settled(call):
            self.wrong.append(f"{call} went at {trio.current_time()}, and nobody waits for it")

    async def send(self, request: Request, progress: Progress) -> Response:
        self.look_at(progress)
        return await super().send(request, progress)

    async def play(self, request: Request, progress: Progress) -> Response:
        began, is_hedge = trio.current_time(), cast(Attempt, progress).is_hedge
        value = json.loads(request.content or b"null")
        answer = None
        try:
            response = await super().play(request, progress)
            answer = Answer(status=response.status, headers=tuple(response.headers))
            return response
        except TransportError as failure:
            answer = Answer(failure=failure)
            raise
        finally:
            values = tuple(value) if isinstance(value, list) else (value,)
            now, url = trio.current_time(), request.head.url
            self.sent.append(Sent(began, now, url, values, answer, progress.sent, is_hedge))


class TasklessWitness(Witness, TasklessScripted):
    """The same for attempts that begin at once."""

    def begin(
        self,
        request: Request,
        progress: P,
        answered: Callable[[P, Response | TransportError], float],
        now: float,
    ) -> Begun | None:
        self.look_at(progress)
        return super().begin(request, progress, answered, now)


class Total:
    """Attempts at all APIs."""

    def __init__(self) -> None:
        self.flights: set[object] = set()
        self.peak = 0


def _is_settled(call: Call) -> bool:
    if call.members:
        return all(member.outcome for member in call.members)
    return call.outcome is not None


def callers(scenario: Scenario) -> Sequence[AnyCaller]:
    """Return what makes the calls of each API, once the scenario has begun."""
    [backend] = scenario.backends
    return backend.callers


def check_nothing_is_held(caller: AnyCaller) -> None:
    """Check that no slot, endpoint or alarm is still in use, once a run is over."""
    held = caller.statistics()
    assert (held.slots, held.total_slots, held.in_flight, held.watched) == (0, 0, 0, 0)
    assert not any(held.endpoints)


class History:
    """What one API saw.

    Args:
        plan: the API.
        counted: what the run counted of it.
        witness: its transport.
    """

    def __init__(self, plan: ApiPlan, counted: ApiStatistics, witness: Witness) -> None:
        self._plan = plan
        self._counted = counted
        self._witness = witness
        self._sent = sorted(witness.sent, key=lambda sent: sent.began)
        self._begun = [sent for sent in self._sent if not _is_short(sent)]
        self._of: dict[int, list[Sent]] = defaultdict(list)
        for sent in self._begun:
            for value in sent.values:
                self._of[value].append(sent)

    def check(self) -> None:
        """What holds of all its attempts."""
        assert not self._witness.wrong
        assert self._witness.peak <= self._plan.limit
        assert len(self._begun) <= self._counted.attempts <= len(self._sent)
        for sent in self._begun:
            assert sent.ended - sent.began <= self._plan.attempt_timeout + EPSILON
        self._check_rate()
        self._check_pauses()
        self._check_hedges()
        for value, attempts in self._of.items():
            self._check_attempts(value, attempts)

    def _check_rate(self) -> None:
        rate = self._plan.rate and self._plan.rate.requests
        if rate:
            burst = max(1.0, rate / 10)
            times = [sent.began for sent in self._sent]
            ahead = [place - rate * time for place, time in enumerate(times)]
            least = math.inf
            for each in ahead:
                least = min(least, each)
                assert each - least + 1 <= burst + 1e-3

    def _check_pauses(self) -> None:
        """A pause is for all, unless it comes with a refusal where others are served."""
        for pause, until in self._pauses():
            is_for_all = not _is_setback(pause) or not self._has_served(pause)
            for sent in self._sent:
                is_bound = sent.url == pause.url if is_for_all else sent.values == pause.values
                is_early = pause.ended < sent.began < until - EPSILON
                assert not (is_early and is_bound), (pause, until, sent)

    def _has_served(self, pause: Sent) -> bool:
        before = (sent for sent in self._sent if sent.url == pause.url)
        return any(sent.ended <= pause.ended and not _is_setback(sent) for sent in before)

    def _pauses(self) -> Iterator[tuple[Sent, float]]:
        for sent in self._sent:
            headers = dict(sent.answer.headers) if sent.answer else {}
            is_hedged = any(each.is_hedge for value in sent.values for each in self._of[value])
            if headers.get(b"retry-after") == b"2" and not is_hedged:
                yield sent, sent.ended + min(2.0, self._plan.max_pause)
            if headers.get(b"ratelimit", b"").endswith(b"t=1"):
                yield sent, sent.ended + min(1.0, self._plan.max_pause)

    def _check_hedges(self) -> None:
        hedges = sum(sent.is_hedge for sent in self._begun)
        short = sum(_is_short(sent) for sent in self._sent)
        assert hedges <= 0.05 * (len(self._begun) - hedges + short)
        assert self._counted.hedges >= hedges

    def _check_attempts(self, value: int, attempts: list[Sent]) -> None:
        """Of one record: no more than are allowed, nothing twice that must not be."""
        paid = [each for each in attempts if not _is_stale(each) and not _is_halved(each)]
        firsts = [each for each in paid if not each.is_hedge]
        counted = [each for place, each in enumerate(firsts) if self._counts(each, firsts, place)]
        assert len(counted) <= self._plan.retry.retries + 1, (value, attempts)
        assert sum(each.ended - each.began for each in firsts) <= self._plan.retry.timeout + EPSILON
        if not self._plan.retry.idempotent:
            for each in attempts[:-1]:
                assert not _may_be_applied(each), (value, attempts)

    def _counts(self, sent: Sent, firsts: Sequence[Sent], place: int) -> bool:
        """Whether an attempt must use up a retry: its server had no reason to be unwell."""
        setbacks = [each for each in firsts if _is_setback(each)]
        since = setbacks[0].ended if setbacks else sent.ended
        others = sum(_is_setback(each) and since <= each.ended <= sent.ended for each in self._sent)
        return not _is_refusal(sent) and 2 * (place + 1) >= others

    def check_outcome(self, outcome: Outcome, index: int) -> None:
        """What holds of the outcome of one record."""
        attempts = self._of[index]
        is_lost_alone = self._plan.batch and outcome.error and outcome.error.kind == "lost"
        short = sum(_is_short(sent) and index in sent.values for sent in self._sent)
        if not is_lost_alone:
            assert len(attempts) <= outcome.attempts <= len(attempts) + short, (outcome, attempts)
        if outcome.error and outcome.error.kind in ("deadline", "cancelled") and attempts:
            is_open = not self._plan.retry.idempotent and _may_be_applied(attempts[-1])
            assert outcome.error.ambiguous == is_open, (outcome, attempts)


def _is_short(sent: Sent) -> bool:
    return bool(sent.answer and sent.answer.failure and sent.answer.failure.shortage)


def _is_refusal(sent: Sent) -> bool:
    if sent.answer is None:
        return False
    failure = sent.answer.failure
    if failure:
        return failure.kind == "connect" and not failure.sent and not failure.shortage
    return sent.answer.status in (429, 503)


def _is_setback(sent: Sent) -> bool:
    """Whether an attempt was refused, or may show that its server is unwell."""
    return sent.answer is None or sent.answer.failure is not None or _is_refusal(sent)


def _is_stale(sent: Sent) -> bool:
    return bool(sent.answer and sent.answer.failure and sent.answer.failure.stale)


def _is_halved(sent: Sent) -> bool:
    return bool(sent.answer and sent.answer.status in _HALVED and len(sent.values) > 1)


def _may_be_applied(sent: Sent) -> bool:
    if sent.answer is None:
        return sent.reached
    if sent.answer.failure:
        return sent.answer.failure.sent
    return sent.answer.status not in _NOT_PROCESSED and not _is_halved(sent)
