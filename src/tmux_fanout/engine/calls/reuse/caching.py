"""The answers of one API that are kept on disk (`cache`).

A call asks for its answer before it is queued.  It waits without a slot and a place in the queue,
and then has its outcome, or makes its request.  Calls that were looked up together and found
nothing are queued together, so that they can share a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio
from msgspec.structs import replace

from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.errors import ErrorInfo, TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.requests.reuse.cache import CacheKeys, forbids_storing, pack, unpack
from tmux_fanout.core.results.outcome import Outcome
from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.outcomes.settler import OutcomeOf
from tmux_fanout.engine.calls.payloads import Payloads
from tmux_fanout.engine.calls.reuse.sharing import Sharing
from tmux_fanout.engine.calls.reuse.store import Store
from tmux_fanout.engine.calls.reuse.stored import Stored

_NO_STORE = "its answers have Cache-Control: no-store, so they are not kept"

Prepare = Callable[[Call], Request | Outcome | None]


class Caching:
    """Look answers up in a cache, and keep them there.

    Args:
        plan: the API, which has `cache`.
        store: the cache.
        payloads: turns answers into outcomes.
        sharing: has calls share answers, or None; of these calls one looks the answer up.
        statistics: counts the answers that were found.
        may_start: returns whether the window has room for the answer to a call.
        is_head: returns whether the output waits for a call.
        settle: gives a call its outcome.
        submit: submits a call that has to make its request; it comes back to `prepare`.
        start: begins what may go.
        notify: called with one line if the API does not allow answers to be kept.
        nursery: runs the tasks.
    """

    def __init__(
        self,
        plan: ApiPlan,
        store: Store,
        payloads: Payloads,
        sharing: Sharing | None,
        statistics: ApiStatistics,
        *,
        may_start: Callable[[Call], bool],
        is_head: Callable[[Call], bool],
        settle: Callable[[Call, Outcome], None],
        submit: Callable[[Call, float], None],
        start: Callable[[], object],
        notify: Callable[[str], None],
        nursery: trio.Nursery,
    ) -> None:
        assert plan.cache is not None  # only made for such an API
        self._name = plan.name
        self._plan = plan.cache
        self._capture = tuple(plan.responses.capture)
        self._keys = CacheKeys(plan.cache, plan.requests, store.salt)
        self._store = store
        self._sharing = sharing
        self._inner: Prepare = sharing.prepare if sharing else payloads.prepare
        self._outcome_of = payloads.outcome_of
        self._statistics = statistics
        self._may_start = may_start
        self._is_head = is_head
        self._settle = settle
        self._submit = submit
        self._start = start
        self._notify = notify
        self._nursery = nursery

    def __repr__(self) -> str:
        return f"<Caching {self._name}: {self._store!r}>"

    def prepare(self, call: Call) -> Request | Outcome | None:
        """Return as `Payloads.prepare` does, or None if the call waits for an answer."""
        prepared = self._inner(call)
        if not isinstance(prepared, Request) or self._store.is_off:
            return prepared
        if hasattr(call, "cache_key"):
            return prepared  # it was looked up
        call.cache_key = self._keys.key_of(prepared)
        self._store.ask(
            call.cache_key,
            partial(self._found, call),
            self._start,
            lambda: call.outcome is not None or self._may_start(call) or self._is_head(call),
            self._nursery,
        )
        return None

    def _found(self, call: Call, found: Stored | None) -> None:
        """Settle a call with what was found, or have it make its request."""
        if call.outcome is not None:
            return  # it was lost meanwhile
        outcome = self._outcome(call, found) if found else None
        if outcome is not None:
            self._statistics.cached += 1
            self._store.used(call.cache_key)
            self._settle(call, outcome)
        else:
            if self._sharing:
                key, call = call.cache_key, self._sharing.first_of(call)
                call.cache_key = key
            self._submit(call, trio.current_time())

    def _outcome(self, call: Call, found: Stored) -> Outcome | None:
        """Return the outcome that an answer gives; None if it is too old, or not ok by now."""
        if not 0 <= self._store.now - found.at < self._plan.ttl:
            return None
        response = unpack(found.answer)
        if response is None:
            return None
        outcome = self._outcome_of(call, response, None)
        return replace(outcome, cached=True) if outcome.ok else None

    def keeping(self, outcome_of: OutcomeOf) -> OutcomeOf:
        """Return a function that returns what `outcome_of` does, and keeps answers that are ok."""

        def keep(
            call: Call, answer: Response | TransportError | None, error: ErrorInfo | None
        ) -> Outcome:
            outcome = outcome_of(call, answer, error)
            if outcome.ok and isinstance(answer, Response):
                self._keep(call, answer)
            return outcome

        return keep

    def _keep(self, call: Call, answer: Response) -> None:
        key = getattr(call, "cache_key", None)
        if key is None or self._store.is_off:
            return
        if forbids_storing(answer):
            self._statistics.tell_once("no-store", f"{self._name}: {_NO_STORE}", self._notify)
            return
        packed = pack(answer, self._capture, self._plan.max_size)
        if packed is not None:
            self._store.keep(key, packed, self._nursery)
