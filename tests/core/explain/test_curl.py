"""Requests as curl commands: what curl is told is the request."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.shells import SHELLS, curl_call, fake_curl

from tmux_fanout.core.explain.curl import (
    MAX_ARGUMENT,
    connection_options,
    curl_command,
    token_command,
    without,
)
from tmux_fanout.core.explain.shell import Placeholders
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Headers, Origin, Request, RequestHead
from tmux_fanout.core.http.tls import Tls

ORIGIN = Origin("https", "api.test", 443)
MARKS = Placeholders("abc")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a PATH with a curl that prints its arguments."""
    return fake_curl(tmp_path_factory.mktemp("bin"))


def request(
    method: str = "POST", target: str = "/", body: bytes | None = b"{}", headers: Headers = ()
) -> Request:
    return Request(RequestHead(method, ORIGIN, target, headers), body)


def command(request: Request, *options: str) -> str:
    return curl_command(request, options, MARKS)


@pytest.mark.parametrize(
    ("method", "body", "words"),
    [
        ("GET", None, []),
        ("HEAD", None, ["--head"]),
        ("DELETE", None, ["-X", "DELETE"]),
        ("POST", b"1", []),
        ("PUT", b"1", ["-X", "PUT"]),
        ("GET", b"1", ["-X", "GET"]),
        ("HEAD", b"1", ["-X", "HEAD"]),
        ("POST", None, ["-X", "POST"]),
    ],
)
def test_method(path: str, method: str, body: bytes | None, words: list[str]) -> None:
    """The method is given where curl would choose another."""
    heard = curl_call(command(request(method, body=body)), path)
    assert heard.words == [*words, "https://api.test/", *(["--data-raw", "1"] if body else [])]


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("/a?b=c&d=%20", []),
        ("/a[1-3]", ["--globoff"]),
        ("/{a}", ["--globoff"]),
        ("/a/../b", ["--path-as-is"]),
        ("/a/%2E%2e/b", ["--path-as-is"]),
        (f"/{MARKS.variable('X')}", ["--globoff", "--path-as-is"]),
    ],
)
def test_url_is_sent_unchanged(path: str, target: str, options: list[str]) -> None:
    """curl expands no ranges and removes no `..`, whatever a variable may hold."""
    heard = curl_call(command(request("GET", target, None)), path, X="y")
    shown = target if "x" not in target else "/y"
    assert heard.words == [*options, f"https://api.test{shown}"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (("Host", "api.test"), []),
        (("Host", "other.test"), ["Host: other.test"]),
        (("Accept", "*/*"), []),
        (("Accept", "text/plain"), ["Accept: text/plain"]),
        (("User-Agent", "us/1"), ["User-Agent: us/1"]),
        (("X-Empty", ""), ["X-Empty;"]),
        (("X-Blank", " \t"), ["X-Blank;"]),
        (("X-It", 'it\'s "$(id)" `x`'), ['X-It: it\'s "$(id)" `x`']),
        (("X-Tab", "a\tb"), ["X-Tab: a\tb"]),
        (("X-Latin", "é"), ["X-Latin: \udce9"]),
        (("X-Token", f"a {MARKS.variable('TOKEN')}"), ["X-Token: a s3cret value"]),
    ],
)
def test_header_is_sent_unchanged(path: str, header: tuple[str, str], said: list[str]) -> None:
    """Headers that curl sends anyway are left out."""
    heard = curl_call(command(request(headers=(header,))), path, TOKEN="s3cret value")
    assert heard.after("-H") == said


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "body",
    [b"", b"@file", b"it's", b"-d", b"a\nb\n", b"\0\xff", b"%s\\n", "é\u202e".encode()],
)
def test_body_arrives(path: str, shell: str, body: bytes) -> None:
    """A line of text is an argument; any other body comes from printf through a pipe."""
    heard = curl_call(command(request(body=body)), path, shell)
    given = [word.encode() for word in heard.after("--data-raw")]
    assert given == [body] or (heard.after("--data-binary"), heard.stdin) == (["@-"], body)


@settings(max_examples=50)
@given(
    body=st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode(errors="replace"))
)
def test_any_body_arrives(path: str, body: bytes) -> None:
    """The command for any body is one printable line."""
    line = command(request(body=body))
    assert line.isprintable()
    heard = curl_call(line, path)
    given = [word.encode() for word in heard.after("--data-raw")]
    assert given == [body] or (heard.after("--data-binary"), heard.stdin) == (["@-"], body)


def test_long_body_is_piped(path: str) -> None:
    """A body too long for an argument is piped, and curl does not wait for 100 (Continue)."""
    body = b"x" * (2 * MAX_ARGUMENT)
    heard = curl_call(command(request(body=body)), path)
    assert heard.stdin == body
    assert heard.after("-H") == ["Expect:"]
    own = command(request(body=body, headers=(("expect", "100-continue"),)))
    assert curl_call(own, path).after("-H") == ["expect: 100-continue"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ["--http1.1"]),
        ({"is_tls": False}, []),
        ({"http2": True}, ["--http2"]),
        ({"tls": Tls(ca="/a b")}, ["--http1.1", "--cacert", "/a b"]),
        ({"tls": Tls(ca="/c"), "ca_is_folder": True}, ["--http1.1", "--capath", "/c"]),
        ({"tls": Tls(cert="/c", key="/k")}, ["--http1.1", "--cert", "/c", "--key", "/k"]),
        ({"tls": Tls(verify=False)}, ["--http1.1", "--insecure"]),
        ({"socket": "/a b"}, ["--unix-socket", "/a b", "--http1.1"]),
        ({"socket": "@a"}, ["--abstract-unix-socket", "a", "--http1.1"]),
        ({"connect_to": "::[::1]:8"}, ["--connect-to", "::[::1]:8", "--http1.1"]),
    ],
)
def test_connection_options(given: dict[str, object], words: list[str]) -> None:
    """Timeouts and TLS are those of the run."""
    plain = {"is_tls": True, "http2": False, "tls": Tls(), "ca_is_folder": False, "seconds": 2.5}
    plain |= {"socket": "", "connect_to": None}
    found = connection_options(**{**plain, **given})  # type: ignore[arg-type]  # a table of them
    assert found == ["--compressed", "--max-time", "2.5", *words]


def test_token_command(path: str) -> None:
    """The grant is that of RFC 6749."""
    oauth2 = OAuth2(
        token_url="https://id.test/token",
        client_id="me",
        client_secret=MARKS.variable("SECRET"),
        scope="a b",
    )
    heard = curl_call(token_command(oauth2, MARKS), path, SECRET="s3cret")
    assert heard.after("-u") == ["me:s3cret"]
    assert heard.after("--data-urlencode") == ["grant_type=client_credentials", "scope=a b"]
    assert heard.words[-1] == "https://id.test/token"
    oauth2 = replace(oauth2, params=(("audience", "https://a?b&c"),), auth_method="post")
    heard = curl_call(token_command(oauth2, MARKS), path, SECRET="s3cret")
    assert "-u" not in heard.words
    assert heard.after("--data-urlencode")[2:] == [
        "audience=https://a?b&c",
        "client_id=me",
        "client_secret=s3cret",
    ]


def test_without_removes_a_header() -> None:
    """Case does not matter."""
    head = RequestHead("GET", ORIGIN, "/", (("A", "1"), ("authorization", "2")))
    assert without(head, "Authorization").headers == (("A", "1"),)
