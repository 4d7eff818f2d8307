"""No secret of the configuration is shown, wherever it stands and whatever is asked of the program.

The server here does not echo: what an API says of its own is its own.
"""

from __future__ import annotations

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

[api.proxied]
url = "http://a.invalid/{status}"
proxy = "http://me:{canary}-proxy@127.0.0.1:1"
"""

RECORDS = b'{"id": "ok"}\n{"id": ".."}\n{"no": 1}\nnot json\n'


def configure(server: Loopback, folder: Path, status: int) -> str:
    server.replies = {"/401": lambda body: (401, b'{"error":"invalid_client"}')}
    url = server.url("")
    userinfo = url.replace("http://", f"http://me:{CANARY}-userinfo@")
    path = folder / "tmux-fanout.toml"
    path.write_text(TEXT.format(url=url, status=status, userinfo=userinfo, canary=CANARY))
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
    ],
    ids=" ".join,
)
def test_no_secret_is_shown(
    server: Loopback, tmp_path: Path, command: list[str], status: int
) -> None:
    """Neither on standard output nor on standard error, be all well or not."""
    command = [command[0], "-c", configure(server, tmp_path, status), *command[1:]]
    done = run(*command, stdin=RECORDS, env=environment(**SECRETS))
    said = done.stdout + done.stderr
    assert b"bearer" in said
    assert CANARY.encode() not in said
    if command[0] == "run":  # they did arrive where they belong
        sent = "".join(map(str, server.headers)) + "".join(server.paths)
        for name in ("TOKEN", "KEY", "SECRET", "PATH_KEY", "literal", "bearer", "query"):
            assert f"{CANARY}-{name}" in sent


@pytest.mark.parametrize(
    "line",
    [
        "timeout = 's3cret-{c}'",
        "headers = {{ Authorization = ['{c}'] }}",
        "headers = {{ 'Authorization: {c}' = 'x' }}",
        "auth = {{ bearer = ['{c}'] }}",
        "auth = {{ basic = 'me:{c}' }}",
        "auth = {{ oauth2 = {{ client_secret = '{c}' }} }}",
        "proxy = 'http://me:{c}@p.test:x'",
        "proxy = 'socks5://me:{c}@p.test'",
        "url = 'me:{c}@host/'",
        "url = 'http://me:{c}@host:99999/'",
        "endpoints = ['http://me:{c}@host/']",
        "body = 'token: {c}'",
    ],
)
def test_no_mistake_shows_a_secret(tmp_path: Path, line: str) -> None:
    """A value that is refused is told by its key; durations and expressions are no secrets."""
    path = tmp_path / "tmux-fanout.toml"
    path.write_text(f"[api.a]\nurl = 'http://h/'\n{line.format(c=CANARY)}\n".replace(
        "url = 'http://h/'\nurl", "url"
    ))  # fmt: skip
    done = run("check", "-c", str(path))
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    if not line.startswith(("timeout", "body")):
        assert CANARY.encode() not in done.stderr
