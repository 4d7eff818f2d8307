"""Join policies: their syntax, when they settle a record, and when it is ok."""

import pytest

from tmux_fanout.core.errors import ConfigError, ErrorInfo
from tmux_fanout.core.policy.join import ALL, JoinPolicy, parse_join
from tmux_fanout.core.policy.max_failures import MaxFailures, parse_max_failures
from tmux_fanout.core.results.outcome import Outcome

OUTCOMES = {
    "+": Outcome(True, 200),
    "-": Outcome(False, 500, error=ErrorInfo("status", "HTTP 500")),
    "s": Outcome(True, skipped=True),
    "n": Outcome(False, error=ErrorInfo("template", "not called"), skipped=True),
    ".": None,
}


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("all", ALL),
        ("first", JoinPolicy(1)),
        ("quorum:2", JoinPolicy(2)),
        ("best-effort:500ms", JoinPolicy(1, 0.5)),
        ("best-effort:0", JoinPolicy(1)),
    ],
)
def test_parse_join(text: str, policy: JoinPolicy) -> None:
    """All four policies are parsed with their arguments."""
    assert parse_join(text) == policy
    assert parse_join(policy) == policy


@pytest.mark.parametrize(
    "value", ["any", "quorum", "quorum:", "quorum:0", "quorum:x", "best-effort", "all:1", "", 1]
)
def test_parse_join_refuses(value: object) -> None:
    """The message lists the four policies."""
    with pytest.raises(ConfigError, match="use all, first, quorum:N or best-effort:T"):
        parse_join(value)


@pytest.mark.parametrize(
    ("policy", "outcomes", "winners"),
    [
        ("all", "++.", []),
        ("first", "...", []),
        ("first", "-s.", []),
        ("first", ".+-", [1]),
        ("quorum:2", "+-.", []),
        ("quorum:2", "+.+", [0, 2]),
        ("best-effort:1s", ".+.", [1]),
    ],
)
def test_winners(policy: str, outcomes: str, winners: list[int]) -> None:
    """Enough ok outcomes settle a record; a skipped call does not count."""
    assert parse_join(policy).winners([OUTCOMES[each] for each in outcomes]) == winners


@pytest.mark.parametrize(
    ("policy", "outcomes", "ok"),
    [
        ("all", "++", True),
        ("all", "+s", True),
        ("all", "+-", False),
        ("all", "+n", False),
        ("first", "-+", True),
        ("first", "--", False),
        ("first", "ss", True),
        ("first", "s-", False),
        ("first", "-n", False),
        ("quorum:2", "+-", False),
        ("quorum:2", "+-+", True),
        ("quorum:2", "s+s", True),
        ("quorum:2", "s-s", False),
        ("best-effort:1s", "-+-", True),
    ],
)
def test_is_ok(policy: str, outcomes: str, ok: bool) -> None:
    """As many calls must be ok as are needed, or all if fewer were made."""
    found = [outcome for each in outcomes if (outcome := OUTCOMES[each])]
    assert parse_join(policy).is_ok(found) == ok


@pytest.mark.parametrize(
    ("value", "failed", "records", "passed"),
    [
        (0, 1, 1, True),
        ("3", 3, 9, False),
        ("3", 4, 9, True),
        ("5%", 99, 99, False),
        ("5%", 5, 100, False),
        ("5%", 6, 100, True),
        ("0.5%", 1, 100, True),
        (MaxFailures(1), 2, 2, True),
    ],
)
def test_max_failures(value: object, failed: int, records: int, passed: bool) -> None:
    """A number counts at once, a share from a hundred records on."""
    assert parse_max_failures(value).are_passed(failed, records) == passed


@pytest.mark.parametrize("value", ["many", "100%", "-1", "5 %", True, None, 1.5])
def test_max_failures_refuses(value: object) -> None:
    """The message shows what to use."""
    with pytest.raises(ConfigError, match="use a number or a share, such as 100 or 5%"):
        parse_max_failures(value)
