"""Experiments, which tell refusals by chance from a limit."""

from __future__ import annotations

import pytest

from tmux_fanout.core.endpoints.experiment import Experiment


def experiment(share: float, limit: float) -> Experiment:
    """Return an experiment after one cut."""
    some = Experiment(1000.0)
    some.cut(share, limit, 0.0)
    return some


@pytest.mark.parametrize(
    ("share", "epochs", "is_refuted"),
    [
        (0.5, [(50, 25, 90)], False),  # no epoch decides alone
        (0.5, [(50, 25, 90), (50, 25, 90)], True),
        (0.5, [(50, 0, 90), (50, 25, 90)], False),
        (0.5, [(50, 25, 200), (50, 25, 200)], False),  # beyond the limit both explain it
        (0.1, [(50, 5, 90), (50, 5, 90)], True),
        (0.1, [(50, 1, 90), (50, 0, 90)], False),
    ],
)
def test_chance_has_to_explain_refusals_much_better(
    share: float, epochs: list[tuple[int, int, float]], is_refuted: bool
) -> None:
    """With a limit of 100 a second, epochs below it tell, and they add up."""
    some = experiment(share, 100.0)
    assert [some.refutes_limit(*epoch) for epoch in epochs][-1] is is_refuted


def test_an_unknown_limit_tells_nothing() -> None:
    some = experiment(0.5, 0.0)
    assert not any(some.refutes_limit(50, 25, 90.0) for _ in range(10))


def test_evidence_fades_where_no_more_than_usual_is_refused() -> None:
    some = experiment(0.5, 100.0)
    some.refutes_limit(50, 25, 90.0)
    assert [some.fades() for _ in range(3)] == [False, False, True]


def test_an_epoch_without_attempts_shows_nothing() -> None:
    """Where calls had other reasons to wait, there is no rate to compare."""
    some = Experiment(1000.0)
    some.cut(0.5, 10.0, 0.0)
    assert not some.refutes_limit(0, 0, 0.0)
    assert not some.tells(0, 0, 0.0)
