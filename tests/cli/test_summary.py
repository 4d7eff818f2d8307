"""What a run says at its end: failures by what they are, and what held it back."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from support.command import lines, records, run, start
from support.loopback import Loopback

WORKERS = ("--workers", "2", "--chunk-size", "5")


def denied(body: bytes) -> tuple[int, bytes]:
    """Serve the first ten records only."""
    return (200, body) if json.loads(body)["id"] < 10 else (422, b'{"error": "no such id"}')


@pytest.mark.parametrize("workers", [(), WORKERS], ids=["one", "workers"])
def test_line_tells_failures_by_status_with_a_sample(
    server: Loopback, workers: tuple[str, ...]
) -> None:
    """Off a terminal one line says how many failed, with which status, and what was answered."""
    server.replies["/denied"] = denied
    args = ["-a", f"score={server.url('/denied')}", "-a", f"b={server.url('/404')}", *workers]
    done = run(*args, stdin=records(100))
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert (
        b'100 records: 0 ok, 100 not ok: b HTTP 404 x 100 (record 99: {"id": 99}), '
        b'score HTTP 422 x 90 (record 99: {"error": "no such id"}); '
    ) in done.stderr


@pytest.mark.parametrize("workers", [(), WORKERS], ids=["one", "workers"])
def test_json_has_failures_by_api_kind_and_status(
    server: Loopback, workers: tuple[str, ...]
) -> None:
    """The same for programs, for records and for the calls of each API."""
    server.replies["/denied"] = denied
    args = ["-a", f"score={server.url('/denied')}", "--summary", "json", *workers]
    done = run(*args, stdin=records(100) + b"no JSON\n")
    summary = json.loads(done.stderr)
    assert summary["version"] == 1
    sample = {"record": 99, "message": "HTTP 422", "body": '{"error": "no such id"}'}
    by_status = {"kind": "status", "status": 422}
    assert summary["apis"]["score"]["failures"] == [{**by_status, "calls": 90, "sample": sample}]
    refused, invalid = summary["failures"]
    assert refused == {"api": "score", **by_status, "records": 90, "sample": sample}
    assert (invalid["api"], invalid["kind"], invalid["records"]) == (None, "invalid_record", 1)
    assert invalid["sample"]["message"].startswith("line 101: not JSON")


def test_given_up_run_shows_its_last_errors(server: Loopback) -> None:
    """--max-failures says what failed, even without a summary."""
    server.replies["/denied"] = denied
    args = ["-a", f"score={server.url('/denied')}", "--max-failures", "3", "-l", "1"]
    done = run(*args, "--summary", "none", stdin=records(100))
    assert done.returncode == 4
    last = max(
        line["index"]
        for line in lines(done.stdout)
        if line["results"]["score"].get("status") == 422
    )
    assert done.stderr.decode() == (
        "tmux-fanout: given up, past --max-failures 3; the last errors: "
        f'HTTP 422, record {last}: {{"error": "no such id"}}\n'
    )


def test_summary_of_a_resumed_run_has_the_failures_of_both(
    server: Loopback, tmp_path: Path
) -> None:
    """What failed in the earlier run counts by its status; there is no sample of it."""
    server.replies["/denied"] = denied
    out = tmp_path / "out.jsonl"
    args = ["-a", f"score={server.url('/denied')}", "-o", str(out), "--resume"]
    assert run(*args, stdin=records(15)).returncode == 1
    done = run(*args, "--summary", "json", stdin=records(16))
    (failed,) = json.loads(done.stderr)["failures"]
    assert (failed["status"], failed["records"], failed["sample"]["record"]) == (422, 6, 15)


def test_line_says_what_held_the_run_back(server: Loopback) -> None:
    """The verdict also stands in the line of a run without a terminal."""
    args = ["-a", f"x={server.url('/404')}", "--rate", "10/s"]
    done = run(*args, stdin=records(6))
    assert done.stderr.decode().rstrip().endswith("of the time")
    assert "; x's rate limit took " in done.stderr.decode()


def test_summary_file_has_the_json(server: Loopback, tmp_path: Path) -> None:
    """It is written whatever standard error shows, and takes the place of an earlier one."""
    file = tmp_path / "summary.json"
    args = ["-a", f"x={server.url()}", "--summary-file", str(file)]
    for count in (30, 2):
        done = run(*args, "-q", stdin=records(count))
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(file.read_text())["records"] == count
    done = run(*args, "--summary", "json", *WORKERS, stdin=records(3))
    assert file.read_bytes() == done.stderr


@pytest.mark.parametrize("status", [4, 130])
def test_summary_file_is_written_however_a_run_ends(
    server: Loopback, tmp_path: Path, status: int
) -> None:
    """A run that was given up, or stopped by a signal, has its summary, too."""
    file = tmp_path / "summary.json"
    args = ["-a", f"x={server.url('/404')}", "--summary-file", str(file)]
    if status == 4:
        assert run(*args, "--max-failures", "0", stdin=records(3)).returncode == 4
    else:
        with start(*args) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(records(1))
            process.stdin.flush()
            process.stdout.readline()
            assert file.read_bytes() == b""  # an empty one: the run has not ended
            process.send_signal(signal.SIGINT)
            assert process.wait() == status
    assert json.loads(file.read_text())["not_ok"] > 0


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("-", "standard output is for results: use a file"),
        ("in.jsonl", "'in.jsonl' is an input, too: use another file"),
        ("other.txt", "'other.txt' is not a summary: use another file, or remove it"),
        ("out.jsonl", "results go there, too: use another file"),
        ("failed.jsonl", "records go there, too: use another file"),
        ("s.json.gz", "a summary is not compressed: drop the extension"),
        ("no/s.json", "'no/s.json': No such file or directory; name a file that can be created"),
    ],
)
def test_summary_file_spares_other_files(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    """A file that is not an earlier summary is refused before anything is sent or changed."""
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_bytes(records(2))
    Path("other.txt").write_text("precious")
    files = ["-o", "out.jsonl", "--failed", "failed.jsonl", "--summary-file", name]
    done = run("-a", f"x={server.url()}", *files, "in.jsonl")
    assert (done.returncode, server.bodies) == (2, [])
    assert done.stderr.decode() == f"tmux-fanout: --summary-file: {why}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "other.txt"]
    assert Path("other.txt").read_text() == "precious"


@pytest.mark.parametrize("option", ["--summary-file", "--failed"])
def test_what_is_standard_output_is_refused(server: Loopback, option: str) -> None:
    """A pipe, too, whose reader could not tell one from the other."""
    args = ["-a", f"x={server.url()}", option, "/dev/stdout"]
    done = run(*args, stdin=records(1))
    assert (done.returncode, done.stdout, server.bodies) == (2, b"", [])
    why = "results go there, too: use another file"
    assert done.stderr.decode() == f"tmux-fanout: {option}: {why}\n"


def test_what_is_a_pipe_that_results_go_to_is_refused(server: Loopback, tmp_path: Path) -> None:
    """By whatever name it is given."""
    one, other = tmp_path / "one", tmp_path / "other"
    os.mkfifo(one)
    os.link(one, other)
    reader = os.open(one, os.O_RDONLY | os.O_NONBLOCK)
    try:
        args = ["-a", f"x={server.url()}", "-o", str(one), "--summary-file", str(other)]
        done = run(*args, stdin=records(1))
    finally:
        os.close(reader)
    assert (done.returncode, server.bodies) == (2, [])
    assert b"--summary-file: results go there, too" in done.stderr


def test_what_is_thrown_away_may_go_to_the_same_device(server: Loopback) -> None:
    """In it nothing mixes."""
    null = [f"--{name}=/dev/null" for name in ("output", "summary-file")]
    done = run("-a", f"x={server.url()}", *null, stdin=records(1))
    assert (done.returncode, len(server.bodies), done.stderr) == (0, 1, b"")


def test_summary_file_that_cannot_be_written_is_a_failure(server: Loopback) -> None:
    """The results are out by then; the exit status says that something is missing."""
    done = run("-a", f"x={server.url()}", "--summary-file", "/dev/full", stdin=records(1))
    assert (done.returncode, done.stdout.count(b"\n")) == (1, 1)
    assert done.stderr.decode() == (
        "tmux-fanout: --summary-file: cannot write the output: No space left on device\n"
    )


EFFECTLESS = [
    (["--when", "levl == 'error'"], "when \"levl == 'error'\" is true of no record, so it is"),
    (["-H", "X-Lang: {lang}"], "no record has a value for lang (header X-Lang)"),
    (["--select", "scor"], "select 'scor' found nothing in any response, such as {\"id\": "),
    (["--select", "{s: scor}"], "select '{s: scor}' found nothing in any response"),
]


@pytest.mark.parametrize("workers", [(), WORKERS], ids=["one", "workers"])
@pytest.mark.parametrize(("settings", "said"), EFFECTLESS, ids=["when", "field", "select", "hash"])
def test_silent_nothing_is_said_once(
    server: Loopback, settings: list[str], said: str, workers: tuple[str, ...]
) -> None:
    """What had no effect on any of many records gives one warning, which -q leaves out."""
    args = ["-a", f"x={server.url()}", *settings, *workers]
    done = run(*args, stdin=records(40))
    is_ok = "-H" not in settings
    assert done.returncode == int(not is_ok)
    assert done.stderr.decode().count("warning: ") == 1
    assert f"tmux-fanout: warning: x: {said}" in done.stderr.decode()
    assert run(*args, "-q", stdin=records(40)).stderr == b""
    strict = run(*args, "--strict", "-q", stdin=records(40))
    assert strict.returncode == 1
    assert strict.stderr.decode().startswith(f"tmux-fanout: --strict: x: {said}")


def test_nothing_is_said_where_each_setting_had_an_effect_once(server: Loopback) -> None:
    """One record of a hundred is enough, at whichever worker."""
    settings = ["--when", "id > `0`", "--select", "rare", "-H", "X: {id}"]
    given = records(50) + b'{"id": 50, "rare": 1}\n' + records(49, 51)
    for workers in ((), WORKERS):
        done = run("-a", f"x={server.url()}", *settings, "--strict", *workers, stdin=given)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(("settings", "said"), EFFECTLESS[:2], ids=["when", "field"])
def test_strict_reads_files_before_anything_is_sent(
    server: Loopback, tmp_path: Path, settings: list[str], said: str
) -> None:
    """What a file shows is refused with status 2, and no output is touched."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(records(2000))
    out.write_text("old\n")
    args = ["-a", f"x={server.url()}", *settings, "--strict", str(source)]
    for command in ([*args, "-o", str(out), "--force"], ["check", *args]):
        done = run(*command)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.decode().startswith(f"tmux-fanout: --strict: x: {said}")
        assert done.stderr.count(b"\n") == 1
    assert server.bodies == []
    assert out.read_text() == "old\n"


