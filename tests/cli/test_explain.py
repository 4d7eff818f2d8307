"""The `explain` command: its commands send what a run sends, and hold no secret."""

from __future__ import annotations

import shutil
import subprocess
from operator import itemgetter
from pathlib import Path

import pytest
from support.command import PATIENCE, environment, run, start
from support.loopback import Loopback
from support.shells import curl_call, fake_curl

needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")

RECORD = b'{"id": 7, "q": "it\'s 50% \\"off\\"; $(id) `id` \\\\", "path": "a/b", "e": "\xc3\xa9"}\n'
SECRETS = {"TOKEN": "CANARY-token", "PASSWORD": "CANARY p'w", "HOOK": "", "QUERY": "CANARY-q"}


def comments(output: bytes) -> list[str]:
    return [line for line in output.decode().splitlines() if line.startswith("#")]


def commands(output: bytes) -> list[str]:
    return [line for line in output.decode().splitlines() if not line.startswith("#")]


def received(server: Loopback) -> list[tuple[str, str, dict[str, str], bytes]]:
    """Return method, path, headers and body of the received requests, and forget them."""
    named = [{name.lower(): text for name, text in headers.items()} for headers in server.headers]
    came = list(zip(server.methods, server.paths, named, server.bodies))
    for seen in (server.methods, server.paths, server.headers, server.bodies):
        seen.clear()
    return came


@needs_curl
@pytest.mark.parametrize(
    ("path", "options", "record"),
    [
        ("/", [], RECORD),
        ("/a/{id}/{path}{?q,e}", ["-X", "GET"], RECORD),
        ("/x?a[1-3]={id}&b=%2e", ["-X", "DELETE"], RECORD),
        ("/head", ["-X", "HEAD"], RECORD),
        ("/put", ["-X", "PUT", "--body", "{text: q}"], RECORD),
        ("/", ["--body", "q", "-H", "Accept: text/plain", "-H", "User-Agent: it's me"], RECORD),
        ("/", ["-H", "X-Empty:", "-H", "X-Id: {id}", "-H", "Expect:", "-H", "Host: a.b"], RECORD),
        ("/", ["-H", "Accept-Encoding: identity", "-H", "X-E: {e}"], RECORD),
        ("/?k=${QUERY}", ["-H", "Authorization: Bearer ${TOKEN}"], RECORD),
        (
            "/",
            ["-H", "X-Both: ${PASSWORD} and {id}", "-H", "Cookie: a=${TOKEN}; b=${QUERY}"],
            RECORD,
        ),
        ("/", ["-H", "Authorization: ApiKey ${TOKEN}"], RECORD),
        ("/", [], b'"@not-a-file"\n'),
        ("/", [], b'{"tab":\t1}\n'),
        ("/", [], b'"' + b"x" * 200_000 + b'"\n'),
    ],
)
def test_a_pasted_command_sends_what_the_run_sends(
    server: Loopback, path: str, options: list[str], record: bytes
) -> None:
    """Method, path, headers, body and response are the same."""
    env = environment(**SECRETS)
    arguments = ["-a", f"x={server.url(path)}", *options]
    done = run(*arguments, "--emit", "body", stdin=record, env=env)
    by_run = received(server)
    assert len(by_run) == 1
    explained = run("explain", *arguments, stdin=record, env=env)
    assert (explained.returncode, explained.stderr) == (0, b"")
    assert b"CANARY" not in explained.stdout
    assert received(server) == []
    pasted = subprocess.run(
        ["sh"], input=explained.stdout, capture_output=True, env=env, timeout=PATIENCE, check=True
    )
    assert received(server) == by_run
    if by_run[0][-1]:
        assert pasted.stdout == done.stdout.removesuffix(b"\n")


@needs_curl
def test_userinfo_is_pasted_as_credentials(server: Loopback) -> None:
    """Userinfo may contain a variable, or come with a whole URL from one."""
    site = server.url("/x").removeprefix("http://")
    env = environment(PASSWORD="CANARY'pw", HOOK=f"http://me:CANARY@{site}?k=CANARY")
    arguments = ["-a", f"a=http://${{PASSWORD}}@{site}", "-a", "b=${HOOK}&id={id}"]
    run(*arguments, stdin=RECORD, env=env)
    by_run = received(server)
    explained = run("explain", *arguments, stdin=RECORD, env=env)
    assert b"CANARY" not in explained.stdout + explained.stderr
    subprocess.run(
        ["sh"], input=explained.stdout, capture_output=True, env=env, timeout=PATIENCE, check=True
    )
    by_path = itemgetter(1)
    assert sorted(received(server), key=by_path) == sorted(by_run, key=by_path)
    assert ["authorization" in headers for _, _, headers, _ in by_run] == [True, True]


