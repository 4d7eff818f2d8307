"""No secret of the configuration is shown, wherever it is set and whatever command runs.

The server does not echo requests: the program may show whatever an API responds.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command import environment, run
from support.loopback import Loopback

CANARY = "c4n4ry"
SECRETS = {name: f"{CANARY}-{name}" for name in ("TOKEN", "PASSWORD", "KEY", "SECRET", "PATH_KEY")}

TEXT = """
[run]
retries = 0
timeout = "5s"

[defaults]
headers = {{ X-Api-Key = "{canary}-literal", X-Odd-Name = "${{SECRET}}" }}

[api.bearer]
url = "{url}/{status}?api_key=${{KEY}}"
auth = {{ bearer = "${{TOKEN}}" }}

[api.literal]
url = "{url}/{status}?token={canary}-query"
auth = {{ bearer = "{canary}-bearer" }}

[api.basic]
url = "{url}/hook/${{PATH_KEY}}/{status}/{{id}}"
auth = {{ basic = ["me", "${{PASSWORD}}"] }}

[api.userinfo]
url = "{userinfo}/{status}"

[api.oauth]
url = "{url}/{status}"

[api.oauth.auth.oauth2]
token_url = "{url}/401?key={canary}-q"
client_id = "me"
client_secret = "${{SECRET}}"
auth_method = "post"
params = {{ audience = "here", assertion = "{canary}-assertion", hint = "${{TOKEN}}" }}

[api.digest]
url = "{url}/{status}"
auth = {{ digest = ["me", "{canary}-digest"] }}

[api.signed]
url = "{url}/{status}"

[api.signed.auth]
call = "signer:sign"
key = "${{KEY}}"
scope = "{canary}-scope"
deep = {{ url = ["{canary}-deep"] }}

[api.fetched]
url = "{url}/{status}"

[api.fetched.auth]
call = "signer:sign"
of_file = "${{file:{file}}}"
of_command = "${{cmd:cat {file}}}"
deep = [{{ key = "${{file:{file}}} or so" }}]

[api.fetched_digest]
url = "{url}/{status}"
auth = {{ digest = ["me", "${{file:{file}}}"] }}

[api.cached]
url = "{url}/{status}"
cache = {{ dir = "{folder}/${{KEY}}/cache", ttl = "1h" }}

[api.uncacheable]
url = "{url}/{status}"
cache = {{ dir = "/dev/null/${{KEY}}", ttl = "1h" }}

[api.refused]
url = "{url}/{status}"
auth = {{ call = "signer:refuse", key = "{canary}-refused" }}

[api.listed]
url = "{url}/{status}?token={canary}-query"
body = "{{of: id, next: '?page=2'}}"
pages = {{ next = "next", items = "keys(@)", max = 2 }}

[api.job]
url = "{url}/{status}"

[api.job.poll]
url = "{url}/jobs/{{_submitted.id}}?key=${{KEY}}&token={canary}-poll"
until = "done"
every = "100ms"
max = "300ms"

[api.proxied]
url = "http://a.invalid/{status}"
proxy = "http://me:{canary}-proxy@127.0.0.1:1"

[api.routed]
url = "http://a.invalid/{status}?key=${{KEY}}"
connect_to = "127.0.0.1:1"

[api.local]
url = "http+unix://me:{canary}-user@%2Fno%2Fsuch/{status}?key=${{KEY}}"

[api.socket]
url = "http://a.invalid/{status}?key=${{KEY}}"
socket = "/no/such"
"""

RECORDS = b'{"id": "ok"}\n{"id": ".."}\n{"no": 1}\nnot json\n'


def configure(server: Loopback, folder: Path, status: int) -> str:
    # The token endpoint repeats what it was sent.
    server.replies = {
        "/401": lambda body: (
            401,
            json.dumps({"error": "no", "error_description": str(body)}).encode(),
        )
    }
    url = server.url("")
    userinfo = url.replace("http://", f"http://me:{CANARY}-userinfo@")
    (folder / "signer.py").write_text(
        "def sign(*request, **more): return {'X-Signed': str(more)}\n"
        "def refuse(*request, key): raise ValueError(key)\n"
    )
    file = folder / "secret"
    file.write_text(f"{CANARY}-file\n")
    path = folder / "tmux-fanout.toml"
    values = {"url": url, "status": status, "userinfo": userinfo, "file": file, "folder": folder}
    path.write_text(TEXT.format(**values, canary=CANARY))
    return str(path)


@pytest.mark.parametrize("status", [200, 404, 503])
@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["check", "-vv"],
        ["explain", "-n", "9"],
        ["run", "-vv", "--summary", "json", "--body", "{id: id}", "-a", "more=http://127.0.0.1:1/"],
        ["run", "-v", "--summary", "table", "--emit", "merge", "--deadline", "20s"],
        ["run", "--transport", "httpx", "-vv"],
        ["run", "--workers", "2", "-vv", "--summary", "json"],
    ],
    ids=" ".join,
)
def test_no_secret_is_shown(
    server: Loopback, tmp_path: Path, command: list[str], status: int
) -> None:
    """Neither standard output nor standard error has a secret, whether calls succeed or fail."""
    command = [command[0], "-c", configure(server, tmp_path, status), *command[1:]]
    done = run(*command, stdin=RECORDS, env=environment(**SECRETS))
    shown = done.stdout + done.stderr
    assert b"bearer" in shown
    assert CANARY.encode() not in shown
    if command[0] == "run":  # they reach the APIs
        sent = "".join(map(str, server.headers)) + "".join(server.paths)
        for name in ("TOKEN", "KEY", "SECRET", "PATH_KEY", "literal", "bearer", "query"):
            assert f"{CANARY}-{name}" in sent


TESTS = """
[[test]]
record = { id = "ok" }
tokens.oauth = { status = 401, body = { error = "no" } }
expect = { ok = true, results.bearer.body = 7 }

