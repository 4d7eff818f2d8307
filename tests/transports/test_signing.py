"""Functions of the user's that sign requests: what they are given, and what they may return."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.client import KEYS, Attempt, TransportKind, request_head
from support.server import Peer, StartServer, answering, echo, response
from support.tokens import opened, post

from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError, TransportError
from tmux_fanout.core.http.auth import Signer
from tmux_fanout.core.http.messages import Request, RequestHead
from tmux_fanout.transports.layers.functions import GROUP, find_function
from tmux_fanout.transports.select import open_transports

CANARY = "c4n4ry"


def sign(
    method: str, url: str, headers: Mapping[str, str], body: bytes, *, key: str = ""
) -> dict[str, str]:
    """Return a hash of all of a request but for its headers, and their names."""
    text = f"{method} {url} {key} ".encode() + body
    return {"X-Signature": hashlib.sha256(text).hexdigest(), "X-Signed": ",".join(headers)}


def expected(method: str, url: str, body: bytes, key: str = "") -> str:
    return sign(method, url, {}, body, key=key)["X-Signature"]


async def test_a_function_signs_what_is_sent(start: StartServer, kind: TransportKind) -> None:
    """Method, URL, headers and body are those on the wire, those of a redirect included."""
    first = True

    async def script(peer: Peer) -> None:
        nonlocal first
        while await peer.request():
            fields = ["Location: /there?q=%20x"] if first else []
            await peer.send(response(b"", *fields, status="303 Go" if first else "200 OK"))
            first = False

    server = await start(script)
    auth = {"call": sign, "key": "k"}
    api = Api("a", f"{server.url}a%20b?c", auth=auth, redirects=1, **KEYS[kind])
    async with opened(api) as [transport]:
        head = request_head(api.url, ("X-Of-Record", "é"))
        head = msgspec.structs.replace(head, method="POST", is_shared=True)
        for body in (b"one", b"two"):
            assert (await transport.send(Request(head, body), Attempt())).status == 200
    root = server.url.removesuffix("/")
    assert [received.headers["x-signature"] for received in server.requests] == [
        expected("POST", f"{root}/a%20b?c", b"one", "k"),
        expected("GET", f"{root}/there?q=%20x", b"", "k"),
        expected("POST", f"{root}/a%20b?c", b"two", "k"),
    ]
    for received in server.requests:
        names = received.headers["x-signed"].split(",")
        assert {"Host", "X-Of-Record"} <= set(names)
        assert ("Content-Length" in names) == (received.method == "POST")
        assert set(map(str.lower, names)) <= set(received.headers)


async def test_the_url_is_that_of_the_request_on_a_socket(
    start: StartServer, tmp_path: Path
) -> None:
    """It says nothing of the socket, which the server does not know."""
    path = str(tmp_path / "s")
    server = await start(echo, path=path)
    api = Api("a", "http://h/a?b", socket=path, auth={"call": sign})
    [plan] = plan_run([api], RunSettings(), {}).apis
    async with open_transports([plan]) as [transport]:
        head = RequestHead("POST", plan.origin, "/a?b", (), auth=plan.requests.auth)
        assert (await transport.send(Request(head, b""), Attempt())).status == 200
    [received] = server.requests
    assert received.headers["x-signature"] == expected("POST", "http://h/a?b", b"")


@pytest.mark.parametrize(
    "returned",
    [
        lambda headers: {**headers, "X-Signature": "s"},  # as libraries do that sign in place
        lambda headers: {"host": headers["Host"], "X-SIGNATURE": "s"},
        lambda headers: {"X-Signature": "s"},
    ],
)
async def test_headers_replace_those_of_the_same_name(
    start: StartServer, kind: TransportKind, returned: Callable[[Any], Any]
) -> None:
    """No header is sent twice, whatever the function repeats of what it was given."""
    server = await start(echo)
    api = Api("a", server.url, auth={"call": lambda m, u, h, b: returned(h)}, **KEYS[kind])
    async with opened(api) as [transport]:
        assert (await post(transport, api)).status == 200
    [received] = server.requests
    names = [line.split(b":")[0].lower() for line in received.head.split(b"\r\n")[1:] if line]
    assert len(names) == len(set(names))
    assert received.headers["x-signature"] == "s"
    assert received.headers["host"] == f"127.0.0.1:{server.port}"


def raise_it(exc: BaseException) -> Any:
    raise exc


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: None, "returned None: return headers to add, such as {'Authorization': '...'}"),
        (lambda: "X: s", "returned a value of type str: return headers to add"),
        (lambda: [("X", "s")], "returned a value of type list: return headers to add"),
        (lambda: {"X": 5}, "returned a header that is of type int: use text"),
        (lambda: {"X": b"s"}, "returned a header that is of type bytes: use text"),
        (lambda: {b"X": "s"}, "returned a header that is of type bytes: use text"),
        (
            lambda: {"X": f"{CANARY}\r\nY: 1"},
            "returned a header that cannot be sent: X: the value has characters that no header",
        ),
        (lambda: {"X": "\u20ac"}, "returned a header that cannot be sent: X: the value has"),
        (lambda: {"X Y": "s"}, "returned a header that cannot be sent: invalid header name 'X…'"),
        (
            lambda: {"Transfer-Encoding": "chunked"},
            "returned a header that cannot be sent: Transfer-Encoding: tmux-fanout sets this",
        ),
        (lambda: {"content-length": "1"}, "returned a header that cannot be sent: content-length"),
        (lambda: raise_it(KeyError(CANARY)), f"raised KeyError at {__file__}:"),
        (lambda: raise_it(SystemExit(CANARY)), f"raised SystemExit at {__file__}:"),
    ],
)
async def test_what_cannot_be_sent_fails_its_call(
    start: StartServer, kind: TransportKind, function: Callable[[], Any], message: str
) -> None:
    """With one line that shows no value, and nothing is sent."""
    server = await start(echo)
    api = Api("a", server.url, auth={"call": lambda m, u, h, b: function()}, **KEYS[kind])
    async with opened(api) as [transport]:
        attempt = Attempt()
        with pytest.raises(TransportError) as caught:
            await post(transport, api, attempt)
    error = caught.value
    assert error.message.startswith("auth.call: ")
    assert message in error.message
    assert error.message.isprintable()
    assert CANARY not in error.message + error.trace
    assert (error.kind, error.sent, error.transient, attempt.sent) == (
        *("template", False, False),
        False,
    )
    assert server.requests == []


async def test_a_coroutine_is_refused_where_only_the_call_shows_it(
    start: StartServer, kind: TransportKind
) -> None:
    """It is closed, so that Python does not warn of it."""

    async def work() -> dict[str, str]:
        return {}

    server = await start(echo)
    api = Api("a", server.url, auth={"call": lambda *_: work()}, **KEYS[kind])
    async with opened(api) as [transport]:
        with pytest.raises(TransportError, match="returned a coroutine: use a plain function"):
            await post(transport, api)


async def test_each_endpoint_has_its_own_function(start: StartServer, kind: TransportKind) -> None:
    """Or none, where it has a token."""
    server = await start(answering(response()))
    written: list[Mapping[str, Any]] = [
        {"url": f"{server.url}one", "auth": {"call": sign, "key": "${ONE}"}},
        {"url": f"{server.url}two"},
        {"url": f"{server.url}three", "auth": {"bearer": "t"}},
    ]
    auth = {"call": sign, "key": "shared"}
    api = Api("a", endpoints=written, auth=auth, **KEYS[kind])
    [plan] = plan_run([api], RunSettings(), {"ONE": "1"}).apis
    async with open_transports([plan]) as [transport]:
        for each in plan.endpoints:
            head = RequestHead("POST", each.origin, each.prefix, each.headers, auth=each.auth)
            await transport.send(Request(head, b""), Attempt())
    signatures = [received.headers.get("x-signature") for received in server.requests]
    assert signatures == [
        expected("POST", f"{server.url}one", b"", "1"),
        expected("POST", f"{server.url}two", b"", "shared"),
        None,
    ]
    assert server.requests[2].headers["authorization"] == "Bearer t"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return `module(text)`, which writes a module and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    written: list[str] = []

    def write(text: str) -> str:
        name = f"signing_for_a_test_{tmp_path.name.replace('-', '_')}_{len(written)}"
        written.append(name)
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


FUNCTIONS = """
import functools

