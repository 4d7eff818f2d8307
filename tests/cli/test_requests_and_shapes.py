"""Requests built from records, and the shapes of output, through the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import lines, run
from support.loopback import Loopback

RECORDS = (
    b'{"id": 1, "level": "error", "text": "disk full"}\n'
    b'{"id": 2.50, "level": "info", "text": "all is well"}\n'
    b'{"level": "error", "text": "no id"}\n'
)


def test_each_record_makes_its_own_request(server: Loopback) -> None:
    """URL, body, header and `when` use the record; an error names a missing field."""
    done = run(
        "-a",
        f"x={server.url('/item/{id}')}",
        "--body",
        "{text: text}",
        "--select",
        "text",
        "--when",
        "level == 'error'",
        "-H",
        "X-Level: {level}",
        stdin=RECORDS,
    )
    assert done.returncode == 1
    called, skipped, failed = (line["results"]["x"] for line in lines(done.stdout))
    assert called["body"] == "disk full"
    assert skipped == {"ok": True, "skipped": True, "attempts": 0}
    assert failed["error"] == {"kind": "template", "message": "the record has no field id"}
    assert failed["attempts"] == 0
    assert server.bodies == [b'{"text":"disk full"}']
    assert server.headers[0]["X-Level"] == "error"


@pytest.mark.parametrize(
    "hostile", ["../../admin", "a b?x#y", "@evil.test/", "//host", "x\r\nHost: evil.test", ".."]
)
def test_no_record_reaches_another_path_or_header(server: Loopback, hostile: str) -> None:
    """Any value leaves the depth of the path and the number of headers unchanged."""
    record = json.dumps({"id": hostile}).encode()
    done = run("-a", f"x={server.url('/users/{id}/x')}", "-a", f"y={server.url()}",
               "-H", "X-Id: {id}", stdin=record)  # fmt: skip
    outcomes = lines(done.stdout)[0]["results"]
    header_is_safe = "\r" not in hostile
    assert outcomes["y"]["ok"] == header_is_safe
    assert outcomes["x"]["ok"] == (header_is_safe and ".." not in hostile)
    for path in server.paths:
        assert path == "/" or path.split("/")[1::2] == ["users", "x"]
        assert "?" not in path
    assert all(headers["Host"].startswith("127.0.0.1:") for headers in server.headers)


def test_merge_adds_a_key_for_each_api(server: Loopback) -> None:
    """The record keeps its spelling; errors have a key of their own, if there are any."""
    done = run(
        "-a", f"echo={server.url()}", "-a", f"bad={server.url('/404')}", "--emit", "merge",
        "--body", "text", stdin=RECORDS[:102] + b"7\noops\n",
    )  # fmt: skip
    first, second, seven, invalid = done.stdout.splitlines()
    assert first.startswith(b'{"id":1,"level":"error","text":"disk full","echo":"disk full",')
    assert b'"id":2.50,' in second
    assert json.loads(first)["bad"] is None
    assert json.loads(first)["_errors"]["bad"]["kind"] == "status"
    assert json.loads(seven)["value"] == 7
    assert json.loads(seven)["_errors"]["echo"]["kind"] == "template"
    assert json.loads(invalid)["_errors"]["record"]["kind"] == "invalid_record"
    clean = run("-a", f"echo={server.url()}", "-e", "merge", stdin=b'{"a": [1.0]}\n')
    assert clean.stdout == b'{"a":[1.0],"echo":{"a": [1.0]}}\n'


def test_body_is_the_body_alone(server: Loopback) -> None:
    """There is still one line per record: null where not ok."""
    done = run("-a", f"x={server.url()}", "-e", "body", stdin=b'{"a": 1.0}\noops\n[2]\n')
    assert done.returncode == 1
    assert done.stdout == b'{"a": 1.0}\nnull\n[2]\n'


def test_body_needs_one_api(server: Loopback) -> None:
    """With two APIs it would be unclear whose body it is."""
    done = run("-a", f"x={server.url()}", "-a", f"y={server.url()}", "-e", "body", stdin=b"1\n")
    assert done.returncode == 2
    assert done.stderr == b"tmux-fanout: --emit body needs exactly one API; there are 2\n"


def test_odd_records_end_no_run(server: Loopback) -> None:
    """A record that a function or encoder rejects fails alone."""
    stdin = b'{"id": "1", "t": "1"}\n{"id": 1, "t": "abc"}\n{"id": "\\ud800", "t": "x"}\n{"t": 5}\n'
    done = run("-a", f"x={server.url()}", "--when", "contains(t, id)", stdin=stdin)
    assert b"Traceback" not in done.stderr
    kinds = [line["results"]["x"].get("error", {}).get("kind") for line in lines(done.stdout)]
    assert kinds == [None, "template", None, "template"]
    done = run("-a", f"x={server.url()}", "-e", "merge", stdin=stdin)
    assert [list(line) for line in lines(done.stdout)] == [["id", "t", "x"]] * 3 + [["t", "x"]]


def test_merge_forgets_the_errors_of_an_earlier_run(server: Loopback) -> None:
    """Errors in the input disappear once all calls are ok."""
    stdin = b'{"a":1,"_errors":{"x":{"kind":"status"}}}\n'
    done = run("-a", f"x={server.url()}", "-e", "merge", "--body", "a", stdin=stdin)
    assert done.stdout == b'{"a":1,"x":1}\n'


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_answer_may_be_rejected_by_its_body(
    server: Loopback, tmp_path: Path, workers: str
) -> None:
    """In every output format and with workers, and `--resume` goes on from such a line."""
    config = tmp_path / "rules.toml"
    rules = """ok_when = "body.level == 'info'"\nretry_when = "`false`"\n"""
    config.write_text(f'[api.x]\nurl = "{server.url()}"\n{rules}')
    output = tmp_path / "out.jsonl"
    args = ("-c", str(config), "--workers", workers, "-o", str(output))
    done = run(*args, stdin=RECORDS)
    assert (done.returncode, done.stdout) == (1, b"")
    outcomes = [line["results"]["x"] for line in lines(output.read_bytes())]
    assert [outcome["ok"] for outcome in outcomes] == [False, True, False]
    assert outcomes[0]["body"]["text"] == "disk full"
    error = outcomes[0]["error"]
    assert error["kind"] == "rejected"
    assert error["message"].startswith(
        """HTTP 200; ok_when "body.level == 'info'" is not true of"""
    )
    assert b"rejected" in done.stderr
    whole = output.read_bytes()
    assert run(*args, "--resume", stdin=RECORDS).returncode == 1
    assert output.read_bytes() == whole
    body = run("-c", str(config), "-e", "body", stdin=RECORDS)
    assert body.stdout.splitlines()[::2] == [b"null", b"null"]
    merged = lines(run("-c", str(config), "-e", "merge", stdin=RECORDS).stdout)
    assert (merged[0]["x"], merged[0]["_errors"]["x"]["kind"]) == (None, "rejected")
