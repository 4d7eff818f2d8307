"""The arithmetic of HTTP Digest, by the examples of its RFC, and what follows a 401."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from tmux_fanout.core.http.auth import Digest
from tmux_fanout.core.http.signing.challenges import Challenge, find_challenge
from tmux_fanout.core.http.signing.digest import Protection, Session, begin_session

MUFASA = Digest("Mufasa", "Circle of Life")
JASON = Digest("J\xe4s\xf8n Doe", "Secret, or not?")


def challenge(text: str) -> Challenge:
    found = find_challenge([text.encode()])
    assert isinstance(found, Challenge)
    return found


def field(authorization: str, name: str) -> str:
    """Return a field of an Authorization header."""
    [value] = re.findall(rf'[ ]{re.escape(name)}=("(?:[^"\\]|\\.)*"|[^,]*)', authorization)
    return str(value)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_first_example_of_the_rfc(algorithm: str, response: str) -> None:
    """RFC 7616, section 3.9.1: a whole header, whose fields are quoted as it says."""
    session = begin_session(
        MUFASA,
        challenge(
            'Digest realm="http-auth@example.org", qop="auth, auth-int", '
            f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
            'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
        ),
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert session.authorize("GET", "/dir/index.html", None) == (
        'Digest username="Mufasa", realm="http-auth@example.org", '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", uri="/dir/index.html", '
        f'response="{response}", algorithm={algorithm}, '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", qop=auth, nc=00000001, '
        'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"'
    )


def test_the_second_example_of_the_rfc() -> None:
    """RFC 7616, section 3.9.2, with the hashes of erratum 4897: those printed are of SHA-512."""
    session = begin_session(
        JASON,
        challenge(
            'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
            'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", charset=UTF-8, userhash=true, '
            'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS"'
        ),
        "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    sent = session.authorize("GET", "/doe.json", None)
    user = "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    response = "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    assert field(sent, "username") == f'"{user}"'
    assert field(sent, "response") == f'"{response}"'
    assert field(sent, "userhash") == "true"


def test_the_example_of_the_older_rfc() -> None:
    """RFC 2617, section 3.5; and RFC 2069 for servers without a qop, by its erratum 749."""
    text = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
    user = Digest("Mufasa", "Circle Of Life")
    sent = begin_session(user, challenge(f'{text}, qop="auth,auth-int"'), "0a4f113b").authorize(
        "GET", "/dir/index.html", None
    )
    assert field(sent, "response") == '"6629fae49393a05397450978507c4ef1"'
    assert "algorithm" not in sent
    older = begin_session(Digest("Mufasa", "CircleOfLife"), challenge(text), "0a4f113b")
    sent = older.authorize("GET", "/dir/index.html", None)
    assert field(sent, "response") == '"1949323746fe6a43ef61f9606e7febea"'
    assert not re.search("qop|nc=|cnonce", sent)


def test_a_body_counts_with_auth_int() -> None:
    """Another body has another response, and so has none."""
    plan = challenge("Digest realm=a, nonce=n, qop=auth-int")
    responses = {
        begin_session(MUFASA, plan, "c").authorize("POST", "/", body)
        for body in (None, b"a", b"b", b"")
    }
    assert len(responses) == 3
    plan = challenge("Digest realm=a, nonce=n, qop=auth")
    responses = {begin_session(MUFASA, plan, "c").authorize("POST", "/", b) for b in (None, b"a")}
    assert len(responses) == 1


def test_each_request_has_the_next_count() -> None:
    """Eight hexadecimal digits, from 1."""
    session = begin_session(MUFASA, challenge("Digest realm=a, nonce=n, qop=auth"), "c")
    sent = [session.authorize("GET", "/", None) for _ in range(17)]
    assert [field(each, "nc") for each in sent][::8] == ["00000001", "00000009", "00000011"]
    assert len({field(each, "response") for each in sent}) == 17


def test_a_session_key_is_that_of_the_first_nonce() -> None:
    """Section 3.4.2: the next nonce changes what is sent, not the key of `-sess`."""
    session = begin_session(
        MUFASA, challenge("Digest realm=a,nonce=n,qop=auth,algorithm=MD5-sess"), "c"
    )
    renewed = session.renewed("m")
    assert (renewed.challenge.nonce, renewed.is_accepted) == ("m", True)
    sent = renewed.authorize("GET", "/", None)
    assert field(sent, "nc") == "00000001"
    own = begin_session(
        MUFASA, challenge("Digest realm=a,nonce=m,qop=auth,algorithm=MD5-sess"), "c"
    )
    assert field(own.authorize("GET", "/", None), "response") != field(sent, "response")


@pytest.mark.parametrize(
    ("user", "charset", "name", "shown"),
    [
        ('a "b"\\', "", "username", '"a \\"b\\"\\\\"'),
        ("J\xe4", "", "username", '"J\xc3\xa4"'),  # UTF-8, in which all else is
        ("J\xe4 \u0416", ", charset=UTF-8", "username*", "UTF-8''J%C3%A4%20%D0%96"),
        ("plain", ", charset=UTF-8", "username", '"plain"'),
    ],
)
def test_users_of_all_names(user: str, charset: str, name: str, shown: str) -> None:
    """Quotes are escaped; what is not ASCII is UTF-8, encoded where the server knows how."""
    session = begin_session(Digest(user, ""), challenge(f"Digest realm=a, nonce=n{charset}"), "c")
    sent = session.authorize("GET", "/", None)
    assert field(sent, name) == shown
    assert sent.encode("latin-1")
    if name == "username*":
        assert unquote(field(sent, name).removeprefix("UTF-8''")) == user


def test_credentials_have_no_secret_in_their_representation() -> None:
    """A traceback with local variables may be shown somewhere."""
    session = begin_session(Digest("u", "s3cret"), challenge("Digest realm=a, nonce=n"), "c")
    protection = Protection(Digest("u", "s3cret"))
    assert "s3cret" not in f"{session!r} {protection!r} {Digest('u', 's3cret')!r}"


FIRST = challenge('Digest realm=a, nonce=1, qop="auth"')
SECOND = challenge('Digest realm=a, nonce=2, qop="auth"')
STALE = challenge('Digest realm=a, nonce=2, qop="auth", stale=true')


def started() -> tuple[Protection, Session]:
    protection = Protection(MUFASA)
    session = protection.renew(None, FIRST, "c")
    assert session is not None
    assert protection.session is session
    return protection, session


def test_renew_shares_one_session_among_calls_with_one_nonce() -> None:
    """Calls that are refused with the same nonce go on with one counter."""
    protection, session = started()
    assert protection.renew(None, FIRST, "other") is session


def test_renew_gives_up_where_credentials_are_wrong() -> None:
    """A nonce that was never accepted is not the reason; the next call takes the new one."""
    protection, session = started()
    assert protection.renew(session, SECOND, "c") is None
    assert protection.session is not session
    assert protection.session
    assert protection.session.challenge == SECOND


def test_renew_gives_up_where_the_nonce_stays() -> None:
    """The server confirms it: so the password has changed, or this user may not have that."""
    protection, session = started()
    protection.note_answer(session, 200, None)
    assert protection.renew(session, FIRST, "c") is None
    assert protection.session is session


@pytest.mark.parametrize("accepted", [True, False])
def test_renew_goes_on_where_the_nonce_is_used_up(accepted: bool) -> None:
    """The server says so, or it has accepted these credentials before."""
    protection, session = started()
    if accepted:
        protection.note_answer(session, 404, None)
    new = protection.renew(session, SECOND if accepted else STALE, "c")
    assert new is protection.session
    assert new is not None
    assert new.challenge.nonce == "2"


def test_renew_gives_each_call_the_nonce_of_its_own_answer() -> None:
    """Servers may take a nonce once; the first answer has the nonce for later calls."""
    protection, session = started()
    protection.note_answer(session, 200, None)
    first = protection.renew(session, SECOND, "c")
    third = challenge("Digest realm=a, nonce=3, qop=auth")
    other = protection.renew(session, third, "c")
    assert other is not None
    assert (other.challenge, protection.session) == (third, first)


@pytest.mark.parametrize(
    ("status", "is_open"), [(200, True), (404, True), (301, True), (429, False), (503, False)]
)
def test_an_answer_without_credentials_opens_the_origin(status: int, is_open: bool) -> None:
    """Then no call waits for a challenge, until there is one; an overloaded server says nothing."""
    protection = Protection(MUFASA)
    protection.note_answer(None, status, None)
    assert protection.is_open is is_open
    protection.renew(None, FIRST, "c")
    assert protection.is_open is False


def test_the_next_nonce_of_an_answer_is_used() -> None:
    """Only that of the current session: an older answer may arrive later."""
    protection, session = started()
    protection.note_answer(session, 200, "next")
    assert protection.session
    assert protection.session.challenge.nonce == "next"
    protection.note_answer(session, 200, "late")
    assert protection.session.challenge.nonce == "next"


def test_a_counter_at_its_end_asks_for_another_nonce() -> None:
    """Eight digits are all that there are."""
    protection, session = started()
    session._count = 0xFFFFFFFF - 1
    assert field(session.authorize("GET", "/", None), "nc") == "ffffffff"
    protection.note_answer(session, 200, None)
    assert protection.session is None
