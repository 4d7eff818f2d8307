"""The whole command on a machine that has really run out of something."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import COMMAND, PATIENCE, environment, lines, records
from support.faults import SLACK

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs limits that Linux has")

# Stacks of threads are larger here than all the memory that there may be.
NO_THREADS = 'ulimit -s 1048576 && ulimit -v 1000000 && exec "$@"'

# A network of its own, with four local ports, of which the server has one.
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
def test_no_thread_to_look_up_a_name_is_a_failed_call() -> None:
    """Each record gets its line, and there is no traceback."""
    done = subprocess.run(
        ["sh", "-c", NO_THREADS, "sh", *COMMAND, "-a", "a=http://localhost:9", "--timeout", "1s"],
        check=False,
        input=records(3),
        capture_output=True,
        env=environment(),
        timeout=PATIENCE,
    )
    outcomes = [line["results"]["a"] for line in lines(done.stdout)]
    words = "cannot connect to localhost:9: no thread can be started to look up its name"
    assert [outcome["error"]["kind"] for outcome in outcomes] == ["connect"] * 3
    assert all(outcome["error"]["message"].startswith(words) for outcome in outcomes)
    assert all(outcome["seconds"] < 1 + SLACK for outcome in outcomes)
    assert done.returncode == 1
    report = b"tmux-fanout: a: out of threads, so fewer calls run at once\n"
    assert done.stderr.startswith(report)
    assert b"Traceback" not in done.stderr


def has_own_network() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and not subprocess.call([unshare, "-n", "true"])


@LINUX
def test_too_few_local_ports_make_it_slower_and_lose_nothing(tmp_path: Path) -> None:
    """Three ports and a limit of 8: it is reported once, and no breaker opens."""
    if not has_own_network():
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
    report = done.stderr.decode().splitlines()
    assert len(report) == 2
    assert "out of local ports, so fewer calls run at once" in report[0]
    assert json.loads(report[1])["requests"] == 500
