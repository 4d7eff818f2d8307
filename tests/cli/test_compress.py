"""Compressed bodies of requests, as real servers get them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from support.command import lines, run
from support.loopback import Loopback

LARGE = json.dumps({"text": "ärger und mehr " * 20_000}).encode()  # compressed in a thread
RECORDS = b'{"text": "small"}\n' + b'{"text": "%b"}\n' % (b"x" * 3000) + LARGE + b"\n"


def configure(server: Loopback, folder: Path, keys: str = "") -> str:
    path = folder / "c.toml"
    path.write_text(f'[api.a]\nurl = "{server.url("/v1")}"\ncompress = "gzip"\n{keys}\n')
    return str(path)


def read(body: bytes) -> tuple[int, bytes]:
    return 200, zlib.decompress(body, 31) if body.startswith(b"\x1f\x8b") else body


@pytest.mark.parametrize("options", [(), ("--transport", "httpx"), ("--workers", "2")])
def test_run_compresses_large_bodies(
    server: Loopback, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """The small one is sent as it is; the summary has the bytes that were sent."""
    server.replies["/v1"] = read
    args = ("-c", configure(server, tmp_path), "--summary", "json", "-q", *options)
    done = run(*args, stdin=RECORDS)
    assert done.returncode == 0
    assert [line["results"]["a"]["body"] for line in lines(done.stdout)] == lines(RECORDS)
    codings = [each.get("Content-Encoding", "") for each in server.headers]
    assert sorted(codings) == ["", "gzip", "gzip"]
    assert {len(body) for body in server.bodies} == {
        int(each["Content-Length"]) for each in server.headers
    }
    sent = json.loads(done.stderr)["apis"]["a"]["bytes_sent"]
    assert sent == sum(map(len, server.bodies)) < 10_000


def test_run_sends_them_as_they_are_to_apis_that_do_not_read_them(
    server: Loopback, tmp_path: Path
) -> None:
    """This is said once, and every record is ok in one attempt."""
    server.replies["/v1"] = lambda body: (415 if body.startswith(b"\x1f\x8b") else 200, body)
    done = run("-c", configure(server, tmp_path), "-r", "0", "--limit", "4", stdin=RECORDS * 10)
    assert done.returncode == 0
    outcomes = [line["results"]["a"] for line in lines(done.stdout)]
    assert {outcome["attempts"] for outcome in outcomes} == {1}
    assert done.stderr.count(b"a does not accept compressed bodies (HTTP 415)") == 1
    assert sum(each.get("Content-Encoding") == "gzip" for each in server.headers) <= 4


def test_check_and_explain_show_it(server: Loopback, tmp_path: Path) -> None:
    """`explain` shows the body as it is, and says that it is compressed."""
    config = configure(server, tmp_path)
    assert b'compress = "gzip"' in run("check", "-c", config).stdout
    shown = run("explain", "-c", config, stdin=RECORDS).stdout
    assert b"# a: a run compresses bodies of 1 KiB or more, curl none" in shown
    (tmp_path / "bad.toml").write_text('[api.a]\nurl = "http://a.test"\ncompress = "br"\n')
    done = run("check", "-c", str(tmp_path / "bad.toml"))
    assert done.returncode == 2
    assert b"api.a.compress: invalid value 'br': use gzip" in done.stderr