def sign(method, url, headers, body, *, key=""):
    return {"X": key}

async def coroutine(method, url, headers, body): ...

class Signer:
    def sign(self, method, url, headers, body): return {}
    async def __call__(self, method, url, headers, body): ...

signer = Signer()
short = lambda body: {}
number = 5
bound = functools.partial(sign, key="bound")
"""


def test_find_function_by_its_module(module: Callable[[str], str]) -> None:
    """Also within an object; with its arguments."""
    name = module(FUNCTIONS)
    function = find_function(Signer(f"{name}:sign", {"key": "k"}))
    assert function("GET", "", {}, b"") == {"X": "k"}
    assert find_function(Signer(f"{name}:signer.sign"))("GET", "", {}, b"") == {}
    assert find_function(Signer(f"{name}:bound"))("GET", "", {}, b"") == {"X": "bound"}
    assert find_function(Signer(functools.partial(sign)))("GET", "", {}, b"")


@pytest.mark.parametrize(
    ("text", "function", "arguments", "message"),
    [
        (FUNCTIONS, ":sing", {}, "did you mean sign?"),
        ("", ":sign", {}, "it has no functions"),
        (FUNCTIONS, ":number", {}, "is of type int: name a function"),
        (FUNCTIONS, ":Signer", {}, "is of type type: name a function"),
        (FUNCTIONS, ":coroutine", {}, "is a coroutine function: use a plain one, without async"),
        (FUNCTIONS, ":signer", {}, "is a coroutine function: use a plain one, without async"),
        (FUNCTIONS, ":short", {}, "cannot be called as (method, url, headers, body): too many"),
        (
            FUNCTIONS,
            ":sign",
            {"kye": CANARY},
            "cannot be called as (method, url, headers, body, kye=...): got an unexpected keyword",
        ),
        (FUNCTIONS, ":sign", {"url": CANARY}, "multiple values for argument 'url'"),
        ("import nowhere_at_all", ":sign", {}, "needs nowhere_at_all, which is not installed for"),
        (f"raise ValueError('{CANARY}')", ":sign", {}, "raised ValueError at "),
        (f"import sys; sys.exit('{CANARY}')", ":sign", {}, "raised SystemExit at "),
        ("def sign(:", ":sign", {}, "raised SyntaxError: "),
        ("", ".more:sign", {}, "no module "),
    ],
)
def test_find_function_tells_what_it_has_tried(
    module: Callable[[str], str],
    text: str,
    function: str,
    arguments: dict[str, str],
    message: str,
) -> None:
    """In one line, under its key, and without the text of exceptions and arguments."""
    name = module(text)
    with pytest.raises(ConfigError) as caught:
        find_function(Signer(f"{name}{function}", arguments))
    shown = str(caught.value)
    assert shown.startswith("auth.call: ")
    assert message in shown
    assert name in shown
    assert shown.isprintable()
    assert CANARY not in shown


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            "nowhere.at_all:sign",
            "no module nowhere: put nowhere/at_all.py beside the configuration file or into the "
            f"current directory, or install it for {sys.executable}",
        ),
        ("a/b.py:sign", "invalid name 'a/b.py:sign': use one such as \"package.module:function\""),
        (":sign", "invalid name ':sign'"),
        ("a:", "invalid name 'a:'"),
        ("a:b c", "invalid name 'a:b c'"),
        (
            "signer",
            f"no entry point 'signer' in group {GROUP}, none is installed: use one such as "
            '"package.module:function"',
        ),
        (
            "package.module.sign",
            "no entry point 'package.module.sign': write package.module:sign, with a colon, for a "
            "function of a module",
        ),
    ],
)
def test_find_function_says_how_to_name_one(function: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_function(Signer(function))
    assert message in str(caught.value)


def test_find_function_by_its_entry_point(module: Callable[[str], str], tmp_path: Path) -> None:
    """A package that is installed offers it by a name; two that offer the same are refused."""
    name = module(FUNCTIONS)
    for number, path in enumerate(("sign", "bound")):
        folder = tmp_path / f"package{number}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: package{number}\nVersion: 1\n"
        )
        both = f"shared = {name}:{path}\n"
        (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{path} = {name}:{path}\n{both}")
    assert find_function(Signer("sign", {"key": "k"}))("GET", "", {}, b"") == {"X": "k"}
    with pytest.raises(ConfigError, match="the installed ones are bound, shared, sign"):
        find_function(Signer("other"))
    with pytest.raises(ConfigError, match=f"several packages .* use {name}:bound or {name}:sign"):
        find_function(Signer("shared"))


@pytest.mark.parametrize("form", ["call", "digest", "oauth2"])
async def test_redirects_to_other_hosts_leave_credentials_behind(
    start: StartServer, form: str
) -> None:
    """The engine takes them off the head where the hosts of an API come from its records."""
    server = await start(echo)
    client = {"token_url": server.url, "client_id": "a", "client_secret": "b"}
    auth = {"call": sign, "digest": ["u", "p"], "oauth2": client}[form]
    api = Api("a", "{+url}", hosts=["127.0.0.1:*"], auth={form: auth})
    [plan] = plan_run([api], RunSettings(), {}).apis
    async with open_transports([plan]) as [transport]:
        origin = plan.origin._replace(scheme="http", host="127.0.0.1", port=server.port)
        head = RequestHead("POST", origin, "/", (("Host", origin.authority),))
        assert (await transport.send(Request(head, b"{}"), Attempt())).status == 200
    [received] = server.requests
    assert set(received.headers) == {"host", "content-length"}
