"""The whole command on a machine that is really out of threads or local ports."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import COMMAND, PATIENCE, environment, lines, records

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs limits that Linux has")

# The stack of one thread is larger than the memory limit, so that no thread can start.
NO_THREADS = 'ulimit -s 1048576 && ulimit -v 1000000 && exec "$@"'

# A network namespace with four local ports, one of which is the server's.
FEW_PORTS = """
import fcntl, socket, struct, subprocess, sys
sys.path[:0] = [{tests!r}]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    fcntl.ioctl(sock, 0x8914, struct.pack("16sH22x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as file:
    file.write("40000 40003")
from support.loopback import loopback
with loopback() as server:
    sys.exit(subprocess.run([*sys.argv[1:], "-a", "a=" + server.url()]).returncode)
"""


@LINUX
def test_look_up_without_a_thread_is_a_failed_call() -> None:
    """If no thread can be started for a look-up, the call fails without a traceback."""
    done = subprocess.run(
        ["sh", "-c", NO_THREADS, "sh", *COMMAND, "-a", "a=http://localhost:9", "--timeout", "1s"],
        check=False,
        input=records(3),
        capture_output=True,
        env=environment(),
        timeout=PATIENCE,
    )
    outcomes = [line["results"]["a"] for line in lines(done.stdout)]
    prefix = "cannot connect to localhost:9: no thread can be started to look up its name"
    assert [outcome["error"]["kind"] for outcome in outcomes] == ["connect"] * 3
    assert all(outcome["error"]["message"].startswith(prefix) for outcome in outcomes)
    assert all(outcome["seconds"] < 2 for outcome in outcomes)
    assert done.returncode == 1
    notice = b"tmux-fanout: a: out of threads, so fewer calls run at once\n"
    assert done.stderr.startswith(notice)
    assert b"Traceback" not in done.stderr


def can_make_network_namespace() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and not subprocess.call([unshare, "-n", "true"])


@LINUX
def test_too_few_local_ports_slow_the_run_and_lose_nothing(tmp_path: Path) -> None:
    """With three ports and a limit of 8, the shortage is reported once and no breaker opens."""
    if not can_make_network_namespace():
        pytest.skip("no network namespace can be made here")
    script = tmp_path / "few_ports.py"
    script.write_text(FEW_PORTS.format(tests=str(Path(__file__).parents[1])))
    done = subprocess.run(
        ["unshare", "-n", sys.executable, str(script), *COMMAND, "-l", "8", "--summary", "json"],
        check=False,
        input=records(500),
        capture_output=True,
        env=environment(),
        timeout=PATIENCE,
    )
    assert [line["ok"] for line in lines(done.stdout)] == [True] * 500
    messages = done.stderr.decode().splitlines()
    assert len(messages) == 2
    assert "out of local ports, so fewer calls run at once" in messages[0]
    assert json.loads(messages[1])["requests"] == 500
