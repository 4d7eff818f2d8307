"""The `run` command as its users run it: a real process, real sockets, real pipes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from support.client import TRANSPORTS
from support.command import COMMAND, PATIENCE, environment, lines, records, run, start
from support.loopback import Loopback


@pytest.mark.parametrize("transport", [kind for kind in TRANSPORTS if kind != "http2"])
def test_run_calls_every_api_and_keeps_order(server: Loopback, transport: str) -> None:
    """Each record comes out once, in input order, with every API's response."""
    apis = [f"--api={name}={server.url('/' + name)}" for name in "abc"]
    done = run(*apis, "--transport", transport, stdin=records(300))
    assert (done.returncode, done.stderr) == (0, b"")
    out = lines(done.stdout)
    assert [line["index"] for line in out] == list(range(300))
    assert all(line["results"][name]["body"] == line["record"] for line in out for name in "abc")
    assert len(server.bodies) == 900


def test_run_passes_records_and_bodies_byte_for_byte(server: Loopback) -> None:
    """Number spellings, key order, spaces and duplicate keys come out as they went in."""
    record = b'{"b" :1.0,  "a":1e400,"a":100000000000000000000000001, "e":"\\u00e9\xc3\xa9"}'
    done = run("-a", f"x={server.url()}", stdin=record + b"\n")
    assert done.returncode == 0
    assert server.bodies == [record]
    assert done.stdout.startswith(b'{"index":0,"record":' + record + b',"ok":true,"results":{"x":')
    assert b'"body":' + record + b',"attempts":1' in done.stdout


def test_run_reads_files_as_one_stream(server: Loopback, tmp_path: Path) -> None:
    """Several files and standard input form one stream; errors name file and line."""
    first, last = tmp_path / "first.jsonl", tmp_path / "last.jsonl"
    first.write_bytes(b'{"id": 0}\n\n{"id": 1}')
    last.write_bytes(b'\xef\xbb\xbf{"id": 3}\r\nnonsense\n')
    done = run("-a", f"x={server.url()}", str(first), "-", str(last), stdin=b'{"id": 2}\n')
    assert done.returncode == 1
    *good, bad = lines(done.stdout)
    assert [line["record"]["id"] for line in good] == [0, 1, 2, 3]
    assert bad["raw"] == "nonsense"
    assert bad["error"]["kind"] == "invalid_record"
    assert bad["error"]["message"].startswith(f"{last} line 2: not JSON")


def test_run_reports_each_malformed_line_by_itself(server: Loopback) -> None:
    """A malformed line costs no other line."""
    broken = [
        b'{"id": 3',
        b"NaN",
        b'"\xff"',
        b'"a\x00b"',
        b"[" * 100_000 + b"]" * 100_000,
        b"x" * 2000,
        b"'single'",
    ]
    done = run(
        "-a",
        f"x={server.url()}",
        "--max-line",
        "300000",
        stdin=b'{"id": 0}\n' + b"\n".join(broken) + b"\n" + b"y" * 400_000 + b'\n{"id": 1}',
    )
    assert done.returncode == 1
    first, *bad, last = lines(done.stdout)
    assert [line["index"] for line in bad] == list(range(1, 9))
    kinds = [line["error"]["kind"] for line in bad]
    assert kinds == ["invalid_record"] * 7 + ["too_large"]
    assert first["ok"]
    assert last["ok"]
    assert b"8 not ok" in done.stderr


def test_run_reads_lines_of_text(server: Loopback) -> None:
    """With `-i lines` a record is a string, including quotes, tabs and U+2028."""
    text = 'say "hi"\t\u2028 é'
    done = run("-a", f"x={server.url()}", "-i", "lines", stdin=text.encode() + b"\n\nlast")
    assert done.returncode == 0
    assert [line["record"] for line in lines(done.stdout)] == [text, "last"]
    assert text in map(json.loads, server.bodies)  # they may arrive in either order


def test_run_reports_what_failed(server: Loopback) -> None:
    """A record that one API refuses is not ok, and keeps the other APIs' responses."""
    done = run("-a", f"good={server.url()}", "-a", f"bad={server.url('/404')}", stdin=records(2))
    assert done.returncode == 1
    for line in lines(done.stdout):
        assert list(line) == ["index", "record", "ok", "results"]
        assert not line["ok"]
        assert line["results"]["good"]["ok"]
        bad = line["results"]["bad"]
        assert list(bad) == ["ok", "status", "body", "error", "attempts", "seconds"]
        assert (bad["status"], bad["body"]) == (404, line["record"])
        assert bad["error"] == {"kind": "status", "message": "HTTP 404"}
    assert done.stderr.count(b"\n") == 1
    said = b'2 records: 0 ok, 2 not ok: bad HTTP 404 x 2 (record 1: {"id": 1});'
    assert said in done.stderr


