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
chance refuses the same share at any pace.  Each cut is therefore an experiment: once chance is a
hundred times more likely than a limit, the share is taken as usual, and the pace from before the
cuts returns (`Experiment`).  What is usual fades, so that an error is found out.

The first refusal comes while as many attempts are under way as there are slots, and more of them
may be refused.  So the first epoch counts them, and no attempt begins until it is judged.

Times are passed in, in seconds; rates are attempts per second.
"""

from __future__ import annotations

import math

from tmux_fanout.core.endpoints.accepted import AVERAGED_SECONDS, AcceptedRate
from tmux_fanout.core.endpoints.epoch import Epoch
from tmux_fanout.core.endpoints.experiment import Experiment

_ATTEMPTS = 100  # of an epoch
_FIRST_ATTEMPTS = 20  # of an epoch while the pace is being looked for
_FIRST_SECONDS = 0.1  # minimum duration of such an epoch
_MAX_HOLD = 0.25  # seconds without attempts until the first epoch is judged
_REFUSALS = 25  # that end an epoch
_SECONDS = 2.0  # after which an epoch of few attempts ends
_FEW_ATTEMPTS = 10
_TEST_ATTEMPTS = 50  # of an epoch that tests whether a cut has helped
_SHORT_TEST = 0.5  # seconds of such an epoch, at least, if it would take long
_FEW_REFUSALS = 3
_EXACTNESS = 1e-6  # seconds by which a timer may be early
_STARTING = 2 * AVERAGED_SECONDS  # in which what is accepted may be a burst

_MUCH = 0.25  # share refused
_HELD_BACK = 0.75  # the pace before, as a share of what was accepted, if it hid the latter
_BELOW = 0.9  # the pace, as a share of what was accepted
_MAX_CUT = 4.0  # squared where nearly all are refused
_NEARLY_ALL = 0.95
_FAR_BELOW = 0.5  # the pace, as a share of the known rate, from which on it hides what is accepted
_CAREFUL_CUT = 2.0  # the maximum until some are accepted, as each record may need several
_TOLERANCE = 0.05  # of the refused share
_PLATEAU = 3.0  # seconds until the pace is back at the rate that was last accepted, at least
_SHORT_PLATEAU = 1.0  # the same, where that rate is uncertain
_PLATEAU_ATTEMPTS = 30
_BOLD = 1.2  # least growth per epoch, once the last accepted rate is long past
_VERY_BOLD = 2.0  # the same, from twice that rate on
_FADING = 0.02  # of the usual share, per second and, at most, per this many attempts:
_FADING_ATTEMPTS = 50
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
        self._has_accepted = False  # an attempt since it went on
        self._was_usual = False  # whether an epoch had no more refusals than usual
        self._experiment: Experiment | None = None
        self._last_refusal = 0.0
        self._is_paused = False
        self._on_since = 0.0
        self._cut_plateau = _PLATEAU
        self._resumed_at = -math.inf
        self._clean = 0.0  # the last pace at which no more than usual was refused; 0 after a cut
        self._accepted = AcceptedRate(0.0)
        self._epoch = Epoch(0.0)

    def __repr__(self) -> str:
        return f"<Throttle: {self.pace:.3g}/s, {self._usual:.0%} refused as usual>"

    def wait(self, now: float) -> float:
        """Return the seconds until an attempt may begin; 0 if it may begin now."""
        if now >= self._epoch.judged_at - _EXACTNESS:
            self._judge(now)
        wait = self._due - now
        if wait > 0:
            self._epoch.was_waited_for = True
        return max(0.0, wait)

    def begin(self, now: float) -> None:
        """Record that an attempt begins; only needed while the throttle is on."""
        if now <= self._epoch.ended:
            self._epoch.attempts += 1
            self._accepted.add(now)
        if self.pace < math.inf:
            self._due = max(self._due, now - _BURST_SECONDS) + 1 / self.pace

    def served(self, now: float) -> None:
        """Record that an attempt was served; only needed while the throttle is on."""
        self.served_share += (1.0 - self.served_share) * _RECENT
        self._look(now)

    def refused(self, began: float, now: float, in_flight: int = 1) -> None:
        """Record that an attempt was refused.

        Args:
            began: when it began.
            now: the time.
            in_flight: number of attempts under way until then, this one included.
        """
        if not self.is_on:
            self.is_on = True
            self._on_since = now
            self._refusal_time = now - began
            self._epoch = Epoch(now, in_flight)
            self._accepted = AcceptedRate(now, in_flight)
        self._last_refusal = now
        self.served_share -= self.served_share * _RECENT
        self._refusal_time += (now - began - self._refusal_time) / 8
        epoch = self._epoch
        # One of the epoch before may have begun at the very same time.
        if epoch.counts(began) and epoch.refused < epoch.attempts:
            epoch.refused += 1
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
        self._epoch.ended = until = min(now, self._epoch.ended)
        self._epoch.judged_at = until + 2 * self._refusal_time
        accepted = self._accepted.at(until)
        if accepted and not self._known and self._accepted.has_lasted(until):
            self._known = max(accepted, _SLOWEST)

    def skip(self, seconds: float) -> None:
        """Leave out the last seconds, in which no attempt could begin for another reason."""
        if self.is_on and self._epoch.ended == math.inf:
            self._epoch.idle += seconds
            self._accepted.skip(seconds)

    def freeze(self, now: float) -> None:
        """Forget the epoch under way, as the endpoint is down in it.

        If it has been up for a short time only, the last pace may be what took it down.
        """
        if self._known and now - self._resumed_at < _SHORT:
            self._known = max(self._known / 2, _SLOWEST)
        self._experiment = None
        self._begin_epoch(now)

    def _begin_epoch(self, now: float) -> None:
        if self._epoch.ended < math.inf and not self._epoch.is_held:
            self._accepted.skip(now - self._epoch.ended)
        self._epoch = Epoch(now)

    def _look(self, now: float) -> None:
        """End the epoch if it is complete, and judge it once its refusals are known."""
        epoch = self._epoch
        if self._is_paused and epoch.attempts < _FEW_ATTEMPTS:
            return
        if epoch.ended == math.inf and self._is_complete(epoch, now):
            epoch.ended = now
            epoch.judged_at = now + 2 * self._refusal_time
            if epoch.is_first:  # nothing has slowed attempts down yet
                epoch.is_held = True
                self._due = max(self._due, min(epoch.judged_at, now + _MAX_HOLD))
        if now >= epoch.judged_at - _EXACTNESS:
            self._judge(now)

    def _is_complete(self, epoch: Epoch, now: float) -> bool:
        seconds = now - epoch.began - epoch.idle
        if epoch.refused >= _REFUSALS + self._usual * _ATTEMPTS:
            return True
        if self._experiment:
            needed = _TEST_ATTEMPTS
            is_slow = self.pace * _SECONDS < _TEST_ATTEMPTS and seconds >= _SHORT_TEST
            if is_slow and epoch.refused >= _FEW_REFUSALS and epoch.share > _MUCH:
                rate = min(self.pace, epoch.attempts / seconds)
                if self._experiment.tells(epoch.attempts, epoch.refused, rate):
                    return True
        else:
            needed = _FIRST_ATTEMPTS if self._is_doubling else _ATTEMPTS
        if epoch.attempts >= needed:
            return seconds >= _FIRST_SECONDS
        return seconds >= _SECONDS and epoch.attempts >= _FEW_ATTEMPTS

    def _judge(self, now: float) -> None:
        """Change the pace by what an epoch has shown, and begin the next."""
        epoch = self._epoch
        self._fade(epoch, now)
        noise = 2 * math.sqrt(max(epoch.share * (1 - epoch.share), 0.01) / max(epoch.attempts, 1))
        may_be_burst = epoch.share > _MUCH and now - self._on_since < _STARTING
        if self._experiment and not may_be_burst and self._refutes_limit(self._experiment, epoch):
            self._conclude(self._experiment, epoch, now)
        elif epoch.share - self._usual <= max(_TOLERANCE, noise):
            self._is_doubtful = False
            self._grow(epoch, now)
        elif self._usual > _TOLERANCE and not self._is_doubtful:
            self._is_doubtful = True  # chance is at work: one epoch is not enough
        else:
            self._is_doubtful = False
            self._cut(epoch, now)
        self._begin_epoch(now)

    def _refutes_limit(self, experiment: Experiment, epoch: Epoch) -> bool:
        rate = min(self.pace, epoch.rate)
        return experiment.refutes_limit(epoch.attempts, epoch.refused, rate)

    def _accepted_in(self, epoch: Epoch) -> float:
        """Return the rate that was accepted, and set how long it stands."""
        self._cut_plateau = _PLATEAU
        accepted = epoch.accepted
        is_short = epoch.attempts < _ATTEMPTS or epoch.seconds < AVERAGED_SECONDS
        # If the pace had been lower until then, so had the average.
        is_held_back = epoch.was_waited_for and 0 < self._clean < _HELD_BACK * accepted
        if is_short and epoch.share > _MUCH and not is_held_back:  # it may be a burst
            average = max(self._accepted.at(epoch.ended), self._clean)
            if average < _BELOW * accepted:
                self._cut_plateau = _SHORT_PLATEAU
                return average
        return accepted

    def _fade(self, epoch: Epoch, now: float) -> None:
        seconds = min(now - self._faded_at, _SECONDS, epoch.attempts / _FADING_ATTEMPTS)
        self._usual *= math.exp(-_FADING * seconds)
        self._faded_at = now

    def _cut(self, epoch: Epoch, now: float) -> None:
        accepted = self._accepted_in(epoch)
        before = min(self.pace, epoch.rate)
        sustained = _BELOW * accepted / (1 - self._usual)
        max_cut = _MAX_CUT if self._has_accepted else _CAREFUL_CUT
        self._has_accepted = self._has_accepted or epoch.refused < epoch.attempts
        if self._known and epoch.share >= _NEARLY_ALL:
            max_cut = _MAX_CUT**2
        pace = max(sustained, before / max_cut, _SLOWEST)
        self._experiment = self._experiment or Experiment(self.pace)
        self._experiment.cut(epoch.share, 0.0 if epoch.is_first else accepted, self._usual)
        if pace <= sustained:
            self._experiment.add(epoch.attempts, epoch.refused)
        else:  # what was refused at many times the pace would count for too much
            self._experiment.restart()
        is_rough = not self._was_usual or now - self._on_since < _STARTING
        self._is_doubling = is_rough or pace * (1 - self._usual) > accepted
        self._ceiling = math.inf
        if self._usual > _TOLERANCE and not self._is_doubling:  # the share may have been chance
            self._is_doubling = True
            self._ceiling = (before + pace) / 2
        was_far_below = before < _FAR_BELOW * self._known
        if accepted and not epoch.is_first:
            has_lasted = self._accepted.has_lasted(epoch.ended)
            least = _FAR_BELOW * self._known if was_far_below else 0.0
            self._known = max(accepted, least, _SLOWEST if has_lasted else pace)
        if was_far_below and not self._is_doubling:
            self._is_doubling = True
            self._ceiling = _BELOW * self._known
        self._clean = 0.0
        self._cut_at = now
        self._set(pace, now)

    def _grow(self, epoch: Epoch, now: float) -> None:
        self._was_usual = True
        if self._experiment and self._experiment.fades():
            self._experiment = None
        self._clean = self.pace if self.pace < math.inf else 0.0
        if self.pace == math.inf:
            if now - self._last_refusal > 5.0 and not self._usual > 0.01:
                self.is_on = False
            return
        if not epoch.was_waited_for:
            self._set(math.inf, now)
            return
        if self._is_doubling:
            pace = min(2 * self.pace, self._ceiling)
            self._is_doubling = pace < self._ceiling
            self._known = max(self._known, self._accepted.at(epoch.ended))
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

    def _conclude(self, experiment: Experiment, epoch: Epoch, now: float) -> None:
        """Take a share as usual that cuts have not changed."""
        experiment.add(epoch.attempts, epoch.refused)
        self._usual = min(experiment.refused / experiment.attempts, _MAX_USUAL)
        self._faded_at = now
        self._is_doubling = True
        self._ceiling = math.inf
        self._set(experiment.pace, now)
        self._experiment = None

    def _set(self, pace: float, now: float) -> None:
        self.pace = pace
        self._due = min(self._due, now + 1 / pace)
