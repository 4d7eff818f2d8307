"""Profiles, and configuration files that include others."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.command import environment, lines, run
from support.loopback import Loopback

from tmux_fanout import Plan
from tmux_fanout.core.errors import ConfigError

TEAM = """
include = ["shared/common.toml"]

[run]
retries = 1

[api.lookup]
url = "http://prod.test/v1"
limit = 8

[profile.staging.run]
retries = 0

[profile.staging.defaults]
timeout = "3s"

[profile.staging.api.lookup]
url = "http://staging.test/v1"
headers = { X-Stage = "1" }
auth = { bearer = "${STAGING}" }

[profile.load]
api.lookup.limit = 99
api.extra.url = "http://extra.test/"
"""

COMMON = """
[run]
retries = 5
chunk_size = 7

[defaults]
headers = { X-Team = "t" }

[api.lookup]
url = "http://common.test/"
auth = { basic = ["me", "${PASSWORD}"] }
headers = { X-Common = "c" }
json = { p = "@prompt.txt" }

[api.common]
url = "http://common.test/"
"""


def write(folder: Path) -> Path:
    (folder / "shared").mkdir()
    (folder / "shared" / "common.toml").write_text(COMMON)
    (folder / "shared" / "prompt.txt").write_text("P {q}\n")
    path = folder / "team.toml"
    path.write_text(TEAM)
    return path


def checked(path: Path, *options: str, **env: str) -> dict[str, Any]:
    env = {"PASSWORD": "p", "STAGING": "s", **env}
    done = run("check", "-c", str(path), *options, env=environment(**env))
    assert (done.returncode, done.stderr) == (0, b"")
    tables = tomllib.loads(done.stdout.decode())
    return {"origin": done.stdout.decode().splitlines()[0], **tables}


def test_the_including_file_wins(tmp_path: Path) -> None:
    """Tables are merged key by key, headers one by one; a file is beside the one that names it."""
    path = write(tmp_path)
    tables = checked(path)
    assert f"by {path} (with {tmp_path}/shared/common.toml) and" in tables["origin"]
    assert tables["run"]["chunk_size"] == 7
    lookup = tables["api"]["lookup"]
    assert [*tables["api"]] == ["lookup", "common"]
    assert (lookup["url"], lookup["limit"], lookup["retries"]) == ("http://prod.test/v1", 8, 1)
    assert lookup["headers"] == {"X-Team": "t", "X-Common": "c"}
    assert lookup["auth"] == {"basic": ["***", "${PASSWORD}"]}
    assert lookup["json"] == {"p": "P {q}"}


@pytest.mark.parametrize("how", ["option", "variable", "both"])
def test_a_profile_wins_over_the_file(tmp_path: Path, how: str) -> None:
    """The option comes before the variable; credentials of the profile replace the file's."""
    path = write(tmp_path)
    options = [] if how == "variable" else ["--profile", "staging"]
    env = {} if how == "option" else {"TMUX_FANOUT_PROFILE": "load" if how == "both" else "staging"}
    tables = checked(path, *options, **env)
    assert "(profile staging, with " in tables["origin"]
    lookup = tables["api"]["lookup"]
    assert (lookup["url"], lookup["limit"], lookup["retries"]) == ("http://staging.test/v1", 8, 0)
    assert lookup["headers"] == {"X-Team": "t", "X-Common": "c", "X-Stage": "1"}
    assert lookup["auth"] == {"bearer": "${STAGING}"}
    assert {api["timeout"] for api in tables["api"].values()} == {"3s"}
    assert [*tables["api"]] == ["lookup", "common"]


def test_a_profile_can_add_apis(tmp_path: Path) -> None:
    """It is laid over the file, whatever it has; options win over it."""
    tables = checked(write(tmp_path), "--profile", "load", "--limit", "4")
    assert tables["api"]["extra"]["url"] == "http://extra.test/"
    assert tables["api"]["lookup"]["limit"] == 4


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=" ".join)
def test_a_run_calls_what_the_profile_says(
    server: Loopback, tmp_path: Path, options: list[str]
) -> None:
    """Nothing goes to the API of the file itself."""
    path = tmp_path / "c.toml"
    path.write_text(
        '[api.a]\nurl = "http://127.0.0.1:1/"\n'
        f'[profile.here.api.a]\nurl = "{server.url("/here")}"\n'
    )
    done = run("-c", str(path), "--profile", "here", *options, stdin=b'{"id": 1}\n')
    assert done.returncode == 0, done.stderr
    assert lines(done.stdout)[0]["results"]["a"]["status"] == 200
    assert server.paths == ["/here"]