def test_when_that_can_never_be_true_is_known_at_once(server: Loopback) -> None:
    """Whatever the input is, `check` says so, and --strict refuses to send."""
    args = ["-a", f"x={server.url()}", "--when", "'level' == 'error'"]
    checked = run("check", *args)
    assert checked.returncode == 0
    assert b"warning: x: when \"'level' == 'error'\" is true of no record" in checked.stderr
    assert run("check", *args, "-q").stderr == b""
    for command in ([], ["check"]):
        assert run(*command, *args, "--strict", stdin=records(1)).returncode == 2
    assert server.bodies == []


def test_strict_can_stand_in_the_configuration_file(server: Loopback, tmp_path: Path) -> None:
    """So can the file of the summary."""
    config, file = tmp_path / "c.toml", tmp_path / "summary.json"
    config.write_text(
        f'[run]\nstrict = true\nsummary_file = "{file}"\n'
        f'[api.x]\nurl = "{server.url()}"\nselect = "none"\n'
    )
    done = run("-c", str(config), stdin=records(2))
    assert done.returncode == 1
    (warning,) = json.loads(file.read_text())["warnings"]
    assert warning.startswith("x: select 'none' found nothing")


def test_strict_leaves_input_without_records_alone(server: Loopback, tmp_path: Path) -> None:
    """Nothing can have had an effect there."""
    for name, status in (("empty", 0), ("bad", 1)):
        file = tmp_path / name
        file.write_bytes(b"" if name == "empty" else b"no JSON\n")
        done = run("-a", f"x={server.url()}", "--when", "a", "--strict", str(file))
        assert done.returncode == status
        assert b"--strict" not in done.stderr


def test_credentials_that_an_api_sends_back_are_hidden(server: Loopback, tmp_path: Path) -> None:
    """In samples, in warnings, and in messages with the beginning of a body."""
    config = tmp_path / "c.toml"
    config.write_text(
        f'[api.refused]\nurl = "{server.url("/404")}"\n'
        f'[api.rejected]\nurl = "{server.url()}"\nok_when = "body.none"\n'
        f'[api.empty]\nurl = "{server.url()}"\nselect = "none"\n'
    )
    given = b'{"headers": {"X-Api-Key": "s3cret"}}\n' * 3
    for summary in ("table", "json", "auto"):
        done = run("-c", str(config), "--summary", summary, stdin=given)
        assert done.stderr.count(b"***") >= 2
        assert b"s3cret" not in done.stderr
