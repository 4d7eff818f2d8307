"""Where the configuration file is found, and the precedence of flags and file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.configured import configured, options

from tmux_fanout.cli.configuration import RUN_KEYS
from tmux_fanout.cli.options import RUN_OPTIONS
from tmux_fanout.core.config.plan import ApiPlan
from tmux_fanout.core.config.settings import RunSettings
from tmux_fanout.core.errors import ConfigError

URL = "http://127.0.0.1:1/"
ONE = f'[api.one]\nurl = "{URL}"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "tmux-fanout.toml") -> str:
    Path(name).write_text(text)
    return name


def one(*args: str) -> ApiPlan:
    """Return the plan of the API called one."""
    return next(api for api in configured(*args).plan.apis if api.name == "one")


@pytest.mark.parametrize(
    ("args", "env", "found"),
    [
        ([], {}, "here"),
        (["-c", "flag.toml"], {}, "flag"),
        (["--config=flag.toml"], {"TMUX_FANOUT_CONFIG": "variable.toml"}, "flag"),
        ([], {"TMUX_FANOUT_CONFIG": "variable.toml"}, "variable"),
        ([], {"TMUX_FANOUT_CONFIG": ""}, "here"),
    ],
)
def test_file_is_found_by_flag_variable_and_name(
    args: list[str], env: dict[str, str], found: str
) -> None:
    """The flag wins over the variable, and that over the file in the working directory."""
    write('[api.here]\nurl = "http://h/"')
    for name in ("flag", "variable"):
        write(f'[api.{name}]\nurl = "http://h/"', f"{name}.toml")
    assert [api.name for api in configured(*args, env=env).apis] == [found]


def test_file_may_have_a_byte_order_mark_and_crlf() -> None:
    """Files from other systems can be read."""
    Path("tmux-fanout.toml").write_bytes(b"\xef\xbb\xbf" + ONE.replace("\n", "\r\n").encode())
    assert one().name == "one"


@pytest.mark.parametrize(
    ("args", "env", "message"),
    [
        ([], {}, "no API to call: name one, as in echo "),
        (["-c", "no.toml"], {}, "--config: no such file: 'no.toml'"),
        (["-c", ""], {}, "--config: no such file: ''"),
        (
            ["-c", "http://u:s3cret@h/"],
            {},
            "--config: invalid file name (a URL): use the path of a",
        ),
        (
            [],
            {"TMUX_FANOUT_CONFIG": "no.toml"},
            "$TMUX_FANOUT_CONFIG: no such file: 'no.toml'",
        ),
        (["-c", "/"], {}, "/: cannot be read: Is a directory"),
        (["-c", "latin"], {}, "latin: not UTF-8 at byte 5: save it as UTF-8"),
    ],
)
def test_missing_or_unreadable_file_is_an_error(
    args: list[str], env: dict[str, str], message: str
) -> None:
    """A named file must exist; without a file, an API must be named."""
    Path("latin").write_bytes('x = "é"'.encode("latin-1"))
    with pytest.raises(ConfigError) as info:
        configured(*args, env=env)
    assert str(info.value).startswith(message)
    assert "s3cret" not in str(info.value)


def test_dangling_link_is_an_error() -> None:
    """A default file that exists but cannot be read is not ignored."""
    os.symlink("nowhere", "tmux-fanout.toml")
    with pytest.raises(ConfigError, match=r"^tmux-fanout\.toml: cannot be read: No such file"):
        configured("-a", f"x={URL}")


def test_run_keys_are_the_long_options() -> None:
    """[run] takes every long option of `run` except the file and the keys of an API."""
    long = {
        word.removeprefix("--").replace("-", "_")
        for option in RUN_OPTIONS
        for word in option.opts
        if word.startswith("--")
    }
    assert long - set(RUN_KEYS) == {
        *("api", "config", "profile", "env_file", "method", "header", "body", "body_format"),
        *("select", "when", "hosts"),
    }
    assert set(RUN_KEYS) - long <= set(RunSettings.__struct_fields__)


def test_options_that_are_not_given_are_none() -> None:
    """A default of click would hide the value in the file."""
    given = options()
    assert {name for name, value in given.items() if value is not None} == {*("files", "given")}


@pytest.mark.parametrize(
    ("run", "args", "expected"),
    [
        ("", [], {"emit": "envelope", "summary": "auto", "verbose": 0, "quiet": False}),
        ("", [], {"input_format": None, "progress": None}),
        ('emit = "merge"', [], {"emit": "merge"}),
        ('emit = "merge"', ["-e", "body"], {"emit": "body"}),
        ('emit = "merge"', ["-e", "envelope"], {"emit": "envelope"}),
        ('input_format = "lines"', [], {"input_format": "lines"}),
        ('input_format = "lines"', ["-i", "jsonl"], {"input_format": "jsonl"}),
        ('summary = "json"', ["--summary", "auto"], {"summary": "auto"}),
        ("progress = false", [], {"progress": False}),
        ("progress = false", ["--progress"], {"progress": True}),
        ("progress = true", ["--no-progress"], {"progress": False}),
        ("verbose = true", [], {"verbose": 1}),
        ("verbose = 2", [], {"verbose": 2}),
        ("quiet = true", ["-v"], {"verbose": 1, "quiet": False}),
        ("verbose = true", ["-q"], {"quiet": True}),
    ],
)
def test_options_are_the_flags_then_the_files(
    run: str, args: list[str], expected: dict[str, Any]
) -> None:
    """A flag wins, even where it is the default; then the file; then the default."""
    write(f"{ONE}[run]\n{run}\n")
    found = configured(*args).options
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("run", "args", "field", "expected"),
    [
        ("", [], "max_line", 16 << 20),
        ("chunk_size = 200", [], "chunk_size", 200),
        ("chunk_size = 200", ["--chunk-size", "7"], "chunk_size", 7),
        ('deadline = "1h"', [], "deadline", 3600),
        ('window_bytes = "1KiB"', [], "window_bytes", 1024),
        ("unordered = true", [], "unordered", True),
        ("", ["--unordered"], "unordered", True),
        ("drain_timeout = 0", [], "drain_timeout", 0),
    ],
)
def test_settings_of_the_run_are_the_flags_then_the_files(
    run: str, args: list[str], field: str, expected: object
) -> None:
    """The file accepts the values that the flags accept, and numbers."""
    write(f"{ONE}[run]\n{run}\n")
    plan = configured(*args).plan
    assert getattr(plan if hasattr(plan, field) else plan.settings, field) == expected


@pytest.mark.parametrize(
    ("run", "defaults", "own", "args", "limit"),
    [
        ("", "", "", [], 64),
        ("limit = 2", "", "", [], 2),
        ("limit = 2", "limit = 3", "", [], 3),
        ("limit = 2", "limit = 3", "limit = 4", [], 4),
        ("limit = 2", "limit = 3", "limit = 4", ["-l", "5"], 5),
        ("", "limit = 3", "", ["-l", "5"], 5),
    ],
)
def test_settings_of_an_api_have_four_sources(
    run: str, defaults: str, own: str, args: list[str], limit: int
) -> None:
    """The flag wins over the API, that over the defaults, and those over the run."""
    write(f"{ONE}{own}\n[run]\n{run}\n[defaults]\n{defaults}\n")
    assert one(*args).limit == limit


@pytest.mark.parametrize(
    ("key", "value", "flag", "read"),
    [
        ("timeout", '"9s"', ["--timeout", "1s"], lambda api: api.retry.timeout == 1),
        ("retries", "9", ["-r", "0"], lambda api: api.retry.retries == 0),
        ("connect_timeout", "9", ["--connect-timeout", "1"], lambda api: api.connect_timeout == 1),
        ("attempt_timeout", "9", ["--attempt-timeout", "1"], lambda api: api.attempt_timeout == 1),
        ("idempotent", "false", ["--idempotent"], lambda api: api.retry.idempotent),
        ("transport", '"native"', ["--transport", "httpx"], lambda api: api.transport == "httpx"),
    ],
)
def test_flag_wins_over_the_api_of_the_file(
    key: str, value: str, flag: list[str], read: Any
) -> None:
    """A flag applies to every API."""
    write(f"{ONE}{key} = {value}\n")
    assert not read(one())
    assert read(one(*flag))


def test_added_api_comes_last_and_gets_the_flags() -> None:
    """-X, -H and the expressions apply to `-a` APIs; the file's APIs stay as they are."""
    write(ONE + "[defaults]\nlimit = 3\nmethod = 'PUT'\n")
    got = configured("-a", "new=http://new/", "-X", "PATCH", "-H", "X: y", "--when", "id")
    [first, new] = got.plan.apis
    assert (first.name, first.requests.method, first.limit) == ("one", "PUT", 3)
    assert (new.name, new.requests.method, new.limit) == ("new", "PATCH", 3)
    assert dict(new.requests.headers)["X"] == "y"
    assert (first.requests.when, new.requests.when is None) == (None, False)


