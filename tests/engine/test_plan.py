"""Configuration files in programs: `Plan`."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.loopback import Loopback

import tmux_fanout.asyncio
from tmux_fanout import Api, ConfigError, Plan, fanout, fanout_sync
from tmux_fanout.cli.configuration import RUN_KEYS
from tmux_fanout.core.config.config_file import COMMAND_KEYS
from tmux_fanout.core.config.settings import RunSettings
from tmux_fanout.engine.library.plan import resolve

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "c.toml"
        path.write_text(text)
        return path

    return write


FILE = """
[run]
timeout = "20s"
window = 7
join = "first"
env_proxy = false
output = "results.jsonl"
workers = "auto"
[defaults]
limit = 3
[api.a]
url = "http://a.test/${WHERE}"
auth = { bearer = "${TOKEN}" }
[api.b]
url = "http://b.test/"
limit = 5
timeout = "2s"
"""


def test_a_file_gives_apis_and_settings(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those that the command would use; what only the command can use is ignored."""
    monkeypatch.setenv("WHERE", "here")
    monkeypatch.setenv("TOKEN", "s3cret")
    plan = Plan.from_file(write(FILE))
    assert [api.name for api in plan.apis] == ["a", "b"]
    assert repr(plan) == "<Plan: a, b>"
    run = resolve([], plan, None).plan
    assert [(api.limit, api.retry.timeout) for api in run.apis] == [(3, 20.0), (5, 2.0)]
    assert (run.window, run.join.needed, run.apis[0].requests.target) == (7, 1, "/here")
    assert "s3cret" not in repr(plan.apis)


