"""Retry decisions: the table, and the bounds that hold for every sequence of failures."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tmux_fanout.core.errors import ErrorInfo, ErrorKind, TransportError
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.policy.answers import Repeatable, Says, repeatable, says
from tmux_fanout.core.policy.retry import (
    BACKOFF_CAP,
    NO_EVIDENCE,
    REFUSAL_CAP,
    Evidence,
    Retry,
    RetryPolicy,
    decide,
    final_error,
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

GITHUBS_403 = Response(403, ((b"retry-after", b"1"),), b"", 0)

COUNTED = Retry(0.05, counts=True, is_timed=True)
FRESH = Retry(0.05, fresh=True, counts=True, is_timed=True)
AT_ONCE = Retry(0.0, fresh=True)

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
        pytest.param(GITHUBS_403, Retry(0.05), Retry(0.05), id="403-with-retry-after"),
        pytest.param(
            answer(500),
            COUNTED,
            ErrorInfo(
                "status",
                "HTTP 500" + NOT_REPEATED,
                ambiguous=True,
            ),
            id="500",
        ),
        pytest.param(
            LOST,
            FRESH,
            ErrorInfo(
                "protocol",
                "it broke" + NOT_REPEATED,
                ambiguous=True,
            ),
            id="lost",
        ),
        pytest.param(
            STALE,
            AT_ONCE,
            ErrorInfo(
                "connect",
                "it broke" + NOT_REPEATED,
                ambiguous=True,
            ),
            id="stale",
        ),
        pytest.param(STALE_UNSENT, AT_ONCE, AT_ONCE, id="stale-not-sent"),
        pytest.param(
            answer(404), ErrorInfo("status", "HTTP 404"), ErrorInfo("status", "HTTP 404"), id="404"
        ),
        pytest.param(answer(421), FRESH, FRESH, id="421"),
        pytest.param(answer(408), COUNTED, COUNTED, id="408"),
        pytest.param(
            SILENT,
            FRESH,
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
    """A GET and a POST get the expected delay or error for the same failure.

    A refusal uses up neither a retry nor the time of the call.
    """
    assert after(failure, SAFE) == safe
    assert after(failure, UNSAFE) == unsafe


def after(
    failure: Response | TransportError,
    policy: RetryPolicy = SAFE,
    *,
    attempts: int = 1,
    used: float = 0.01,
    jitter: float = 0.5,
    failures: int | None = None,
    evidence: Evidence = NO_EVIDENCE,
    retry_after: float | None = None,
    fresh: bool = False,
    has_fallback: bool = False,
) -> Retry | ErrorInfo:
    """Decide after some attempts that ended alike."""
    is_refusal = says(failure) is Says.REFUSES
    return decide(
        policy,
        failure,
        attempts=attempts,
        used=used,
        jitter=jitter,
        failures=(0 if is_refusal else attempts - 1) if failures is None else failures,
        refusals=attempts if is_refusal else 0,
        is_refusal=is_refusal,
        evidence=evidence,
        retry_after=retry_after,
        fresh=fresh,
        has_fallback=has_fallback,
    )


@pytest.mark.parametrize(
    ("policy", "failure", "attempts", "message"),
    [
        (SAFE, answer(500), 3, "HTTP 500 after 3 attempts"),
        (SAFE, answer(500), 4, "HTTP 500 after 4 attempts"),
        (UNSAFE, answer(408), 3, "HTTP 408 after 3 attempts"),
        (SAFE, LOST, 3, "it broke after 3 attempts"),
        (SAFE, answer(404), 2, "HTTP 404 after 2 attempts"),
        (RetryPolicy(0, 60.0, "GET", True), answer(500), 1, "HTTP 500"),
        (RetryPolicy(0, 60.0, "GET", True), answer(503), 1, "HTTP 503"),
        (RetryPolicy(0, 60.0, "GET", True), REFUSED, 1, "it broke"),
    ],
)
def test_decide_ends_when_the_retries_are_used_up(
    policy: RetryPolicy, failure: Response | TransportError, attempts: int, message: str
) -> None:
    """The call ends with the last error and the number of attempts."""
    decision = after(failure, policy, attempts=attempts, used=1.0)
    assert isinstance(decision, ErrorInfo)
    assert (decision.message, decision.ambiguous) == (message, False)


PACED = Evidence(refused=300, served=700, has_served=True, is_down=False, is_paced=True)
UNWELL = Evidence(refused=900, served=100, has_served=True, is_down=False)
WELL = Evidence(refused=3, served=1000, has_served=True, is_down=False)
GONE = Evidence(refused=900, served=0, has_served=True, is_down=False, is_absent=True)
ABSENT = Evidence(refused=900, served=0, has_served=False, is_down=False, is_absent=True)
SERVING_OTHERS = Evidence(refused=0, served=1000, has_served=True, is_down=False)
NEW = Evidence(refused=3, served=0, has_served=False, is_down=False)


@pytest.mark.parametrize("failure", [answer(429), answer(503), answer(529), GITHUBS_403, REFUSED])
@pytest.mark.parametrize(
    ("attempts", "evidence", "ends"),
    [
        pytest.param(2, WELL, False, id="within-the-retries"),
        pytest.param(3, WELL, True, id="others-are-served"),
        pytest.param(3, UNWELL, False, id="others-are-refused"),
        pytest.param(122, UNWELL, False, id="as-unlucky-as-can-be"),
        pytest.param(123, UNWELL, True, id="too-unlucky"),
        pytest.param(3, NO_EVIDENCE, False, id="nothing-served-of-late"),
        pytest.param(10**6, NO_EVIDENCE, False, id="nothing-served-for-long"),
        pytest.param(2, ABSENT, False, id="never-served-within-the-retries"),
        pytest.param(3, ABSENT, True, id="never-served-without-a-breaker"),
        pytest.param(9, NEW, False, id="never-served"),
        pytest.param(2, GONE, False, id="without-a-breaker-within-the-retries"),
        pytest.param(3, GONE, True, id="without-a-breaker"),
    ],
)
def test_decide_ends_a_refused_call_by_evidence(
    failure: Response | TransportError, attempts: int, evidence: Evidence, ends: bool
) -> None:
    """Its own refusals must be improbable if the call is like any other."""
    decision = after(failure, UNSAFE, attempts=attempts, evidence=evidence)
    assert isinstance(decision, ErrorInfo) is ends


@pytest.mark.parametrize("failure", [answer(429), answer(502), REFUSED, LOST])
@pytest.mark.parametrize(
    ("is_down", "has_fallback", "ends"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_calls_are_not_repeated_while_a_fallback_takes_those_that_wait(
    failure: Response | TransportError, is_down: bool, has_fallback: bool, ends: bool
) -> None:
    evidence = UNWELL._replace(is_down=is_down)
    decision = after(failure, attempts=1, evidence=evidence, has_fallback=has_fallback)
    assert isinstance(decision, ErrorInfo) is ends


@pytest.mark.parametrize("failure", [answer(500), answer(502), LOST, SILENT])
def test_failures_do_not_count_while_the_endpoint_is_unwell(
    failure: Response | TransportError,
) -> None:
    """They take the call's time, so it ends in any case."""
    decision = after(failure, attempts=9, failures=2, evidence=UNWELL)
    assert isinstance(decision, Retry)
    assert (decision.counts, decision.is_timed) == (False, True)
    assert isinstance(after(failure, attempts=9, failures=2, used=60.0, evidence=UNWELL), ErrorInfo)
    assert isinstance(after(failure, attempts=9, failures=2, evidence=WELL), ErrorInfo)