def test_run_sends_method_and_headers(server: Loopback) -> None:
    """The method of -X and the headers of -H are sent, with ${VAR} taken from the environment."""
    done = run(
        "-a",
        f"x={server.url()}",
        "-X",
        "PUT",
        "-H",
        "Authorization: Bearer ${TOKEN}",
        "-H",
        "Accept: text/plain",
        *("-H", "accept: text/html", "-H", "Cookie: a=1", "-H", "Cookie: b=2"),
        stdin=b"1\n",
        env=environment(TOKEN="canary-7391"),
    )
    assert done.returncode == 0
    (headers,) = server.headers
    assert headers["Authorization"] == "Bearer canary-7391"
    assert headers["Accept"] == "text/plain, text/html"
    assert headers["Cookie"] == "a=1; b=2"
    assert headers["Content-Type"] == "application/json"
    assert b"canary" not in done.stdout + done.stderr


def test_run_hides_secrets(server: Loopback) -> None:
    """No header value, query or password appears in any output, however a call fails."""
    url = f"http://user:canary-1@127.0.0.1:{server.server_address[1]}/500?key=canary-2"
    done = run(
        "-v",
        "--summary=table",
        "-a",
        f"x={url}",
        "-a",
        "y=http://user:canary-1@127.0.0.1:1/?key=canary-2",
        "-H",
        "X-Key: canary-3",
        "-r0",
        stdin=b"1\n",
    )
    assert done.returncode == 1
    assert b"canary" not in done.stdout + done.stderr
    assert server.headers[0]["Authorization"].startswith("Basic ")


def test_run_keeps_to_the_limit(server: Loopback) -> None:
    """The server never sees more requests in flight than the limit."""
    done = run("-a", f"x={server.url()}", "-l", "5", stdin=records(200))
    assert done.returncode == 0
    assert server.peak <= 5


