"""The throttle of one endpoint: find the pace that it can take, and hold to it.

The problem.  Nobody tells the limits of most APIs.  They show in refusals (429, 503, ...), and if a
client only delays what was refused, fresh calls keep the full pace, retries pile up, and records
are lost.  So everything has to slow down, to just below what the endpoint accepts.  Yet a refusal
need not mean that: an endpoint may refuse a share of all requests at any pace, or certain records,
and slowing down would then only cost time.

The way.  The throttle is off until the first refusal.  From then on it counts attempts in epochs,
and judges each epoch once its refusals must be known:

    refused more than usual  ->  the pace becomes 0.9 of the accepted rate, at least a quarter
    not                      ->  the pace grows

Growth is slow start after a rough cut, doubling per epoch as in TCP (Jacobson, "Congestion
Avoidance and Control", 1988), and otherwise the cubic function of RFC 9438, section 4: level around
the rate that was last accepted, and bold once that is long past.  AWS SDKs do the same in their
adaptive mode.  A pace that has ceased to delay anything is dropped.

Is it congestion?  A limit of C attempts a second refuses 1 - C / pace of them, so below C nothing;
chance refuses the same share at any pace.  Each cut is therefore an experiment: if the refused
share is nearer to the old one than to what pacing predicts, twice in a row, the share is taken as
usual, and the pace from before the cuts returns.  What is usual fades, so that an error is found
out.

Times are passed in, in seconds; rates are attempts per second.
"""

from __future__ import annotations

import math

from tmux_fanout.core.endpoints.accepted import AVERAGED_SECONDS, AcceptedRate
from tmux_fanout.core.endpoints.experiment import Experiment

_ATTEMPTS = 100  # of an epoch
_FIRST_ATTEMPTS = 20  # of an epoch while the pace is being looked for
_SHORTEST = 0.02  # seconds from which attempts make a rate
_FIRST_SECONDS = 0.1  # minimum duration of such an epoch
_REFUSALS = 25  # that end an epoch
_SECONDS = 2.0  # after which an epoch of few attempts ends
_FEW_ATTEMPTS = 10
_TEST_ATTEMPTS = 50  # of an epoch that tests whether a cut has helped

_MUCH = 0.25  # share refused
_BELOW = 0.9  # the pace, as a share of what was accepted
_MAX_CUT = 4.0  # squared where nearly all are refused
_NEARLY_ALL = 0.95
_TOLERANCE = 0.05  # of the refused share
_PLATEAU = 3.0  # seconds until the pace is back at the rate that was last accepted, at least
_SHORT_PLATEAU = 1.0  # the same, where that rate is uncertain
_PLATEAU_ATTEMPTS = 30
_BOLD = 1.2  # least growth per epoch, once the last accepted rate is long past
_VERY_BOLD = 2.0  # the same, from twice that rate on
_FADING = 0.02  # of the usual share, per second
_BURST_SECONDS = 0.03  # how late attempts may be without being lost to the pace
_MAX_USUAL = 0.9
_SHORT = 10.0  # seconds
_SLOWEST = 0.1  # attempts per second
_RECENT = 1 / 32  # weight of an attempt in the share that was served of late


