"""The command `report`, on the files of runs and of others."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from support.command import environment, records, run, start
from support.envelopes import eventful, line, outcome
from support.loopback import Loopback
from support.terminal import terminal

GOOD = line(0, {"a": outcome()}) + b"\n"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The output of an eventful run."""
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"".join(each + b"\n" for each in eventful(2000)))
    return path


def figures(*args: str, stdin: bytes = b"") -> list[dict[str, Any]]:
    done = run("report", "--json", *args, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 1
    found: list[dict[str, Any]] = json.loads(done.stdout)["outputs"]
    return found


def test_figures_are_those_of_the_summary(server: Loopback, tmp_path: Path) -> None:
    """What a run counts itself is what the report finds in its output, workers or not."""
    server.replies["/x"] = lambda body: (503 if b"7" in body else 200, b"{}")
    out, summary = str(tmp_path / "out.jsonl"), str(tmp_path / "run.json")
    args = ["-a", f"x={server.url('/x')}", "-a", f"y={server.url('/x')}", "-r", "1", "--idempotent"]
    run(*args, "-q", "-o", out, "--summary-file", summary, stdin=records(40) + b"{\n")
    run_summary = json.loads(Path(summary).read_bytes())
    (found,) = figures(out, "--summary-file", summary)
    assert found["summary"] == run_summary
    assert found["records"] == run_summary["records"] == 41
    assert found["errors"] == run_summary["errors"]
    for name, api in run_summary["apis"].items():
        for key in ("calls", "skipped", "attempts", "not_ok", "errors"):
            assert found["apis"][name][key] == api[key], (name, key)
        assert abs(found["apis"][name]["latency"]["max"] - api["max"]) < 0.0001
    text = run("report", "--text", out, "--summary-file", summary).stdout.decode()
    assert "What the run waited for" in text
    assert "another run" not in text
    half = b"".join(Path(out).read_bytes().splitlines(keepends=True)[:20])
    text = run("report", "--text", "-", "--summary-file", summary, stdin=half).stdout.decode()
    why = "a run that wrote 41, and the output has 20 lines: it may be that of another run."
    assert why in " ".join(text.split())
    html = run("report", out, "--summary-file", summary).stdout.decode()
    assert "What the run waited for" in html


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress])
def test_output_may_be_compressed_or_piped(out: Path, tmp_path: Path, compress: Any) -> None:
    """The figures are the same, whatever the file is."""
    (expected,) = figures(str(out))
    packed = tmp_path / "packed"
    packed.write_bytes(compress(out.read_bytes()))
    (found,) = figures(str(packed))
    assert {**found, "output": ""} == {**expected, "output": ""}
    (found,) = figures("-", stdin=packed.read_bytes())
    assert {**found, "output": ""} == {**expected, "output": ""}
    assert found["output"] == "standard input"


def test_page_goes_to_a_new_file(out: Path, tmp_path: Path) -> None:
    """It names no address and needs no other file; --force overwrites it."""
    page = tmp_path / "report.html"
    for more, status in (([], 0), ([], 2), (["--force"], 0)):
        done = run("report", str(out), "-o", str(page), *more)
        assert (done.returncode, done.stdout) == (status, b"")
        assert (b"is not empty: add --force to overwrite it" in done.stderr) == (status == 2)
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>\n<html")
    assert text == run("report", str(out)).stdout.decode()
    assert not re.search(r"<link|\bsrc=|@import|url\(", text[: text.index("<script>")])
    assert "Permission is hereby granted" in text  # the licence of the charts
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("data", "status", "why"),
    [
        (b"", 0, ""),
        (GOOD, 0, ""),
        (GOOD[:-1], 0, ""),
        (
            GOOD + GOOD[:-20],
            1,
            "1 of 2 lines of standard input is not of --emit envelope, and left",
        ),
        (GOOD + b"x\n\n{}\n", 1, "3 of 4 lines of standard input are not of --emit envelope, and"),
        (gzip.compress(GOOD * 9)[:-8], 1, "cannot read standard input: the gzip data is cut short"),
        (b"x\n", 3, "standard input: no line is of --emit envelope: use the output of such a run"),
        (records(5000), 3, "standard input: no line is of --emit envelope"),
    ],
)
@pytest.mark.parametrize("form", ["--json", "--text", None])
def test_damaged_lines_are_told_in_one_line(
    data: bytes, status: int, why: str, form: str | None
) -> None:
    """The rest is in the report."""
    done = run("report", "-", *([form] if form else []), stdin=data)
    assert done.returncode == status
    assert why in done.stderr.decode()
    assert done.stderr.count(b"\n") == bool(why)
    assert bool(done.stdout) == (status != 3)


