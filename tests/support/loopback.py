"""An HTTP server in threads, for tests that run the command as a process.

It echoes request bodies, counts requests in flight, and holds its answers while `gate` is shut.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from support.command import PATIENCE


class Loopback(ThreadingHTTPServer):
    """Echoes request bodies; a path such as /503 is answered with that status.

    Attributes:
        guard: given method, target, Authorization and body of each request; returns the headers of
            a 401, or None to let it pass.
    """

    daemon_threads = True
    request_queue_size = 1024
    block_on_close = False

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), _Handler)
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.in_flight = 0
        self.peak = 0
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.methods: list[str] = []
        self.more_headers: dict[str, str] = {}
        self.replies: dict[str, Callable[[bytes], tuple[int, bytes]]] = {}
        self.guard: Callable[[str, str, str, bytes], dict[str, str] | None] | None = None

    def url(self, path: str = "/") -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}{path}"

    def await_requests(self, count: int) -> None:
        """Return once so many more requests have arrived."""
        for _ in range(count):
            assert self.arrived.acquire(timeout=PATIENCE), "the requests did not come"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is not an error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Loopback

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.headers.append(dict(self.headers))
            server.paths.append(self.path)
            server.methods.append(self.command)
            server.in_flight += 1
            server.peak = max(server.peak, server.in_flight)
        server.arrived.release()
        server.gate.wait(PATIENCE)
        with server.lock:
            server.in_flight -= 1
        path = self.path.partition("?")[0]
        authorization = self.headers.get("Authorization", "")
        refusal = server.guard and server.guard(self.command, self.path, authorization, body)
        if refusal:
            status, body = 401, b""
        elif path in server.replies:
            status, body = server.replies[path](body)
        else:
            status = int(path[1:]) if path[1:].isdecimal() else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in {**server.more_headers, **(refusal or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class _UnixHandler(_Handler):
    disable_nagle_algorithm = False


class UnixLoopback(Loopback):
    """The same on a Unix socket; `url` is that of the scheme http+unix."""

    address_family = socket.AF_UNIX

    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__()
        self.RequestHandlerClass = _UnixHandler

    def server_bind(self) -> None:
        self.socket.bind(self._path)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, _ = super().get_request()
        return connection, ("", 0)

    def url(self, path: str = "/") -> str:
        return f"http+unix://{quote(self._path, safe='')}{path}"


@contextmanager
def loopback(host: str = "127.0.0.1", *, path: str = "") -> Iterator[Loopback]:
    """Run a server for the block, which need not be on loopback, or on the Unix socket `path`."""
    server = UnixLoopback(path) if path else Loopback(host)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


def connections_to(server: Loopback) -> int:
    """Return how many sockets of this process are connected to the server, as clients."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as sock:
                    count += sock.getpeername() == server.server_address
    return count