@pytest.mark.parametrize(
    "credential",
    ['headers = { Authorization = "s3cret" }', 'auth = { bearer = "s3cret" }'],
)
def test_credentials_of_the_defaults_stay_with_the_hosts_of_the_file(credential: str) -> None:
    """A host that only the command line names gets none of the file's credentials."""
    write(f"{ONE}[defaults]\n{credential}\n")
    [first, new] = configured("-a", "new=http://new/").plan.apis
    assert "s3cret" in dict(first.requests.headers)["Authorization"]
    assert "Authorization" not in dict(new.requests.headers)


def test_flag_gives_an_api_of_the_file_another_url() -> None:
    """Its other keys and its position stay."""
    write(
        '[api.one]\nendpoints = ["http://eu/", "http://us/"]\nselect = "x"\nlimit = 3\n[api.two]\n'
    )
    [first, second] = configured("-a", "two=http://two/", "-a", "one=http://new/x").plan.apis
    assert (first.name, first.origin.authority, first.endpoints) == ("one", "new", ())
    assert (first.limit, first.responses.select is None) == (3, False)
    assert (second.name, second.origin.authority) == ("two", "two")


def test_flags_replace_one_header_and_the_credentials_of_an_api_of_the_file() -> None:
    """Headers are replaced one by one."""
    write(f'{ONE}headers = {{ A = "1", B = "2" }}\nauth = {{ bearer = "t" }}\n')
    sent = dict(one("-a", f"one={URL}", "-H", "b: 3", "-H", "Authorization: x").requests.headers)
    assert {name: sent[name] for name in ("A", "b", "Authorization")} == {
        "A": "1",
        "b": "3",
        "Authorization": "x",
    }
    assert "B" not in sent
