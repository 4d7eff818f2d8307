"""Resume where an output ends: --resume."""

from __future__ import annotations

import gzip
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from support.command import lines, records, run, start
from support.loopback import Loopback
from support.outputs import COUNT, Case, without_times

from tmux_fanout.cli.output import CheckProgress
from tmux_fanout.engine.io.output_file import OutputFile


@pytest.mark.parametrize(("kept", "torn"), [(0, 0), (0, 30), (25, 1), (COUNT - 1, 30)])
def test_goes_on_after_the_last_whole_line(case: Case, kept: int, torn: int) -> None:
    """The file is that of an undisturbed run, and nothing is sent that is in it already."""
    start = case.first_lines(kept)
    case.out.write_bytes(case.whole[: len(start) + torn])
    status, said = case.resume("--summary", "json")
    assert status == 1
    assert case.has_it_all()
    assert case.requests() == 2 * sum(i % 7 != 6 for i in range(kept, COUNT))
    summary = json.loads(said)
    assert (summary["there"], summary["records"], summary["written"]) == (kept, COUNT, COUNT)
    assert summary["ok"] == sum(line["ok"] for line in lines(case.whole))
    assert summary["errors"] == {"invalid_record": 8, "status": 10}


def test_a_finished_file_has_nothing_to_do(case: Case, tmp_path: Path) -> None:
    """A complete file is left unchanged; a message says so, and the exit status fits the file."""
    before = case.out.stat().st_mtime_ns
    status, said = case.resume()
    assert (status, said.splitlines()[0]) == (
        1,
        f"tmux-fanout: nothing to do: the output has all {COUNT} records already",
    )
    assert case.out.read_bytes() == case.whole
    assert case.out.stat().st_mtime_ns == before
    assert case.requests() == 0
    args = ["-a", f"y={case.server.url()}", "-i", "lines", "-o", str(tmp_path / "fine")]
    case.server.replies.clear()
    assert run(*args, "--resume", stdin=records(3)).returncode == 0  # it was not there
    done = run(*args, "--resume", stdin=records(3))
    assert (done.returncode, b"all 3 records" in done.stderr) == (0, True)
    assert run(*args, "--resume", "-q", stdin=records(3)).stderr == b""


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGINT, signal.SIGTERM]])
def test_stopped_by_signals_and_gone_on_with(case: Case, numbers: list[signal.Signals]) -> None:
    """Drained or cut short, in the end the file is that of an undisturbed run."""
    case.out.unlink()
    case.server.gate.clear()
    with start(*case.args, "-o", str(case.out), "--window", "20") as process:
        case.server.await_requests(16)
        for number in numbers:
            process.send_signal(number)
        if len(numbers) == 1:
            case.server.gate.set()
        assert process.wait() in (130, 143)
    case.server.gate.set()
    assert b'"kind":"cancelled"' in case.out.read_bytes()  # of what was read and not admitted
    assert case.resume()[0] == 1
    assert case.has_it_all()


@pytest.mark.parametrize("ends", [["--deadline", "300ms"], ["--max-failures", "3"]])
def test_what_a_limit_has_cut_short_is_made_again(case: Case, ends: list[str]) -> None:
    """A run that ended by --deadline or --max-failures is resumed, with its failures so far."""
    case.out.unlink()
    if ends[0] == "--deadline":
        case.server.gate.clear()
    done = run(*case.args, "-o", str(case.out), "-l", "1", "--window", "6", *ends)
    assert done.returncode in (124, 4)
    case.server.gate.set()
    assert b'"kind":"deadline"' in case.out.read_bytes() or done.returncode == 4
    assert case.resume()[0] == 1
    assert case.has_it_all()


def test_failures_of_an_earlier_run_do_not_give_this_one_up(case: Case) -> None:
    """--max-failures is about what is tried now; nine of 59 records have failed, and one does."""
    case.out.write_bytes(case.first_lines(COUNT - 5))
    status, said = case.resume("--max-failures", "2")
    assert (status, case.has_it_all()) == (1, True)
    assert f"{COUNT} records (55 from an earlier run)" in said


def test_idempotency_keys_stay_the_same(server: Loopback, tmp_path: Path) -> None:
    """A server that honours them sees each effect once."""
    config = tmp_path / "c.toml"
    config.write_text(f'[api.x]\nurl = "{server.url()}"\nidempotency_key = true\n')
    out = tmp_path / "out"
    args = ["-c", str(config), "-o", str(out)]
    assert run(*args, stdin=b"1\n" * 9).returncode == 0
    keys = sorted(headers["Idempotency-Key"] for headers in server.headers)
    assert len(set(keys)) == 9
    server.headers.clear()
    out.write_bytes(b"".join(out.read_bytes().splitlines(keepends=True)[:4]))
    assert run(*args, "--resume", stdin=b"1\n" * 9).returncode == 0
    again = [headers["Idempotency-Key"] for headers in server.headers]
    assert (len(again), set(again) < set(keys)) == (5, True)