@pytest.mark.parametrize("failure", [answer(502), LOST])
def test_call_does_not_end_before_others_have_told_what_became_of_theirs(
    failure: Response | TransportError,
) -> None:
    """The endpoint may fail all of them; but nothing takes longer than the call's time."""
    partial = WELL._replace(is_partial=True)
    assert isinstance(after(failure, attempts=9, failures=2, evidence=partial), Retry)
    assert isinstance(
        after(failure, attempts=9, failures=2, used=60.0, evidence=partial), ErrorInfo
    )
    assert isinstance(after(REFUSED, attempts=9, evidence=ABSENT._replace(is_partial=True)), Retry)


@pytest.mark.parametrize(
    ("refusals", "refused", "served", "against"),
    [
        (5, 10, 90, False),
        (6, 10, 90, True),  # 6 ln 10 = 13.82
        (17, 50, 50, False),
        (18, 50, 50, True),  # rather than at 20 ln 2 = 13.86, as half of them are not left then
        (17, 17, 3, False),
        (10, 10, 10, False),  # 1 / C(20, 10)
        (12, 12, 12, True),
        (10**6, 10**6, 0, False),
        (0, 0, 10**6, False),
    ],
)
def test_evidence_is_how_improbable_the_refusals_are(
    refusals: int, refused: int, served: int, against: bool
) -> None:
    evidence = Evidence(refused, served, has_served=True, is_down=False)
    assert evidence.is_against(refusals) is against


