"""APIs that come after others: who waits for whom, circles, and what is seen."""

import pytest

from tmux_fanout.core.config.dependencies import depend, results_of
from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.results.outcome import Outcome


def test_depend_names_those_waited_for_by_place() -> None:
    """The order in which APIs are configured does not matter, nor does naming one twice."""
    assert depend(["c", "a", "b"], [["a", "b", "a"], [], ["a"]]) == [{1: "a", 2: "b"}, {}, {1: "a"}]


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ([["a"], [], []], "API 'a': after: a circle, a after a; break it"),
        ([["b"], ["c"], ["a"]], "API 'a': after: a circle, a after b after c after a; break it"),
        ([[], ["c"], ["b"]], "API 'b': after: a circle, b after c after b; break it"),
        ([["bb"], [], []], "API 'a': after: no API is called 'bb'; did you mean b?"),
        ([["x"], [], []], "API 'a': after: no API is called 'x'; known are a, b, c"),
    ],
)
def test_depend_refuses(after: list[list[str]], message: str) -> None:
    """A circle is shown whole, and a name that is none with the nearest that is."""
    with pytest.raises(ConfigError) as caught:
        depend(["a", "b", "c"], after)
    assert str(caught.value) == message


def test_depend_is_quick_on_a_long_ladder() -> None:
    """Forty APIs, each after all before it, are looked at once each."""
    names = [f"a{i}" for i in range(40)]
    assert len(depend(names, [names[:i] for i in range(40)])[-1]) == 39


def test_results_are_outcomes_as_in_the_output() -> None:
    """Body, status and the mark of a skipped call are where the envelope has them."""
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
