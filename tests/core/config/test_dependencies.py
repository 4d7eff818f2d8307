"""APIs that wait for others: which ones, cycles, and the results that they see."""

import pytest

from tmux_fanout.core.config.dependencies import chain, depend, results_of, tie
from tmux_fanout.core.config.settings import Api
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


def test_chains_follow_fallbacks_in_any_order() -> None:
    """Each API that is no fallback comes first, and its fallbacks in the order of the calls."""
    assert chain(["c", "x", "a", "b"], ["b", None, None, "a"]) == [(1,), (2, 3, 0)]


@pytest.mark.parametrize(
    ("fallback_of", "message"),
    [
        (
            ["a", None, None],
            "API 'a': fallback_of: an API cannot be its own fallback: name another one",
        ),
        ([None, "aa", None], "API 'b': fallback_of: unknown API 'aa': did you mean a?"),
        ([None, "https://a", None], "API 'b': fallback_of: unknown API a URL: use one of a, c"),
        (
            [None, "a", "a"],
            "API 'c': fallback_of: b is the fallback of a: "
            "use fallback_of = 'b', to be called after that one",
        ),
        (
            ["b", "c", "a"],
            "API 'a': fallback_of: APIs are fallbacks of each other, a, then c, then b, then a: "
            "remove fallback_of from one of these",
        ),
    ],
)
def test_chain_rejects(fallback_of: list[str | None], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        chain(["a", "b", "c"], fallback_of)
    assert str(caught.value) == message


def apis(*after: list[str]) -> list[Api]:
    return [Api(name, f"https://{name}.test", after=each) for name, each in zip("abc", after)]


def test_a_fallback_waits_for_what_the_api_before_it_does() -> None:
    """Indexes are those among the outcomes, which fallbacks have no part in."""
    ties = tie(apis([], [], ["a"]), [(0, 1), (2,)])
    assert [each.after for each in ties] == [{}, {}, {0: "a"}]
    assert [each.is_fallback for each in ties] == [False, True, False]
    assert ties[0].fallback
    assert (ties[0].fallback.index, ties[0].fallback.name) == (1, "b")
    ties = tie(apis(["c"], [], []), [(0, 1), (2,)])
    assert [each.after for each in ties] == [{1: "c"}, {1: "c"}, {}]


def test_an_api_cannot_come_after_a_fallback() -> None:
    with pytest.raises(ConfigError) as caught:
        tie(apis([], [], ["b"]), [(0, 1), (2,)])
    assert str(caught.value) == (
        "API 'c': after: b is a fallback, whose outcome is that of a: name that one"
    )


def test_a_fallback_has_no_after_of_its_own() -> None:
    with pytest.raises(ConfigError) as caught:
        tie(apis([], ["c"], []), [(0, 1), (2,)])
    assert str(caught.value) == "API 'b': after: a fallback waits for what a does: leave it out"
