"""Secrets from files, commands and files of variables."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import environment, run
from support.loopback import Loopback

from tmux_fanout import Api, Plan, fanout_sync
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.engine.configuration.secrets import Secrets, with_env_file

CANARY = "c4n4ry"

TEXT = """
[defaults]
headers = {{ X-Env-Key = "${{FROM_FILE}}-${{SET}}" }}

[api.a]
url = "{url}/v1?key=${{file:{folder}/key}}"
auth = {{ bearer = "${{cmd:{folder}/show 'one word' $HOME}}" }}

[api.b]
url = "{url}/b"
auth = {{ basic = ["me", "${{cmd:{folder}/show 'one word' $HOME}}"] }}
"""


def configure(server: Loopback, folder: Path) -> list[str]:
    (folder / "key").write_text(f"{CANARY}/file\n")
    show = folder / "show"
    show.write_text(f'#!/bin/sh\necho run >> {folder}/runs\necho "{CANARY}-$1-$2-$#"\n')
    show.chmod(0o755)
    (folder / "vars.env").write_text(
        f"# comment\nexport FROM_FILE=\"{CANARY}-env\"  # more\nSET=no\n\nUNUSED='x y'\n"
    )
    path = folder / "c.toml"
    path.write_text(TEXT.format(url=server.url(""), folder=folder))
    return ["-c", str(path), "--env-file", str(folder / "vars.env")]


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=" ".join)
def test_secrets_are_sent(server: Loopback, tmp_path: Path, options: list[str]) -> None:
    """A command runs once for all places and processes, without a shell; ours wins over a file."""
    args = configure(server, tmp_path)
    env = environment(SET="yes")
    done = run(*args, *options, stdin=b'{"id": 1}\n{"id": 2}\n', env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "runs").read_text() == "run\n"
    sent = {each["Authorization"] for each in server.headers}
    assert f"Bearer {CANARY}-one word-$HOME-2" in sent
    assert len(sent) == 2
    assert {each["X-Env-Key"] for each in server.headers} == {f"{CANARY}-env-yes"}
    assert f"/v1?key={CANARY}/file" in server.paths


@pytest.mark.parametrize(
    "command", [["check"], ["explain"], ["run", "-vv", "--summary", "json"]], ids=" ".join
)
def test_secrets_are_not_shown(server: Loopback, tmp_path: Path, command: list[str]) -> None:
    """What is shown is where they are, as with variables."""
    args = configure(server, tmp_path)
    for path in (*command[1:], *args):
        assert CANARY not in path
    env = environment(SET="yes")
    done = run(command[0], *args, *command[1:], stdin=b'{"id": 1}\nno\n', env=env)
    shown = (done.stdout + done.stderr).decode()
    assert CANARY not in shown
    if command[0] == "check":
        assert f"${{file:{tmp_path}/key}}" in shown
        assert f"${{cmd:{tmp_path}/show 'one word' $HOME}}" in shown
    if command[0] == "explain":
        assert f'"$(cat {tmp_path}/key)"' in shown
        assert f"\"$({tmp_path}/show 'one word' '$HOME')\"" in shown


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("file:", "no file: use one such as ${file:/run/secrets/key}"),
        ("file:{}/no", "cannot be read: No such file or directory"),
        ("file:{}", "cannot be read: Is a directory"),
        ("file:{}/empty", "it is empty"),
        ("file:{}/bytes", "not UTF-8: use a secret that is text"),
        ("cmd:", "no command: use one such as ${cmd:pass show api}"),
        ("cmd:{}/no", "cannot be run: No such file or directory"),
        ("cmd:sh 'x", "a quote is not closed: close it"),
        ("cmd:true", "it is empty"),
        ("cmd:false", "failed with exit status 1"),
        (
            "cmd:sh -c 'echo a >&2; echo token=c4n4ry gpg failed >&2; exit 3'",
            "failed with exit status 3: token=*** gpg failed",
        ),
    ],
)
def test_secrets_that_cannot_be_read_are_named(
    tmp_path: Path, reference: str, message: str
) -> None:
    """One line has the key, the reference and the reason, and the run does not begin."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff")
    path = tmp_path / "c.toml"
    reference = reference.format(tmp_path)
    path.write_text(f'[api.a]\nurl = "http://h/"\nauth = {{ bearer = "${{{reference}}}" }}\n')
    done = run("check", "-c", str(path))
    assert done.returncode == 2
    expected = f"tmux-fanout: {path}: api.a.auth.bearer: ${{{reference}}}: {message}\n"
    assert done.stderr.decode() == expected


