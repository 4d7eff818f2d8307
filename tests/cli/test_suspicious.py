"""Settings that are accepted by the letter, and yet are not what was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.command import environment, lines, run
from support.configured import configured

from tmux_fanout.cli.arguments.suspicious import warnings_about
from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.errors import ConfigError

URL = "http://127.0.0.1:1/"
A = ("-a", f"x={URL}")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter an empty working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("settings", "warnings"),
    [
        ({"headers": {"Authorization": "Bearer $TOKEN"}}, ["headers.Authorization: $TOKEN"]),
        ({"headers": {"X": "a=$token;b"}}, ["headers.X: $token"]),
        ({"headers": {"X": "$A $A $B"}}, ["headers.X: $A", "headers.X: $B"]),
        ({"headers": {"X": "${TOKEN} $5 $$A a$A $other \\$A $Mixed"}}, []),
        ({"headers": {"Authorization": "Bearer "}}, ["headers.Authorization: nothing follows"]),
        ({"headers": {"Authorization": "token"}}, ["headers.Authorization: nothing follows"]),
        ({"url": f"{URL}?key=$KEY&$filter=x"}, ["url: $KEY"]),
        ({"url": f"{URL}$token/x"}, ["url: $token"]),
        ({"auth": {"bearer": "$TOKEN"}}, ["auth.token: $TOKEN"]),
        ({"auth": {"bearer": "s3$TOKEN"}}, []),
        (
            {"headers": {"X-Key": "$(cat keys/oai)"}},
            ["headers.X-Key: $(cat keys/oai) is sent as it is: write ${file:keys/oai}"],
        ),
        (
            {"auth": {"bearer": "$(pass show oai)"}},
            ["auth.token: $(pass show oai) is sent as it is: write ${cmd:pass show oai} in a con"],
        ),
        ({"auth": {"basic": ["me", "a$(b"]}}, []),
        ({"auth": {"basic": ["me", "a$(b)"]}}, []),
        ({"url": f"{URL}?$filter=a$(b)"}, []),
        ({"auth": {"basic": ["me", "$PASSWORD"]}}, ["auth.password: $PASSWORD"]),
        ({"auth": {"digest": ["me", "$PASSWORD"]}}, ["auth.password: $PASSWORD"]),
        (
            {"auth": {"call": "$A:b", "key": "$KEY", "secret": "$(cat k)", "rounds": 5}},
            ["auth.key: $KEY", "auth.secret: $(cat k) is sent as it is: write ${file:k}"],
        ),
        ({"proxy": "http://$PROXY/"}, ["proxy: $PROXY"]),
        ({"socket": "$XDG_RUNTIME_DIR/x"}, ["socket: $XDG_RUNTIME_DIR"]),
        ({"connect_to": "${HOST}:$PORT"}, ["connect_to: $PORT"]),
        (
            {"url": "", "endpoints": [{"url": "http://h/$A", "headers": {"K": "$B"}}]},
            ["endpoints: $A", "endpoints.headers.K: $B"],
        ),
        ({"body": "'$TOKEN'"}, []),
        (
            {"body": "'Sum up: {text}'"},
            ["body: {text} is sent as it is: write join('', ['Sum up: "],
        ),
        ({"body": "{q: '{{ id }}'}"}, ["body: {{ id }} is sent as it is: write {q: id}"]),
        ({"body": "{q: `\"{id}\"`, r: '{}', s: '{,}', t: '{ id }', u: 'x{y {id}}'}"}, []),
    ],
    ids=str,
)
def test_variable_without_braces_is_warned_of(
    settings: dict[str, Any], warnings: list[str]
) -> None:
    """A name in capitals, or of a variable that is set, is taken for a variable."""
    told = list(warnings_about(Api("x", **{"url": URL, **settings}), {"token": "s3cret"}))
    assert len(told) == len(warnings)
    for line, start in zip(told, warnings):
        assert line.startswith(f"API 'x': {start}")
        assert "s3" not in line


def test_warning_is_on_standard_error_and_q_silences_it() -> None:
    """The run goes on, and what is sent is what was written."""
    args = ("-r0", *A, "-H", "Authorization: Bearer $TOKEN")
    said = (
        "tmux-fanout: warning: API 'x': headers.Authorization: $TOKEN is sent as it is: "
        "write ${TOKEN} for the variable"
    )
    for command in ((), ("check",), ("explain",)):
        done = run(*command, *args, stdin=b"{}\n", env=environment(TOKEN="t"))
        assert done.stderr.decode().splitlines()[:1] == [said]
    done = run("-q", *args, stdin=b"{}\n")
    assert done.stderr == b""
    assert len(lines(done.stdout)) == 1


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ('headers = { Authorization = "Bearer ***" }', "headers.Authorization"),
        ('headers = { X-Api-Key = "***" }', "headers.X-Api-Key"),
        ('auth = { bearer = "***" }', "auth.bearer"),
        ('auth = { basic = ["***", "***"] }', "auth.basic"),
        ('url = "https://***:***@h/"', "url"),
        ('url = "https://h/?token=***"', "url"),
        ('endpoints = ["https://***@h/"]', "endpoints"),
        (
            'endpoints = [{ url = "https://h/", auth = { bearer = "***" } }]',
            "endpoints.auth.bearer",
        ),
        ('proxy = "http://***:***@h/"', "proxy"),
        (
            'auth = { oauth2 = { token_url = "http://h", client_id = "", client_secret = "***" } }',
            "auth.oauth2.client_secret",
        ),
    ],
)
def test_hidden_secret_in_a_file_is_an_error(keys: str, where: str) -> None:
    """What `check` prints cannot be run as it is, and says so, before *** is sent to anyone."""
    url = "" if "url =" in keys.partition("{")[0] or "endpoints" in keys else f'url = "{URL}"\n'
    for table in ("api.x", "defaults"):
        one = "" if table == "api.x" else f'[api.x]\nurl = "{URL}"\n'
        if one and not url:
            continue
        Path("tmux-fanout.toml").write_text(f"{one}[{table}]\n{'' if one else url}{keys}\n")
        with pytest.raises(ConfigError) as info:
            configured()
        assert str(info.value) == (
            f"tmux-fanout.toml: {table}.{where}: *** is what check prints in place of a secret: "
            "write the secret, or ${VAR}"
        )


@pytest.mark.parametrize(
    "keys",
    ['headers = { X-Rating = "***" }', "body = \"'***'\"", 'auth = { bearer = "a***b" }'],
)
def test_asterisks_that_hide_nothing_are_accepted(keys: str) -> None:
    """Only what `check` would print of a secret is taken for one that is hidden."""
    Path("tmux-fanout.toml").write_text(f'[api.x]\nurl = "{URL}"\n{keys}\n')
    assert configured().plan.names == ("x",)


def test_what_check_prints_without_secrets_can_be_run() -> None:
    """A field and a variable are no secrets, whether they may be missing or not."""
    args = (*A, "-H", "Authorization: Bearer ${T}", "-H", "X-Token: {token?}")
    shown = run("check", *args, env=environment(T="t")).stdout.decode()
    assert "***" not in shown
    Path("tmux-fanout.toml").write_text(shown)
    assert configured(env={"T": "t"}).apis[0].headers == {
        "Authorization": "Bearer ${T}",
        "X-Token": "{token?}",
    }