def test_run_with_blank_input_succeeds() -> None:
    """Blank input produces no output and exit status 0."""
    done = run("-a", "x=http://127.0.0.1:1/", stdin=b"\n \r\n\t\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_run_writes_each_line_without_waiting_for_more(server: Loopback) -> None:
    """A record's line is written while standard input is still open."""
    with start("-a", f"x={server.url()}") as process:
        assert process.stdin
        assert process.stdout
        for number in range(3):
            process.stdin.write(b"%d\n" % number)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["record"] == number
        process.stdin.close()
        assert process.wait() == 0


def test_run_ends_silently_when_its_output_is_closed(server: Loopback) -> None:
    """After `| head -n 1` the program exits with 141 and prints nothing."""
    with start("-a", f"x={server.url()}", stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"1\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"2\n")
        process.stdin.flush()
        assert process.wait() == 141
        assert process.stderr.read() == b""


def test_run_notices_a_closed_output_while_idle(
    server: Loopback,
) -> None:
    """A closed output ends the run even if the input stays open and silent."""
    with start("-a", f"x={server.url()}") as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"1\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr.read() == b""


def test_run_in_a_shell_pipe(server: Loopback, tmp_path: Path) -> None:
    """The command works in a shell pipeline between cat and head."""
    many = tmp_path / "many.jsonl"
    many.write_bytes(records(3000))
    script = (
        f"cat {many} | {' '.join(COMMAND)} -a x={server.url()} | head -n 1; echo ${{PIPESTATUS[1]}}"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
    first, status = done.stdout.splitlines()
    assert json.loads(first)["index"] == 0
    assert (status, done.stderr) == (b"141", b"")


def test_deadline_gives_every_record_a_line(server: Loopback) -> None:
    """At the deadline the run exits with 124, and every record read has a line."""
    server.gate.clear()
    done = run("-a", f"x={server.url()}", "--deadline", "3s", "-l", "3", stdin=records(10))
    assert done.returncode == 124
    out = lines(done.stdout)
    assert [line["record"]["id"] for line in out] == list(range(10))
    errors = [line["results"]["x"]["error"] for line in out]
    assert {error["kind"] for error in errors} == {"deadline"}
    assert [error.get("ambiguous", False) for error in errors] == [True] * 3 + [False] * 7


def test_connect_failure_is_an_outcome() -> None:
    """Where nothing is to be repeated, the failure is the record's outcome."""
    done = run("-a", "x=http://127.0.0.1:1/", "-v", "-r", "0", stdin=b"1\n")
    assert done.returncode == 1
    (line,) = lines(done.stdout)
    assert line["results"]["x"]["attempts"] == 1
    assert line["results"]["x"]["error"]["kind"] == "connect"
    assert b"record 0: x: connect: cannot connect to 127.0.0.1:1: connection refused" in done.stderr


def test_summary_as_json_is_one_line(server: Loopback) -> None:
    """The JSON summary is one line with counts, rates and latencies."""
    done = run(
        "-a", f"x={server.url()}", "-a", f"y={server.url('/404')}", "--summary=json",
        stdin=records(20) + b"oops\n",
    )  # fmt: skip
    summary = json.loads(done.stderr)
    assert (summary["records"], summary["ok"], summary["not_ok"]) == (21, 0, 21)
    assert summary["errors"] == {"status": 20, "invalid_record": 1}
    assert summary["requests_per_second"] > 0
    x, y = summary["apis"]["x"], summary["apis"]["y"]
    assert (x["calls"], x["attempts"], x["errors"]) == (20, 20, {})
    assert (y["calls"], y["attempts"], y["errors"]) == (20, 20, {"status": 20})
    assert 0 < x["p50"] <= x["p90"] <= x["p99"] <= x["max"]
    assert x["bytes_sent"] == sum(len(b'{"id": %d}' % i) for i in range(20))


@pytest.mark.parametrize(
    ("args", "line_count"),
    [
        (["--summary=none"], 0),
        (["-q"], 0),
        (["--summary=table"], 5),
        (["--summary=table", "-q"], 5),
    ],
    ids=str,
)
def test_summary_has_the_requested_length(
    server: Loopback, args: list[str], line_count: int
) -> None:
    """`none` and `-q` print no summary, and the table has five lines where a call failed."""
    done = run("-a", f"x={server.url('/404')}", *args, stdin=b"1\n")
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == line_count


def test_very_verbose_logs_every_outcome(server: Loopback) -> None:
    """With -vv each call's outcome is logged: status and time, error, or skipped."""
    apis = ["-a", f"x={server.url()}", "-a", f"y={server.url('/404')}", "--when", "id != `2`"]
    done = run(*apis, "-vv", stdin=b'{"id": 1}\n{"id": 2}\noops\n')
    messages = re.sub(r"in [\d.]+ s", "in 0 s", done.stderr.decode()).splitlines()
    assert messages[2:7] == [
        "tmux-fanout: record 0: x: HTTP 200 in 0 s",
        "tmux-fanout: record 0: y: status: HTTP 404",
        "tmux-fanout: record 1: x: skipped",
        "tmux-fanout: record 1: y: skipped",
        "tmux-fanout: record 2: invalid_record: line 3: not JSON: invalid character (byte 0)",
    ]


@pytest.mark.parametrize(
    ("given", "has_hint"), [(b"plain text\nmore of it\n", True), (b"plain text\n1\n", False)]
)
def test_input_without_any_record_prints_a_hint(
    server: Loopback, given: bytes, has_hint: bool
) -> None:
    """If no input line is a valid record, a message suggests -i."""
    done = run("-a", f"x={server.url()}", stdin=given)
    assert done.returncode == 1
    assert (
        b"no line was a record; say with -i if these are lines of text, csv or tsv" in done.stderr
    ) == has_hint
    assert b"say with -i" not in run("-a", f"x={server.url()}", "-q", stdin=given).stderr


def test_verbose_names_the_configuration_file(server: Loopback, tmp_path: Path) -> None:
    """With -v the configuration file is named, since it may not be the intended one."""
    file = tmp_path / "some.toml"
    file.write_text(f'[api.x]\nurl = "{server.url()}"\n')
    messages = run("-c", str(file), "-v", stdin=b"1\n").stderr.decode().splitlines()
    assert messages[0] == f"tmux-fanout: configuration from {file}"
    assert "configuration" not in run("-a", f"x={server.url()}", "-v", stdin=b"1\n").stderr.decode()


def test_verbose_omits_calls_that_lost(server: Loopback) -> None:
    """Calls that lost to the winner of `--join first` are not logged: the record is ok."""
    apis = ["-a", f"x={server.url()}", "-a", "down=http://127.0.0.1:1/", "--join", "first"]
    done = run(*apis, "-v", stdin=b'{"id": 1}\n')
    assert lines(done.stdout)[0]["ok"]
    assert b"record 0" not in done.stderr


@pytest.mark.parametrize("more", [[], ["--workers", "2"]], ids=" ".join)
def test_input_that_is_one_json_list_is_told_of(server: Loopback, more: list[str]) -> None:
    """The list is a record, as it may be meant, but one line says how to have its items."""
    given = b'[{"id": 1}, {"id": 2}]\n[{"id": 3}]\n'
    said = (
        b"tmux-fanout: warning: the first record is a JSON list: to have its items as records, use "
        b"jq -c '.[]'\n"
    )
    done = run("-a", f"x={server.url()}", *more, stdin=given)
    assert (done.returncode, done.stderr) == (0, said)
    assert [line["record"] for line in lines(done.stdout)] == [[{"id": 1}, {"id": 2}], [{"id": 3}]]
    assert run("-q", "-a", f"x={server.url()}", *more, stdin=given).stderr == b""
    assert run("explain", "-a", f"x={server.url()}", *more, stdin=given).stderr == said