@pytest.mark.parametrize("written", ["keys/a", "~/keys/a"])
def test_a_file_that_is_missing_is_shown_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """Paths are relative to where the command runs, not to the configuration file."""
    monkeypatch.chdir(tmp_path)
    reference = f"${{file:{written}}}"
    args = ("-a", "x=http://127.0.0.1:1/", "-H", f"X-A: {reference}")
    done = run("check", *args, env=environment(HOME=str(tmp_path)))
    why = f"{reference}: cannot be read: No such file or directory ({tmp_path}/keys/a)\n"
    assert done.stderr.decode().endswith(why)


def test_a_secret_cannot_leave_its_place(tmp_path: Path) -> None:
    """One with a line break makes no header, as with variables."""
    (tmp_path / "key").write_text("a\nHost: b\n")
    path = tmp_path / "c.toml"
    key = f"${{file:{tmp_path}/key}}"
    path.write_text(f'[api.a]\nurl = "http://h/"\nheaders = {{ X-A = "{key}" }}\n')
    done = run("check", "-c", str(path))
    assert b"api.a.headers.X-A: the value has characters that no header can hold" in done.stderr


def test_commands_run_for_a_configuration_file_only(tmp_path: Path) -> None:
    """An argument may come from elsewhere, and must not run anything."""
    ran = tmp_path / "ran"
    reference = f"${{cmd:touch {ran}}}"
    why = "commands run only for a configuration file: write it there, or use ${VAR}"
    done = run("-a", "x=http://127.0.0.1:1/", "-H", f"X-A: {reference}", stdin=b"{}\n")
    assert done.returncode == 2
    assert f"tmux-fanout: API 'x': headers.X-A: {reference}: {why}\n" == done.stderr.decode()
    with pytest.raises(ConfigError, match="commands run only for a configuration file"):
        list(fanout_sync([{}], [Api("a", "http://h/", headers={"X-A": reference})]))
    assert not ran.exists()


def test_a_cluster_runs_no_command(tmp_path: Path) -> None:
    """It would run on each machine; a file is read there."""
    path = tmp_path / "c.toml"
    path.write_text('[api.a]\nurl = "http://h/"\nauth = { bearer = "${cmd:touch x}" }\n')
    done = run("check", "-c", str(path), "--cluster", "tcp://127.0.0.1:1")
    assert done.returncode == 2
    assert b"api.a.auth.bearer: ${cmd:touch x}: it would run on every machine" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nc4n4ry\n", 'line 2: no variable: write one such as NAME="value"'),
        (b'A=1\n\nB="c4n4ry\n', 'line 3: no variable: write one such as NAME="value"'),
        (b"A=\xff", "not UTF-8: save it as UTF-8"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_mistakes_in_env_files_are_named(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    """The line is named, and never shown."""
    path = tmp_path / "vars.env"
    if content is not None:
        path.write_bytes(content)
    done = run("check", "--env-file", str(path), "-a", "a=http://h/")
    assert done.returncode == 2
    assert done.stderr.decode() == f"tmux-fanout: --env-file: {path}: {message}\n"


def test_env_files_have_the_syntax_of_dotenv(tmp_path: Path) -> None:
    """Quotes, comments and `export` mean what they usually do; nothing is expanded."""
    path = tmp_path / "vars.env"
    path.write_text("export A=a b # c\nB='$A \\n'\nC=\"x\\ny\"\nD=\nE = e\n", encoding="utf-8-sig")
    env = with_env_file(str(path), {"E": "ours"})
    assert env == {"A": "a b", "B": "$A \\n", "C": "x\ny", "D": "", "E": "ours"}


def test_plans_of_a_file_keep_what_commands_print(server: Loopback, tmp_path: Path) -> None:
    """They run once, where the file is read; other secrets are read where the plan is used."""
    configure(server, tmp_path)
    path = tmp_path / "c.toml"
    path.write_text(path.read_text().replace("${FROM_FILE}-${SET}", "x"))
    plan = Plan.from_file(path)
    assert CANARY not in repr(plan)
    (tmp_path / "key").write_text("renewed")
    for _ in range(2):
        assert all(result.ok for result in fanout_sync([{"id": 1}], plan))
    assert (tmp_path / "runs").read_text() == "run\n"
    assert server.paths.count("/v1?key=renewed") == 2


def test_no_secret_costs_nothing() -> None:
    """The environment is the same object where nothing refers to one."""
    env = {"A": "a"}
    assert Secrets(env).environment([Api("a", "http://h/{id}?k=${A}")]) is env