def test_keywords_win_over_the_run_of_a_plan(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that equals the default; an API keeps what it sets itself."""
    monkeypatch.setenv("WHERE", "here")
    monkeypatch.setenv("TOKEN", "s3cret")
    plan = Plan.from_file(str(write(FILE)))
    run = resolve(
        [], plan, None, timeout=60, window=1024, join="all", env_proxy=True, rate=None
    ).plan
    assert [api.retry.timeout for api in run.apis] == [60.0, 2.0]
    assert (run.window, run.join.needed) == (1024, None)


def test_a_plan_may_be_made_in_the_program() -> None:
    """Without a file."""
    plan = Plan([Api("a", "http://a.test/")], {"timeout": "5s"})
    assert resolve([], plan, None).plan.apis[0].retry.timeout == 5.0


async def test_fanout_takes_a_plan(write: Write, server: Loopback) -> None:
    """In place of the APIs."""
    plan = Plan.from_file(write(f'[api.a]\nurl = "{server.url()}"\nselect = "id"\n'))
    async with fanout([{"id": 1}], plan, limit=1) as results:
        assert [result["a"].body async for result in results] == [1]


def test_fanout_sync_takes_a_plan(write: Write, server: Loopback) -> None:
    """As often as wanted."""
    plan = Plan.from_file(write(f'[api.a]\nurl = "{server.url()}"\nselect = "id"\n'))
    for _ in range(2):
        assert [result["a"].body for result in fanout_sync([{"id": 1}], plan)] == [1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "c.toml: not TOML"),
        ("[run]\ntimout = 3\n", "c.toml: run: unknown key 'timout': did you mean timeout?"),
        ("[run]\noutptu = 3\n", "c.toml: run: unknown key 'outptu': did you mean output?"),
        ("[run]\ntimeout = 'soon'\n", "c.toml: run.timeout: invalid duration 'soon'"),
        ("[run]\nlimit = 2\n", "c.toml: no API to call: add a table such as [api.lookup]"),
        ("[api.a]\nurl = 'http://a.test/${NOPE_}'\n", "c.toml: api.a.url: "),
        (
            "[defaults]\nselect = '['\n[api.a]\nurl = 'http://a.test/'\n",
            "c.toml: defaults.select: ",
        ),
        ("[api.a]\nurl = 'http://a.test/'\nafter = ['b']\n", "c.toml: api.a.after: "),
        ("[api.a]\nurl = 'http://a.test/'\ntls = { ca = 'nope.pem' }\n", "c.toml: api.a.tls"),
        (
            "[run]\njoin = 'quorum:2'\n[api.a]\nurl = 'http://a.test/'\n",
            "c.toml: run.join: quorum:2",
        ),
        ("[api]\na = 5\n", "c.toml: api.a: not a table"),
    ],
)
def test_mistakes_name_file_and_key(write: Write, text: str, said: str) -> None:
    """As they do for the command, before anything is sent."""
    with pytest.raises(ConfigError) as caught:
        Plan.from_file(write(text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_told_at_once(write: Write) -> None:
    """A line for each, as the command has it, among them secrets that `check` has hidden."""
    text = "[run]\ntimeout = 'soon'\n[api.a]\nurl = 'http://a.test/'\nselct = 'x'\n"
    with pytest.raises(ConfigError) as caught:
        Plan.from_file(write(text + "headers = { Authorization = '***' }\n"))
    shown = [line.partition("c.toml: ")[2] for line in str(caught.value).splitlines()]
    assert sorted(line.split(": ")[0] for line in shown) == [
        "api.a",
        "api.a.headers.Authorization",
        "run.timeout",
    ]


def test_all_variables_that_are_not_set_are_told(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Presets have some that the file does not show."""
    for name in ("OPENAI_API_KEY", "MISTRAL_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    text = "".join(
        f"[api.{preset}]\npreset = '{preset}'\nmodel = 'm'\nprompt = 'p'\n"
        for preset in ("openai-chat", "mistral")
    )
    with pytest.raises(ConfigError) as caught:
        Plan.from_file(write(text))
    assert [line.count("_API_KEY} is not set") for line in str(caught.value).splitlines()] == [1, 1]


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    """One that is not there, is a directory, or is not text."""
    (tmp_path / "x").write_bytes(b"\xff")
    for path in (tmp_path / "nope.toml", tmp_path, tmp_path / "x"):
        with pytest.raises(ConfigError, match=r"No such file|Is a directory|not UTF-8"):
            Plan.from_file(path)


def test_settings_of_a_plan_are_checked() -> None:
    """A plan that the program makes may have mistakes."""
    with pytest.raises(ConfigError, match="timeout: invalid duration 'soon'"):
        Plan([], {"timeout": "soon"})
    with pytest.raises(ConfigError, match="unknown key 'timout': did you mean timeout"):
        Plan([], {"timout": 3})


@pytest.mark.parametrize("function", [fanout, fanout_sync])
def test_a_plan_without_apis_is_refused(function: Any) -> None:
    """As a list without any is."""
    with pytest.raises(ConfigError, match="no API"):
        function([], Plan([]))


@pytest.mark.parametrize("apis", ["c.toml", Path("c.toml"), Api("a", "http://a.test/"), None, [5]])
@pytest.mark.parametrize("function", [fanout, fanout_sync, tmux_fanout.asyncio.fanout])
def test_what_is_no_list_of_apis_is_refused(function: Any, apis: Any) -> None:
    """The message has both forms that there are."""
    with pytest.raises(ConfigError, match=r"apis: not a list of APIs: use one such as \[Api\("):
        function([1], apis)


@pytest.mark.parametrize(
    ("records", "advice"),
    [
        ("a.jsonl", r"use \[record\], or open\(path, \"rb\"\)"),
        (b'{"id": 1}', r"use \[record\], or open\(path, \"rb\"\)"),
        (Path("a.jsonl"), r"use \[record\], or open\(path, \"rb\"\)"),
        ({"id": 1}, r"this is one record: use \[record\]"),
        (io.StringIO("{}\n"), r"open it with \"rb\" if its lines are JSON .* sys\.stdin\.buffer"),
    ],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.parametrize("function", [fanout, fanout_sync, tmux_fanout.asyncio.fanout])
def test_what_holds_no_records_is_refused(function: Any, records: Any, advice: str) -> None:
    """A path, one record, and lines that would be sent as texts can all be iterated over."""
    with pytest.raises(ConfigError, match=f"records: .*{advice}"):
        function(records, [Api("a", "http://a.test/")])


def test_options_of_the_command_alone_are_known() -> None:
    """A program ignores them under [run]; whoever adds an option adds it to `COMMAND_KEYS`."""
    assert set(COMMAND_KEYS) == set(RUN_KEYS) - set(RunSettings.__struct_fields__)
