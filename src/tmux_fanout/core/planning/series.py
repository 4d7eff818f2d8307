"""The pages of a list, or the polls of a job, where answers come from a model.

A model does not know what is in an answer, so how many requests a call makes comes from an output,
and the answer does not decide it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.policy.retry import RetryPolicy
from tmux_fanout.core.records.parser import Record
from tmux_fanout.core.requests.series.pages import PagesPlan
from tmux_fanout.core.requests.series.poll import PollPlan
from tmux_fanout.core.requests.series.steps import Next, SeriesPlan


class ModelSeriesPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the calls of an API do after their first requests, in a plan.

    Attributes:
        requests: how many requests calls make; records take these by turns.
        pause: seconds between two of them.
        is_paid: as for `Series`.
        policy: how often a request is repeated.
    """

    requests: Sequence[int]
    pause: float
    is_paid: bool
    policy: RetryPolicy

    @property
    def summary(self) -> str:
        return "then as many requests as such calls have made"

    def begin(
        self, request: Request, record: Record, results: Mapping[str, Any] | None = None
    ) -> ModelSeries:
        del results
        return ModelSeries(self, request, self.requests[record.index % len(self.requests)])


class ModelSeries:
    """The requests of one call; see `Series`.

    Args:
        plan: of the API.
        request: the first one, which stands for all.
        requests: how many there are.
    """

    noun = "request"
    remark = ""

    def __init__(self, plan: ModelSeriesPlan, request: Request, requests: int) -> None:
        self.policy = plan.policy
        self.is_paid = plan.is_paid
        self.before = 0
        self.answer: Response | None = None
        self._next = Next(request, plan.pause)
        self._to_come = requests

    def __repr__(self) -> str:
        return f"<ModelSeries: {self._to_come} to come>"

    @property
    def size(self) -> int:
        return 0

    def follow(self, answer: Response, now: float, asked_pause: float) -> Next | Response:
        del now, asked_pause
        self._to_come -= 1
        return self._next if self._to_come > 0 else answer

    def why_late(self, time: float) -> None:
        del time

    def describe(self, error: ErrorInfo) -> ErrorInfo:
        return error


def model_series(plan: SeriesPlan | None, requests: Sequence[int]) -> ModelSeriesPlan | None:
    """Return what takes the place of an API's pages or polls in a plan; None if it has none.

    Args:
        plan: of the pages or polls.
        requests: how many requests calls make; empty if that is not known: as few as possible.
    """
    match plan:
        case PagesPlan():
            return ModelSeriesPlan(
                requests=requests or (1,), pause=0.0, is_paid=False, policy=plan.policy
            )
        case PollPlan():
            return ModelSeriesPlan(
                requests=requests or (2,), pause=plan.every, is_paid=True, policy=plan.policy
            )
    return None


def pause_of(plan: SeriesPlan | None) -> float | None:
    """Return the seconds between two requests of a call; None if it makes only one."""
    series = model_series(plan, ())
    return None if series is None else series.pause
