"""Repeat the failed calls of an output: --mend."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from support.command import COMMAND, PATIENCE, lines, records, run, start
from support.loopback import Loopback
from support.outputs import without_times

COUNT = 40
LIMITED = (
    "import os, resource, sys;"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY));"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


class Case(NamedTuple):
    """A run of which every fifth call of x has failed, and every seventh record is invalid."""

    server: Loopback
    args: list[str]
    source: Path
    out: Path
    old: bytes

    def mend(self, *more: str, stdin: bytes = b"") -> tuple[int, str]:
        done = run(*self.args, "--mend", *more, stdin=stdin)
        assert done.stdout == b""
        assert [path.name for path in self.out.parent.iterdir() if "mending" in path.name] == []
        return done.returncode, done.stderr.decode()

    def requests(self) -> int:
        count = len(self.server.bodies)
        self.server.bodies.clear()
        return count

    def undisturbed(self) -> bytes:
        """Return the output of a run in which nothing has failed."""
        done = run(*self.args[:-1], "-")
        assert done.returncode == 1
        self.requests()
        return done.stdout


def is_failed(index: int) -> bool:
    return index % 5 == 0 and index % 7 != 6


FAILED = sum(map(is_failed, range(COUNT)))
INVALID = sum(index % 7 == 6 for index in range(COUNT))


@pytest.fixture
def case(server: Loopback, tmp_path: Path) -> Case:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    inputs = [b'{"id": %d' % i + (b"" if i % 7 == 6 else b"}") for i in range(COUNT)]
    source.write_bytes(b"\n".join(inputs))
    server.replies["/"] = lambda body: (404 if int(body[7:-1]) % 5 == 0 else 200, body)
    args = ["-a", f"x={server.url()}", "-a", f"y={server.url('/200')}", "-o", str(out), str(source)]
    assert run(*args).returncode == 1
    server.replies.clear()
    case = Case(server, args, source, out, out.read_bytes())
    case.requests()
    while server.arrived.acquire(blocking=False):
        pass
    return case


@pytest.mark.parametrize("workers", ["1", "2"])
def test_failed_calls_are_repeated_and_the_rest_stays(case: Case, workers: str) -> None:
    """The file is that of a run in which nothing failed; all other bytes are the old ones."""
    case.out.chmod(0o640)
    status, said = case.mend("--summary", "json", "--workers", workers)
    assert (status, case.requests()) == (1, FAILED)
    summary = json.loads(said)
    kept = COUNT - FAILED
    assert (summary["there"], summary["mended"], summary["records"]) == (kept, FAILED, COUNT)
    assert (summary["ok"], summary["errors"]) == (COUNT - INVALID, {"invalid_record": INVALID})
    for index, (old, new) in enumerate(
        zip(case.old.splitlines(), case.out.read_bytes().splitlines())
    ):
        assert (old != new) == is_failed(index)
        y = old[old.find(b'"y":') :]
        assert new.endswith(y)
    assert case.out.stat().st_mode & 0o777 == 0o640
    assert run("verify", str(case.source), str(case.out)).returncode == 0
    undisturbed = run(*case.args[:-3], str(case.source)).stdout
    assert without_times(case.out.read_bytes()) == without_times(undisturbed)


def test_a_file_that_needs_nothing_is_left_alone(case: Case) -> None:
    """It is not even written; the exit status fits the file."""
    case.mend()
    case.requests()
    before = case.out.stat()
    status, said = case.mend("--summary", "table")
    assert (status, case.requests()) == (1, 0)
    assert said.startswith(
        f"tmux-fanout: nothing to do: no call of the {COUNT} records has to be made again"
    )
    after = case.out.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_was_mended_is_told_in_one_line(case: Case) -> None:
    """That is the first thing to know; -q silences it."""
    status, said = case.mend()
    told = f"tmux-fanout: {FAILED} mended, {INVALID} still not ok"
    assert (status, said.splitlines()[0]) == (1, told)
    assert case.mend("-q") == (1, "")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_calls_of_new_apis_are_added(case: Case, workers: str) -> None:
    """They stand where the configuration has them, and only they and what failed are called."""
    more = ["-a", f"z={case.server.url('/200')}"]
    status, _ = case.mend(*more, "--workers", workers)
    assert (status, case.requests()) == (1, FAILED + COUNT - INVALID)
    for old, new in zip(lines(case.old), lines(case.out.read_bytes())):
        if "results" in old:
            assert list(new["results"]) == ["x", "y", "z"]
            assert new["results"]["y"] == old["results"]["y"]
        else:
            assert new == old
    status, said = case.mend()
    assert (status, case.requests()) == (3, 0)
    assert "line 1 has the APIs x, y, z, not only x, y" in said


@pytest.mark.parametrize("size", [0, 1, 15, 30])
def test_records_that_are_missing_are_made_up_for(case: Case, size: int) -> None:
    """A torn line and all records after it are as in a new run."""
    whole = case.old.splitlines(keepends=True)
    case.out.write_bytes(b"".join(whole[:size]) + whole[size][:30])
    assert case.mend()[0] == 1
    missing = sum(2 for i in range(size, COUNT) if i % 7 != 6)
    assert case.requests() == missing + sum(map(is_failed, range(size)))
    undisturbed = run(*case.args[:-3], str(case.source)).stdout
    assert without_times(case.out.read_bytes()) == without_times(undisturbed)


def test_input_from_several_places(case: Case, tmp_path: Path) -> None:
    """Standard input cannot be read twice, so it is checked while the run goes on."""
    text = case.source.read_bytes()
    half = text.index(b"\n", 200) + 1
    first = tmp_path / "first"
    first.write_bytes(text[:half])
    case.source.write_bytes(b"")
    assert case.mend(str(first), "-", stdin=text[half:])[0] == 1
    assert case.requests() == FAILED
    case.out.write_bytes(case.old)
    other = text[half:].replace(b"3", b"4")
    status, said = case.mend(str(first), "-", stdin=other)
    assert (status, case.out.read_bytes()) == (3, case.old)
    assert re.search(r"line \d+ does not match record", said)
    assert "nothing was changed" in said


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda old: old.replace(b'{"id": 9}', b'{"id": 8}', 1), "line 10 does not match record 9"),
        (lambda old: old + old.splitlines(keepends=True)[-1], "the input has only 40 records"),
        (lambda old: old[:-40] + b"\n", "line 40 is damaged"),
        (lambda old: old + b"garbage", "line 41 is not the beginning of a result"),
        (lambda old: b"\0" * 30 + old, "line 1 is damaged"),
    ],
)
def test_another_output_is_refused(case: Case, edit: object, why: str) -> None:
    """Nothing is sent and nothing changed, wherever the difference is."""
    assert callable(edit)
    text = edit(case.old)
    case.out.write_bytes(text)
    status, said = case.mend()
    assert (status, case.requests(), case.out.read_bytes()) == (3, 0, text)
    assert said.startswith("tmux-fanout: --mend: ")
    assert said.count("\n") == 1
    assert why in said


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--resume"], "--mend does what --resume does"),
        (["--force"], "--mend keeps FILE and --force overwrites it"),
        (["--unordered"], "--mend with --unordered"),
        (["-e", "merge"], "--mend with --emit merge"),
        (["-o", "-"], "--mend without --output"),
        (["-o", "none"], "--mend: 'none' does not exist"),
        (["-o", "/dev/null"], "--mend: '/dev/null' is not a regular file"),
        (["-o", "x.gz"], "--mend: a compressed file cannot be mended"),
    ],
)
def test_options_that_contradict_mend(
    case: Case, more: list[str], why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are usage errors, and create no file."""
    monkeypatch.chdir(tmp_path)
    status, said = case.mend(*more)
    assert (status, said.count("\n")) == (2, 1)
    assert why in said
    assert case.out.read_bytes() == case.old
    assert not (tmp_path / "none").exists()


