"""The `check` command: its output is a valid configuration, without secrets, of what would run."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.command import environment, lines, run, start
from support.loopback import Loopback

CANARY = "s3cret"
EVERYTHING = """
[run]
emit = "merge"
chunk_linger = 0.0123456789
window_bytes = 1000
deadline = "90s"
progress = false

[defaults]
headers = { Authorization = "Bearer ${TOKEN}", X-Api-Key = "s3cret", Accept = "a/b" }

[api.first]
url = "https://u:s3cret@one.example.com/{user.id}{?lang}&key=s3cret&token=${TOKEN}#s3cret"
body = "{text: message, tab: '\\t'}"
when = "level == 'error'"
ok_status = ["2xx", 404]
ok_when = "!(body.errors)"
retry_on = ["5xx", 409]
retry_when = "body.busy"
capture_headers = ["ETag"]
limit = 5
timeout = "1h"
max_response = "1GiB"

[api."second one"]
endpoints = ["https://eu.example.com/base", "https://us.example.com"]
balance = "failover"
url = "/v1?signature=s3cret"
auth = { basic = ["s3cret", "${TOKEN}"] }
after = ["first"]
tls = { verify = false }
batch = { size = 50, key = "id" }

[api.third]
url = "https://three.example.com/"
method = "get"
transport = "httpx"
auth.oauth2 = { token_url = "https://id.example.com/?key=s3cret", client_id = "me", client_secret = "s3cret" }
"""  # noqa: E501  # inline tables are on one line


def check(*args: str, text: str = "", folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run `check` on a file, with a secret in the environment, too."""
    path = folder / "config.toml"
    path.write_text(text)
    return run("check", "-c", str(path), *args, env=environment(TOKEN=f"{CANARY}-token"))


def plain(printed: bytes) -> str:
    """Return the output without its comments."""
    return "".join(line.partition("  # ")[0] + "\n" for line in printed.decode().splitlines()[1:])