def test_mistakes_are_told_in_one_line(out: Path, tmp_path: Path) -> None:
    """Nothing is written then."""
    target, other = tmp_path / "report.html", tmp_path / "other.json"
    deep = tmp_path / "deep.json"
    deep.write_bytes(b'{"version": 1, "x": ' + b"[" * 100_000)
    other.write_bytes(b'{"version": 1}')
    for args, why in (
        ([], "Missing argument 'OUTPUT...'"),
        ([str(tmp_path / "nix")], "does not exist: use the output of a run"),
        ([str(tmp_path)], "is a directory: use the output"),
        (["-", "-"], "standard input can only be read once: use a file for the others"),
        ([str(out), "--force"], "--force without --output: add -o FILE"),
        ([str(out), "--summary-file", str(other)], "is not a summary"),
        ([str(out), "--summary-file", str(out)], "is not a summary"),
        ([str(out), "--summary-file", str(deep)], "is not a summary"),
        ([str(out), "--summary-file", str(tmp_path / "nix")], "use a summary that `run --su"),
        ([str(out), *("--summary-file", str(other)) * 2], "there are 2 summaries of 1 outputs: "),
        ([str(out), "-o", str(out), "--force"], "is an input, too: use another file"),
        ([str(out), "-o", str(tmp_path / "no" / "where")], "No such file or directory"),
    ):
        done = run("report", *args, *(() if {"-o", "--force"} & {*args} else ("-o", str(target))))
        assert (done.returncode, done.stdout) == (2, b""), args
        assert why in done.stderr.decode(), done.stderr
        assert done.stderr.count(b"\n") == 1
        assert not target.exists()
    assert out.read_bytes().count(b"\n") == 2000


def test_file_without_envelopes_leaves_no_page(tmp_path: Path) -> None:
    """A page is there only once there is something in it."""
    page = tmp_path / "report.html"
    done = run("report", "-", "-o", str(page), stdin=records(3))
    assert done.returncode == 3
    assert not page.exists()


def test_terminal_gets_text_only(out: Path) -> None:
    """A page there is a mistake; text is as wide as the terminal."""
    with terminal(70, 200) as opened:
        opened.start("report", str(out))
        assert opened.wait() == 2
        assert opened.count("-o report.html") == 1
        hostile = out.with_name("hostile.jsonl")
        hostile.write_bytes(line(0, {"\u202e\x9b2J": outcome()}))
        opened.start("report", "--json", str(hostile))
        assert opened.wait() == 0
        assert not {"\u202e", "\x9b"} & {*opened.received}
        opened.start("report", "--text", str(out))
        assert opened.wait() == 0
        assert opened.count("Slowest calls") == 3
        assert opened.count("▁") > 50
    with terminal(70, 200, "ascii") as opened:
        opened.start(
            "report",
            "--text",
            str(out),
            env=environment(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0"),
        )
        assert opened.wait() == 0
        assert opened.received.isascii()


def test_report_into_a_closed_pipe_is_silent(out: Path) -> None:
    """As a run is."""
    with start("report", str(out)) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr
        assert process.stderr.read() == b""


def test_several_outputs_are_compared(out: Path, tmp_path: Path) -> None:
    """Each has its row, with a letter; an API that only one has is in the report, too."""
    other = tmp_path / os.fsdecode(b"b\xff\x1b[31m<b>.jsonl")
    other.write_bytes(line(0, {"slow": outcome(), "only": outcome()}) + b"\n")
    text = run("report", "--text", str(out), str(other)).stdout.decode()
    assert "A: " in text
    assert "B: " in text
    assert "\x1b" not in text
    names = [list(each["apis"]) for each in figures(str(out), str(other))]
    assert names == [["slow", "limited", "down"], ["slow", "only"]]
    html = run("report", str(out), str(other)).stdout.decode()
    assert "<b>.jsonl" not in html
    assert "&lt;b&gt;.jsonl" in html
    assert html.count('data-chart="histogram"') == 4
    assert html.count('data-chart="latency"') == 5
