"""Results as CSV and TSV, from a run and from the file of an earlier one."""

from __future__ import annotations

import csv
import gzip
import io
import json
import signal
from pathlib import Path

import pytest
from support.command import run, start
from support.loopback import Loopback

COLUMNS = (
    "id=record.id, text=record.text, status=results.x.status, same=results.x.body, "
    "error=error.kind || results.x.error.kind"
)
PEOPLE = b'id;text\n1;"a;b"\n2;"say ""hi""\nthere"\n3;"x\n4;no\n'


@pytest.fixture
def picky(server: Loopback) -> Loopback:
    """A server that refuses records that hold `no`."""
    server.replies["/x"] = lambda body: (404 if b"no" in body else 200, b"[1, 2.50]")
    return server


def rows_of(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


EXPECTED = [
    ["id", "text", "status", "same", "error"],
    ["1", "a;b", "200", "[1,2.50]", ""],
    ["2", 'say "hi"\nthere', "200", "[1,2.50]", ""],
    ["", "", "", "", "invalid_record"],
    ["4", "no", "404", "[1,2.50]", "status"],
]


@pytest.mark.parametrize("more", [[], ["--workers", "2", "--idempotent"], ["-e", "csv"]])
def test_semicolons_in_and_commas_out(picky: Loopback, more: list[str]) -> None:
    """Each record is one row, in order, below the names of the columns."""
    args = ("-a", f"x={picky.url('/x')}", "-i", "csv", "--delimiter", ";", "--columns", COLUMNS)
    done = run(*args, "-q", *more, stdin=PEOPLE)
    assert (done.returncode, done.stderr) == (1, b"")
    assert rows_of(done.stdout) == EXPECTED


def test_file_is_a_table_by_its_name(picky: Loopback, tmp_path: Path) -> None:
    """With columns, `-e` may be left out; without, nothing is sent and the file is not there."""
    out = tmp_path / "out.tsv.gz"
    args = ("-a", f"x={picky.url('/x')}", "-o", str(out))
    for more, why in (
        ([], "'%s' is a table by its name, and --emit envelope writes JSON: add -e tsv --columns"),
        (["-e", "merge"], "'%s' is a table by its name, and --emit merge writes JSON"),
        (["-e", "tsv"], "--emit tsv needs --columns, such as --columns 'id=record.id, "),
        (["-e", "merge", "--columns", "a=ok"], "--columns with --emit merge: use --emit csv"),
        (["--columns", "a=results.y.body"], "--columns: column 'a': there is no API 'y'"),
        (["--columns", "a=id"], "an envelope has no key 'id': use record.id"),
    ):
        done = run(*args, *more, stdin=b"1\n")
        assert (done.returncode, done.stdout, picky.bodies) == (2, b"", [])
        assert (why.replace("%s", str(out))) in done.stderr.decode()
        assert not out.exists()
    done = run(*args, "--columns", "v=record, s=results.x.status", stdin=b'"a\\tb"\n')
    assert (done.returncode, done.stderr) == (0, b"")
    assert gzip.decompress(out.read_bytes()) == b"v\ts\na\\tb\t200\n"


def test_column_without_any_value_is_warned_of(picky: Loopback, tmp_path: Path) -> None:
    """As a `select` that finds nothing is: --strict makes it an error, and the summary has it."""
    summary = tmp_path / "summary.json"
    args = (
        "-a",
        f"x={picky.url('/x')}",
        "--columns",
        "a=record.nix",
        "--summary-file",
        str(summary),
    )
    why = "--columns: column 'a' is empty in all rows: there is never a value at record.nix"
    for more, status, said in (
        ([], 0, f"tmux-fanout: warning: {why}"),
        (["--strict"], 1, f"tmux-fanout: --strict: {why}"),
    ):
        done = run(*args, *more, stdin=b'{"id": 1}\n')
        assert (done.returncode, done.stdout) == (status, b'a\n""\n')
        assert done.stderr.decode().splitlines()[0] == said
        assert json.loads(summary.read_text())["warnings"] == [why]


def test_table_of_no_records_has_its_header(picky: Loopback) -> None:
    """So that whoever reads it finds the columns."""
    done = run("-a", f"x={picky.url('/x')}", "--columns", "a=ok, b=index", stdin=b"")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a,b\n", b"")


def test_columns_in_a_configuration_file(picky: Loopback, tmp_path: Path) -> None:
    """They are used with csv and tsv only, and `check` shows what would be written."""
    config = tmp_path / "c.toml"
    config.write_text(
        f"[run]\ncolumns = '''\nid = record.id,\ns = results.x.status,\n'''\n"
        f'[api.x]\nurl = "{picky.url("/x")}"\n'
    )
    done = run("-c", str(config), stdin=b'{"id": 7}\n')
    assert (done.returncode, done.stdout) == (0, b"id,s\n7,200\n")
    done = run("check", "-c", str(config))
    assert 'emit = "csv"' in done.stdout.decode()
    done = run("-c", str(config), "-e", "body", stdin=b'{"id": 7}\n')
    assert (done.returncode, done.stdout) == (0, b"[1, 2.50]\n")
    done = run("-c", str(config), "-o", str(tmp_path / "o"), "--resume", stdin=b'{"id": 7}\n')
    assert done.returncode == 2
    assert b"--resume with --emit csv: use --emit envelope, and tmux-fanout convert" in done.stderr


def test_table_stays_whole_after_a_signal(picky: Loopback) -> None:
    """Each record that was read has its row."""
    picky.gate.clear()
    columns = "i=index, e=results.x.error.kind"
    with start("-a", f"x={picky.url('/x')}", "--columns", columns) as p:
        assert p.stdin
        assert p.stderr
        p.stdin.write(b"1\n2\n")
        p.stdin.flush()
        picky.await_requests(2)
        p.send_signal(signal.SIGINT)
        next(line for line in p.stderr if b"a second signal" in line)  # or they may change places
        p.send_signal(signal.SIGTERM)
        output, _ = p.communicate()
    assert (p.returncode, output) == (143, b"i,e\n0,cancelled\n1,cancelled\n")


@pytest.mark.parametrize("emit", ["merge", "body", "csv", "tsv"])
def test_converted_file_is_that_of_a_run(picky: Loopback, tmp_path: Path, emit: str) -> None:
    """Any form can be made later from a run's envelopes, compressed or not."""
    args = ("-q", "-a", f"x={picky.url('/x')}", "-i", "csv", "--delimiter", ";")
    form = ("-e", emit, *(("--columns", COLUMNS) if emit in ("csv", "tsv") else ()))
    direct = run(*args, *form, stdin=PEOPLE)
    for name in ("out.jsonl", "out.jsonl.gz"):
        out = tmp_path / name
        run(*args, "-o", str(out), stdin=PEOPLE)
        done = run("convert", str(out), *form)
        assert (done.returncode, done.stderr, done.stdout) == (0, b"", direct.stdout)
    done = run("convert", "-", *form, stdin=(tmp_path / "out.jsonl").read_bytes())
    assert (done.returncode, done.stdout) == (0, direct.stdout)
    target = tmp_path / f"again.{'csv' if emit == 'csv' else 'out'}"
    for more, status in (([], 0), ([], 2), (["--force"], 0)):
        done = run("convert", str(tmp_path / "out.jsonl"), *form, "-o", str(target), *more)
        assert (done.returncode, done.stdout) == (status, b"")
        assert (b"is not empty: add --force to overwrite it" in done.stderr) == (status == 2)
        assert target.read_bytes() == direct.stdout


def test_convert_stops_at_a_line_that_is_none(picky: Loopback, tmp_path: Path) -> None:
    """Lines before it are written, and a torn last line is told from a damaged one."""
    run("-q", "-a", f"x={picky.url('/x')}", "-o", str(tmp_path / "out"), stdin=b"1\n2\n")
    good = (tmp_path / "out").read_bytes()
    for data, status, written, why in (
        (b"", 0, b"i\n", ""),
        (good[:-9], 1, b"i\n0\n", "ends in the middle of a line, which is left out: complete it"),
        (good.removesuffix(b"\n"), 0, b"i\n0\n1\n", ""),
        (good + b"x\n" + good, 3, b"i\n0\n1\n", "line 3 is not of --emit envelope: "),
        (b'{"a": 1}\n', 3, b"", "line 1 is not of --emit envelope: "),
        (b'{"a": 1}', 3, b"", "line 1 is not of --emit envelope: "),
        (gzip.compress(good)[:-8], 1, b"i\n0\n1\n", "the gzip data is cut short"),
    ):
        done = run("convert", "-", "--columns", "i=index", stdin=data)
        assert (done.returncode, done.stdout) == (status, written), data
        assert why in done.stderr.decode()
        assert bool(why) == bool(done.stderr)


def test_convert_with_mistakes_writes_nothing(picky: Loopback, tmp_path: Path) -> None:
    """One line says what to write."""
    out, target = tmp_path / "out.jsonl", tmp_path / "target"
    urls = [f"{name}={picky.url('/x')}" for name in "xy"]
    run("-q", "-a", urls[0], "-a", urls[1], "-o", str(out), stdin=b"1\n")
    for args, why in (
        ([str(out)], "no form to convert to: use -e merge, -e body, or -e csv or tsv with"),
        ([str(out), "-e", "csv"], "--emit csv needs --columns"),
        ([str(out), "-e", "body"], "--emit body needs exactly one API; there are 2"),
        ([str(out), "-e", "merge", "-o", str(out), "--force"], "is an input, too"),
        ([str(tmp_path / "nix"), "-e", "merge"], "does not exist"),
        ([str(out), "-e", "merge", "-o", "x.csv"], "'x.csv' is a table by its name"),
        ([str(out), "--columns", "a=results.x.score"], "use results.x.body.score"),
    ):
        done = run("convert", *args, *(() if "-o" in args else ("-o", str(target))))
        assert (done.returncode, done.stdout) == (2, b""), args
        assert why in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1
        assert not target.exists()
    assert len(json.loads(out.read_bytes())["results"]) == 2


def test_convert_into_a_closed_pipe_is_silent(picky: Loopback, tmp_path: Path) -> None:
    """As a run is."""
    out = tmp_path / "out.jsonl"
    run("-q", "-a", f"x={picky.url('/x')}", "-o", str(out), stdin=b"1\n" * 5000)
    with start("convert", str(out), "-e", "merge") as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr
        assert process.stderr.read() == b""
