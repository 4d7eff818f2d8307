"""Making the callers of a run, and what takes their settled calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.engine.calls.caller import Caller
from tmux_fanout.engine.calls.callers.context import ApiContext, RunContext
from tmux_fanout.engine.calls.hosts.callers import AnyCaller, HostCallers
from tmux_fanout.engine.calls.outcomes.timings import Settled
from tmux_fanout.engine.calls.reuse.store import Store
from tmux_fanout.engine.calls.sharing.others import NoOthers
from tmux_fanout.engine.calls.sharing.share import Share
from tmux_fanout.engine.run.metering import Metering
from tmux_fanout.engine.run.settling.fallback import Relay
from tmux_fanout.transports.base import Transport


def make_callers(
    plan: RunPlan,
    transports: Sequence[Transport],
    statistics: Sequence[ApiStatistics],
    run: RunContext,
    metering: Metering,
    *,
    share: Share | None,
    stores: Mapping[str, Store],
    settled: Settled,
    lost: Callable[[Caller], None],
) -> Sequence[AnyCaller]:
    """Return the callers of all APIs, in the order of the plan.

    Args:
        plan: the whole run.
        transports: one for each API.
        statistics: one for each API.
        run: what all callers have in common.
        metering: makes their meters.
        share: what this process has of the limits; None: all of them.
        stores: the caches of the APIs, by their folders.
        settled: called with each call that has its final outcome, and the bytes of that.
        lost: called with the caller of an API that has been down for longer than calls wait.
    """
    callers: list[AnyCaller] = []
    all_peers = [metering.peers(api) for api in plan.apis]
    all_settled = _settled_hooks(plan, callers, run, settled)
    for index, api in enumerate(plan.apis):
        peers = all_peers[index]
        context = ApiContext(
            run,
            transports[index],
            statistics[index],
            meter=metering.meter(api, statistics[index]),
            start_peers=peers.start if peers else None,
            others=share.others[index] if share else NoOthers(),
            store=stores.get(api.cache.dir) if api.cache else None,
        )
        callers.append(
            HostCallers(api, context, settled=all_settled[index])
            if api.hosts
            else Caller(api, context, settled=all_settled[index], lost=lost)
        )
    for peers, caller in zip(all_peers, callers):
        if peers:
            peers.add(caller.start)
    return callers


def _settled_hooks(
    plan: RunPlan, callers: Sequence[AnyCaller], run: RunContext, settled: Settled
) -> Sequence[Settled]:
    """Return for each API what takes its settled calls.

    Args:
        plan: the whole run.
        callers: of all APIs, once they are made.
        run: passes on spans.
        settled: called with each call that has its final outcome.
    """
    if run.spans:
        settled = run.spans.of_records(plan.join, settled)
    hooks = [settled] * len(plan.apis)
    for position, chain in enumerate(plan.chains):
        for index in chain if len(chain) > 1 else ():
            relay = Relay(
                plan.apis[index], position, callers, run.nursery, settled=settled, kept=run.kept
            )
            hooks[index] = relay.settled
    return hooks