@pytest.mark.parametrize(
    ("refusals", "refused", "served", "before", "are_last", "against"),
    [
        pytest.param(99, 100, 900, 50, False, False, id="others-wait-that-tell-more"),
        pytest.param(1, 10, 90, 0, True, False, id="too-few"),
        pytest.param(2, 10, 90, 0, True, True, id="one-in-a-hundred"),  # 2 ln 10 = 4.61
        pytest.param(3, 3, 0, 50, True, True, id="the-only-one"),
        pytest.param(99, 100, 0, 50, True, False, id="another-was-refused-as-well"),
    ],
)
def test_evidence_while_the_endpoint_seems_down(
    refusals: int, refused: int, served: int, before: int, are_last: bool, against: bool
) -> None:
    """The last calls may be at fault; but if none is served any more, only one that is alone."""
    evidence = Evidence(refused, served, True, True, served_before=before, are_last=are_last)
    assert evidence.is_against(refusals) is against


@pytest.mark.parametrize(
    ("refusals", "is_down", "are_last", "against"),
    [
        (3, False, True, True),  # one or two that are alone
        (2, False, True, False),  # more of them
        (3, False, False, False),
        (6, True, True, False),
    ],
)
def test_an_endpoint_that_never_served_is_waited_for_unless_nobody_else_asks(
    refusals: int, is_down: bool, are_last: bool, against: bool
) -> None:
    """It may not be up yet; but a mistake in a URL is told at once."""
    evidence = Evidence(6, 0, has_served=False, is_down=is_down, are_last=are_last)
    assert evidence.is_against(refusals) is against


@pytest.mark.parametrize(("others", "against"), [(1, True), (3, True), (4, False), (20, False)])
def test_others_count_that_have_not_been_refused_yet(others: int, against: bool) -> None:
    """They are under way, or at other processes whose reports come later."""
    evidence = Evidence(3, 0, has_served=False, is_down=False, are_last=True, others=others)
    assert evidence.is_against(3) is against


def test_service_before_the_first_refusal_says_nothing_where_other_processes_have_calls() -> None:
    """Theirs may be refused as well: it may be an outage that began meanwhile."""
    evidence = Evidence(5, 0, True, is_down=True, served_before=50, are_last=True)
    assert evidence.is_against(5)
    assert not evidence._replace(elsewhere=1).is_against(5)


@given(st.integers(1, 100), st.integers(0, 1000), st.integers(0, 1000), st.booleans())
def test_evidence_loses_few_calls_that_are_like_any_other(
    refusals: int, others: int, served: int, is_down: bool
) -> None:
    """One in a million at most, and no fewer refusals are evidence if more are not."""
    refused = refusals + others
    evidence = Evidence(refused, served, has_served=True, is_down=is_down, are_last=True)
    if evidence.is_against(refusals):
        probability = comb(others + served, served) / comb(refused + served, served)
        assert probability <= (0.0101 if is_down else 1.02e-6)
        assert not others or evidence.is_against(refusals + 1)
        assert evidence._replace(served=served + 1).is_against(refusals)