def test_no_secret_is_shown(server: Loopback) -> None:
    """Commands, comments and messages hide secrets of the environment and of the settings."""
    env = environment(
        TOKEN="CANARY1",
        PASSWORD="CANARY2",
        HOOK=server.url("/CANARY3?x=CANARY4"),
        QUERY="../CANARY5",
    )
    url = server.url("/{id}?api_key=CANARY6&k=${QUERY}").removeprefix("http://")
    done = run(
        "explain", "-n", "9",
        "-a", f"a=http://CANARY7:CANARY8@{url}",
        "-a", "b=${HOOK}&q={id}",
        "-a", f"c={server.url('/${TOKEN}/{id}')}",
        "-H", "Authorization: Bearer CANARY9", "-H", "X-Api-Key: ${TOKEN}",
        "-H", "Cookie: CANARY10=1", "-H", "X-Mine: ${PASSWORD} {id}",
        stdin=b'{"id": 1}\n{"id": ".."}\n{"id": ""}\n{}\nnonsense\n{"id": "\\n"}\n',
        env=env,
    )  # fmt: skip
    assert done.returncode == 1
    assert len(commands(done.stdout)) >= 3
    assert b"CANARY" not in done.stdout + done.stderr
    assert server.paths == []


def test_each_call_has_its_comment(server: Loopback) -> None:
    """Skipped records, invalid ones and those that lack a field have comments, in order."""
    url = server.url("/{id}")
    done = run(
        "explain", "-n", "4", "-a", f"a={url}", "-a", f"b={server.url()}", "--when", "!skip",
        stdin=b'{"id": 1}\n\nnonsense\n{"id": 2, "skip": true}\n{}\n{"id": 3}\n',
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")
    assert comments(done.stdout) == [
        "# record 0, a",
        "# record 0, b",
        "# 'record 1: invalid_record: line 3: not JSON: invalid character (byte 1)'",
        "# record 2, a: skipped by when",
        "# record 2, b: skipped by when",
        "# record 3, a: template: the record has no field id",
        "# record 3, b",
    ]
    assert len(commands(done.stdout)) == 3
    assert server.paths == []


def test_one_record_is_explained_by_default(server: Loopback, tmp_path: Path) -> None:
    """It is the first record of the first file."""
    file = tmp_path / "records.csv"
    file.write_text("id\n1\n2\n")
    done = run("explain", "-a", f"a={server.url()}", str(file))
    assert comments(done.stdout) == ["# record 0, a"]
    (line,) = commands(done.stdout)
    assert curl_call(line, fake_curl(tmp_path)).after("--data-raw") == ['{"id":"1"}']


def test_standard_input_may_stay_open(server: Loopback) -> None:
    """The command ends once it has its records."""
    with start("explain", "-a", f"a={server.url()}", "-n", "2") as process:
        assert process.stdin
        process.stdin.write(b"1\n2\n")
        process.stdin.flush()
        assert process.wait() == 0
        assert process.stdout
        assert len(commands(process.stdout.read())) == 2


def test_closed_output_is_silent(server: Loopback) -> None:
    """The exit status is 141, as in a run."""
    with start("explain", "-a", f"a={server.url()}") as process:
        assert process.stdout
        assert process.stdin
        assert process.stderr
        process.stdout.close()
        process.stdin.write(b"1\n")
        process.stdin.close()
        assert process.wait() == 141
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "no API to call"),
        (["-a", "x=http://a/{"], 2, "invalid URI template"),
        (["-a", "x=http://a/${NOT_SET}"], 2, "${NOT_SET} is not set"),
        (["-a", "x=http://a/", "-n", "0"], 2, "at least 1"),
        (["-a", "x=http://a/", "nowhere.jsonl"], 2, "'nowhere.jsonl' does not exist"),
        (["-a", "x=http://a/"], 0, "the input has no record to explain"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], status: int, message: str) -> None:
    """Mistakes are reported as by a run."""
    done = run("explain", *arguments)
    assert (done.returncode, done.stdout) == (status, b"")
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_input_that_breaks_off_is_an_error(server: Loopback, tmp_path: Path) -> None:
    """The records before the break are explained."""
    file = tmp_path / "broken.jsonl.gz"
    file.write_bytes(b"\x1f\x8bnonsense")
    done = run("explain", "-a", f"a={server.url()}", str(file))
    assert done.returncode == 1
    assert done.stderr.startswith(b"tmux-fanout: cannot read ")


def test_proxies_of_the_environment_are_not_used_where_the_run_uses_none(server: Loopback) -> None:
    """curl would use them by itself."""
    arguments = ["explain", "-a", f"a={server.url()}"]
    env = environment()
    assert b"--noproxy" not in run(*arguments, stdin=b"1\n", env=env).stdout
    proxied = run(*arguments, stdin=b"1\n", env={**env, "HTTPS_PROXY": "http://a:CANARY@b:1"})
    assert b"--noproxy '*'" in proxied.stdout
    assert b"CANARY" not in proxied.stdout


def test_explains_what_a_cluster_would_send(tmp_path: Path) -> None:
    """Requests are planned here, so their variables have to be set here."""
    args = ("explain", "-a", "x=http://127.0.0.1:9/", "-H", "Authorization: Bearer ${TOKEN9}")
    cluster = ("--cluster", "tcp://127.0.0.1:9")
    done = run(*args, *cluster, stdin=b"{}\n", env=environment(TOKEN9="s3"))
    assert done.returncode == 0
    assert b'"${TOKEN9}"' in done.stdout
    done = run(*args, *cluster, stdin=b"{}\n")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"${TOKEN9} is not set" in done.stderr
