"""Which outcomes are left to a fallback, and what comes of both."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.errors import ConfigError, ErrorInfo, ErrorKind
from tmux_fanout.core.json_text import Body
from tmux_fanout.core.results.envelope import encode_outcome
from tmux_fanout.core.results.fallback import FALLBACK_ON, Fallback, combine, parse_fallback_on
from tmux_fanout.core.results.outcome import Outcome


def failure(kind: ErrorKind, status: int | None = None, *, ambiguous: bool = False) -> Outcome:
    return Outcome(False, status, error=ErrorInfo(kind, "why", ambiguous), attempts=1)


@pytest.mark.parametrize(
    ("words", "outcome", "included"),
    [
        (FALLBACK_ON, failure("connect"), True),
        (FALLBACK_ON, failure("tls"), True),
        (FALLBACK_ON, failure("breaker_open"), True),
        (FALLBACK_ON, failure("timeout"), True),
        (FALLBACK_ON, failure("status", 429), True),
        (FALLBACK_ON, failure("status", 500), True),
        (FALLBACK_ON, failure("status", 599), True),
        (FALLBACK_ON, failure("status", 404), False),
        (FALLBACK_ON, failure("protocol"), False),
        (FALLBACK_ON, failure("template"), False),
        (FALLBACK_ON, failure("lost", 503), False),
        (FALLBACK_ON, failure("cancelled", 503), False),
        (FALLBACK_ON, failure("deadline"), False),
        (FALLBACK_ON, failure("internal", 500), False),
        (FALLBACK_ON, Outcome(True, 200), False),
        (FALLBACK_ON, Outcome(True, skipped=True), False),
        (["connect"], failure("breaker_open"), False),
        (["status"], failure("status", 404), True),
        (["status"], failure("timeout"), False),
        (["404", "4XX"], failure("status", 410), True),
        (["unreachable"], failure("status", 503), False),
        ([503], failure("status"), True),  # others were refused so, and it was not sent
        (["protocol", "decode", "too_large"], failure("decode", 200), True),
        (["status"], Outcome(False, error=ErrorInfo("status", ""), skipped=True), False),
    ],
)
def test_failures_include(words: Any, outcome: Outcome, included: bool) -> None:
    """Only failures of the API itself count, never what a signal or a sibling cut short."""
    assert parse_fallback_on(words).include(outcome) == included


@pytest.mark.parametrize(
    "words",
    [[], ["timeuot"], [600], [-429], [10**30], ["lost"], [""], ["5xx", "6xx"]],
)
def test_what_is_no_list_of_failures_is_refused(words: Any) -> None:
    """The message shows a list that can be used, and all words."""
    with pytest.raises(
        ConfigError, match=r'^fallback_on: .*"unreachable", "timeout", 429, "5xx".* breaker_open'
    ):
        parse_fallback_on(words)


@pytest.mark.parametrize(
    ("outcome", "is_guarded", "allowed"),
    [
        (failure("timeout"), False, True),
        (failure("timeout", ambiguous=True), False, False),
        (failure("status", 500, ambiguous=True), False, False),
        (failure("timeout"), True, False),
        (failure("status", 500), True, False),
        (failure("status", 429), True, True),
        (failure("connect"), True, True),
        (Outcome(False, error=ErrorInfo("connect", ""), attempts=2), True, False),
        (Outcome(False, error=ErrorInfo("breaker_open", "")), True, True),
        (Outcome(True, 200), False, False),
    ],
)
def test_a_request_that_may_have_been_applied_is_not_made_elsewhere(
    outcome: Outcome, is_guarded: bool, allowed: bool
) -> None:
    """A key that makes requests idempotent does so at one API only."""
    on = parse_fallback_on(FALLBACK_ON)
    assert Fallback(1, "b", on, is_guarded=is_guarded).is_allowed(outcome) == allowed


def test_a_refusal_to_call_the_fallback_is_explained() -> None:
    outcome = Fallback(1, "b", parse_fallback_on(FALLBACK_ON)).refused(failure("timeout"))
    assert outcome.error
    assert outcome.error.message == (
        "why; b was not called, as the request may have been applied "
        "(--idempotent, or idempotent = true, allows it)"
    )


def test_the_last_outcome_counts_with_all_attempts() -> None:
    """The error says what the API before came to; `via` comes last."""
    failed = Outcome(False, 503, Body(b'"no"'), ErrorInfo("status", "HTTP 503"), 3, 1.5)
    ok = combine("b", Outcome(True, 200, Body(b"1"), attempts=1, seconds=0.5), "a", failed, 2.25)
    assert encode_outcome(ok) == (
        b'{"ok":true,"status":200,"body":1,"attempts":4,"seconds":2.2500,"via":"b"}'
    )
    own = Outcome(False, error=ErrorInfo("timeout", "too late", ambiguous=True), attempts=1)
    assert encode_outcome(combine("b", own, "a", failed, 2.25)) == (
        b'{"ok":false,"error":{"kind":"timeout","message":"too late; before that, a: HTTP 503",'
        b'"ambiguous":true},"attempts":4,"seconds":2.2500,"via":"b"}'
    )


def test_a_name_is_encoded_as_text() -> None:
    outcome = Outcome(True, 200, Body(b"1"), attempts=1, via='b"')
    assert encode_outcome(outcome).endswith(b'"via":"b\\""}')