def test_check_prints_what_would_run(tmp_path: Path) -> None:
    """Every value is there, in TOML, with its unit; secrets are ***, variables as written."""
    done = check(text=EVERYTHING, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert CANARY not in done.stdout.decode()
    tables: dict[str, Any] = tomllib.loads(done.stdout.decode())
    assert tables["run"] == {
        "chunk_size": 100,
        "chunk_linger": 0.0123456789,
        "window": 1024,
        "window_bytes": 1000,
        "max_line": "16MiB",
        "unordered": False,
        "deadline": "90s",
        "drain_timeout": "30s",
        "on_down": "wait",
        "timings": False,
        "env_proxy": True,
        "emit": "merge",
        "resume": False,
        "resume_anyway": False,
        "mend": False,
        "force": False,
        "workers": 1,
        "trust_network": False,
        "summary": "auto",
        "strict": False,
        "progress": False,
        "display": "auto",
        "join": "all",
        "verbose": 0,
        "quiet": False,
    }
    first, second, third = tables["api"].values()
    assert list(tables["api"]) == ["first", "second one", "third"]
    assert first == {
        "url": "https://***:***@one.example.com/{user.id}{?lang}&key=***&token=${TOKEN}",
        "method": "POST",
        "headers": {"Authorization": "Bearer ${TOKEN}", "X-Api-Key": "***", "Accept": "a/b"},
        "body": "{text: message, tab: '\t'}",
        "body_format": "json",
        "when": "level == 'error'",
        "ok_status": ["2xx", 404],
        "ok_when": "!(body.errors)",
        "retry_on": ["5xx", 409],
        "retry_when": "body.busy",
        "capture_headers": ["ETag"],
        "limit": 5,
        "retries": 2,
        "connect_timeout": "10s",
        "attempt_timeout": "30s",
        "timeout": "1h",
        "idempotent": False,
        "idempotency_key": False,
        "breaker": {"failures": 5, "open": "1s", "max_open": "30s"},
        "max_response": "1GiB",
        "redirects": 0,
        "http2": False,
        "traceparent": False,
        "share": False,
        "transport": "native",
    }
    assert second["url"] == "/v1?signature=***"
    assert second["auth"] == {"basic": ["***", "${TOKEN}"]}
    assert second["tls"] == {"verify": False}
    assert second["batch"] == {"size": 50, "format": "json", "key": "id"}
    assert (second["balance"], second["after"]) == ("failover", ["first"])
    assert third["auth"]["oauth2"]["client_secret"] == "***"
    assert (third["method"], third["idempotent"], third["transport"]) == ("GET", True, "httpx")


def test_check_gives_the_reason_for_the_transport(tmp_path: Path) -> None:
    """The reason is a comment beside the transport."""
    done = check("-a", "x=http://h/", folder=tmp_path)
    assert b'transport = "native"  # the default\n' in done.stdout
    done = check("-a", "x=http://h/", "--transport", "httpx", folder=tmp_path)
    assert b'transport = "httpx"  # transport says so\n' in done.stdout


def test_check_shows_the_breaker(tmp_path: Path) -> None:
    """A breaker that is off is shown as false."""
    text = "[api.x]\nurl = 'http://h/'\nbreaker = false\n"
    done = check(text=text, folder=tmp_path)
    assert b"breaker = false\n" in done.stdout


@pytest.mark.parametrize("value", ["false", '{ remaining = "X-Left" }'])
def test_check_shows_rate_headers(tmp_path: Path, value: str) -> None:
    """They are printed as they were written."""
    text = f"[defaults]\nrate_headers = {value}\n[api.x]\nurl = 'http://h/'\n"
    done = check(text=text, folder=tmp_path)
    assert f"rate_headers = {value}\n".encode() in done.stdout


def test_check_shows_how_far_the_window_stretches(tmp_path: Path) -> None:
    """Only a window that is not set stretches."""
    done = check("-a", "x=http://h/", folder=tmp_path)
    remark = b"  # as it is not set, up to 8192 behind a slow record\n"
    assert b"window = 1024" + remark in done.stdout
    done = check("-a", "x=http://h/", "--window", "1024", folder=tmp_path)
    assert b"window = 1024\n" in done.stdout


def test_check_prints_an_equivalent_file(tmp_path: Path) -> None:
    """Checking the output, with its secrets filled in, prints it again: nothing is lost."""
    first = check(
        "-l", "7", "-v", "-a", "new=http://new/?key=${TOKEN}", text=EVERYTHING, folder=tmp_path
    )
    again = check(text=first.stdout.decode().replace("***", "filled-in"), folder=tmp_path)
    assert again.stderr == b""
    assert plain(again.stdout) == plain(first.stdout)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-e", "body", "-a", "x=http://h/", "-a", "y=http://h/"], "--emit body"),
        (["-a", "x=http://h/", "no-such-file"], "'no-such-file' does not exist"),
        (["-a", f"x=ftp://{CANARY}@h/"], "API 'x': url: "),
        (
            ["-a", "x=http://h/", "-H", f"K: {CANARY}${{NO}}"],
            "API 'x': headers.K: ${NO} is not set",
        ),
        (["--timeout", "soon"], "'--timeout': invalid duration 'soon'"),
        (["-c", "no-such-file"], "--config: no such file: 'no-such-file'"),
        ([], "no API to call: name one, as in echo "),
    ],
    ids=str,
)
def test_check_finds_what_run_would_find(args: list[str], message: str) -> None:
    """A mistake is the line that `run` prints, and exit status 2."""
    done = run("check", *args)
    assert (done.returncode, done.stdout) == (2, b"")
    text = done.stderr.decode()
    assert message in text
    assert text.count("\n") == 1
    assert CANARY not in text
    assert run(*args).stderr.decode() == text


def test_check_ends_silently_when_its_reader_goes() -> None:
    """The exit status is 141, as for `run`."""
    reader, writer = os.pipe()
    os.close(reader)
    with start("check", "-a", "x=http://h/", stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate()
    assert (process.returncode, err) == (141, b"")


def test_bare_command_uses_the_file_beside_it(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cat records.jsonl | tmux-fanout` needs nothing but tmux-fanout.toml."""
    text = f'[run]\nemit = "merge"\n[api.x]\nurl = "{server.url()}"\nselect = "id"\n'
    (tmp_path / "tmux-fanout.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    done = run(stdin=b'{"id": 5}\n')
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines(done.stdout) == [{"id": 5, "x": 5}]
