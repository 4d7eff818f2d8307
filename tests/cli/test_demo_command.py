"""The `demo` command."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request

from support.command import lines, run, start


def test_demo_runs_and_shows_what_to_try_next() -> None:
    """All sample records are ok, and a summary and a line with the next command follow."""
    done = run("demo")
    assert done.returncode == 0
    out = lines(done.stdout)
    assert len(out) >= 24
    assert all(line["ok"] for line in out)
    assert set(out[0]["results"]) == {"fast", "slow", "flaky"}
    assert max(line["results"]["flaky"]["attempts"] for line in out) > 1
    *summary, following = done.stderr.decode().splitlines()
    assert f"{len(out)} records: {len(out)} ok" in summary[0]
    assert "tmux-fanout demo --serve" in following


def test_demo_whose_reader_goes_is_silent() -> None:
    """`demo | head -n 1` ends like any filter, silently and with status 141."""
    with start("demo") as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr.read() == b""


def test_demo_serve_keeps_the_apis_running() -> None:
    """The APIs respond until they are stopped, and the command to try is shown."""
    with start("demo", "--serve", "--port", "0") as process:
        assert process.stderr
        text = process.stderr.readline() + process.stderr.readline()
        url = next(word for word in text.decode().split() if word.startswith("fast="))[5:]
        with urllib.request.urlopen(url, data=b'{"message": "a b c"}') as response:
            assert json.load(response)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")


def test_demo_port_in_use_is_one_line() -> None:
    """A port in use causes no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("demo", "--serve", "--port", str(port))
    assert done.returncode == 2
    assert done.stderr.startswith(f"tmux-fanout: --port {port}: ".encode())
    assert done.stderr.count(b"\n") == 1
