"""`--failed FILE` keeps the lines of records that are not ok, ready to be fed in again."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import re
import signal
import stat
import threading
from pathlib import Path

import pytest
from support.command import lines, records, run, start
from support.loopback import Loopback


@pytest.fixture
def picky(server: Loopback) -> Loopback:
    """A server whose /picky refuses records that hold `no`."""
    server.replies["/picky"] = lambda body: (404 if b"no" in body else 200, b"{}")
    return server


def run_to(path: Path, server: Loopback, data: bytes, *args: str) -> tuple[int, bytes, bytes]:
    """The exit status, standard output and the dead letters of a run."""
    api = f"x={server.url('/picky')}"
    done = run("-q", "-a", api, "--failed", str(path), *args, stdin=data)
    assert done.stderr == b""
    return done.returncode, done.stdout, path.read_bytes()


def test_failed_lines_are_byte_for_byte_and_in_order(picky: Loopback, tmp_path: Path) -> None:
    """Whatever is wrong with them; the file is for its owner alone, and nothing else changes."""
    data = b'\xef\xbb\xbf{"a": 1.00}\r\n"no" \r\n\n{"no": 2.50,"no":1}\n[1\n\xff\n3\n"no'
    path = tmp_path / "failed"
    status, output, failed = run_to(path, picky, data)
    assert status == 1
    assert failed == b'"no" \n{"no": 2.50,"no":1}\n[1\n\xff\n"no\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    without = run("-q", "-a", f"x={picky.url('/picky')}", stdin=data)
    assert (without.returncode, [line["ok"] for line in lines(output)]) == (
        status,
        [line["ok"] for line in lines(without.stdout)],
    )


def test_failed_of_a_run_that_is_all_ok_is_empty(picky: Loopback, tmp_path: Path) -> None:
    """So that `test -s` tells; a header alone would be no record either."""
    status, _, failed = run_to(tmp_path / "failed", picky, b"a\n1\n", "-i", "csv")
    assert (status, failed) == (0, b"")


@pytest.mark.parametrize(
    ("form", "data", "expected"),
    [
        ("jsonl", b'"no"\n\xff\n1\n', b'"no"\n\xff\n'),
        ("lines", b"yes\nno \r\r\n\xff\n", b"no \r\r\n\xff\n"),
        ("csv", b'a,b\r\n1,"no\r\n"\n2,y\n3\n4,"no', b'a,b\n1,"no\r\n"\n3\n4,"no\n'),
        ("csv", b'a,b\n1,"no\n2,"no"\n3,"x\n4,y\n', b'a,b\n2,"no"\n1,"no\n3,"x\n'),
        ("tsv", b"a\tb\n1\t\n\tno\n", b"a\tb\n\tno\n"),
    ],
)
def test_failed_can_be_fed_in_again(
    picky: Loopback, tmp_path: Path, form: str, data: bytes, expected: bytes
) -> None:
    """The second run sees the same records, and leaves the same dead letters."""
    first, second = tmp_path / "first", tmp_path / "second"
    _, output, failed = run_to(first, picky, data, "-i", form)
    assert failed == expected
    status, again, failed_again = run_to(second, picky, failed, "-i", form)
    assert (status, failed_again) == (1, failed)
    told = [(line.get("record"), line.get("raw")) for line in lines(output) if not line["ok"]]
    if form == "csv":
        told.sort(key=_is_open)  # rows with a stray quote come last
    assert [(line.get("record"), line.get("raw")) for line in lines(again)] == told


def _is_open(seen: tuple[object, str | None]) -> bool:
    return seen[1] is not None and '"' in seen[1]


def test_failed_of_compressed_and_several_inputs(picky: Loopback, tmp_path: Path) -> None:
    """Tables of the same columns share one header."""
    paths = [tmp_path / "a.csv", tmp_path / "b.csv.gz"]
    paths[0].write_bytes(b"id,x\n1,no\n2,y\n")
    paths[1].write_bytes(gzip.compress(b'"id",x\n3,no\n'))
    *_, failed = run_to(tmp_path / "failed", picky, b"", *map(str, paths))
    assert failed == b"id,x\n1,no\n3,no\n"


def test_failed_needs_one_format_and_one_header(picky: Loopback, tmp_path: Path) -> None:
    """Inputs whose lines cannot share one file are refused before anything is sent."""
    table, other, text = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "c.jsonl"
    table.write_bytes(b"id,x\n1,no\n")
    other.write_bytes(b"id,y\n1,no\n")
    text.write_bytes(b"1\n")
    failed = tmp_path / "failed"
    for paths, why in (
        ([table, other], f"{other} and {table} have different columns"),
        ([table, text], "one file cannot hold lines of csv and jsonl"),
    ):
        args = ("-a", f"x={picky.url('/picky')}", "--failed", str(failed), *map(str, paths))
        done = run(*args)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.decode().startswith(f"tmux-fanout: --failed: {why}; give each")
    assert picky.bodies == []
    assert not failed.exists()
    fifo = tmp_path / "d.csv"
    os.mkfifo(fifo)
    with start(*args[:-2], str(table), str(fifo)) as process:
        fifo.write_bytes(other.read_bytes())
        output, said = process.communicate()
    assert (process.returncode, len(lines(output))) == (1, 1)
    assert b"d.csv: line 1: the columns differ from those of the first file" in said


def test_failed_leaves_out_what_was_not_kept(picky: Loopback, tmp_path: Path) -> None:
    """A line beyond --max-line cannot be written, and a message says so."""
    path = tmp_path / "failed"
    data = b'"no"\n' + b"1" * 100 + b"\n" + b"2" * 101 + b'\n"no"\n'
    api = ("-a", f"x={picky.url('/picky')}", "--max-line", "50", "--summary", "none")
    done = run(*api, "--failed", str(path), stdin=data)
    assert path.read_bytes() == b'"no"\n"no"\n'
    assert done.stderr.decode() == (
        f"tmux-fanout: --failed: {path}: record 1 and 1 more left out: longer than --max-line, or "
        "with a quoted field that does not end\n"
    )


def test_failed_has_what_a_signal_cut_short(picky: Loopback, tmp_path: Path) -> None:
    """It is not ok either."""
    picky.gate.clear()
    source, path = tmp_path / "in", tmp_path / "failed"
    source.write_bytes(records(3))
    args = ("-q", "-a", f"x={picky.url()}", "--failed", str(path), str(source))
    with start(*args) as process:
        picky.await_requests(3)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert path.read_bytes() == records(3)


def test_failed_with_unordered_output_is_as_completed(picky: Loopback, tmp_path: Path) -> None:
    """All are there, in the order of the lines of output."""
    data = b"".join(b'"no %d"\n' % n for n in range(50))
    _, output, failed = run_to(tmp_path / "failed", picky, data, "--unordered")
    assert failed == b"".join(b'"%b"\n' % line["record"].encode() for line in lines(output))
    assert sorted(failed.splitlines()) == sorted(data.splitlines())


def test_failed_overwrites_nothing(picky: Loopback, tmp_path: Path) -> None:
    """A file with something in it, an input, a file in use, standard output: each is one line."""
    path, source = tmp_path / "failed", tmp_path / "in"
    path.write_bytes(b"precious\n")
    source.write_bytes(b"")
    api = ("-a", f"x={picky.url('/picky')}")
    done = run(*api, "--failed", str(path), stdin=b"1\n")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"is not empty" in done.stderr
    assert b"--resume" not in done.stderr
    done = run(*api, "--failed", str(source), str(source))
    assert (done.returncode, b"is an input, too" in done.stderr) == (2, True)
    with open(tmp_path / "other", "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = run(*api, "--failed", other.name, stdin=b"1\n")
        assert done.returncode == 2
        assert b"another process is writing this file" in done.stderr
    (tmp_path / "link").hardlink_to(source)
    done = run(*api, "--failed", str(source), "-o", str(tmp_path / "link"), stdin=b"1\n")
    assert (done.returncode, b"results go there, too" in done.stderr) == (2, True)
    for args in (["-o", str(tmp_path / "same")], ["-o", f"{tmp_path}/./same"]):
        done = run(*api, "--failed", str(tmp_path / "same"), *args, stdin=b"1\n")
        assert (done.returncode, b"results go there, too" in done.stderr) == (2, True)
    with open(tmp_path / "same", "wb") as same:
        with start(*api, "--failed", same.name, stdout=same) as process:
            _, said = process.communicate(b"1\n")
        assert (process.returncode, b"results go there, too" in said) == (2, True)
    assert path.read_bytes() == b"precious\n"
    assert picky.bodies == []
    done = run("-q", *api, "--force", "--failed", str(path), stdin=b'"no"\n')
    assert (done.returncode, path.read_bytes()) == (1, b'"no"\n')


def test_failed_on_a_full_disk_ends_the_run(picky: Loopback) -> None:
    """One line names the file."""
    done = run("-q", "-a", f"x={picky.url('/picky')}", "--failed", "/dev/full", stdin=b'"no"\n')
    assert done.returncode == 1
    assert done.stderr == b"tmux-fanout: cannot write /dev/full: No space left on device\n"


def test_failed_in_a_configuration_file(picky: Loopback, tmp_path: Path) -> None:
    """Like any long option of `run`; `check` shows it and makes no file."""
    path, config = tmp_path / "failed", tmp_path / "c.toml"
    url = picky.url("/picky")
    config.write_text(f'[run]\nfailed = "{path}"\n[api.x]\nurl = "{url}"\n')
    done = run("check", "-c", str(config))
    assert (done.returncode, path.exists()) == (0, False)
    assert f'failed = "{path}"' in done.stdout.decode()
    run("-q", "-c", str(config), stdin=b'"no"\n1\n')
    assert path.read_bytes() == b'"no"\n'


def test_failed_and_output_go_together(picky: Loopback, tmp_path: Path) -> None:
    """Both are files, and every record that is not ok is in both."""
    output = tmp_path / "out"
    data = b'1\n"no"\n2\n"no 2"\n'
    status, printed, failed = run_to(tmp_path / "failed", picky, data, "-o", str(output))
    assert (status, printed) == (1, b"")
    told = [line["record"] for line in lines(output.read_bytes()) if not line["ok"]]
    assert [json.loads(line) for line in failed.splitlines()] == told == ["no", "no 2"]


def test_failed_is_brought_in_line_when_a_run_is_resumed(picky: Loopback, tmp_path: Path) -> None:
    """Wherever the one and the other end: both come to what an undisturbed run leaves."""
    output, failed = tmp_path / "out", tmp_path / "failed"
    data = b'1\n"no"\n\xff\n2\n"no 2"\n3\n'
    run_to(failed, picky, data, "-o", str(output))
    whole, letters = output.read_bytes(), failed.read_bytes()
    assert letters == b'"no"\n\xff\n"no 2"\n'
    longer = letters + b'"n'
    for kept, there in [(0, b""), (0, longer), (2, b""), (2, letters[:7]), (4, longer), (6, None)]:
        output.write_bytes(b"".join([*whole.splitlines(keepends=True)[:kept], b'{"ind']))
        if there is None:
            failed.unlink()
        else:
            failed.write_bytes(there)
        _, _, repaired = run_to(failed, picky, data, "-o", str(output), "--resume")
        assert repaired == letters


def test_failed_and_output_of_a_run_that_is_killed(picky: Loopback, tmp_path: Path) -> None:
    """Killed at some moments and resumed each time, both are as if nothing had happened."""
    output, failed, source = tmp_path / "out", tmp_path / "failed", tmp_path / "in"
    data = b"".join(b'"no %d"\n' % n if n % 3 else b"%d\n" % n for n in range(400))
    source.write_bytes(data)
    flow = ("-q", "-l", "4", "--window", "16", str(source))
    run_to(failed, picky, b"", *flow, "-o", str(output))
    whole, letters = output.read_bytes(), failed.read_bytes()
    assert letters == b"".join(line for line in data.splitlines(True) if b"no" in line)
    output.unlink()
    failed.unlink()
    picky.arrived = threading.Semaphore(0)
    files = ("-o", str(output), "--failed", str(failed), "--resume")
    for requests in (3, 37, 71, 50, 64):
        with start("-a", f"x={picky.url('/picky')}", *flow, *files) as process:
            picky.await_requests(requests)
            process.kill()
        letters_then = failed.read_bytes()
        assert letters.startswith(letters_then)
        told = [b"no" in line for line in output.read_bytes().splitlines(True) if b"\n" in line]
        assert sum(told) <= letters_then.count(b"\n")
    status, _, resumed = run_to(failed, picky, b"", *flow, "-o", str(output), "--resume")
    assert (status, resumed) == (1, letters)
    assert without_times(output.read_bytes()) == without_times(whole)


def without_times(output: bytes) -> bytes:
    return re.sub(rb'"seconds":[\d.]+', b"", output)


@pytest.mark.parametrize("edit", [b'"No"\n', b"x" * 100])
def test_failed_of_another_run_is_left_alone(picky: Loopback, tmp_path: Path, edit: bytes) -> None:
    """Dead letters of other records give exit status 3, and nothing changes."""
    output, failed = tmp_path / "out", tmp_path / "failed"
    data = b'1\n"no"\n"no 2"\n'
    run_to(failed, picky, data, "-o", str(output))
    failed.write_bytes(edit + failed.read_bytes()[len(edit) :])
    before = output.read_bytes()[:-1], failed.read_bytes()
    output.write_bytes(before[0])
    args = (
        "-a",
        f"x={picky.url('/picky')}",
        "-o",
        str(output),
        "--resume",
        "--failed",
        str(failed),
    )
    done = run(*args, stdin=data)
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"line 1 does not" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert (output.read_bytes(), failed.read_bytes()) == before
    failed.unlink()
    edited = run(*args, stdin=b"9" + data)
    assert (edited.returncode, failed.exists()) == (3, False)
    output.unlink()
    failed.write_bytes(edit)
    assert (run(*args, stdin=data).returncode, output.exists()) == (3, False)


def test_failed_of_another_run_is_left_alone_where_nothing_is_kept(
    picky: Loopback, tmp_path: Path
) -> None:
    """Dead letters of an output that was moved away are refused."""
    output, failed = tmp_path / "out", tmp_path / "failed"
    args = ("-q", "-a", f"x={picky.url('/picky')}", "-o", str(output), "--resume")
    for kept in (b"", b"1\n2\n"):
        run(*args, stdin=kept)
        failed.write_bytes(b'"no, precious"\n')
        done = run(*args, "--failed", str(failed), stdin=kept + b'3\n"no"\n')
        assert (done.returncode, sorted(picky.bodies)) == (3, kept.split())
        assert done.stderr.count(b"\n") == 1
        assert failed.read_bytes() == b'"no, precious"\n'
        failed.write_bytes(b'"no"\n"n')
        done = run(*args, "--failed", str(failed), stdin=kept + b'3\n"no"\n4\n')
        assert (done.returncode, failed.read_bytes()) == (1, b'"no"\n')
        told = [line["record"] for line in lines(output.read_bytes())]
        assert told == [*map(int, kept.split()), 3, "no", 4]
        output.unlink()
        picky.bodies.clear()


def test_failed_of_a_table_is_resumed(picky: Loopback, tmp_path: Path) -> None:
    """Tables keep their header in place, and a row with an unterminated quote comes last again."""
    output, failed = tmp_path / "out", tmp_path / "failed"
    data = b'a\n1\n"no\n"\n2\nno\n"no'
    run_to(failed, picky, data, "-o", str(output), "-i", "csv")
    whole, letters = output.read_bytes(), failed.read_bytes()
    assert letters == b'a\n"no\n"\nno\n"no\n'
    for kept in (0, 3, 5):
        output.write_bytes(b"".join(whole.splitlines(keepends=True)[:kept]))
        _, _, repaired = run_to(failed, picky, data, "-o", str(output), "-i", "csv", "--resume")
        assert repaired == letters
