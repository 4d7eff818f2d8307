"""Random jobs: odd records, odd responses, and configurations that use every key."""

from __future__ import annotations

import hashlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st
from support import nasty

# Expressions that only rearrange values, each with its equivalent in Python.
MOVES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "@": lambda value: value,
    "n": lambda value: value.get("n"),
    "{m: n}": lambda value: {"m": value.get("n")},
    "[n, {t: t}]": lambda value: [value.get("n"), {"t": value.get("t")}],
    "values({a: a})": lambda value: [value.get("a")],
    "max([n])": lambda value: value.get("n"),
}
EXPRESSIONS = [
    *MOVES,
    "t",
    "a",
    "{m: n, t: t, again: {n: n}}",
    "sum([n, n])",
    "&a",
    "{a: &n}",
    "`" + "1" * 5000 + "`",
    "(" * 3000 + "n" + ")" * 3000,
    "a.b || n || t",
    "items[*]",
    "items[?@ > `1`] | [0]",
    "items[-1]",
    "values(@)[0]",
    "keys(@)",
    "sum(items)",
    "avg(items || `[1]`)",
    "max(items)",
    "sort(keys(@))",
    "sort_by(items, &n)",
    "map(&n, items)",
    "merge(@, {z: `1.0`})",
    "to_string(@)",
    "to_number(t)",
    "to_array(n)",
    "length(t)",
    "reverse(t)",
    "join(',', keys(@))",
    "contains(t, 'x')",
    "not_null(a, b, n, t)",
    "abs(n)",
    "ceil(n)",
    "floor(n)",
    "type(n)",
    "n == `1.1`",
    "n > `5`",
    "n < t",
    '"a.b"',
    '"\\ud800"',
    "value",
    "_results",
    "@[::2]",
    "n && t",
    "!n",
    "{x: a.b.c, y: items[1].n}",
    "items[*].n.x",
    "starts_with(n, 'x')",
    "join(' ', items)",
    "n > '5'",
    't == "x"',
    "n > 5",
    "{on: true}",
    "{n, t}",
    '{"t": "{t}"}',
]
PATHS = [
    "/",
    "/n/{n}",
    "/q{?t,n}",
    "/q{?a*,items*}",
    "/r/{+t}",
    "/p/{id}/x{;n}",
    "/s{/t}",
    "/d{.n}",
    "/v/{value}",
    "/t:{t:3}",
    "/dotted/{a.b}",
    "/o{/id?}{?none}{&t}",
    "/o/{none?}/x{+a.b?}",
]
HEADER_VALUES = ["plain", "{t}", "{n}", "{a}", "{id}-{n}", "{value}", "{a.b}", "{none?}{t?}"]
_expressions = st.sampled_from(EXPRESSIONS)


def _optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