@pytest.mark.parametrize(
    ("options", "text", "messages"),
    [
        (["--profile", "stagin"], TEAM, ["--profile: unknown profile 'stagin': did you mean"]),
        (
            ["--profile", "x"],
            "[api.a]\nurl='http://h/'",
            ["--profile: unknown profile 'x': add a table such as [profile.x.run]"],
        ),
        ([], "include = 'x'", ['{f}: include: not a list: use one such as ["common.toml"]']),
        ([], "include = [3]", ["{f}: include: no file name, 3: use one such as"]),
        ([], "include = ['no.toml']", ["{f}: include: no such file: {d}/no.toml"]),
        ([], "include = ['team.toml']", ["{f}: include: {d}/team.toml includes this file"]),
        ([], "include = ['loop.toml']", ["{d}/loop.toml: include: {d}/team.toml includes this"]),
        ([], "include = ['bad.toml']", ["{d}/bad.toml: not TOML"]),
        (
            [],
            "include = ['odd.toml']\n[run]\nretries = -1",
            [
                "{f}: run.retries: invalid number -1",
                "{d}/odd.toml: defaults.limit: invalid limit 0",
                "{d}/odd.toml: api.a.headers.X-A: ${NO} is not set",
            ],
        ),
        (
            ["--profile", "p"],
            "[api.a]\nurl = 'http://h/'\n[profile.p.api.a]\nlimit = 0\nurll = 'x'",
            [
                "{f}: profile.p.api.a: unknown key 'urll': did you mean url?",
                "{f}: profile.p.api.a.limit: invalid limit 0",
            ],
        ),
        (
            [],
            "profile.q = 1\n[api.a]\nurl = 'http://h/'\n[profile.p]\nrun.retrys = 1\n"
            "defaults.lmit = 1\napi.a.urll = 'x'\nx = 1",
            [
                "{f}: profile.q: not a table: use [profile.q.run] or [profile.q.api.NAME]",
                "{f}: profile.p: unknown key 'x'",
                "{f}: profile.p.run: unknown key 'retrys': did you mean retries?",
                "{f}: profile.p.defaults: unknown key 'lmit': did you mean limit?",
                "{f}: profile.p.api.a: unknown key 'urll': did you mean url?",
            ],
        ),
        (
            [],
            "[api.a]\nurl='http://h/'\n[profile.staging]\nretries = 3\n[profile.b]\nurl = 'x'",
            [
                "{f}: profile.staging: unknown key 'retries' here: it goes under [profile.stagin",
                "{f}: profile.b: unknown key 'url' here: it goes under [profile.b.defaults] or [p",
            ],
        ),
        (
            ["--profile", "staging"],
            "[api.a]\nurl='http://h/'\n[profile.staging]\nretries = 3",
            ["{f}: profile.staging: unknown key 'retries' here: it goes under [profile.stagin"],
        ),
        ([], "profile = 1\n[api.a]\nurl = 'http://h/'", ["{f}: profile: not a table"]),
    ],
    ids=str,
)
def test_mistakes_are_named_where_they_are(
    tmp_path: Path, options: list[str], text: str, messages: list[str]
) -> None:
    """A line has the file that the mistake is in, and its profile."""
    path = write(tmp_path)
    path.write_text(text)
    (tmp_path / "loop.toml").write_text("include = ['team.toml']")
    (tmp_path / "bad.toml").write_text("x")
    (tmp_path / "odd.toml").write_text(
        "[defaults]\nlimit = 0\n[api.a]\nurl = 'http://h/'\nheaders = { X-A = '${NO}' }\n"
    )
    done = run("check", "-c", str(path), *options)
    assert done.returncode == 2
    found = done.stderr.decode().splitlines()
    expected = [each.replace("{f}", str(path)).replace("{d}", str(tmp_path)) for each in messages]
    assert [each for each, line in zip(expected, found) if each not in line] == [], found
    assert len(found) == len(expected), found


