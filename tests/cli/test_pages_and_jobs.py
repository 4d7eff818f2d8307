"""Lists of several pages, jobs, streams and envelopes, by the command."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.command import PATIENCE, lines, run, start
from support.loopback import Loopback

TEXT = """
[defaults]
timeout = "{patience}s"
attempt_timeout = "{patience}s"

[api.list]
url = "{url}/list"
body = "{{of: n}}"
pages = {{ next = "next", param = "at", items = "items" }}

[api.job]
url = "{url}/submit"
body = "{{of: n}}"
poll = {{ url = "/poll/{{_submitted.id}}", until = "done", every = "10ms" }}

[api.stream]
url = "{url}/stream"
body = "{{of: n}}"
stream = "ndjson"
select = "[].n"

[api.bulk]
url = "{url}/bulk"
body = "{{id: n}}"
batch = {{ size = 5, wrap = "{{model: 'm', input: @}}", items = "output", key = "id" }}
"""


class Server:
    """The replies of a loopback server to that configuration."""

    def __init__(self, server: Loopback) -> None:
        self.polls: Counter[int] = Counter()
        server.replies = {
            "/list": self.list,
            "/submit": self.submit,
            "/stream": self.stream,
            "/bulk": self.bulk,
            **{f"/poll/{n}": self.poll(n) for n in range(100)},
        }

    def list(self, body: bytes) -> tuple[int, bytes]:
        given = json.loads(body)
        at = given.get("at", 0)
        page = {"items": [[given["of"], at]], "next": at + 1 if at < 2 else None}
        return 200, json.dumps(page).encode()

    def submit(self, body: bytes) -> tuple[int, bytes]:
        return 202, json.dumps({"id": json.loads(body)["of"]}).encode()

    def poll(self, number: int) -> Any:
        def reply(body: bytes) -> tuple[int, bytes]:
            self.polls[number] += 1
            return 200, json.dumps({"done": self.polls[number] >= 2, "n": number}).encode()

        return reply

    def stream(self, body: bytes) -> tuple[int, bytes]:
        number = json.loads(body)["of"]
        return 200, "".join(f'{{"n":{number + i}}}\n' for i in range(3)).encode()

    def bulk(self, body: bytes) -> tuple[int, bytes]:
        items = [{"id": str(each["id"])} for each in json.loads(body)["input"]]
        return 200, json.dumps({"output": items[::-1]}).encode()


def configure(server: Loopback, folder: Path) -> str:
    path = folder / "tmux-fanout.toml"
    path.write_text(TEXT.format(url=server.url(""), patience=PATIENCE))
    return str(path)


RECORDS = b"".join(b'{"n": %d}\n' % n for n in range(12))


@pytest.mark.parametrize("workers", [(), ("--workers", "2", "--chunk-size", "5")], ids=repr)
def test_every_record_has_its_whole_answers(
    server: Loopback, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """Pages, jobs, streams and envelopes side by side, in one process or several."""
    Server(server)
    done = run("-c", configure(server, tmp_path), *workers, "-e", "merge", stdin=RECORDS)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    for n, line in enumerate(lines(done.stdout)):
        assert line == {
            "n": n,
            "list": [[n, 0], [n, 1], [n, 2]],
            "job": {"done": True, "n": n},
            "stream": [n, n + 1, n + 2],
            "bulk": {"id": str(n)},
        }
    assert server.paths.count("/submit") == 12


def test_what_check_prints_means_the_same(server: Loopback, tmp_path: Path) -> None:
    """All keys survive, with their defaults filled in."""
    config = configure(server, tmp_path)
    printed = run("check", "-c", config)
    again = tmp_path / "again.toml"
    again.write_bytes(printed.stdout)
    assert printed.returncode == 0
    text = run("check", "-c", str(again)).stdout
    first, second = (re.sub(rb" *#.*", b"", each) for each in (printed.stdout, text))
    assert first == second
    assert b'pages = { next = "next", param = "at", items = "items", max = 100 }' in text
    assert b'until = "done", every = "10ms", max = "10m" }' in text


def test_explain_tells_what_comes_after(server: Loopback, tmp_path: Path) -> None:
    """Next pages and polls are comments; a batch is shown in its envelope."""
    done = run("explain", "-n", "2", "-c", configure(server, tmp_path), stdin=RECORDS)
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "# list: then the next pages, up to 100 in all, each by field at from next\n" in text
    assert re.search(r"# 'job: then GET http\S+/poll/\{_submitted.id\} every 10ms, for up to", text)
    assert '{"model":"m","input":[{"id":0},{"id":1}]}' in text
    assert not server.paths


def test_a_job_that_was_under_way_is_submitted_again(server: Loopback, tmp_path: Path) -> None:
    """After SIGKILL between two polls, --resume completes the output."""
    replies = Server(server)
    config, given, output = configure(server, tmp_path), tmp_path / "in", tmp_path / "out"
    given.write_bytes(b'{"n": 1}\n')
    reply = server.replies.pop("/poll/1")
    server.replies["/poll/1"] = lambda body: (200, b'{"done": false}')
    args = ("-c", config, "-o", str(output), str(given))
    with start(*args) as process:
        while "/poll/1" not in server.paths:
            assert server.arrived.acquire(timeout=PATIENCE)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    assert server.paths.count("/submit") == 1
    server.replies["/poll/1"] = reply
    done = run(*args, "--resume")
    assert done.returncode == 0, done.stderr
    [line] = lines(output.read_bytes())
    assert line["results"]["job"]["body"] == {"done": True, "n": 1}
    assert server.paths.count("/submit") == 2
    assert replies.polls[1] == 2


@pytest.mark.parametrize("workers", [(), ("--workers", "2", "--chunk-size", "5")], ids=repr)
def test_a_misspelt_next_page_fails_a_strict_run(
    server: Loopback, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """Each call is ok with the first page of its list; only --strict tells it from a whole one."""
    Server(server)
    config = tmp_path / "tmux-fanout.toml"
    text = TEXT.partition("[api.job]")[0].replace('next = "next"', 'next = "meta.nxt"')
    config.write_text(text.format(url=server.url(""), patience=PATIENCE))
    done = run("-c", str(config), *workers, "--strict", stdin=RECORDS)
    assert done.returncode == 1
    assert (
        done.stderr.decode().count(
            "--strict: list: pages.next 'meta.nxt' found no next page in any response: there is no "
            "field meta.nxt\n"
        )
        == 1
    )
