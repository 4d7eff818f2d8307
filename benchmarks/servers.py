"""The servers: nginx if it is installed, or else a twin in plain Python."""

from __future__ import annotations

import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from benchmarks.machine import running
from benchmarks.twin import HAS_UVLOOP, body_of

_HOST = "127.0.0.1"
_START = 10.0  # seconds for the server to come up, and for a crowd to gather
_CROWD = 60.0

# A single process (no master), so that killing it ends it.
_NGINX = """\
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  {tls}
  server {{
    {listen}
    location / {{ {answer} }}
    location = /body.json {{ internal; root .; default_type application/json;
      open_file_cache max=4; }}
  }}
}}
"""

# nginx truncates a text in its configuration at 4 KiB, and serves files to GET only: a POST gets
# the file by way of an error page.
_SHORT = "default_type application/json; return 200 '{body}';"
_LONG = "error_page 405 =200 /body.json; return 405;"
_MAX_SHORT = 2048


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server.

    Attributes:
        what: its name and version.
        body: of each response.
        env: variables that make clients trust it.
        crowded: blocks until as many requests wait as the server was given for its crowd.
    """

    what: str
    urls: Sequence[str]
    body: bytes
    env: Mapping[str, str] = field(default_factory=dict)
    crowded: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Files for TLS: the server's key and certificate, and the authority's certificate."""

    pem: Path
    authority: Path

    @property
    def env(self) -> dict[str, str]:
        """The variables of OpenSSL, curl and node that name certificates to trust."""
        names = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
        return dict.fromkeys(names, str(self.authority))


def make_tls(directory: Path) -> Tls:
    """Create a certificate for the loopback address, and an authority that signs it.

    Raises:
        ImportError: trustme is not installed.
    """
    import trustme  # noqa: PLC0415 - only one case needs it

    authority = trustme.CA()
    made = Tls(pem=directory / "server.pem", authority=directory / "authority.pem")
    authority.issue_cert(_HOST).private_key_and_cert_chain_pem.write_to_path(str(made.pem))
    authority.cert_pem.write_to_path(str(made.authority))
    return made


def has_nginx() -> bool:
    """Whether nginx is installed."""
    return _find_nginx() is not None


def _find_nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def fast_server(
    listeners: int,
    cores: Sequence[int],
    *,
    size: int = 0,
    tls: Tls | None = None,
    is_everywhere: bool = False,
) -> Iterator[Server]:
    """Start a server that answers at once, with `size` bytes or a small JSON object.

    Args:
        is_everywhere: listen at all addresses, those of loopback among them; needs nginx.
    """
    nginx = _find_nginx()
    serve = partial(_nginx, nginx, host="0.0.0.0" if is_everywhere else _HOST) if nginx else twin
    with serve(listeners, cores, size=size, tls=tls) as server:
        yield server


@contextmanager
def _nginx(
    path: str, listeners: int, cores: Sequence[int], *, host: str, size: int, tls: Tls | None
) -> Iterator[Server]:
    ports = _free_ports(listeners)
    body = body_of(size)
    options = "ssl http2 backlog=4096" if tls else "backlog=4096"
    configuration = _NGINX.format(
        listen=" ".join(f"listen {host}:{port} {options};" for port in ports),
        answer=_SHORT.format(body=body.decode()) if len(body) <= _MAX_SHORT else _LONG,
        tls=f"ssl_certificate {tls.pem}; ssl_certificate_key {tls.pem};" if tls else "",
    )
    with TemporaryDirectory(prefix="benchmark-nginx-") as directory:
        Path(directory, "body.json").write_bytes(body)
        config = Path(directory, "nginx.conf")
        config.write_text(configuration)
        command = [path, "-p", directory, "-e", "stderr", "-c", str(config)]
        with running(command, cores) as process:
            for port in ports:
                _wait_until_up(port, process)
            said = subprocess.run([path, "-v"], capture_output=True, text=True, check=True).stderr
            what = said.strip().rpartition(" ")[2]
            yield Server(what=what, urls=_urls(ports, tls), body=body, env=tls.env if tls else {})


@contextmanager
def twin(
    listeners: int,
    cores: Sequence[int],
    *,
    size: int = 0,
    tls: Tls | None = None,
    delay: float = 0.0,
    alpha: float = 0.0,
    most: float = float("inf"),
    crowd: int = 0,
) -> Iterator[Server]:
    """Start the plain-Python server, with the options of `twin.py`; times are in seconds."""
    script = str(Path(__file__).with_name("twin.py"))
    options: dict[str, object] = {"--listeners": listeners, "--size": size, "--crowd": crowd}
    options |= {"--delay": delay, "--alpha": alpha, "--most": most}
    options |= {"--pem": tls.pem} if tls else {}
    command = [sys.executable, script, *(str(word) for pair in options.items() for word in pair)]
    with running(command, cores, stdout=subprocess.PIPE) as process:
        assert process.stdout
        ports = [int(port) for port in process.stdout.readline().split()]
        if not ports:
            raise RuntimeError(f"{script} did not start")
        yield Server(
            what=f"plain-Python twin on {'uvloop' if HAS_UVLOOP else 'asyncio'}",
            urls=_urls(ports, tls),
            body=body_of(size),
            env=tls.env if tls else {},
            crowded=partial(_await_line, process.stdout),
        )


def _await_line(pipe: IO[bytes]) -> None:
    if not select.select([pipe], [], [], _CROWD)[0] or not pipe.readline():
        raise RuntimeError(f"the server did not get its crowd within {_CROWD:g} s")


def _urls(ports: Sequence[int], tls: Tls | None) -> list[str]:
    return [f"{'https' if tls else 'http'}://{_HOST}:{port}/v1" for port in ports]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((_HOST, 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in sockets]


def _wait_until_up(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + _START
    while True:
        try:
            socket.create_connection((_HOST, port)).close()
            return
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("nginx did not start") from None
            time.sleep(0.01)