def test_a_profile_needs_a_file(tmp_path: Path) -> None:
    """As an option; a variable may be set for other files."""
    done = run("check", "--profile", "x", "-a", "a=http://h/")
    assert done.returncode == 2
    assert b"--profile: no configuration file to find it in: use -c FILE" in done.stderr
    done = run("check", "-a", "a=http://h/", env=environment(TMUX_FANOUT_PROFILE="x"))
    assert done.returncode == 0
    path = tmp_path / "c.toml"
    path.write_text("[api.a]\nurl = 'http://h/'\n")
    done = run("check", "-c", str(path), env=environment(TMUX_FANOUT_PROFILE="x"))
    assert b"$TMUX_FANOUT_PROFILE: unknown profile 'x'" in done.stderr


def test_programs_choose_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a keyword; the variable is for the command."""
    monkeypatch.setenv("PASSWORD", "p")
    monkeypatch.setenv("STAGING", "s")
    monkeypatch.setenv("TMUX_FANOUT_PROFILE", "load")
    path = write(tmp_path)
    assert Plan.from_file(path, profile="staging").apis[0].url == "http://staging.test/v1"
    assert Plan.from_file(path).apis[0].limit == 8
    with pytest.raises(ConfigError, match="profile: unknown profile 'x'"):
        Plan.from_file(path, profile="x")


@pytest.mark.parametrize("where", ["api.a", "profile.local.api.a", "profile.local.defaults"])
@pytest.mark.parametrize(
    ("inherited", "none"),
    [
        ('auth = { bearer = "${NOT_SET}" }', "auth = false"),
        ('headers = { Authorization = "Bearer ${NOT_SET}" }', "auth = false"),
        ('headers = { X-Key = "${NOT_SET}" }', "headers = { x-key = false }"),
        ('auth = { basic = ["u", "${NOT_SET}"] }', "headers = { Authorization = false }"),
    ],
)
def test_inherited_credentials_can_be_left_out(
    server: Loopback, tmp_path: Path, where: str, inherited: str, none: str
) -> None:
    """The variables that they need may be missing then; nothing of them is sent."""
    path = tmp_path / "c.toml"
    own = none if where == "api.a" else ""
    profile = "" if where == "api.a" else f"[{where}]\n{none}\n"
    path.write_text(f'[defaults]\n{inherited}\n[api.a]\nurl = "{server.url()}"\n{own}\n{profile}')
    options = ["-c", str(path), *(["--profile", "local"] if profile else [])]
    done = run(*options, stdin=b'{"id": 1}\n', env=environment())
    assert (done.returncode, done.stderr) == (0, b"")
    assert not {"authorization", "x-key"} & {name.lower() for name in server.headers[0]}
    shown = run("check", *options, env=environment())
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert not {"auth", "headers"} & tomllib.loads(shown.stdout.decode())["api"]["a"].keys()
    assert (
        b"false"
        not in shown.stdout.partition(b"[api.a]")[2]
        .partition(b"balance")[0]
        .split(b"idempotent")[0]
    )
    explained = run("explain", *options, stdin=b'{"id": 1}\n', env=environment())
    assert explained.returncode == 0
    assert b"NOT_SET" not in explained.stdout


def test_credentials_can_be_left_out_at_an_endpoint(server: Loopback, tmp_path: Path) -> None:
    """The other endpoint gets those of the API."""
    path = tmp_path / "c.toml"
    path.write_text(
        '[api.a]\nauth = { bearer = "s" }\nheaders = { X-Key = "k", X-Team = "t" }\n'
        'balance = "round-robin"\nlimit = 1\n'
        f'endpoints = ["{server.url("/given")}", {{ url = "{server.url("/own")}", auth = false, '
        "headers = { x-key = false } }]\n"
    )
    done = run("-c", str(path), stdin=b'{"id": 1}\n{"id": 2}\n', env=environment())
    assert (done.returncode, done.stderr) == (0, b"")
    found = [{name.lower() for name in headers} for headers in server.headers]
    sent = [{"authorization", "x-key", "x-team"} & names for names in found]
    assert sorted(map(len, sent)) == [1, 3]
    shown = run("check", "-c", str(path), env=environment()).stdout
    assert b"auth = false, headers = { x-key = false }" in shown