def table(count: int) -> bytes:
    return b"id,text\n" + b"".join(b'%d,"a ""b""\n, c"\n' % i for i in range(count))


@pytest.mark.parametrize("kept", [3, 8])
@pytest.mark.parametrize(
    "inputs",
    [
        {"a.csv": table(5), "b.jsonl": records(4)},
        {"a.tsv": b"id\tx\n" + b"1\t2\n3\n" * 4, "b.csv": table(1)},
        {"a.jsonl.gz": gzip.compress(records(6)), "b.csv.gz": gzip.compress(table(3))},
        {"-": gzip.compress(records(9))},
        {"-": b"\xef\xbb\xbf" + records(9).replace(b"\n", b"\r\n\r\n")},
        {"a.jsonl": records(4).rstrip(), "-": b'["\\ud800"]\n{\n3\n4\n5'},
    ],
    ids=["two formats", "tsv", "gzip", "gzip stdin", "crlf stdin", "odd records"],
)
def test_every_kind_of_input_is_gone_on_with(
    server: Loopback, tmp_path: Path, inputs: dict[str, bytes], kept: int
) -> None:
    """Several files and formats, compressed or not, from a name or standard input."""
    args = ["-q", "-a", f"x={server.url()}", "-o", str(tmp_path / "out")]
    for name, content in inputs.items():
        args.append(name if name == "-" else str(tmp_path / name))
        if name != "-":
            (tmp_path / name).write_bytes(content)
    stdin = inputs.get("-", b"")
    status = run(*args, stdin=stdin).returncode
    whole = (tmp_path / "out").read_bytes()
    there = whole.splitlines(keepends=True)
    assert len(there) == 9
    (tmp_path / "out").write_bytes(b"".join(there[:kept]))
    assert run(*args, "--resume", stdin=stdin).returncode == status
    assert without_times((tmp_path / "out").read_bytes()) == without_times(whole)


def test_lines_of_text_are_gone_on_with(server: Loopback, tmp_path: Path) -> None:
    """An output of input read as JSON does not match the same input read as text."""
    out = tmp_path / "out"
    args = ["-q", "-a", f"x={server.url()}", "-o", str(out), "--resume"]
    text = "grün\nred\n".encode()
    assert run(*args, "-i", "lines", stdin=text).returncode == 0
    assert run(*args, "-i", "lines", stdin=text + b"blue").returncode == 0
    assert [line["record"] for line in lines(out.read_bytes())] == ["grün", "red", "blue"]
    assert run(*args, stdin=text + b"blue").returncode == 3
    out.unlink()
    assert run(*args, stdin=text).returncode == 1
    assert run(*args, "-i", "lines", stdin=text).returncode == 3


def test_records_that_come_one_by_one_are_held_as_they_come(case: Case) -> None:
    """Standard input may still be growing while it is compared with the output."""
    case.args[-1] = "-"
    inputs = case.source.read_bytes().split(b"\n\n")
    case.out.write_bytes(case.first_lines(3))
    with start(*case.args, "-o", str(case.out), "--resume") as process:
        assert process.stdin
        for line in inputs[:4]:
            process.stdin.write(line + b"\n\n")
            process.stdin.flush()
        case.server.await_requests(2)
        assert case.requests() == 2
        process.communicate(b"\n\n".join(inputs[4:]))
    assert process.returncode == 1
    assert case.has_it_all()


async def test_progress_is_said_once_a_second(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Progress appears at most once a second, and is hidden at the end."""
    shown: list[list[str]] = []

    class Display:
        def show(self, compose: Callable[[int, int], list[str]]) -> None:
            shown.append(compose(500, 20))

        def hide(self) -> None:
            shown.append([])

    monkeypatch.setattr("tmux_fanout.cli.output.Display", Display)
    path = tmp_path / "x"
    path.write_bytes(b"12345678")
    output = OutputFile(str(path))
    progress = CheckProgress(output)
    for size in (1, 2, 4, 6):
        progress.show(size)
        mock_clock.jump(0.6)
    progress.hide()
    output.close()
    assert shown == [[f"{path}: 50% checked"], []]


def test_verbose_says_where_it_goes_on(case: Case) -> None:
    """Beside what -v always says."""
    case.out.write_bytes(case.first_lines(20))
    assert f"{case.out}: continues after 20 records\n" in case.resume("-v")[1]