[test.replies]
bearer = {}
literal = {}
basic = {}
userinfo = {}
listed = {}
proxied = {}
job = [{ body = { id = 1 } }, { body = { done = true } }]

[test.expect_request]
bearer = { url = "/", headers = { Authorization = "x", X-Api-Key = "x", X-Odd-Name = "x" } }
literal = { url = "https://x/", headers = { Authorization = "x", X-Api-Key = "x" } }
basic = { url = "/", headers = { Authorization = "x", X-Api-Key = "x" } }
userinfo = { url = "/", headers = { Authorization = "x", X-Api-Key = "x" } }
"""


@pytest.mark.parametrize("options", [[], ["-v"], ["--chaos", "1"]], ids=str)
def test_no_test_shows_a_secret(server: Loopback, tmp_path: Path, options: list[str]) -> None:
    """Where a test fails, its report has no secret, be it of the environment or of the file."""
    path = configure(server, tmp_path, 200)
    with open(path, "a") as file:
        file.write(TESTS)
    done = run("test", "-c", path, *options, env=environment(**SECRETS))
    assert (done.returncode, done.stderr) == (0 if "--chaos" in options else 1, b"")
    assert b"bearer" in done.stdout
    assert CANARY.encode() not in done.stdout
    if not options:
        for name in ("Authorization", "X-Api-Key"):
            assert done.stdout.count(b"headers.%b: expected" % name.encode()) == 4


MISTAKES = [
    ("timeout", "timeout = 'https://me:{c}@host/'"),
    ("timeout", "timeout = {{ token = '{c}' }}"),
    ("headers", "headers = {{ Authorization = ['{c}'] }}"),
    ("headers", "headers = {{ 'Authorization: {c}' = 'x' }}"),
    ("headers", 'headers = {{ Authorization = "{c}\\n" }}'),
    ("headers", "headers = 'Authorization: {c}'"),
    ("auth", "auth = '{c}'"),
    ("auth", "auth = {{ bearer = ['{c}'] }}"),
    ("auth", 'auth = {{ bearer = "{c}\\n" }}'),
    ("auth", "auth = {{ basic = 'me:{c}' }}"),
    ("auth", "auth = {{ basic = ['me:', '{c}'] }}"),
    ("auth", "auth = {{ oauth2 = {{ client_secret = '{c}' }} }}"),
    ("auth", "auth = {{ oauth2 = '{c}' }}"),
    ("auth", "auth = {{ 'bearer {c}' = 'x' }}"),
    ("tls", "tls = {{ key = '{c}' }}"),
    ("breaker", "breaker = {{ 'token={c}' = 1 }}"),
    ("proxy", "proxy = ['{c}']"),
    ("proxy", "proxy = 'http://me:{c}@p.test:x'"),
    ("proxy", "proxy = 'socks5://me:{c}@p.test'"),
    ("url", "url = 'me:{c}@host/'"),
    ("url", "url = 'http://me:{c}@host:99999/'"),
    ("url", "url = 'http://host/{{id?token={c}'"),
    ("endpoints", "endpoints = ['http://me:{c}@host/']"),
    ("endpoints", "endpoints = 'http://me:{c}@host/'"),
    ("body", "body = 'token: {c}'"),
    ("poll", "poll = '{c}'"),
    ("poll", "poll = {{ url = 'http://me:{c}@host/{{id}}', until = 'a' }}"),
    ("poll", "poll = {{ url = '/{{id?token={c}', until = 'a' }}"),
    ("poll", "poll = {{ url = '/x?token={c}', until = 'a' }}"),
    ("pages", "pages = {{ next = ['{c}'] }}"),
    ("select", "select = ['{c}']"),
]


@pytest.mark.parametrize(("key", "line"), MISTAKES, ids=[line for _, line in MISTAKES])
def test_no_mistake_shows_a_secret(tmp_path: Path, key: str, line: str) -> None:
    """A rejected value is named by its key, and no part of it that may be secret is shown."""
    url = "" if key == "url" else "url = 'http://h/'\n"
    text = f"[api.a]\n{url}{line.format(c=CANARY)}\n"
    assert CANARY in text
    path = tmp_path / "tmux-fanout.toml"
    path.write_text(text)
    done = run("check", "-c", str(path))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert f": api.a.{key}".encode() in done.stderr
    assert CANARY.encode() not in done.stderr