def test_the_command_line_wins_over_the_file(case: Case, tmp_path: Path) -> None:
    """`resume` in the configuration gives way to --mend, and `mend` can stand there as well."""
    config = tmp_path / "c.toml"
    config.write_text("[run]\nresume = true\n")
    assert case.mend("-c", str(config))[0] == 1
    assert case.requests() == FAILED
    config.write_text("[run]\nmend = true\n")
    case.out.write_bytes(case.old)
    assert run(*case.args, "-c", str(config)).returncode == 1
    assert case.requests() == FAILED


def test_a_killed_run_leaves_the_old_file(case: Case) -> None:
    """What it leaves beside the file is removed by the next run."""
    case.server.gate.clear()
    with start(*case.args, "--mend") as process:
        case.server.await_requests(FAILED)
        beside = case.out.parent / ".out.jsonl.mending"
        assert beside.exists()
        process.kill()
    assert case.out.read_bytes() == case.old
    case.server.gate.set()
    case.requests()
    assert case.mend()[0] == 1
    assert case.requests() == FAILED


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("count", [1, 2])
def test_stopped_by_signals(case: Case, count: int, workers: str) -> None:
    """What was mended before is new, and all else as it was; mending again does the rest."""
    case.server.gate.clear()
    case.server.replies["/"] = lambda body: (404 if int(body[7:-1]) >= 20 else 200, body)
    with start(*case.args, "--mend", "--workers", workers, "--drain-timeout", "20s") as process:
        case.server.await_requests(FAILED)
        for number in (signal.SIGINT, signal.SIGTERM)[:count]:
            process.send_signal(number)
        if count == 1:
            case.server.gate.set()
        assert process.wait() in (130, 143)
    case.server.gate.set()
    case.requests()
    new = case.out.read_bytes()
    assert len(lines(new)) == COUNT
    for index, (old, line) in enumerate(zip(lines(case.old), lines(new))):
        if not is_failed(index):
            assert line == old
        elif count == 1:
            assert line["ok"] == (index < 20)
        else:  # the requests were sent
            assert line["results"]["x"]["error"]["kind"] == "cancelled"
    case.server.replies.clear()
    assert case.mend()[0] == 1
    undisturbed = run(*case.args[:-3], str(case.source)).stdout
    assert without_times(case.out.read_bytes()) == without_times(undisturbed)


