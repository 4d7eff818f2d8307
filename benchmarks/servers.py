"""The servers under the clients: nginx where there is one, else a plain-Python twin."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.machine import running
from benchmarks.twin import BODY

_HOST = "127.0.0.1"
_START = 10.0

# One process (no master), so that to kill it is to end it.
_NGINX = """\
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    {listen}
    location / {{ default_type application/json; return 200 '{body}'; }}
  }}
}}
"""


class Server(NamedTuple):
    """What serves, and where."""

    what: str
    urls: Sequence[str]


@contextmanager
def fast_server(listeners: int, core: int | None) -> Iterator[Server]:
    """A server that answers at once."""
    nginx = shutil.which("nginx")
    serving = _nginx(nginx, listeners, core) if nginx else twin(listeners, core)
    with serving as server:
        yield server


@contextmanager
def _nginx(path: str, listeners: int, core: int | None) -> Iterator[Server]:
    ports = _free_ports(listeners)
    listen = " ".join(f"listen {_HOST}:{port} backlog=4096;" for port in ports)
    with TemporaryDirectory(prefix="benchmark-nginx-") as directory:
        config = Path(directory, "nginx.conf")
        config.write_text(_NGINX.format(listen=listen, body=BODY.decode()))
        command = [path, "-p", directory, "-e", "stderr", "-c", str(config)]
        with running(command, core) as process:
            for port in ports:
                _wait_until_up(port, process)
            said = subprocess.run([path, "-v"], capture_output=True, text=True, check=True).stderr
            yield Server(said.strip().rpartition(" ")[2], _urls(ports))


@contextmanager
def twin(
    listeners: int, core: int | None, *, delay: float = 0.0, sigma: float = 0.0
) -> Iterator[Server]:
    """The plain-Python server; see `twin.py` for `delay` and `sigma`, in seconds and logarithms."""
    script = str(Path(__file__).with_name("twin.py"))
    options = {"--listeners": listeners, "--delay": delay, "--sigma": sigma}
    command = [sys.executable, script, *(str(word) for pair in options.items() for word in pair)]
    with running(command, core, stdout=subprocess.PIPE) as process:
        assert process.stdout
        ports = [int(port) for port in process.stdout.readline().split()]
        if not ports:
            raise RuntimeError(f"{script} does not start")
        yield Server("plain-Python twin on asyncio", _urls(ports))


def _urls(ports: Sequence[int]) -> list[str]:
    return [f"http://{_HOST}:{port}/v1" for port in ports]


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
                raise RuntimeError("nginx does not start") from None
            time.sleep(0.01)
