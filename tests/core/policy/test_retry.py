"""Retry decisions: the table, and the bounds that hold for every sequence of failures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.errors import ErrorInfo, ErrorKind, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.answers import Repeatable, repeatable
from tmux_fanout.core.policy.retry import (
    BACKOFF_CAP,
    Retry,
    RetryPolicy,
    decide,
)

SAFE = RetryPolicy(retries=2, timeout=60.0, method="GET", idempotent=True)
UNSAFE = RetryPolicy(retries=2, timeout=60.0, method="POST", idempotent=False)


def answer(status: int) -> Response:
    return Response(status, (), b"", 0)


def error(
    *, sent: bool, transient: bool = True, stale: bool = False, kind: ErrorKind = "connect"
) -> TransportError:
    return TransportError(kind, "it broke", sent=sent, transient=transient, stale=stale)


REFUSED = error(sent=False)
NO_CERTIFICATE = error(sent=False, transient=False, kind="tls")
AFTER_A_REDIRECT = Response(503, (), b"", 0, answered=True)
NOT_FOUND_AFTER_IT = Response(404, (), b"", 0, answered=True)
NOT_FOLLOWED = Response(302, (), b"", 0, note="it is not followed")
LOST = error(sent=True, kind="protocol")
SILENT = error(sent=True, kind="timeout")
GARBLED = error(sent=True, transient=False, kind="protocol")
STALE = error(sent=True, stale=True)
STALE_UNSENT = error(sent=False, stale=True)

NOT_REPEATED = (
    "; not retried, as the POST may have been applied"
    " (--idempotent, or idempotent = true, allows it)"
)

ALWAYS = [408, 421, 425, 429, 503, 529]
IF_IDEMPOTENT = [500, 502, 504, 520, 521, 522, 523, 524]
NEVER = [100, 204, 206, 300, 301, 304, 307, 400, 401, 403, 404, 405, 409, 410, 413, 418, 422, 431]
NEVER += [451, 499, 501, 505, 507, 511, 519, 525, 530, 599, 999]


@pytest.mark.parametrize(
    ("failure", "rule"),
    [
        *(pytest.param(answer(status), Repeatable.ALWAYS, id=f"{status}") for status in ALWAYS),
        *(
            pytest.param(answer(status), Repeatable.IF_IDEMPOTENT, id=f"{status}")
            for status in IF_IDEMPOTENT
        ),
        *(pytest.param(answer(status), Repeatable.NEVER, id=f"{status}") for status in NEVER),
        pytest.param(REFUSED, Repeatable.ALWAYS, id="refused"),
        pytest.param(NO_CERTIFICATE, Repeatable.NEVER, id="no-certificate"),
        pytest.param(AFTER_A_REDIRECT, Repeatable.IF_IDEMPOTENT, id="after-a-redirect"),
        pytest.param(LOST, Repeatable.IF_IDEMPOTENT, id="lost-once-sent"),
        pytest.param(GARBLED, Repeatable.NEVER, id="garbled"),
        pytest.param(STALE, Repeatable.IF_IDEMPOTENT, id="stale-once-sent"),
        pytest.param(STALE_UNSENT, Repeatable.ALWAYS, id="stale-not-sent"),
    ],
)
def test_repeatable_is_as_the_table_says(
    failure: Response | TransportError, rule: Repeatable
) -> None:
    """A request that was not processed may always be repeated, others only if idempotent."""
    assert repeatable(failure) is rule


@pytest.mark.parametrize(
    ("failure", "safe", "unsafe"),
    [
        pytest.param(REFUSED, Retry(0.05), Retry(0.05), id="refused"),
        pytest.param(answer(503), Retry(0.05), Retry(0.05), id="503"),
        pytest.param(answer(429), Retry(0.05), Retry(0.05), id="429"),
        pytest.param(
            answer(500),
            Retry(0.05),
            ErrorInfo(
                "status",
                "HTTP 500" + NOT_REPEATED,
                ambiguous=True,
            ),
            id="500",
        ),
        pytest.param(
            LOST,
            Retry(0.05, fresh=True),
            ErrorInfo(
                "protocol",
                "it broke" + NOT_REPEATED,
                ambiguous=True,
            ),
            id="lost",
        ),
        pytest.param(
            STALE,
            Retry(0.0, fresh=True, free=True),
            ErrorInfo(
                "connect",
                "it broke" + NOT_REPEATED,
                ambiguous=True,
            ),
            id="stale",
        ),
        pytest.param(
            STALE_UNSENT, Retry(0.0, True, True), Retry(0.0, True, True), id="stale-not-sent"
        ),
        pytest.param(
            answer(404), ErrorInfo("status", "HTTP 404"), ErrorInfo("status", "HTTP 404"), id="404"
        ),
        pytest.param(answer(421), Retry(0.05, fresh=True), Retry(0.05, fresh=True), id="421"),
        pytest.param(
            SILENT,
            Retry(0.05, fresh=True),
            ErrorInfo("timeout", "it broke" + NOT_REPEATED, ambiguous=True),
            id="silent",
        ),
        pytest.param(
            NO_CERTIFICATE, ErrorInfo("tls", "it broke"), ErrorInfo("tls", "it broke"), id="tls"
        ),
        pytest.param(
            AFTER_A_REDIRECT,
            Retry(0.05),
            ErrorInfo("status", "HTTP 503" + NOT_REPEATED, ambiguous=True),
            id="after-a-redirect",
        ),
        pytest.param(
            NOT_FOUND_AFTER_IT,
            ErrorInfo("status", "HTTP 404"),
            ErrorInfo("status", "HTTP 404", ambiguous=True),
            id="404-after-a-redirect",
        ),
        pytest.param(
            NOT_FOLLOWED,
            ErrorInfo("status", "HTTP 302; it is not followed"),
            ErrorInfo("status", "HTTP 302; it is not followed"),
            id="note",
        ),
        pytest.param(
            GARBLED,
            ErrorInfo("protocol", "it broke"),
            ErrorInfo("protocol", "it broke", ambiguous=True),
            id="garbled",
        ),
    ],
)
def test_decide_after_the_first_attempt(
    failure: Response | TransportError, safe: Retry | ErrorInfo, unsafe: Retry | ErrorInfo
) -> None:
    """A GET and a POST get the expected delay or error for the same failure."""
    assert decide(SAFE, failure, attempts=1, elapsed=0.01, jitter=0.5) == safe
    assert decide(UNSAFE, failure, attempts=1, elapsed=0.01, jitter=0.5) == unsafe


@pytest.mark.parametrize(
    ("policy", "failure", "attempts", "message"),
    [
        (SAFE, answer(503), 3, "HTTP 503 after 3 attempts"),
        (UNSAFE, answer(503), 3, "HTTP 503 after 3 attempts"),
        (SAFE, answer(500), 4, "HTTP 500 after 4 attempts"),
        (SAFE, REFUSED, 3, "it broke after 3 attempts"),
        (SAFE, answer(404), 2, "HTTP 404 after 2 attempts"),
        (RetryPolicy(0, 60.0, "GET", True), answer(503), 1, "HTTP 503"),
    ],
)
def test_decide_ends_when_the_retries_are_used_up(
    policy: RetryPolicy, failure: Response | TransportError, attempts: int, message: str
) -> None:
    """The call ends with the last error and the number of attempts."""
    decision = decide(policy, failure, attempts=attempts, elapsed=1.0, jitter=0.0)
    assert isinstance(decision, ErrorInfo)
    assert (decision.message, decision.ambiguous) == (message, False)


@pytest.mark.parametrize(
    ("attempts", "max_delay"),
    [(1, 0.1), (2, 0.2), (3, 0.4), (8, 12.8), (9, 20.0), (50, 20.0), (10**9, 20.0)],
)
def test_decide_backs_off_exponentially_with_full_jitter(attempts: int, max_delay: float) -> None:
    """The delay is uniform between 0 and a bound that doubles from 0.1 s up to 20 s."""
    patient = RetryPolicy(10**9, 1e9, "GET", True)
    for jitter in (0.0, 0.25, 1.0):
        decision = decide(patient, answer(503), attempts=attempts, elapsed=0.0, jitter=jitter)
        assert isinstance(decision, Retry)
        assert decision.delay == pytest.approx(max_delay * jitter)


@pytest.mark.parametrize(
    ("retry_after", "elapsed", "expected"),
    [
        pytest.param(None, 0.0, Retry(0.05), id="none"),
        pytest.param(0.0, 0.0, Retry(0.05), id="zero-is-no-floor"),
        pytest.param(0.01, 0.0, Retry(0.05), id="below-the-back-off"),
        pytest.param(5.0, 0.0, Retry(5.0), id="above-it"),
        pytest.param(30.0, 0.0, Retry(30.0), id="above-the-cap"),
        pytest.param(59.0, 0.5, Retry(59.0), id="just-in-time"),
        pytest.param(59.5, 0.5, "59.5s would pass the timeout of 1m", id="to-the-second"),
        pytest.param(86_400.0, 0.0, "24h would pass the timeout of 1m", id="a-day"),
        pytest.param(1e12, 0.0, "1000000000000s would pass the timeout of 1m", id="ages"),
        pytest.param(5.0, 59.0, "5s would pass the timeout of 1m", id="no-time-left"),
    ],
)
def test_decide_takes_retry_after_as_a_floor_within_the_timeout(
    retry_after: float | None, elapsed: float, expected: Retry | str
) -> None:
    """Retry-After is honoured if there is time for it; otherwise the call ends at once."""
    decision = decide(
        SAFE, answer(503), attempts=1, elapsed=elapsed, jitter=0.5, retry_after=retry_after
    )
    if isinstance(expected, str):
        assert decision == ErrorInfo("status", f"HTTP 503; another attempt in {expected}")
    else:
        assert decision == expected


@pytest.mark.parametrize("elapsed", [60.0, 70.0])
@pytest.mark.parametrize("failure", [answer(503), REFUSED, STALE], ids=["503", "refused", "stale"])
def test_decide_ends_once_the_time_is_up(
    failure: Response | TransportError, elapsed: float
) -> None:
    """No attempt begins at or after the timeout, not even an uncounted one."""
    decision = decide(SAFE, failure, attempts=1, elapsed=elapsed, jitter=0.0)
    assert isinstance(decision, ErrorInfo)
    assert decision.message in ("HTTP 503", "it broke")


def test_decide_stale_connection_is_repeated_free_of_charge_but_once() -> None:
    """A GET is repeated at once even with no retries, but only once."""
    policy = RetryPolicy(0, 60.0, "GET", True)
    assert decide(policy, STALE, attempts=1, elapsed=0.1, jitter=1.0) == Retry(0.0, True, True)
    decision = decide(policy, STALE, attempts=2, elapsed=0.1, jitter=1.0, fresh=True)
    assert decision == ErrorInfo("connect", "it broke after 2 attempts")


failures = st.sampled_from(
    [REFUSED, NO_CERTIFICATE, LOST, GARBLED, STALE, STALE_UNSENT]
    + [answer(status) for status in (*ALWAYS, *IF_IDEMPOTENT, 404)]
)
policies = st.builds(
    RetryPolicy,
    st.integers(0, 5),
    st.sampled_from([0.05, 1.0, 60.0]) | st.floats(0.001, 100),
    st.just("POST"),
    st.booleans(),
)


@given(
    policies,
    st.lists(
        st.tuples(
            failures,
            st.floats(0, 5),
            st.floats(0, 1),
            st.none() | st.floats(0, 100) | st.just(86_400.0),
        ),
        min_size=12,
        max_size=12,
    ),
)
def test_decide_keeps_every_bound_over_any_schedule(
    policy: RetryPolicy,
    schedule: list[tuple[Response | TransportError, float, float, float | None]],
) -> None:
    """A call that follows the decisions stays within its attempts, delays and time, and ends."""
    elapsed, fresh = 0.0, False
    for attempts, (failure, took, jitter, retry_after) in enumerate(schedule, 1):
        elapsed += took
        decision = decide(
            policy,
            failure,
            attempts=attempts,
            elapsed=elapsed,
            jitter=jitter,
            retry_after=retry_after,
            fresh=fresh,
        )
        rule = repeatable(failure)
        if isinstance(decision, ErrorInfo):
            may_be_applied = (
                failure.sent if isinstance(failure, TransportError) else rule.value == 2
            )
            assert decision.ambiguous == (may_be_applied and not policy.idempotent)
            return
        assert rule is Repeatable.ALWAYS or (policy.idempotent and rule.value == 2)
        assert attempts + 1 <= policy.retries + 1 + decision.free
        assert elapsed + decision.delay < policy.timeout
        if decision.free:
            assert failure in (STALE, STALE_UNSENT)
            assert decision.fresh
            assert not fresh
            assert decision.delay == 0
        else:
            max_delay = min(BACKOFF_CAP, 0.1 * 2.0 ** (attempts - 1))
            assert (retry_after or 0) <= decision.delay <= max(max_delay, retry_after or 0)
        elapsed += decision.delay
        fresh = decision.fresh
    pytest.fail("the call never ended")
