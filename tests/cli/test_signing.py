"""Functions that sign requests, and HTTP Digest, as configuration files have them."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
from pathlib import Path

import pytest
from support.command import environment, lines, records, run, start
from support.digest import PASSWORD, USER, DigestGuard
from support.loopback import Loopback
from support.pages import DOCS, Page

CANARY = "c4n4ry"
HOW_TO = Page(DOCS / "how-to/credentials.md").files["signing.py"]


def write(folder: Path, url: str, auth: str, more: str = "") -> str:
    """Write a configuration with one API, and return its path."""
    path = folder / "signed.toml"
    path.write_text(f'[api.a]\nurl = "{url}"\nauth = {{ {auth} }}\n{more}')
    return str(path)


def run_in(
    folder: Path, *args: str, stdin: bytes = b"", **env: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a folder, which Python does not search for modules itself."""
    environ = environment(PYTHONSAFEPATH="1", **env)
    with start(*args, env=environ, cwd=folder) as process:
        out, err = process.communicate(stdin)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.parametrize(
    "options",
    [(), ("--workers", "2", "--chunk-size", "5"), ("--transport", "httpx")],
    ids=["native", "workers", "httpx"],
)
def test_the_function_of_the_how_to_signs_each_request(
    server: Loopback, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Its module is beside the configuration, and the command is run elsewhere."""
    (tmp_path / "signing.py").write_text(HOW_TO)
    config = write(
        tmp_path,
        server.url("/orders/{id}{?id}"),
        'call = "signing:sign", key_id = "client-7", secret = "${SECRET}"',
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = run_in(elsewhere, "-c", config, *options, stdin=records(40), SECRET=CANARY)
    assert done.returncode == 0, done.stderr
    assert len(server.paths) == 40
    for path, headers, body in zip(server.paths, server.headers, server.bodies):
        assert headers["X-Key"] == "client-7"
        text = f"POST\n{path}\n{headers['X-Time']}\n".encode() + body
        expected = hmac.new(CANARY.encode(), text, hashlib.sha256).hexdigest()
        assert headers["X-Signature"] == expected
    assert CANARY.encode() not in done.stdout + done.stderr


PLAIN = """
calls = 0
def sign(*request, **more): return {}
"""

COUNTING = """
print("importing")
calls = 0

def sign(method, url, headers, body, **more):
    global calls
    calls += 1
    print("signing")
    return {"X-Call": str(calls)}
"""


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_each_attempt_and_each_page_is_signed(
    server: Loopback, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    """What the function prints, or its module, is not among the results."""
    (tmp_path / "counting.py").write_text(COUNTING)
    answers = iter([(503, b""), (200, b'{"items": [1], "next": "/list?page=2"}')])
    server.replies["/list"] = lambda body: next(answers, (200, b'{"items": [2]}'))
    more = 'method = "GET"\npages = { next = "next", items = "items" }\n'
    config = write(tmp_path, server.url("/list"), 'call = "counting:sign"', more)
    done = run("-c", config, *workers, stdin=b"{}\n")
    [line] = lines(done.stdout)
    assert line["results"]["a"]["body"] == [1, 2]
    assert [headers["X-Call"] for headers in server.headers] == ["1", "2", "3"]
    assert done.stderr.count(b"signing\n") == 3
    assert done.stderr.count(b"importing\n") >= 1
    done = run("check", "-c", config)
    assert (done.returncode, done.stderr) == (0, b"importing\n")
    assert b"importing" not in done.stdout


def test_what_is_compressed_is_signed_as_it_is_sent(server: Loopback, tmp_path: Path) -> None:
    """The function is given the compressed body, with its headers."""
    (tmp_path / "hashing.py").write_text(
        "import hashlib\n"
        "def sign(method, url, headers, body):\n"
        "    assert headers['Content-Encoding'] == 'gzip'\n"
        "    return {'X-Hash': hashlib.sha256(body).hexdigest()}\n"
    )
    config = write(tmp_path, server.url(), 'call = "hashing:sign"', 'compress = "gzip"\n')
    done = run("-c", config, stdin=b'{"text": "%b"}\n' % (b"x" * 5000))
    assert done.returncode == 0, done.stdout
    assert len(server.bodies[0]) < 5000
    assert server.headers[0]["X-Hash"] == hashlib.sha256(server.bodies[0]).hexdigest()


UPLOAD = """
body_format = "multipart"
body = "{document: file(name)}"
files_root = "."
"""


def upload(folder: Path, server: Loopback, auth: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command with a record that names a file."""
    (folder / "a.txt").write_bytes(b"content of a file")
    config = write(folder, server.url(), auth, UPLOAD)
    return run_in(folder, "-c", config, stdin=b'{"name": "a.txt"}\n')


def test_a_form_with_files_is_signed_without_its_body(server: Loopback, tmp_path: Path) -> None:
    """It is read only as it is sent; a function that needs it fails its call."""
    (tmp_path / "signer.py").write_text(
        "def sign(method, url, headers, body):\n"
        "    return {'X-Body': str(body), 'X-Length': headers['Content-Length']}\n"
        "def strict(method, url, headers, body):\n"
        "    return {'X-Length': str(len(body))}\n"
    )
    done = upload(tmp_path, server, 'call = "signer:sign"')
    assert done.returncode == 0, done.stdout
    [headers], [body] = server.headers, server.bodies
    assert (headers["X-Body"], headers["X-Length"]) == ("None", str(len(body)))
    assert b"content of a file" in body
    done = upload(tmp_path, server, 'call = "signer:strict"')
    assert b"signer:strict raised TypeError at " in done.stdout
    assert len(server.bodies) == 1


@pytest.mark.parametrize("qop", ["auth", "auth-int,auth", "auth-int"])
def test_a_form_with_files_is_sent_again_for_digest(
    server: Loopback, tmp_path: Path, qop: str
) -> None:
    """The files are read once more; where the body is to be protected, it cannot be."""
    server.guard = DigestGuard(qop)
    done = upload(tmp_path, server, f'digest = ["{USER}", "{PASSWORD}"]')
    if qop == "auth-int":
        assert b"the server wants the body protected (auth-int)" in done.stdout
        assert len(server.bodies) == 1
    else:
        assert done.returncode == 0, done.stdout
        first, second = server.bodies
        assert first == second


def test_modules_are_found_where_configuration_files_are(server: Loopback, tmp_path: Path) -> None:
    """That which names it, one that it includes, and the current directory, in this order."""
    for name in ("main", "shared", "here"):
        (tmp_path / name).mkdir()
        text = f"def sign(*request, **more): return {{'X-From': '{name}'}}\n"
        (tmp_path / name / f"only_{name}.py").write_text(text)
        (tmp_path / name / "everywhere.py").write_text(text)
    (tmp_path / "shared" / "common.toml").write_text(
        f'[api.shared]\nurl = "{server.url("/shared")}"\nauth = {{ call = "only_shared:sign" }}\n'
    )
    config = tmp_path / "main" / "c.toml"
    config.write_text(
        'include = ["../shared/common.toml"]\n'
        + "".join(
            f'[api.{name}]\nurl = "{server.url(f"/{name}")}"\nauth = {{ call = "{module}:sign" }}\n'
            for name, module in (
                ("main", "only_main"),
                ("here", "only_here"),
                ("everywhere", "everywhere"),
            )
        )
    )
    done = run_in(tmp_path / "here", "-c", "../main/c.toml", stdin=b"{}\n")
    assert done.returncode == 0, done.stderr
    found = {path: headers["X-From"] for path, headers in zip(server.paths, server.headers)}
    assert found == {"/main": "main", "/shared": "shared", "/here": "here", "/everywhere": "main"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_file_takes_the_place_of_an_installed_module(
    server: Loopback, tmp_path: Path, workers: str
) -> None:
    """Files called `json.py` or `trio.py` beside the configuration are not imported."""
    (tmp_path / "counting.py").write_text(COUNTING)
    for name in ("json", "trio", "sniffio", "msgspec", "selectors", "h2"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py was imported')")
    config = write(tmp_path, server.url(), 'call = "counting:sign"')
    done = run_in(tmp_path, "-c", config, "--workers", workers, stdin=records(9))
    assert done.returncode == 0, done.stderr


def test_a_mistake_of_an_endpoint_has_its_number(tmp_path: Path) -> None:
    """Where the function of one cannot be found."""
    path = tmp_path / "c.toml"
    path.write_text(
        '[api.a]\nendpoints = ["http://a.test", '
        '{ url = "http://b.test", auth = { call = "nowhere:sign" } }]\n'
    )
    done = run("check", "-c", str(path))
    assert done.returncode == 2
    assert b": api.a.endpoints: endpoint 2: auth.call: no module nowhere: put" in done.stderr


@pytest.mark.parametrize(
    ("text", "auth", "message"),
    [
        (
            "",
            'call = "nowhere:sign"',
            "api.a.auth.call: no module nowhere: put nowhere.py beside the configuration file",
        ),
        ("", 'call = "signer:sign"', "api.a.auth.call: no 'sign' in module signer ("),
        ("raise KeyError('c4n4ry')", 'call = "signer:sign"', "raised KeyError at "),
        (PLAIN, 'call = "signer:calls"', "signer:calls is of type int: name a function"),
        ("def sign(a): ...", 'call = "signer:sign"', "cannot be called as (method, url, headers,"),
        ("", 'call = "signer"', "api.a.auth.call: no entry point 'signer' in group"),
        ("", "call = 5", "api.a.auth.call: not a function: use text such as"),
        ("", 'call = "signer:sign", bearer = "c4n4ry"', "api.a.auth.bearer: call or bearer, not"),
        ("", 'cal = "signer:sign"', "api.a.auth: unknown key 'cal': did you mean call?"),
        (PLAIN, 'call = "signer:sign", key = "${NONE}"', "api.a.auth.key: ${NONE} is not set"),
        (PLAIN, 'call = "signer:sign", day = 2026-01-01', "api.a.auth.day: a date: put it in"),
        ("", 'digest = "c4n4ry"', "api.a.auth.digest: invalid credentials: use [user, password]"),
        ("", 'digest = ["a:b", "c4n4ry"]', "api.a.auth.digest: invalid user: use a name without"),
        ("", r'digest = ["a\nb", "c4n4ry"]', "api.a.auth.digest: the value has characters that"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_mistakes_are_one_line(
    tmp_path: Path, text: str, auth: str, message: str, command: str
) -> None:
    """Before anything is sent, with the key, and no secret."""
    (tmp_path / "signer.py").write_text(text)
    done = run(command, "-c", write(tmp_path, "http://127.0.0.1:1/", auth), stdin=b"{}\n")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert message in done.stderr.decode()
    assert CANARY.encode() not in done.stderr


def test_a_function_that_fails_fails_its_calls(server: Loopback, tmp_path: Path) -> None:
    """Others go on; nothing is retried, and the text of the exception is nowhere."""
    (tmp_path / "signer.py").write_text(
        "def sign(method, url, headers, body, key):\n"
        "    if b'7' in body: raise ValueError(key)\n"
        "    return {}\n"
    )
    config = write(tmp_path, server.url(), f'call = "signer:sign", key = "{CANARY}"')
    done = run("-c", config, "-vv", "--summary", "json", stdin=records(10))
    outcome = lines(done.stdout)[7]["results"]["a"]
    assert outcome["error"]["kind"] == "template"
    assert outcome["error"]["message"].startswith("auth.call: signer:sign raised ValueError at ")
    assert outcome["error"]["message"].endswith("signer.py:2")
    assert outcome["attempts"] == 0
    assert (done.returncode, len(server.bodies)) == (1, 9)
    assert b"signer.py" in done.stderr
    assert CANARY.encode() not in done.stdout + done.stderr


def test_check_and_explain_show_no_argument(tmp_path: Path) -> None:
    """Whatever it is called and however deep it is; the name of the function is no secret."""
    (tmp_path / "signer.py").write_text("def sign(*request, **more): return {}")
    auth = (
        f'call = "signer:sign", key = "${{KEY}}", url = "{CANARY}", scope = "{CANARY}-2", '
        f'number = 5, deep = {{ list = ["{CANARY}"], token_url = "{CANARY}" }}'
    )
    config = write(tmp_path, "http://127.0.0.1:1/", auth)
    done = run("check", "-c", config, env=environment(KEY=CANARY))
    shown = done.stdout.decode()
    assert (
        'auth = { call = "signer:sign", key = "${KEY}", url = "***", scope = "***", '
        'number = "***", deep = { list = ["***"], token_url = "***" } }'
    ) in shown
    assert CANARY not in shown
    done = run("explain", "-c", config, stdin=b"{}\n", env=environment(KEY=CANARY))
    assert b"# a: a run adds the headers that signer:sign returns, curl does not\n" in done.stdout
    assert CANARY.encode() not in done.stdout + done.stderr


def digest_config(folder: Path, server: Loopback, more: str = "") -> str:
    return write(folder, server.url(), f'digest = ["{USER}", "${{PASSWORD}}"]', more)


@pytest.mark.parametrize(("workers", "challenges"), [("1", 1), ("2", 2)])
def test_digest_takes_one_challenge_for_each_process(
    server: Loopback, tmp_path: Path, workers: str, challenges: int
) -> None:
    """It is neither a failure nor an attempt of its own."""
    server.guard = guard = DigestGuard("auth-int", "SHA-256")
    config = digest_config(tmp_path, server)
    args = ("-c", config, "--workers", workers, "--summary", "json")
    done = run(*args, stdin=records(200), env=environment(PASSWORD=PASSWORD))
    assert done.returncode == 0, done.stderr
    assert {line["results"]["a"]["attempts"] for line in lines(done.stdout)} == {1}
    summary = json.loads(done.stderr.splitlines()[-1])
    api = summary["apis"]["a"]
    assert (api["calls"], api["attempts"], api["not_ok"], api["errors"]) == (200, 200, 0, {})
    assert 1 <= guard.refused <= challenges
    assert PASSWORD.encode() not in done.stdout + done.stderr


def test_a_wrong_password_is_a_401_that_names_its_setting(server: Loopback, tmp_path: Path) -> None:
    """As with any key: the run pauses the endpoint, and asks again from time to time."""
    server.guard = guard = DigestGuard()
    config = digest_config(tmp_path, server, 'breaker = { wait = "1ms" }\nretries = 0\n')
    args = ("-c", config, "--on-down", "fail")
    done = run(*args, stdin=records(30), env=environment(PASSWORD="wrong"))
    assert done.returncode in (1, 4)
    shown = (done.stdout + done.stderr).decode()
    assert "HTTP 401: check the key in its auth.digest" in shown
    assert guard.seen.count("") == 1


def test_explain_shows_digest_to_curl(server: Loopback, tmp_path: Path) -> None:
    """The command works when it is pasted."""
    server.guard = DigestGuard()
    config = digest_config(tmp_path, server)
    env = environment(PASSWORD=PASSWORD)
    done = run("explain", "-c", config, stdin=b'{"id": 1}\n', env=env)
    assert f'--digest -u {USER}:"${{PASSWORD}}"'.encode() in done.stdout
    assert PASSWORD.encode() not in done.stdout
    pasted = subprocess.run(["sh", "-c", done.stdout], env=env, capture_output=True, check=True)
    assert pasted.stdout == b'{"id": 1}'