def test_records_that_were_not_reached_keep_their_lines(case: Case) -> None:
    """A run that is given up, or passes its deadline, has mended its beginning."""
    case.server.replies["/"] = lambda body: (200 if int(body[7:-1]) < 10 else 500, body)
    status, said = case.mend("--max-failures", "1", "-l", "1", "--window", "2")
    assert status == 4
    assert "the rest is as it was" in said
    new = lines(case.out.read_bytes())
    assert len(new) == COUNT
    assert [new[index]["ok"] for index in (0, 5, 10)] == [True, True, False]
    assert new[10]["results"]["x"]["status"] == 500
    assert case.out.read_bytes().splitlines()[25:] == case.old.splitlines()[25:]


def test_a_full_disk_leaves_the_old_file(case: Case) -> None:
    """The message says so, and nothing is left beside it."""
    limited = [sys.executable, "-c", LIMITED, str(len(case.old) // 2), *COMMAND]
    done = subprocess.run(
        [*limited, *case.args, "--mend"], capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert b"cannot write the output" in done.stderr
    assert b"out.jsonl' is as it was" in done.stderr
    assert case.out.read_bytes() == case.old
    assert sorted(os.listdir(case.out.parent)) == ["in.jsonl", "out.jsonl"]


def test_a_file_in_use_or_a_closed_folder_is_refused(case: Case) -> None:
    """Before anything is sent, as nothing could come of it."""
    with case.out.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        status, said = case.mend()
        assert status == 2
        assert "another process is writing this file" in said
    name = case.out.with_name("n" * 250)
    case.out.rename(name)
    status, said = case.mend("-o", str(name))
    assert (status, case.requests()) == (2, 0)
    assert "File name too long" in said


def test_a_symbolic_link_stays_one(case: Case) -> None:
    """The file that it leads to is replaced."""
    link = case.out.with_name("link")
    link.symlink_to(case.out.name)
    assert case.mend("-o", str(link))[0] == 1
    assert link.is_symlink()
    assert case.out.read_bytes() != case.old


def test_dead_letters_are_those_of_the_new_file(case: Case) -> None:
    """--failed gets the lines that are still not ok; --force is about that file alone."""
    failed = case.out.with_name("failed")
    failed.write_bytes(b"old\n")
    assert case.mend("--failed", str(failed))[0] == 2
    case.server.replies["/"] = lambda body: (404 if body == b'{"id": 5}' else 200, body)
    assert case.mend("--failed", str(failed), "--force")[0] == 1
    inputs = case.source.read_bytes().splitlines()
    expected = [text for i, text in enumerate(inputs) if i == 5 or i % 7 == 6]
    assert failed.read_bytes().splitlines() == expected


def test_keys_are_those_of_the_first_run(server: Loopback, tmp_path: Path) -> None:
    """Both kinds of idempotency key stay, wherever the record stands among those repeated."""
    config, out = tmp_path / "c.toml", tmp_path / "out"
    config.write_text(
        f'[api.x]\nurl = "{server.url("/x")}"\nidempotency_key = true\nretries = 0\n'
        f'[api.y]\nurl = "{server.url("/y")}"\nidempotency_key = "e-{{id}}"\nretries = 0\n'
    )
    server.replies["/x"] = server.replies["/y"] = lambda body: (500 if b"3" in body else 200, body)
    args = ["-c", str(config), "-o", str(out)]
    assert run(*args, stdin=records(6)).returncode == 1
    first = {
        (h["Idempotency-Key"]) for h, body in zip(server.headers, server.bodies) if b"3" in body
    }
    assert "e-3" in first
    server.headers.clear()
    server.replies.clear()
    assert run(*args, "--mend", stdin=records(6)).returncode == 0
    assert {headers["Idempotency-Key"] for headers in server.headers} == first


@pytest.mark.parametrize("workers", ["1", "2"])
def test_calls_that_depend_on_a_repeated_one(
    server: Loopback, tmp_path: Path, workers: str
) -> None:
    """They are made once it is ok, and see the outcomes that stay as if they were new."""
    config, out = tmp_path / "c.toml", tmp_path / "out"
    config.write_text(
        f'[api.a]\nurl = "{server.url("/a")}"\n'
        f'[api.b]\nurl = "{server.url("/b")}"\nafter = ["a"]\nbody = "_results.a.body"\n'
        f'[api.c]\nurl = "{server.url("/c")}"\nafter = ["b"]\nbody = "_results.b"\n'
        f'[api.d]\nurl = "{server.url("/d")}"\nwhen = "id > `3`"\n'
    )
    server.replies["/a"] = lambda body: (404 if b"1" in body else 200, b'{"a":1.50}')
    server.replies["/c"] = lambda body: (404, b"")
    args = ["-c", str(config), "-o", str(out)]
    assert run(*args, stdin=records(4)).returncode == 1
    server.paths.clear()
    server.replies["/a"] = server.replies["/b"] = lambda body: (200, b'{"a":1.50}')
    del server.replies["/c"]
    assert run(*args, "--mend", "--workers", workers, stdin=records(4)).returncode == 0
    assert sorted(server.paths) == ["/a", "/b", *["/c"] * 4]
    for line in lines(out.read_bytes()):
        assert line["results"]["c"]["body"]["body"] == {"a": 1.5}
        assert line["results"]["d"] == {"ok": True, "skipped": True, "attempts": 0}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_join_policies(server: Loopback, tmp_path: Path, workers: str) -> None:
    """A record that is ok stays; under the same policy a new API has already lost."""
    out = tmp_path / "out"
    args = ["-o", str(out), "--join", "first", "-a", f"x={server.url('/x')}"]
    args += ["-a", f"y={server.url('/404')}"]
    server.replies["/x"] = lambda body: (404 if b"1" in body else 200, body)
    assert run(*args, stdin=records(3)).returncode == 1
    old = out.read_bytes().splitlines()
    server.replies.clear()
    server.paths.clear()
    assert run(*args, "--mend", "--workers", workers, stdin=records(3)).returncode == 0
    new = out.read_bytes().splitlines()
    assert (new[0], new[2]) == (old[0], old[2])
    assert json.loads(new[1])["ok"]
    assert set(server.paths) <= {"/x", "/404"}
    more = ["-a", f"z={server.url('/z')}", "--mend", "--workers", workers]
    server.paths.clear()
    assert run(*args, *more, stdin=records(3)).returncode == 0
    assert server.paths == []
    kinds = [line["results"]["z"]["error"]["kind"] for line in lines(out.read_bytes())]
    assert kinds == ["lost"] * 3
