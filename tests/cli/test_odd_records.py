"""Records and responses that are valid but odd: each affects its own line at most."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.command import lines, records, run, start
from support.loopback import Loopback

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])
LONG = b"1" * 310
LONGEST = b"7" * 4300
TOO_LONG = b"1" * 5000


def outcomes(output: bytes) -> list[dict[str, Any]]:
    return [line["results"]["x"] for line in lines(output)]


@WORKERS
@pytest.mark.parametrize("number", [LONG, LONGEST, TOO_LONG, b"1E400", b"1.10", b"-0", b"1e2"])
def test_number_keeps_its_spelling(server: Loopback, number: bytes, workers: str) -> None:
    """A number keeps its spelling in URLs, headers, bodies and responses."""
    record = b'{"n":%b}\n' % number
    text = number.decode()
    url = ("-a", f"x={server.url('/n/{n}')}", "--workers", workers)
    assert run(*url, "-X", "GET", stdin=record).returncode == 0
    assert server.paths == [f"/n/{text}"]
    header = ("-a", f"x={server.url()}", "-H", "X-N: {n}", "--body", "{m: n}", "--select", "m")
    done = run(*header, "--workers", workers, stdin=record)
    assert server.headers[1]["X-N"] == text
    assert server.bodies[1] == b'{"m":%b}' % number
    assert b'"status":200,"body":%b,"attempts"' % number in done.stdout
    assert (done.returncode, done.stderr) == (0, b"")


def test_number_keeps_its_spelling_elsewhere(server: Loopback, tmp_path: Path) -> None:
    """A number keeps its spelling in forms, batches, chained calls and `explain`."""
    config = tmp_path / "c.toml"
    config.write_text(
        f"""
        [api.form]
        url = "{server.url("/form")}"
        body_format = "form"
        [api.batch]
        url = "{server.url("/batch")}"
        body = "[n]"
        batch = {{ size = 5, items = "[*].[[0]]" }}
        [api.first]
        url = "{server.url("/first")}"
        body = "{{n: n}}"
        [api.second]
        url = "{server.url("/second{?_results.first.body.n}")}"
        after = ["first"]
        body = "_results.first.body"
        """
    )
    record = b'{"n":%b}\n{"n":1.10}\n' % TOO_LONG
    done = run("-c", str(config), "-l", "1", stdin=record)
    assert done.returncode == 0, done.stderr
    sent = dict.fromkeys(server.bodies)
    text = TOO_LONG.decode()
    for expected in (
        b"n=" + TOO_LONG,
        b"n=1.10",
        b"[[%b],[1.10]]" % TOO_LONG,
        b'{"n":%b}' % TOO_LONG,
        b'{"n":1.10}',
    ):
        assert expected in sent
    assert f"/second?_results.first.body.n={text}" in server.paths
    assert b'"batch":{"ok":true,"status":200,"body":[1.10]' in done.stdout
    shown = run("explain", "-n", "2", "-c", str(config), stdin=record)
    assert shown.returncode == 0
    assert b"n=" + TOO_LONG in shown.stdout


@WORKERS
@pytest.mark.parametrize(
    ("record", "line"),
    [
        (b'{"\\ud800":1}', b'{"\\ud800":1,"x":null'),
        (
            b'{"a":"\\ud800","b":1E400, "c": [1.10, 1e2, {"d":1,"d":-0}]}',
            b'{"a":"\\ud800","b":1E400,"c":[1.10, 1e2, {"d":1,"d":-0}],"x":null',
        ),
        (b'{"b":1E400,"c":%b}' % TOO_LONG, b'{"b":1E400,"c":%b,"x":null' % TOO_LONG),
        (b'"\\ud800"', b'{"value":"\\ud800","x":null'),
    ],
)
def test_merge_keeps_spelling(server: Loopback, record: bytes, line: bytes, workers: str) -> None:
    """Lone surrogates, numbers and duplicate keys keep their spelling."""
    args = ("-a", f"x={server.url('/404')}", "-e", "merge", "--workers", workers)
    done = run(*args, stdin=record + b"\n" + b"{}\n")
    first, second = done.stdout.splitlines()
    assert first.startswith(line), first
    assert second.startswith(b'{"x":null,"_errors"')
    assert done.returncode == 1


@WORKERS
def test_sum_that_overflows_fails_its_own_record(server: Loopback, workers: str) -> None:
    """A sum too large for a double, or for Python to print, fails its own record only."""
    nines = b"9" * 4300
    given = b'{"n":[%b,%b]}\n{"n":[1E400,1]}\n{"n":[1,2]}\n' % (nines, nines)
    for option in ("--body", "--select"):
        args = ("-a", f"x={server.url()}", option, "sum(n)", "--workers", workers)
        done = run(*args, stdin=given)
        kind = "template" if option == "--body" else "decode"
        first, second, third = outcomes(done.stdout)
        assert first["error"]["kind"] == second["error"]["kind"] == kind
        assert "too large for a number" in first["error"]["message"]
        assert third["body"] == 3


@pytest.mark.parametrize(
    "option",
    [
        ("--body", "&a"),
        ("--select", "{a: &n}"),
        ("--body", "`" + "1" * 5000 + "`"),
        ("--when", "(" * 3000 + "a" + ")" * 3000),
    ],
    ids=["reference", "reference-inside", "literal", "parentheses"],
)
@pytest.mark.parametrize("command", ["run", "check", "explain"])
def test_unusable_expression_is_refused(
    server: Loopback, option: tuple[str, str], command: str
) -> None:
    """An unusable expression is refused with a one-line error, and nothing is sent."""
    done = run(command, "-a", f"x={server.url()}", *option, stdin=records(1))
    assert (done.returncode, done.stdout, server.bodies) == (2, b"", [])
    assert f"{option[0].strip('-')}: ".encode() in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_internal_error_is_shown_with_its_traceback(server: Loopback, tmp_path: Path) -> None:
    """An internal error fails one record, is called a bug, and shows its traceback with -vv."""
    (tmp_path / "sitecustomize.py").write_text(
        "from tmux_fanout.core.requests.response_reader import ResponseReader\n"
        "content = ResponseReader.content\n"
        "def broken(self, response):\n"
        "    if b'\"id\": 3' in response.body:\n"
        "        raise LookupError('hunter' + '2')\n"
        "    return content(self, response)\n"
        "ResponseReader.content = broken\n"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    for workers in ("1", "2"):
        args = ("-a", f"x={server.url()}", "-vv", "--workers", workers)
        with start(*args, env={**os.environ, "PYTHONPATH": path}) as process:
            out, err = process.communicate(records(8))
        assert process.returncode == 1
        assert [line["ok"] for line in lines(out)] == [i != 3 for i in range(8)]
        error = lines(out)[3]["results"]["x"]["error"]
        assert error["kind"] == "internal"
        assert error["message"].startswith("LookupError in broken(); this is a bug")
        assert b"sitecustomize.py" in err
        assert b"internal errors are bugs in tmux-fanout" in err
        assert b"hunter2" not in err + out


def test_running_out_of_memory_ends_the_run_with_one_line(server: Loopback, tmp_path: Path) -> None:
    """Running out of memory ends the run with one line, since nothing after it can be trusted."""
    (tmp_path / "sitecustomize.py").write_text(
        "from tmux_fanout.core.requests.response_reader import ResponseReader\n"
        "def fail(self, response):\n"
        "    raise MemoryError\n"
        "ResponseReader.content = fail\n"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with start("-a", f"x={server.url()}", env={**os.environ, "PYTHONPATH": path}) as process:
        _, err = process.communicate(records(3))
    assert process.returncode == 1
    assert err.startswith(b"tmux-fanout: out of memory: lower --window-bytes")
    assert err.count(b"\n") == 1
