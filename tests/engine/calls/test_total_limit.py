"""The slots that all APIs share."""

from __future__ import annotations

from functools import partial

from tmux_fanout.engine.calls.slots import TotalLimit


def test_total_limit_gives_those_who_wait_one_slot_each_in_turns() -> None:
    """The turns hold however many slots are free, and however many the first could use."""
    total = TotalLimit(4)
    taken: list[str] = []
    slots: list[object] = []

    def start(name: str) -> None:
        while total.has_slot(starts[name]):
            slot = object()
            total.take(slot)
            slots.append(slot)
            taken.append(name)

    starts = {name: partial(start, name) for name in "abc"}
    for name in "abc":
        starts[name]()
    assert taken == ["a"] * 4
    for slot in slots[:4]:
        total.give_back(slot)
    total.pass_on()
    assert taken[4:] == ["a", "b", "c", "a"]
    assert total.limiter.borrowed_tokens == 4
