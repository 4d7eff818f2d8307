"""A real nginx on loopback."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.command import PATIENCE, Process
from support.names import reserved_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
NO_NGINX = "nginx is not installed"

_CONFIGURATION = """
daemon off; master_process {master}; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} {options}; {server} }}
}}
"""


@contextmanager
def nginx(folder: Path, server: str, options: str = "", *, workers: bool = False) -> Iterator[int]:
    """Run nginx for the block; yield its port.

    Args:
        folder: for its files; empty.
        server: the contents of its `server` block, without `listen`.
        options: of `listen`, such as `ssl`.
        workers: whether there are worker processes, which a reload replaces; the file `pid` has
            the process to signal.
    """
    assert NGINX
    with reserved_port() as port:
        configuration = folder / "nginx.conf"
        text = _CONFIGURATION.format(
            folder=folder,
            port=port,
            options=options,
            server=server,
            master="on" if workers else "off",
        )
        configuration.write_text(text)
        log = folder / "error.log"
        with Process([NGINX, "-c", configuration, "-p", folder, "-e", log]) as process:
            try:
                _await_start(process, port, folder)
                yield port
            finally:
                process.terminate()
                process.wait()


def _await_start(process: Process, port: int, folder: Path) -> None:
    """Return once the port accepts connections and the process id, written after that, is there."""
    end = time.monotonic() + PATIENCE
    pid = folder / "pid"
    while True:
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            if pid.exists() and pid.read_text().endswith("\n"):
                return
        assert process.poll() is None, (folder / "error.log").read_text()
        assert time.monotonic() < end, "nginx does not start"
        time.sleep(0.01)