_apis = _optional(
    url=st.sampled_from(PATHS),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
    headers=st.dictionaries(st.sampled_from(["X-A", "X-B"]), st.sampled_from(HEADER_VALUES)),
    body=_expressions,
    body_format=st.sampled_from(["json", "raw", "form", "multipart"]),
    select=_expressions,
    when=_expressions,
    ok_status=st.sampled_from([["2xx"], ["2xx", 404], ["5xx"]]),
    ok_when=_expressions,
    retry_on=st.sampled_from([["5xx", 409], [404, 409]]),
    retry_when=_expressions,
    capture_headers=st.sampled_from([["set-cookie"], ["x-odd", "Retry-After"]]),
    limit=st.sampled_from([1, 2, 8, "adaptive"]),
    rate=st.sampled_from(["1000/s"]),
    retries=st.integers(0, 2),
    idempotent=st.booleans(),
    idempotency_key=st.sampled_from([True, False, "{id}", "k-{a.b}"]),
    breaker=st.sampled_from([False, {"failures": 2, "open": "1ms", "wait": "20ms"}]),
    hedge=st.sampled_from(["1ms", "p95", "head"]),
    batch=_optional(
        size=st.integers(1, 4),
        format=st.sampled_from(["json", "ndjson"]),
        items=_expressions,
        key=st.sampled_from(["n", "id", "a.b"]),
        wrap=st.sampled_from(["{items: @}", "@", "items"]),
    ).map(lambda keys: {"size": 3, **keys}),
    max_response=st.sampled_from(["1KiB", "64KiB"]),
    redirects=st.integers(0, 2),
    auth=st.sampled_from(
        [
            {"bearer": "token"},
            {"basic": ["user", "password"]},
            {"digest": ["user", "password"]},
            {"call": "odd_signer:sign", "key": "k"},
        ]
    ),
    compress=st.just("gzip"),
    share=st.booleans(),
    cache=st.sampled_from([{"dir": "FOLDER/cache", "ttl": "1h"}, {"dir": "FOLDER/x", "ttl": 1}]),
    route=st.sampled_from(["socket", "connect_to", "hosts"]),
    pages=st.sampled_from(
        [{"next": "n", "param": "t", "items": "items", "max": 3}, {"next": "link"}]
    ),
    poll=st.sampled_from(
        [
            {"url": "/j/{_submitted.n}", "until": "t", "every": "10ms", "max": "50ms"},
            {"url": "/j/{id}", "until": "!n", "failed": "a", "every": "10ms", "max": "50ms"},
        ]
    ),
    stream=st.sampled_from(["ndjson", "sse"]),
    last=st.booleans(),
    traceparent=st.booleans(),
    balance=st.sampled_from(["round-robin", "failover", "least-in-flight"]),
    transport=st.sampled_from(["native", "httpx"]),
)

FILES = {"text": b"text", "1.10": bytes(300_000), "NaN": b""}
"""The files that records may name, some of whose texts are the names of files."""

_UPLOADS = ["{t: t, f: file(t)}", "{f: file(t, {type: 'a/b'})}", "{t: t, n: n}"]
_excluded_by = {  # the first of two that exclude each other stays
    "balance": {"pages", "poll", "route"},
    "hosts": {"batch", "hedge", "pages", "poll"},
    "pages": {"batch", "hedge", "idempotency_key", "poll", "stream"},
    "poll": {"batch", "hedge", "idempotency_key", "method", "stream"},
    "batch": {"body_format", "headers", "hedge", "idempotency_key", "method", "stream", "url"},
    "multipart": {"cache", "share"},
    "stream": {"transport"},
}


def _plausible(api: dict[str, Any], upload: str) -> dict[str, Any]:
    """Return the settings without combinations that are refused at the start."""
    for key, excluded in _excluded_by.items():
        if key in api or key in (api.get("route"), api.get("body_format")):
            api = {each: value for each, value in api.items() if each not in excluded}
    if api.get("body_format") == "multipart":
        api |= {"body": upload, "files_root": "FOLDER/files", "method": "POST"}
    if "stream" not in api:
        api.pop("last", None)
    return {**api, "idempotent": True} if "hedge" in api else api


_plausible_apis = st.builds(_plausible, _apis, st.sampled_from(_UPLOADS))


_runs = _optional(
    emit=st.sampled_from(["envelope", "merge", "body"]),
    unordered=st.booleans(),
    join=st.sampled_from(["all", "first", "quorum:1", "best-effort:10ms"]),
    chunk_size=st.integers(1, 5),
    window=st.integers(1, 20),
    window_bytes=st.sampled_from(["1KiB", "1MiB"]),
    total_limit=st.integers(1, 4),
    max_line=st.sampled_from(["2KiB", "1MiB"]),
    max_failures=st.sampled_from([3, "50%"]),
)


