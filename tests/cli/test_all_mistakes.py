"""All mistakes of a configuration file are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import run
from support.configured import configured

from tmux_fanout.core.errors import ConfigError

F = "tmux-fanout.toml: "
URL = 'url = "http://127.0.0.1:1/"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter an empty working directory."""
    monkeypatch.chdir(tmp_path)


def mistakes(text: str, *args: str) -> list[str]:
    """Return the lines about a file, up to the colon that follows the key."""
    Path("tmux-fanout.toml").write_text(text)
    with pytest.raises(ConfigError) as info:
        configured(*args)
    return [str(each).removeprefix(F) for each in info.value.each()]


def test_every_kind_of_mistake_is_told_at_once() -> None:
    """Unknown keys, values, expressions, URLs, variables and names, wherever they stand."""
    text = f"""
[rum]
x = 1
[run]
emitt = "merge"
timeout = "soon"
emit = "all"
[defaults]
limit = 0
headers = {{ Accept = 5, X-Ok = "y" }}
[api.one]
{URL}
when = "level == \\"error\\""
select = "a["
timout = 3
headers = {{ "Bad Name" = "x", X-Key = "${{NONE}}" }}
[api."t.wo"]
url = "ftp://h/"
after = ["ones"]
batch = {{ sise = 3 }}
"""
    told = [line.partition(": ")[0] for line in mistakes(text)]
    assert sorted(told) == sorted(
        [
            *("unknown key 'rum'", "run", "run.timeout", "run.emit"),
            *("defaults.limit", "defaults.headers.Accept"),
            *("api.one.when", "api.one.select", "api.one", "api.one.headers"),
            *("api.one.headers.X-Key", 'api."t.wo".url', 'api."t.wo".after', 'api."t.wo".batch'),
        ]
    )


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("[apis.x]\nurl = 'h'", ["unknown key 'apis'"]),
        ("[api.x]\nendpoints = 5\nurl = '/a'", ["api.x.endpoints"]),
        ("[api.x]\nurls = 'http://h/'\nmethod = 'a b'\nhedge = 'p95'", ["api.x"] * 3),
        (f"[api.x]\n{URL}fallback_of = 'y'\nfallback_on = [500]", ["api.x.fallback_of"]),
        (f"[api.x]\n{URL}[run]\nmax_cost = 5\n", ["run.max_cost"]),
        (f"[api.x]\n{URL}price = 5\n[run]\nmax_cost = 5\n", ["api.x.price"]),
        (f"[api.x]\n{URL}model = 5", ["api.x.model"]),
        (f"[api.x]\n{URL}max_tokens = 0\nprompt = '{{'", ["api.x.prompt", "api.x.max_tokens"]),
        ("[api.x]\npreset = 'ollama'\nmodel = 5\nprompt = 5", ["api.x.model", "api.x.prompt"]),
        (f"[api.url]\n{URL}when = '['\n[api.when]\n{URL}when = ']'", ["api.url.when", "api.when"]),
        ("[api.x]\nurl = 'ftp://h'\n[api.y]\nurl = '${NO}'", ["api.x.url", "api.y.url"]),
    ],
)
def test_what_follows_from_a_mistake_is_none(text: str, keys: list[str]) -> None:
    """A setting that is only wrong without another one is not told of."""
    told = [line.partition(": ")[0] for line in mistakes(text)]
    assert [line for key, line in zip(keys, told) if not line.startswith(key)] == []
    assert all(any(line.startswith(key) for key in keys) for line in told)
    assert len(told) == len(keys)


def test_a_table_whose_columns_are_a_mistake_does_not_lack_them() -> None:
    """Nor does it keep the mistakes of APIs from being told."""
    told = mistakes(f"[run]\nemit = 'csv'\ncolumns = 'id=['\n[api.x]\n{URL}select = 'a['\n")
    assert sorted(line.partition(": ")[0] for line in told) == ["api.x.select", "run.columns"]


def test_mistakes_of_flags_come_last() -> None:
    """They are told together with those of the file that come to light before."""
    told = mistakes(f"[run]\ntimeout = 'soon'\nretries = -1\n[api.x]\n{URL}", "-a", "y=ftp://h")
    assert [line.partition(":")[0] for line in told] == ["run.retries", "run.timeout", "API 'y'"]


def test_flag_that_needs_a_setting_at_fault_is_none() -> None:
    """The price is there, and wrong; without one the flag is at fault."""
    told = mistakes(f"[api.x]\n{URL}price = 5\n", "--max-cost", "5")
    assert [line.partition(":")[0] for line in told] == ["api.x.price"]
    told = mistakes(f"[api.x]\n{URL}", "--max-cost", "5")
    assert [line.partition(":")[0] for line in told] == ["--max-cost"]


def test_there_is_an_end_to_it() -> None:
    """A file of mistakes gives no more than a screenful."""
    text = f"[api.x]\n{URL}" + "".join(f"key{n} = 1\n" for n in range(1000))
    assert len(mistakes(text)) == 20
    unset = "".join(f'X-{n} = "${{NO{n}}}"\n' for n in range(30))
    assert len(mistakes(f"[api.x]\n{URL}[api.x.headers]\n{unset}")) == 20


def test_each_variable_that_is_not_set_is_told() -> None:
    """Also those of presets, which no table of the file has, of endpoints, and of one text."""
    text = f"""
[run]
timeout = "soon"
[api.a]
preset = "openai-chat"
model = "m"
prompt = "p"
[api.b]
preset = "anthropic-messages"
model = "m"
prompt = "p"
max_tokens = 5
[api.c]
{URL}headers = {{ X-Key = "${{C1}}${{C2}}" }}
[api.d]
url = "/x"
endpoints = [
    {{ url = "http://h1.test", auth = {{ bearer = "${{D1}}" }} }},
    {{ url = "http://h2.test", auth = {{ bearer = "${{D2}}" }} }},
]
"""
    told = [line.partition("; ")[0] for line in mistakes(text)]
    assert [line.partition(":")[0] for line in told[:1]] == ["run.timeout"]
    assert told[1:] == [
        "api.a.auth.bearer: ${OPENAI_API_KEY} is not set",
        "api.b.auth.bearer: ${ANTHROPIC_API_KEY} is not set",
        "api.c.headers.X-Key: ${C1} is not set",
        "api.c.headers.X-Key: ${C2} is not set",
        "api.d.endpoints.auth.bearer: ${D1} is not set",
        "api.d.endpoints.auth.bearer: ${D2} is not set",
    ]


def test_variables_of_options_are_told_too() -> None:
    """There is no file to look at."""
    with pytest.raises(ConfigError) as info:
        configured("-a", "a=http://a.test/${V1}", "-H", "X: ${V2}")
    assert [str(each).partition("; ")[0] for each in info.value.each()] == [
        "API 'a': url: ${V1} is not set",
        "API 'a': headers.X: ${V2} is not set",
    ]


@pytest.mark.parametrize("command", ["run", "check", "explain"])
def test_the_command_has_a_line_for_each(command: str) -> None:
    """Each line begins with the program and the file, and the exit status is 2."""
    Path("tmux-fanout.toml").write_text(f"[run]\ntimeout = 'soon'\n[api.x]\n{URL}limit = 's3cret'")
    done = run(command)
    assert (done.returncode, done.stdout) == (2, b"")
    first, second = done.stderr.decode().splitlines()
    assert first.startswith("tmux-fanout: tmux-fanout.toml: run.timeout: invalid duration 'soon'")
    assert second.startswith("tmux-fanout: tmux-fanout.toml: api.x.limit: invalid limit 's3cret'")