@pytest.mark.parametrize(
    ("refused", "served", "setbacks", "unwell"),
    [
        pytest.param(10, 9, 4, True, id="most-fail"),
        pytest.param(10, 10, 4, False, id="half-fail"),
        pytest.param(10, 9, 5, False, id="half-of-the-failures-are-its-own"),
        pytest.param(0, 0, 1, False, id="nothing-is-known"),
    ],
)
def test_endpoints_are_unwell_if_others_fail_as_well(
    refused: int, served: int, setbacks: int, unwell: bool
) -> None:
    assert Evidence(refused, served, True, False).is_unwell(setbacks) is unwell


@pytest.mark.parametrize(
    ("attempts", "after_failure", "after_refusal"),
    [
        (1, 0.1, 0.1),
        (2, 0.2, 0.2),
        (5, 1.6, 1.6),
        (6, 3.2, 2.0),
        (8, 12.8, 2.0),
        (9, 20.0, 2.0),
        (50, 20.0, 2.0),
        (10**9, 20.0, 2.0),
    ],
)
def test_decide_backs_off_exponentially_with_full_jitter(
    attempts: int, after_failure: float, after_refusal: float
) -> None:
    """The delay is uniform between 0 and a bound that doubles from 0.1 s up to 20 s, or 2 s."""
    patient = RetryPolicy(10**9, 1e9, "GET", True)
    for jitter in (0.0, 0.25, 1.0):
        for failure, bound in ((answer(500), after_failure), (answer(503), after_refusal)):
            decision = after(failure, patient, attempts=attempts, jitter=jitter)
            assert isinstance(decision, Retry)
            assert decision.delay == pytest.approx(bound * jitter)


@pytest.mark.parametrize(
    ("retry_after", "used", "expected"),
    [
        pytest.param(None, 0.0, 0.05, id="none"),
        pytest.param(0.0, 0.0, 0.05, id="zero-is-no-floor"),
        pytest.param(0.01, 0.0, 0.05, id="below-the-back-off"),
        pytest.param(5.0, 0.0, 5.0, id="above-it"),
        pytest.param(30.0, 0.0, 30.0, id="above-the-cap"),
        pytest.param(59.0, 0.5, 59.0, id="just-in-time"),
        pytest.param(59.5, 0.5, "59.5s would pass the timeout of 1m", id="to-the-second"),
        pytest.param(86_400.0, 0.0, "24h would pass the timeout of 1m", id="a-day"),
        pytest.param(1e12, 0.0, "1000000000000s would pass the timeout of 1m", id="ages"),
        pytest.param(5.0, 59.0, "5s would pass the timeout of 1m", id="no-time-left"),
    ],
)
def test_decide_takes_retry_after_as_a_floor(
    retry_after: float | None, used: float, expected: float | str
) -> None:
    """After a failure it has to be within the timeout; a refused call waits for any time."""
    refused = after(answer(503), used=used, retry_after=retry_after)
    assert refused == Retry(max(retry_after or 0.0, 0.05))
    decision = after(answer(408), used=used, retry_after=retry_after)
    if isinstance(expected, str):
        assert decision == ErrorInfo("status", f"HTTP 408; another attempt in {expected}")
    else:
        assert decision == Retry(expected, counts=True, is_timed=True)


@pytest.mark.parametrize("used", [60.0, 70.0])
@pytest.mark.parametrize("failure", [answer(500), LOST, STALE], ids=["500", "lost", "stale"])
def test_decide_ends_once_the_time_is_up(failure: Response | TransportError, used: float) -> None:
    """No attempt begins at or after the timeout, not even an uncounted one."""
    decision = after(failure, used=used, jitter=0.0)
    assert isinstance(decision, ErrorInfo)
    assert decision.message in ("HTTP 500", "it broke")


@pytest.mark.parametrize("failure", [answer(503), REFUSED], ids=["503", "refused"])
def test_decide_does_not_count_the_time_of_refusals(failure: Response | TransportError) -> None:
    """A refused call goes on though earlier attempts have used up its time."""
    assert after(failure, used=70.0) == Retry(0.05)


