"""Endpoints with credentials of their own: no request carries those of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.command import environment, lines, run
from support.loopback import Loopback

ENV = {"ONE": "c4n4ry-one", "TWO": "c4n4ry-two", "SECRET": "c4n4ry-secret"}
TEXT = """
[api.a]
url = "/x"
headers = {{ X-Shared = "all", X-Key = "c4n4ry-api" }}
auth = {{ bearer = "c4n4ry-shared" }}
idempotent = true
{keys}
endpoints = [
  {{ url = "{url}/one", auth = {{ bearer = "${{ONE}}" }} }},
  {{ url = "{url}/two", headers = {{ Authorization = "Token ${{TWO}}", x-key = "c4n4ry-own" }} }},
  "{url}/three",
  {{ url = "{url}/four", auth = {{ basic = ["me", "c4n4ry-pw"] }}, weight = 2, limit = 40 }},
  {{ url = "{url}/five", {oauth2} }},
  {{ url = "{url}/six", auth = {{ call = "signer:sign", key = "${{ONE}}" }} }},
  {{ url = "{url}/seven", auth = {{ call = "signer:sign", key = "c4n4ry-seven" }} }},
]
"""
EXPECTED = {
    "/one/x": ("Bearer c4n4ry-one", "c4n4ry-api"),
    "/two/x": ("Token c4n4ry-two", "c4n4ry-own"),
    "/three/x": ("Bearer c4n4ry-shared", "c4n4ry-api"),
    "/four/x": ("Basic bWU6YzRuNHJ5LXB3", "c4n4ry-api"),
    "/five/x": ("Bearer c4n4ry-token", "c4n4ry-api"),
    "/six/x": ("Signed c4n4ry-one", "c4n4ry-api"),
    "/seven/x": ("Signed c4n4ry-seven", "c4n4ry-api"),
}


def configure(server: Loopback, folder: Path, keys: str = "") -> str:
    """Write a configuration with an endpoint for each form of credentials."""
    token = b'{"access_token": "c4n4ry-token", "token_type": "Bearer"}'
    server.replies["/token"] = lambda body: (200, token)
    client = f'token_url = "{server.url("/token")}", client_id = "me"'
    oauth2 = f'auth = {{ oauth2 = {{ {client}, client_secret = "${{SECRET}}" }} }}'
    text = TEXT.format(url=server.url(""), keys=keys, oauth2=oauth2)
    (folder / "signer.py").write_text(
        "def sign(*request, key): return {'Authorization': f'Signed {key}'}\n"
    )
    path = folder / "endpoints.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ("", ()),
        ("", ("--workers", "2")),
        ("", ("--transport", "httpx")),
        ("batch = { size = 3 }", ()),
        ('hedge = "1ms"', ()),
        ("idempotency_key = true", ()),
        ("redirects = 3", ()),
        ('balance = "round-robin"\nlimit = 2', ()),
    ],
    ids=[
        "plain",
        "workers",
        "httpx",
        "batch",
        "hedge",
        "headers of the record",
        "redirects",
        "few",
    ],
)
def test_no_request_carries_what_is_meant_for_another_endpoint(
    server: Loopback, tmp_path: Path, keys: str, options: tuple[str, ...]
) -> None:
    """Not as a retry either: some endpoints refuse every third request."""
    requests: Counter[str] = Counter()

    def reply_at(path: str) -> Callable[[bytes], tuple[int, bytes]]:
        def reply(body: bytes) -> tuple[int, bytes]:
            requests[path] += 1
            return (503, b"") if requests[path] % 3 == 0 else (200, body)

        return reply

    server.replies = {path: reply_at(path) for path in EXPECTED}
    config = configure(server, tmp_path, keys)
    stdin = b"".join(b'{"id": %d}\n' % number for number in range(120))
    done = run("-c", config, *options, "-r", "9", stdin=stdin, env=environment(**ENV))
    assert all(line["ok"] for line in lines(done.stdout))
    seen = {
        (path, received.get("authorization"), received.get("x-key"), received.get("x-shared"))
        for path, headers in zip(server.paths, server.headers)
        for received in [{name.lower(): value for name, value in headers.items()}]
        if path != "/token"
    }
    expected = {(path, *values, "all") for path, values in EXPECTED.items()}
    assert seen == expected
    assert b"c4n4ry" not in done.stderr


@pytest.mark.parametrize("command", [["check"], ["check", "-vv"], ["explain"]], ids=" ".join)
def test_commands_show_no_secret_of_an_endpoint(
    server: Loopback, tmp_path: Path, command: list[str]
) -> None:
    """Secrets of endpoints are hidden as those of the API are."""
    path = configure(server, tmp_path)
    done = run(*command, "-c", path, stdin=b'{"id": 1}\n', env=environment(**ENV))
    assert done.returncode == 0, done.stderr
    shown = (done.stdout + done.stderr).decode()
    assert "c4n4ry" not in shown
    assert "${ONE}" in shown
    assert "/four" in shown


def test_check_shows_endpoints_as_they_can_be_written(server: Loopback, tmp_path: Path) -> None:
    """What `check` prints passes `check` again once its secrets are filled in."""
    path = configure(server, tmp_path)
    done = run("check", "-c", path, env=environment(**ENV))
    again = tmp_path / "again.toml"
    again.write_bytes(done.stdout.replace(b"***", b"filled-in"))
    assert run("check", "-c", str(again), env=environment(**ENV)).returncode == 0
    text = done.stdout.decode()
    assert 'auth = { bearer = "${ONE}" }' in text
    assert 'headers = { Authorization = "Token ${TWO}", x-key = "***" }' in text
    assert "limit = 40, weight = 2.0" in text


@pytest.mark.parametrize(
    "mistake",
    [
        '{ url = "http://h/", auth = { bearer = ["c4n4ry"] } }',
        '{ url = "http://h/", auth = "c4n4ry" }',
        '{ url = "http://h/", headers = { A = ["c4n4ry"] } }',
        '{ url = "http://h/", headers = { A = "c4n4ry\\n" } }',
        '{ url = "http://me:c4n4ry@h/" }',
        '{ url = "http://h/?key=c4n4ry" }',
        '{ url = "http://h/", auth = { bearer = "${UNSET}" } }',
        '{ url = "http://h/", "token: c4n4ry" = 1 }',
        '{ url = "http://h/", limit = "c4n4ry://x" }',
        '{ url = "http://h/", rate = { tokns = 1 } }',
        '{ auth = { bearer = "c4n4ry" } }',
        '[ "c4n4ry" ]',
        '{ url = "http://h/", weight = 0 }',
        '{ url = "http://h/", weight = nan }',
        '{ url = "http://h/", weight = true }',
        '{ url = "http://h/", limit = 0 }',
        '{ url = "http://h/", headers = { A = "{id}" } }',
    ],
)
def test_a_mistake_in_an_endpoint_is_one_line_with_its_number(tmp_path: Path, mistake: str) -> None:
    """The line names the file, the key and the endpoint, and nothing that may be secret."""
    path = tmp_path / "c.toml"
    path.write_text(f'[api.a]\nendpoints = ["http://g/", {mistake}]\n')
    done = run("check", "-c", str(path))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert b"api.a.endpoints: endpoint 2: " in done.stderr
    assert b"c4n4ry" not in done.stderr


def test_a_key_that_is_refused_pauses_alone(server: Loopback, tmp_path: Path) -> None:
    """Two keys at one URL: all calls end with the other key, in time."""
    used: Counter[str] = Counter()
    path = tmp_path / "c.toml"
    path.write_text(
        f'[api.a]\nurl = "/x"\nendpoints = [\n'
        f'{{ url = "{server.url("/429")}", auth = {{ bearer = "one" }} }},\n'
        f'{{ url = "{server.url("/ok")}", auth = {{ bearer = "two" }} }}]\n'
    )
    server.replies["/429/x"] = lambda body: (429, b"")
    stdin = b"".join(b"%d\n" % number for number in range(100))
    done = run("-c", str(path), "-r", "1", stdin=stdin)
    assert (done.returncode, len(lines(done.stdout))) == (0, 100)
    used.update(headers["Authorization"] for headers in server.headers)
    assert used["Bearer two"] == 100
    assert used["Bearer one"] < 80


def test_workers_share_the_limits_of_endpoints(server: Loopback, tmp_path: Path) -> None:
    """The limit of an endpoint bounds the number of processes; fewer of them run."""
    path = tmp_path / "c.toml"
    path.write_text(
        f'[api.a]\nendpoints = [{{ url = "{server.url()}", limit = 1 }}, "{server.url("/b")}"]\n'
    )
    done = run("-c", str(path), "--workers", "2", stdin=b"1\n2\n3\n")
    assert all(line["ok"] for line in lines(done.stdout))
    assert b"the limit of 1 of a: http://127.0.0.1:" in done.stderr
    assert b"(endpoint 1) cannot be shared by 2" in done.stderr
