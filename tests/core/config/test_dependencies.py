"""APIs that wait for others: which ones, cycles, and the results that they see."""

import pytest

from tmux_fanout.core.config.dependencies import depend, results_of
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.results.outcome import Outcome


def test_depend_returns_indexes_and_names() -> None:
    """The order in which APIs are configured does not matter, nor does naming one twice."""
    assert depend(["c", "a", "b"], [["a", "b", "a"], [], ["a"]]) == [{1: "a", 2: "b"}, {}, {1: "a"}]


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (
            [["a"], [], []],
            "API 'a': after: APIs wait for each other, a after a: remove one of these",
        ),
        (
            [["b"], ["c"], ["a"]],
            "API 'a': after: APIs wait for each other, a after b after c after a: "
            "remove one of these",
        ),
        (
            [[], ["c"], ["b"]],
            "API 'b': after: APIs wait for each other, b after c after b: remove one of these",
        ),
        ([["bb"], [], []], "API 'a': after: unknown API 'bb': did you mean b?"),
        ([["x"], [], []], "API 'a': after: unknown API 'x': use one of b, c"),
    ],
)
def test_depend_rejects(after: list[list[str]], message: str) -> None:
    """The message shows the whole cycle, or the API name nearest to an unknown one."""
    with pytest.raises(ConfigError) as caught:
        depend(["a", "b", "c"], after)
    assert str(caught.value) == message


def test_depend_is_quick_on_a_long_ladder() -> None:
    """Forty APIs, each after all before it, are visited once each."""
    names = [f"a{i}" for i in range(40)]
    assert len(depend(names, [names[:i] for i in range(40)])[-1]) == 39


def test_results_are_outcomes_as_in_the_output() -> None:
    """Body, status and `skipped` are where the envelope has them."""
    outcomes = [
        Outcome(True, 200, Body(b'{"id":7}'), attempts=1),
        Outcome(True, skipped=True),
        None,
    ]
    assert results_of({0: "a", 1: "b"}, outcomes) == {
        "a": {"ok": True, "status": 200, "body": {"id": 7}, "attempts": 1, "seconds": 0},
        "b": {"ok": True, "skipped": True, "attempts": 0},
    }


def test_results_of_what_is_not_ok_are_the_reason_to_skip() -> None:
    """The reason names the API that is not ok."""
    outcomes = [Outcome(True), Outcome(False, 500)]
    error = results_of({0: "a", 1: "lookup"}, outcomes)
    assert error == ErrorInfo("template", "not called, since lookup is not ok")
