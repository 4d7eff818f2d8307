"""The challenges of servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.http.signing.challenges import (
    Challenge,
    Unanswerable,
    find_challenge,
    find_next_nonce,
)

PLAIN = Challenge(realm="a", nonce="n")


@pytest.mark.parametrize(
    ("values", "challenge"),
    [
        (['Digest realm="a", nonce="n"'], PLAIN),
        (["digest  realm = a ,nonce\t=\tn"], PLAIN),
        (['Digest ,, realm="a" ,, nonce="n",'], PLAIN),
        (['Digest REALM="a", Nonce="n", nonce="other"'], PLAIN),
        (['Digest nonce="", realm=""'], Challenge(realm="", nonce="")),
        (
            ['Digest realm="a, \\"b\\" = c\\\\", nonce=n=='],
            Challenge(realm='a, "b" = c\\', nonce="n=="),
        ),
        (['Basic realm="Digest x", Digest realm="a", nonce="n"'], PLAIN),
        (["Basic", 'Digest realm="a", nonce="n"'], PLAIN),
        (["Negotiate, Digest realm=a,nonce=n, Basic realm=b"], PLAIN),
        (["Negotiate YII+/==, NTLM abc, Digest realm=a,nonce=n"], PLAIN),
        (
            ["Digest realm=a, nonce=n, algorithm=SHA-999", "Digest realm=a, nonce=n"],
            PLAIN,
        ),
        (
            ['Digest realm=a, nonce=n, qop="auth-int,auth", opaque="", stale=TRUE'],
            Challenge(realm="a", nonce="n", opaque="", qop="auth", stale=True),
        ),
        (
            ["Digest realm=a, nonce=n, qop=auth-int, stale=no, userhash=true, charset=utf-8"],
            Challenge(realm="a", nonce="n", qop="auth-int", hides_user=True, is_utf8=True),
        ),
        (
            ['Digest realm=a, nonce=n, qop="auth", algorithm="sha-512-256-SESS"'],
            Challenge(
                realm="a",
                nonce="n",
                algorithm="sha-512-256-SESS",
                hash_name="sha512_256",
                is_session=True,
                qop="auth",
            ),
        ),
    ],
)
def test_find_challenge_returns_the_first_that_can_be_answered(
    values: list[str], challenge: Challenge
) -> None:
    """As servers write it: on one line or several, after others, with or without quotes."""
    assert find_challenge([value.encode() for value in values]) == challenge


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([], "it sends no challenge for Digest"),
        (["??"], "it sends no challenge for Digest"),
        (['Basic realm="a"'], "it asks for Basic, not Digest"),
        (["Bearer, Negotiate", "Bearer"], "it asks for Bearer and Negotiate, not Digest"),
        (["Digest realm=a"], "its challenge has no nonce"),
        (["Digest nonce=a", "Basic"], "its challenge has no realm"),
        (
            ["Digest realm=a, nonce=n, algorithm=TOKEN"],
            "its challenge has the algorithm token, which is not supported",
        ),
        (
            ["Digest realm=a, nonce=n, qop=auth-conf"],
            "its challenge has the qop auth-conf, which is not supported",
        ),
        (
            ["Digest realm=a, nonce=n, algorithm=MD5-sess"],
            "its challenge has the algorithm md5-sess without a qop",
        ),
    ],
)
def test_find_challenge_tells_why_there_is_none(values: list[str], why: str) -> None:
    """The reason is for the message of the call."""
    assert find_challenge([value.encode() for value in values]) == Unanswerable(why)


pieces = st.sampled_from(
    [*'",= \\\t', "Digest", "realm", "nonce", "qop=", '="', "auth", "é", "a==", "Basic "]
)


@given(st.lists(pieces, max_size=20).map("".join))
def test_find_challenge_takes_any_text(text: str) -> None:
    """Whatever a server sends, there is a challenge or a reason that can be shown."""
    found = find_challenge([text.encode()])
    assert isinstance(found, Challenge) or found.why.isprintable()


@pytest.mark.parametrize(
    "text", ['"' + "\\" * 50_000, "a=" * 50_000, "a " * 50_000, "a,=" * 50_000]
)
def test_find_challenge_is_fast_with_long_headers(text: str) -> None:
    """No header takes time that grows with the square of its length."""
    find_challenge([b"Digest " + text.encode()])


@pytest.mark.parametrize(
    ("value", "nonce"),
    [
        (None, None),
        (b'rspauth="x"', None),
        (b'nextnonce=""', None),
        (b'nextnonce="a=="', "a=="),
        (b'qop=auth, rspauth="x, nextnonce=y", NextNonce="a"', "a"),
    ],
)
def test_find_next_nonce(value: bytes | None, nonce: str | None) -> None:
    """An answer may name the nonce for the next request."""
    assert find_next_nonce(value) == nonce
