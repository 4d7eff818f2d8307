"""The `verify` command compares outputs of real runs, intact and damaged, with their inputs."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from support.command import records, run, start
from support.loopback import Loopback

MIXED = b'{"a": 1.00}\n\n[1\n"x"\n\xff\n3\n'  # five records, two of them invalid
TABLE = b'id,note\r\n1,"two\r\nlines"\r\n2,\r\n3\r\n'
COMPLETE = {"verdict": "complete and faithful", "torn": False, "first_fault": None}


def output_of(server: Loopback, data: bytes, *args: str) -> bytes:
    """Run, and return the output."""
    done = run("-q", "-a", f"x={server.url()}", *args, stdin=data)
    assert done.returncode in {0, 1}
    return done.stdout


def verify(*args: object, stdin: bytes = b"") -> tuple[int, dict[str, Any]]:
    """Run `verify`, and return its exit status and ledger."""
    done = run("verify", "--json", *map(str, args), stdin=stdin)
    assert done.stderr == b""
    assert done.stdout.count(b"\n") == 1
    return done.returncode, json.loads(done.stdout)


class Pair:
    """An input file and an output file."""

    def __init__(self, folder: Path, data: bytes, output: bytes) -> None:
        self.input, self.output = folder / "in", folder / "out"
        self.input.write_bytes(data)
        self.output.write_bytes(output)
        self.lines = output.splitlines(keepends=True)

    def verify(self, output: bytes, *args: str) -> tuple[int, dict[str, Any]]:
        """Write the output, verify it, and return the exit status and ledger."""
        self.output.write_bytes(output)
        return verify(*args, self.input, self.output)


@pytest.fixture
def pair(server: Loopback, tmp_path: Path) -> Pair:
    return Pair(tmp_path, MIXED, output_of(server, MIXED))


def test_verify_of_a_complete_output(pair: Pair) -> None:
    """A complete output is faithful even with records that are not ok; the table says so too."""
    status, ledger = verify(pair.input, pair.output)
    assert status == 0
    assert ledger.items() >= {**COMPLETE, "read": 5, "ok": 3, "not_ok": 2, "lines": 5}.items()
    assert ledger["errors"] == {"invalid_record": 2}
    done = run("verify", str(pair.input), str(pair.output))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        "read              5",
        "ok                3",
        "not ok            2",
        "  invalid_record  2",
        "cut short         0",
        "missing           0",
        "doubled           0",
        "out of order      0",
        "altered           0",
        "unknown           0",
        "complete and faithful",
    ]


def test_verify_of_an_output_cut_anywhere(pair: Pair) -> None:
    """An output cut at any byte is incomplete, and torn unless it ends in a line break."""
    whole = b"".join(pair.lines)
    last = len(whole) - len(pair.lines[-1])
    for size in (0, 1, last - 1, last, last + 1, len(whole) - 1):
        status, ledger = pair.verify(whole[:size])
        missing = 5 - whole[:size].count(b"\n")
        assert (status, ledger["verdict"]) == (1, "incomplete")
        assert (ledger["missing"], ledger["first_missing"]) == (missing, 5 - missing)
        assert ledger["torn"] == bool(size and whole[size - 1 : size] != b"\n")


def test_verify_describes_faults(pair: Pair) -> None:
    """Each kind of fault is counted, the first is described, and the exit status is 3."""
    first, second, third, *rest = pair.lines
    faults = [
        ([first, second, second, third, *rest], "doubled", "line 3: record 1 already has a line"),
        ([first, third, second, *rest], "out_of_order", "line 3: record 1 comes after record 2"),
        ([first.replace(b"1.00", b"1.01"), second, third, *rest], "altered", "line 1: it differs"),
        ([first, second[1:], third, *rest], "altered", "line 2: not in the format of --emit"),
        ([*pair.lines, first.replace(b":0,", b":5,", 1)], "unknown", "line 6: the input has no"),
    ]
    for lines, name, description in faults:
        status, ledger = pair.verify(b"".join(lines))
        assert (status, ledger[name], ledger["missing"]) == (3, 1, 0)
        assert ledger["verdict"] == "does not belong to the input"
        assert ledger["first_fault"].startswith(description)


def test_verify_of_an_edited_input(pair: Pair) -> None:
    """A record that was changed, inserted or removed is found."""
    for old, new in ((b"1.00", b"1.0"), (b"3\n", b""), (b'"x"', b'"x"\n"y"')):
        pair.input.write_bytes(MIXED.replace(old, new))
        status, ledger = verify(pair.input, pair.output)
        assert (status, ledger["altered"] + ledger["unknown"] > 0) == (3, True)


def test_verify_of_unordered_output(server: Loopback, tmp_path: Path) -> None:
    """With --unordered any order is accepted; without it lines are counted as out of order."""
    data = records(300)
    pair = Pair(tmp_path, data, output_of(server, data, "--unordered"))
    random.Random(1).shuffle(pair.lines)
    shuffled = b"".join(pair.lines)
    status, ledger = pair.verify(shuffled, "--unordered")
    assert (status, ledger["ok"]) == (0, 300)
    assert ledger["out_of_order"] > 0
    status, ledger = pair.verify(shuffled)
    assert (status, ledger["ok"], ledger["missing"]) == (3, 300, 0)
    assert ledger["first_fault"].endswith("if the run was --unordered, add --unordered here")
    status, ledger = pair.verify(b"".join(pair.lines[:-7]) + b'{"ind', "--unordered")
    assert (status, ledger["missing"], ledger["torn"]) == (1, 7, True)


def test_verify_of_every_format(server: Loopback, tmp_path: Path) -> None:
    """CSV by name or -i, text, standard input, and compressed files can be verified."""
    table = tmp_path / "table.csv.xz"
    table.write_bytes(lzma.compress(TABLE))
    output = tmp_path / "out.gz"
    output.write_bytes(gzip.compress(output_of(server, TABLE, "-i", "csv")))
    status, ledger = verify(table, output)
    assert (status, ledger["read"], ledger["errors"]) == (0, 3, {"invalid_record": 1})
    assert verify("-i", "csv", "-", output, stdin=TABLE)[0] == 0
    assert verify("-", output, stdin=TABLE)[0] == 3
    output.write_bytes(output_of(server, TABLE, "-i", "lines"))
    assert verify("-i", "lines", "-", output, stdin=TABLE)[0] == 0
    config = tmp_path / "c.toml"
    config.write_text('[run]\ninput_format = "lines"\nretries = 1\n')
    assert verify("-c", config, "-", output, stdin=TABLE)[0] == 0
    text = tmp_path / "text"
    text.write_bytes(TABLE)
    assert verify("-i", "lines", text, "-", stdin=output.read_bytes())[0] == 0


def test_verify_of_several_files(server: Loopback, tmp_path: Path) -> None:
    """Several inputs form one stream in the order of the run."""
    first, second, output = tmp_path / "a.csv", tmp_path / "b", tmp_path / "out"
    first.write_bytes(b"a\n1\n")
    second.write_bytes(b"2\nx\n")
    output.write_bytes(output_of(server, b"", str(first), str(second)))
    assert verify(first, second, output)[0] == 0
    assert verify(second, first, output)[0] == 3


def test_verify_of_lines_that_were_too_long(server: Loopback, tmp_path: Path) -> None:
    """Lines that were too long match under the same --max-line, and not under another."""
    data = b"1\n" + b"2" * 100 + b"\n3\n"
    pair = Pair(tmp_path, data, output_of(server, data, "--max-line", "50"))
    status, ledger = verify("--max-line", "50", pair.input, pair.output)
    assert (status, ledger["errors"]) == (0, {"too_large": 1})
    status, ledger = verify(pair.input, pair.output)
    assert (status, ledger["altered"]) == (3, 1)


def test_verify_after_a_signal(server: Loopback, tmp_path: Path) -> None:
    """Records cut short by a signal have lines, but count as incomplete."""
    server.gate.clear()
    source = tmp_path / "in"
    source.write_bytes(records(3))
    with start("-q", "-a", f"x={server.url()}", str(source)) as process:
        server.await_requests(3)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    assert output.count(b"\n") == 3
    status, ledger = verify(source, "-", stdin=output)
    assert (status, ledger["cut_short"], ledger["missing"]) == (1, 3, 0)
    assert ledger["errors"] == {"cancelled": 3}


@pytest.mark.parametrize("emit", ["merge", "body"])
def test_verify_needs_envelopes(server: Loopback, tmp_path: Path, emit: str) -> None:
    """Other emit formats, which do not identify records, are refused with one line."""
    data = records(1500)
    pair = Pair(tmp_path, data, output_of(server, data, "-e", emit))
    done = run("verify", str(pair.input), str(pair.output))
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.decode() == (
        f"tmux-fanout: {pair.output}: no line is of --emit envelope: use the output of such a run\n"
    )


def test_verify_of_damaged_compression(pair: Pair) -> None:
    """A truncated output is torn, and a truncated input gives exit status 1."""
    pair.output.write_bytes(gzip.compress(b"".join(pair.lines))[:-9])
    done = run("verify", "--json", str(pair.input), str(pair.output))
    assert (done.returncode, json.loads(done.stdout)["torn"]) == (1, True)
    assert done.stderr.endswith(b"the gzip data is cut short\n")
    pair.output.write_bytes(b"".join(pair.lines))
    pair.input.write_bytes(gzip.compress(MIXED)[:-9])
    done = run("verify", "--json", str(pair.input), str(pair.output))
    assert done.returncode == 1
    assert done.stderr.endswith(b"/in: the gzip data is cut short\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-", "-"], "standard input can only be read once: use a file for the others"),
        (["-", "gone"], "'gone' does not exist: use the output of a run, or - for standard input"),
        (["."], "Missing argument 'INPUT...'. (tmux-fanout --help lists the options)"),
        (
            ["-c", "gone", "-", "/dev/null"],
            "--config: no such file: 'gone'",
        ),
    ],
)
def test_verify_usage_errors_are_one_line(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A usage error is one line with exit status 2."""
    monkeypatch.chdir(tmp_path)
    done = run("verify", *args)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"tmux-fanout: {message}\n"


def test_verify_into_a_closed_pipe_is_silent(pair: Pair) -> None:
    """If standard output is closed, `verify` exits with 141 and prints nothing."""
    with start("verify", "-", str(pair.output)) as process:
        assert process.stdout
        process.stdout.close()
        process.stdout = None
        _, stderr = process.communicate(MIXED)
    assert (process.returncode, stderr) == (141, b"")


def test_verify_help_lists_the_exit_status() -> None:
    """The help lists the exit status for scripts."""
    assert b"3 the output does not belong" in run("verify", "--help").stdout