class Job(NamedTuple):
    """A job, and what its server answers.

    Attributes:
        run: options of the run.
        apis: settings of each API; their URLs are paths without an origin.
        chained: whether the last API is called after the first.
        lines: of the input.
        replies: of the server; a request always gets the same one, however often it is sent.
    """

    run: dict[str, Any]
    apis: list[dict[str, Any]]
    chained: bool
    lines: list[bytes]
    replies: list[nasty.Reply]

    def __repr__(self) -> str:
        lines = [line[:200] for line in self.lines]
        replies = [reply.wire[:300] for reply in self.replies]
        text = self.configuration("http://ORIGIN:1", "FOLDER")
        return f"<Job:\n{text[:3000]}\n{lines}\n{replies}>"

    def configuration(self, origin: str, folder: str) -> str:
        """Return the job as a configuration file.

        Args:
            origin: of the server.
            folder: has the files that records may name, and `socket`, where the server listens too.
        """
        tables = [_table("run", self.run)]
        for index, api in enumerate(self.apis):
            url = api.get("url", "/")
            settings = {"timeout": "400ms", "breaker": False, **api}
            if "balance" in api:
                settings["endpoints"] = [origin, f"{origin}/other"]
                settings["url"] = url
            else:
                settings["url"] = origin + url
            settings |= _routed(settings.pop("route", ""), origin, settings["url"], folder)
            if self.chained and index == len(self.apis) - 1 > 0:
                settings["after"] = ["x0"]
            tables.append(_table(f"api.x{index}", settings))
        return "\n".join(tables).replace("FOLDER", folder)


jobs = st.builds(
    Job,
    _runs,
    st.lists(st.one_of(*[_plausible_apis] * 6, _apis), min_size=1, max_size=3),
    st.booleans(),
    st.lists(nasty.lines, min_size=1, max_size=12),
    st.lists(nasty.replies, min_size=1, max_size=6),
)


def _routed(route: str, origin: str, url: str, folder: str) -> dict[str, Any]:
    """Return the settings by which requests take another way to the server, if any."""
    host = origin.removeprefix("http://")
    match route:
        case "socket":
            return {"socket": f"{folder}/socket"}
        case "connect_to":
            return {"url": url.replace(host, "odd.test", 1), "connect_to": host}
        case "hosts":
            return {"url": url.replace("127.0.0.1", "{t}", 1), "hosts": ["127.0.0.1"]}
    return {}


def _table(name: str, settings: dict[str, Any]) -> str:
    lines = [f"{key} = {_toml(value)}" for key, value in settings.items()]
    return "\n".join([f"[{name}]", *lines])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return "'''" + value + "'''" if '"' in value else f'"{value}"'


def prepare(folder: Path) -> None:
    """Put into a folder what configurations name."""
    (folder / "odd_signer.py").write_text(
        "def sign(method, url, headers, body, *, key):\n"
        "    return {'X-Signed': f'{method} {key} {len(body or b\"\")}'}\n"
    )
    (folder / "files").mkdir()
    for name, content in FILES.items():
        (folder / "files" / name).write_bytes(content)


class OddServer(socketserver.ThreadingTCPServer):
    """Answers each request with one of `replies`, chosen by the request's hash."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _OddHandler)
        self.replies: Sequence[nasty.Reply] = [nasty.Reply(b"", True)]
        self.requests: list[bytes] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def at(self, path: Path) -> Iterator[None]:
        """Listen on a Unix socket as well, for the duration of the block."""
        with _OddUnixServer(str(path), _OddHandler) as server:
            server.odd = self
            with _serving(server):
                yield

    def reply_to(self, request: bytes) -> nasty.Reply:
        self.requests.append(request)
        digest = int.from_bytes(hashlib.sha256(request).digest()[:4], "big")
        return self.replies[digest % len(self.replies)]

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore the error: a client may disconnect at any time."""


class _OddUnixServer(socketserver.ThreadingUnixStreamServer):
    """The same on a Unix socket."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    odd: OddServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore the error, as above."""


class _OddHandler(socketserver.StreamRequestHandler):
    server: OddServer | _OddUnixServer

    def handle(self) -> None:
        odd = self.server if isinstance(self.server, OddServer) else self.server.odd
        if odd is self.server:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        with suppress(OSError):
            while request := self._request():
                reply = odd.reply_to(request)
                is_head = request.startswith(b"HEAD")
                head, separator, body = reply.wire.partition(b"\r\n\r\n")
                self.wfile.write(head + separator + (b"" if is_head and not reply.closes else body))
                if reply.closes:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return

    def _request(self) -> bytes:
        line = self.rfile.readline()
        size = 0
        while (header := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        return line + self.rfile.read(size) if line else b""


@contextmanager
def odd_server() -> Iterator[OddServer]:
    """Run a server for the duration of the block."""
    with OddServer() as server, _serving(server):
        yield server


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
