"""APIs with hosts, where everything goes wrong at once."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import adversity
from support.adversity import Adversity
from support.witness import Sent, callers

from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.requests.urls.record_url import RecordUrl
from tmux_fanout.engine.calls.hosts import callers as host_callers

HOSTS = 4
NOT_WITH_HOSTS = ("endpoints", "balance", "batch", "hedge", "ok_when")

_api = adversity._api


def host_of(value: Any) -> str:
    return f"h{value % HOSTS}.test"


def api_with_hosts(random: Random, before: list[str]) -> dict[str, Any]:
    """Return random settings of an API, whose hosts come from records more often than not."""
    api = _api(random, before)
    if random.random() < 0.3:
        return api
    api = {key: value for key, value in api.items() if key not in NOT_WITH_HOSTS}
    if isinstance(api["limit"], dict):
        api["limit"] = api["limit"]["max"]
    return api | {
        "url": "http://{value}/",
        "hosts": ["*"],
        "host_limit": random.choice([1, 2, 8]),
        "host_rate": random.choice([None, None, "3/s"]),
    }


def locate(_: RecordUrl, record: Any) -> tuple[Origin, str]:
    value = record["value"] if isinstance(record, dict) else record
    return Origin("http", host_of(int(str(value))), 80), "/"


class HostAdversity(Adversity):
    """A random run in which hosts come from records."""

    def _check(self) -> None:
        self._check_lines()
        self._check_end()
        assert self._total.peak <= (self.settings["total_limit"] or self._total.peak)
        for caller in callers(self.scenario):
            self._check_left_over(caller)
            plan = caller.plan
            sent = self._witness(plan.name).sent
            assert self._witness(plan.name).peak <= plan.limit
            if plan.hosts:
                assert _peak(sent) <= plan.hosts.limit


def _peak(sent: list[Sent]) -> int:
    """Return the maximum number of attempts at one host at a time."""
    edges = [(each.began, 1, host_of(each.values[0])) for each in sent]
    edges += [(each.ended, -1, host_of(each.values[0])) for each in sent]
    under_way: Counter[str] = Counter()
    peak = 0
    for _, change, host in sorted(edges):
        under_way[host] += change
        peak = max(peak, under_way[host])
    return peak


@settings(max_examples=60)
@given(st.integers(0, 2**32))
@example(44)  # an alarm that rang for ever
@example(173)  # an epoch without attempts
def test_whatever_goes_wrong_at_hosts_each_record_gets_its_line(seed: int) -> None:
    """Lines are complete and in order, limits hold for each host and for all, nothing is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adversity, "_api", api_with_hosts)
        patch.setattr(RecordUrl, "locate", locate)
        patch.setattr(host_callers, "MAX_IDLE", seed % 3)
        HostAdversity(Random(seed)).play()