class Throttle:
    """Decide when attempts at one endpoint may begin, from what was refused before.

    Args:
        limit: maximum number of attempts under way, which is the pace after a pause, per second, if
            nothing else is known and it is not so low that an epoch would take long.

    Attributes:
        limit: as above; it may change.
        pace: attempts per second; infinite while nothing is held back.
        served_share: share of the recent attempts that were served.
        is_on: whether attempts have to be counted.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pace = math.inf
        self.served_share = 1.0
        self.is_on = False
        self._due = 0.0
        self._refusal_time = 0.05
        self._known = 0.0  # the rate that was last accepted
        self._cut_at = 0.0
        self._ceiling = math.inf  # of a pace that doubles
        self._is_doubling = False
        self._usual = 0.0  # share of refusals that has nothing to do with the pace
        self._faded_at = 0.0
        self._is_doubtful = False
        self._experiment: Experiment | None = None
        self._last_refusal = 0.0
        self._is_paused = False
        self._on_since = 0.0
        self._plateau = self._cut_plateau = _PLATEAU
        self._resumed_at = -math.inf
        self._clean = 0.0  # the last pace at which no more than usual was refused; 0 after a cut
        self._accepted = AcceptedRate(0.0)
        self._ends_at = math.inf
        self._begin_epoch(0.0)

    def __repr__(self) -> str:
        return f"<Throttle: {self.pace:.3g}/s, {self._usual:.0%} refused as usual>"

    def wait(self, now: float) -> float:
        """Return the seconds until an attempt may begin; 0 if it may begin now."""
        if self.pace == math.inf:
            return 0.0
        wait = self._due - now
        if wait > 0:
            self._was_waited_for = True
        return max(0.0, wait)

    def begin(self, now: float) -> None:
        """Record that an attempt begins; only needed while the throttle is on."""
        if now <= self._ends_at:
            self._attempts += 1
            self._accepted.add(now)
        if self.pace < math.inf:
            self._due = max(self._due, now - _BURST_SECONDS) + 1 / self.pace

    def served(self, began: float, now: float) -> None:
        """Record that an attempt was served; only needed while the throttle is on."""
        self.served_share += (1.0 - self.served_share) * _RECENT
        self._look(now)

    def refused(self, began: float, now: float) -> None:
        """Record that an attempt was refused.

        Args:
            began: when it began.
            now: the time.
        """
        if not self.is_on:
            self.is_on = True
            self._on_since = now
            self._refusal_time = now - began
            self._begin_epoch(now)
            self._accepted = AcceptedRate(now)
        self._last_refusal = now
        self.served_share -= self.served_share * _RECENT
        self._refusal_time += (now - began - self._refusal_time) / 8
        if self._began <= began <= self._ends_at:
            self._refused += 1
            self._accepted.withdraw(began)
        self._look(now)

    def resume(self, now: float) -> None:
        """Start again after a pause, or after the endpoint was down: carefully, and soon faster."""
        if self._is_paused and self.pace < math.inf and not self._is_doubling:
            self._is_paused = False
            self._experiment = None
            self._cut_at = self._due = now
            self._set(max(_BELOW * self._known / (1 - self._usual), _SLOWEST), now)
            self._begin_epoch(now)
            return
        self._is_paused = False
        self._resumed_at = now
        known = self._known or 2.0 * max(self.limit, _FIRST_ATTEMPTS)
        self.is_on = True
        self.pace = max(known / 2, _SLOWEST)
        self._ceiling = 2 * known if self._known else math.inf
        self._is_doubling = True
        self._experiment = None
        self._last_refusal = now
        self._due = now
        self._begin_epoch(now)
        self._accepted = AcceptedRate(now)

    def adopt(self, pace: float, now: float) -> None:
        """Start with a pace that others have found, unless something is known already."""
        if self.is_on:
            return
        self.is_on = True
        self._known = pace / _BELOW
        self._last_refusal = self._cut_at = self._due = now
        self._on_since = -math.inf
        self._begin_epoch(now)
        self._accepted = AcceptedRate(now)
        self._set(pace, now)

    def pause(self, now: float) -> None:
        """End the epoch; if nothing is known, note what was accepted, for `resume`.

        What is known is not lowered: less may have been accepted only because it was paced.
        """
        self._is_paused = True
        self._ends_at = until = min(now, self._ends_at)
        if not self._known and self._accepted.has_lasted(until):
            self._known = self._accepted.at(until)

    def freeze(self, now: float) -> None:
        """Forget the epoch under way, as the endpoint is down in it.

        If it has been up for a short time only, the last pace may be what took it down.
        """
        if self._known and now - self._resumed_at < _SHORT:
            self._known = max(self._known / 2, _SLOWEST)
        self._experiment = None
        self._begin_epoch(now)

    def _begin_epoch(self, now: float) -> None:
        if self._ends_at < math.inf:
            self._accepted.skip(now - self._ends_at)
        self._began = now
        self._ends_at = math.inf
        self._attempts = 0
        self._refused = 0
        self._was_waited_for = False

    def _look(self, now: float) -> None:
        """End the epoch if it is complete, and judge it once its refusals are known."""
        if self._is_paused and self._attempts < _FEW_ATTEMPTS:
            return
        if self._ends_at == math.inf and self._is_complete(now):
            self._ends_at = now
        if now >= self._ends_at + 2 * self._refusal_time:
            self._judge(now)

    def _is_complete(self, now: float) -> bool:
        seconds = now - self._began
        if self._refused >= _REFUSALS + self._usual * _ATTEMPTS:
            return True
        if self._experiment:
            needed = _TEST_ATTEMPTS
        else:
            needed = _FIRST_ATTEMPTS if self._is_doubling else _ATTEMPTS
        if self._attempts >= needed:
            return seconds >= _FIRST_SECONDS
        return seconds >= _SECONDS and self._attempts >= _FEW_ATTEMPTS

    def _judge(self, now: float) -> None:
        """Change the pace by what an epoch has shown, and begin the next."""
        seconds = max(self._ends_at - self._began, 0.001)
        attempts = max(self._attempts, self._refused, 1)
        share = self._refused / attempts
        accepted = (attempts - self._refused) / seconds
        self._plateau = _PLATEAU
        is_short = attempts < _ATTEMPTS or seconds < AVERAGED_SECONDS
        if is_short and share > _MUCH:  # what was accepted may be a burst
            average = max(self._accepted.at(self._ends_at), self._clean)
            if average < _BELOW * accepted:
                accepted, self._plateau = average, _SHORT_PLATEAU
        rate = attempts / max(seconds, _SHORTEST)
        self._fade(now)
        noise = 2 * math.sqrt(max(share * (1 - share), 0.01) / attempts)
        excess = share - self._usual
        is_usual = excess <= max(_TOLERANCE, noise)
        if self._experiment and self._experiment.is_refuted(share):
            self._conclude(self._experiment, now)
        elif is_usual:
            self._is_doubtful = False
            self._grow(now)
        elif self._usual > _TOLERANCE and not self._is_doubtful:
            self._is_doubtful = True  # chance is at work: one epoch is not enough
            is_slow = attempts < _FIRST_ATTEMPTS  # other epochs like it would take long
            if is_slow and self._experiment and self._experiment.fails(share):
                self._experiment.failed += 1
        else:
            self._is_doubtful = False
            self._cut(share, rate, accepted, now)
        self._begin_epoch(now)

    def _fade(self, now: float) -> None:
        self._usual *= math.exp(-_FADING * min(now - self._faded_at, _SECONDS))
        self._faded_at = now

    def _cut(self, share: float, rate: float, accepted: float, now: float) -> None:
        before = min(self.pace, rate)
        self._clean = 0.0
        sustained = _BELOW * accepted / (1 - self._usual)
        max_cut = _MAX_CUT if share < _NEARLY_ALL else _MAX_CUT**2
        pace = max(sustained, before / max_cut, _SLOWEST)
        predicted = max(self._usual, 1 - accepted / pace)
        last = self._experiment
        self._experiment = Experiment(
            last.pace if last else self.pace,
            share,
            predicted,
            last.failed + last.fails(share) if last else 0,
        )
        if pace <= sustained:  # what was refused at many times the pace would count for too much
            self._experiment.add(self._attempts, self._refused)
            if last:
                self._experiment.add(last.attempts, last.refused)
        is_rough = now - self._on_since < 2 * AVERAGED_SECONDS  # the average is too low yet
        self._is_doubling = is_rough or pace * (1 - self._usual) > accepted
        if accepted:
            has_lasted = self._accepted.has_lasted(self._ends_at)
            self._known = max(accepted, _SLOWEST if has_lasted else pace)
        self._ceiling = math.inf
        self._cut_at = now
        self._cut_plateau = self._plateau
        self._set(pace, now)

    def _grow(self, now: float) -> None:
        self._experiment = None
        self._clean = self.pace if self.pace < math.inf else 0.0
        if self.pace == math.inf:
            if now - self._last_refusal > 5.0 and not self._usual > 0.01:
                self.is_on = False
            return
        if not self._was_waited_for:
            self.pace = math.inf
            return
        if self._is_doubling:
            pace = min(2 * self.pace, self._ceiling)
            self._is_doubling = pace < self._ceiling
            self._known = max(self._known, self._accepted.at(self._ends_at))
            self._cut_at = now
        else:
            known = self._known or self.pace
            plateau = max(self._cut_plateau, _PLATEAU_ATTEMPTS / known)
            time = (now - self._cut_at - plateau) / plateau
            known /= 1 - self._usual
            pace = max(self.pace, known * (1 + 0.1 * time**3))
            if time > 1:
                pace = max(pace, (_BOLD if self.pace < 2 * known else _VERY_BOLD) * self.pace)
        self._set(pace, now)

    def _conclude(self, experiment: Experiment, now: float) -> None:
        """Take a share as usual that two cuts have not changed."""
        experiment.add(self._attempts, self._refused)
        self._usual = min(experiment.refused / experiment.attempts, _MAX_USUAL)
        self._faded_at = now
        self._is_doubling = True
        self._ceiling = math.inf
        self._set(experiment.pace, now)
        self._experiment = None

    def _set(self, pace: float, now: float) -> None:
        self.pace = pace
        if pace < math.inf:
            self._due = min(self._due, now + 1 / pace)
