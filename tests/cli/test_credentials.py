"""Credentials: they reach the API, and nothing that a user may see or log."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from support.command import PATIENCE, environment, run
from support.loopback import Loopback

CANARY = "c4n4ry"

# Prints everything about a run with these APIs that has a repr, and ends with a traceback.
PROGRAM = """
import json, logging, os, sys
from tmux_fanout import Api, fanout_sync
from tmux_fanout.core.config.plan import plan_run
from tmux_fanout.core.config.settings import RunSettings
logging.basicConfig(level=logging.DEBUG)
apis = [Api(name, **settings) for name, settings in json.loads(sys.argv[1]).items()]
print(apis)
plan = plan_run(apis, RunSettings(), os.environ)
print(plan, [(api.auths, api.tls, api.origin, api.retry) for api in plan.apis])
for result in fanout_sync([{"id": 1}], apis, retries=0):
    print(result, list(result.outcomes))
    sys.stdout.flush()
    raise KeyError(result.names)
"""


def oauth2(url: str, **changes: str) -> dict[str, Any]:
    client = {"token_url": url, "client_id": "${ID}", "client_secret": "${SECRET}"}
    return {"oauth2": {**client, **changes}}


def see(apis: dict[str, dict[str, Any]]) -> str:
    """Return all output of the program."""
    secrets = {"ID": f"{CANARY}-id", "SECRET": f"{CANARY}-secret", "TOKEN": f"{CANARY}-token"}
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", PROGRAM, json.dumps(apis)],
        capture_output=True,
        env=environment(**secrets),
        timeout=PATIENCE,
        check=False,
    )
    printed = (ended.stdout + ended.stderr).decode()
    assert "KeyError: ('" in printed, printed
    return printed


def test_secrets_are_sent_and_not_shown(server: Loopback) -> None:
    """No result, message, repr, log or traceback holds a secret, in whatever encoding."""
    url = server.url("/503")
    elsewhere = "http://127.0.0.1:1/"
    printed = see(
        {
            "bearer": {"url": url, "auth": {"bearer": "${TOKEN}"}},
            "basic": {"url": url, "auth": {"basic": ["${ID}", "${SECRET}"]}},
            "refused": {"url": url, "auth": oauth2(server.url("/401"))},
            "garbled": {
                "url": url,
                "auth": oauth2(server.url(f"/token?{CANARY}-query"), scope="${TOKEN}"),
            },
            "down": {"url": url, "auth": oauth2(f"{elsewhere}{CANARY}-path")},
            "api_down": {"url": elsewhere, "auth": {"bearer": "${TOKEN}"}},
            "no_tls": {"url": elsewhere.replace("http", "https"), "auth": {"bearer": "${TOKEN}"}},
        }
    )
    sent = [headers["Authorization"] for headers in server.headers]
    id_and_secret = base64.b64encode(f"{CANARY}-id:{CANARY}-secret".encode()).decode()
    assert set(sent) == {f"Bearer {CANARY}-token", f"Basic {id_and_secret}"}
    assert "token endpoint: HTTP 401" in printed
    assert "token endpoint: its response holds no access_token" in printed
    assert "token endpoint: cannot connect to 127.0.0.1:1: connection refused" in printed
    assert CANARY not in printed
    assert id_and_secret not in printed


def test_a_token_in_a_url_is_sent_as_it_is(server: Loopback, tmp_path: Path) -> None:
    """Neither braces nor what else means something in a URL mean anything in a variable."""
    secret = "{id}#a&b+c%?/@:"
    url = server.url("/").replace("http://", "http://me:${KEY}@")
    config = tmp_path / "fanout.toml"
    config.write_text(f'[api.a]\nurl = "{url}bot${{KEY}}/{{id}}?key=${{KEY}}&z=1"\n')
    for command in ("check", "explain", "run"):
        done = run(command, "-c", str(config), stdin=b'{"id": 7}', env=environment(KEY=secret))
        assert (done.returncode, secret in done.stdout.decode()) == (0, False), done.stderr
    path, _, query = server.paths[0].partition("?")
    assert unquote(path) == f"/bot{secret}/7"
    assert parse_qsl(query) == [("key", secret), ("z", "1")]
    pair = base64.b64encode(f"me:{secret}".encode()).decode()
    assert server.headers[0]["Authorization"] == f"Basic {pair}"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_token_for_an_audience(server: Loopback, tmp_path: Path, workers: str) -> None:
    """Parameters and the client are in the body of the token request; its refusal says why."""
    tokens = {b"audience=https%3A%2F%2Fapi.test%2F": b'{"access_token":"t","token_type":"bearer"}'}
    why = b'{"error":"access_denied","error_description":"no grant for s3cret-s3cret"}'
    server.replies = {
        "/token": lambda body: next(
            ((200, tokens[p]) for p in body.split(b"&") if p in tokens), (403, why)
        )
    }
    config = tmp_path / "fanout.toml"
    for audience, status in (("https://api.test/", 0), ("https://other.test/", 1)):
        config.write_text(
            f'[api.a]\nurl = "{server.url()}"\n[api.a.auth.oauth2]\nauth_method = "post"\n'
            f'token_url = "{server.url("/token")}"\nclient_id = "me"\n'
            f'client_secret = "${{SECRET}}"\nparams = {{ audience = "{audience}" }}\n'
        )
        done = run(
            "-c",
            str(config),
            "--workers",
            workers,
            stdin=b"1\n",
            env=environment(SECRET="s3cret-s3cret"),
        )
        assert done.returncode == status, done.stderr
        if status:
            outcome = json.loads(done.stdout)["results"]["a"]
            message = "token endpoint: HTTP 403 access_denied (no grant for ***)"
            assert outcome["error"]["message"] == message
    form = b"grant_type=client_credentials&audience=https%3A%2F%2Fapi.test%2F"
    assert server.bodies[0] == form + b"&client_id=me&client_secret=s3cret-s3cret"
    assert server.headers[1]["Authorization"] == "Bearer t"
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("key", "path", "why"),
    [
        ("cert", "/nowhere.pem", "does not exist"),
        ("ca", __file__, ""),
    ],
)
def test_run_rejects_an_unusable_tls_file(
    server: Loopback,
    tmp_path: Path,
    key: str,
    path: str,
    why: str,
) -> None:
    """An unusable file is one line and exit status 2, and nothing is sent."""
    config = tmp_path / "fanout.toml"
    config.write_text(f'[api.a]\nurl = "{server.url()}"\ntls = {{ {key} = "{path}" }}\n')
    done = run("-c", str(config), stdin=b"{}\n")
    assert (done.returncode, done.stdout) == (2, b"")
    err = done.stderr.decode()
    assert err.startswith(f"tmux-fanout: {config}: api.a.tls.{key}: {path!r} {why}")
    assert err.count("\n") == 1
    assert server.paths == []