def test_decide_stale_connection_is_repeated_free_of_charge_but_once() -> None:
    """A GET is repeated at once even with no retries, but only once."""
    policy = RetryPolicy(0, 60.0, "GET", True)
    assert after(STALE, policy, jitter=1.0) == AT_ONCE
    decision = after(STALE, policy, attempts=2, jitter=1.0, fresh=True)
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
    st.booleans(),
    st.lists(
        st.tuples(
            failures,
            st.floats(0, 5),
            st.floats(0, 1),
            st.none() | st.floats(0, 100) | st.just(86_400.0),
        ),
        min_size=24,
        max_size=24,
    ),
)
def test_decide_keeps_every_bound_over_any_schedule(
    policy: RetryPolicy,
    has_served: bool,
    schedule: list[tuple[Response | TransportError, float, float, float | None]],
) -> None:
    """A call that follows the decisions stays within its retries, delays and time, and ends.

    The endpoint serves all others, or is not waited for.
    """
    used, fresh, counted, refusals = 0.0, False, 0, 0
    for attempts, (failure, took, jitter, retry_after) in enumerate(schedule, 1):
        used += took
        is_refusal = says(failure) is Says.REFUSES
        refusals += is_refusal
        decision = decide(
            policy,
            failure,
            attempts=attempts,
            used=used,
            jitter=jitter,
            failures=counted,
            refusals=refusals,
            is_refusal=is_refusal,
            evidence=SERVING_OTHERS._replace(refused=attempts) if has_served else ABSENT,
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
        counted += decision.counts
        assert rule is Repeatable.ALWAYS or (policy.idempotent and rule.value == 2)
        assert counted <= policy.retries
        cap, floor = REFUSAL_CAP if is_refusal else BACKOFF_CAP, retry_after or 0.0
        if is_refusal:
            assert not decision.counts
            assert not decision.is_timed
        elif not decision.is_timed:
            assert failure in (STALE, STALE_UNSENT)
            assert decision == AT_ONCE
            assert not fresh
            cap = floor = 0.0
        else:
            used += decision.delay
            assert used < policy.timeout
        bound = min(cap, 0.1 * 2.0 ** (attempts - 1))
        assert floor <= decision.delay <= max(bound, floor)
        fresh = decision.fresh
    pytest.fail("the call never ended")


@pytest.mark.parametrize(
    ("evidence", "refusals", "most"),
    [
        (PACED._replace(is_paced=False), 5, 0.1),
        (PACED._replace(is_paced=False), 9, 0.1),
        (PACED._replace(is_paced=False), 11, 0.4),
        (PACED._replace(is_paced=False, served=4), 5, 1.6),
        (PACED._replace(is_paced=False, is_down=True), 5, 1.6),
        (PACED, 5, 1.6),
    ],
)
def test_refusals_by_chance_need_no_long_back_off(
    evidence: Evidence, refusals: int, most: float
) -> None:
    """Where no pace spares the endpoint and others are served, a call soon tries again."""
    decision = decide(
        SAFE,
        answer(503),
        attempts=refusals,
        used=0.0,
        jitter=1.0,
        refusals=refusals,
        is_refusal=True,
        evidence=evidence,
    )
    assert isinstance(decision, Retry)
    assert decision.delay == pytest.approx(most)


@pytest.mark.parametrize(
    ("evidence", "refusals", "is_against"),
    [
        (PACED, 12, False),
        (PACED, 22, False),
        (PACED, 23, True),
        (PACED._replace(is_paced=False), 12, True),
        (PACED._replace(are_last=True), 12, True),
    ],
)
def test_a_limit_may_refuse_one_call_more_often(
    evidence: Evidence, refusals: int, is_against: bool
) -> None:
    """Large requests find less room under a limit than others, so it takes more to give one up."""
    assert evidence.is_against(refusals) is is_against


def test_without_retries_nothing_is_said_of_them() -> None:
    """The failure remains ambiguous."""
    found = final_error(replace(UNSAFE, retries=0), Response(500, (), b"", 0), 1)
    assert found == ErrorInfo("status", "HTTP 500", ambiguous=True)
