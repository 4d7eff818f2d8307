"""The configuration file's tables, and what is said of keys that are not known."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmux_fanout.core.config.config_file import (
    API_KEYS,
    ConfigFile,
    in_file,
    inherit,
    parse_config,
    quote_key,
    quote_text,
)
from tmux_fanout.core.errors import ConfigError

RUN_KEYS = ("emit", "chunk_size", "chunk_linger", "limit", "timeout")
ALL = """
[run]
chunk_size = 200
[defaults]
limit = 32
headers = { Authorization = "Bearer ${TOKEN}", Accept = "a" }
[api.one]
url = "https://one.example.com/"
limit = 5
headers = { authorization = "mine", X-Trace = "t" }
[api."two words"]
url = "https://two.example.com/"
"""


def parse(text: str) -> ConfigFile:
    return parse_config(text, "f.toml", RUN_KEYS)


def test_parse_config_takes_the_tables() -> None:
    """Each API has the defaults, and its own keys over them, in the order of the file."""
    file = parse(ALL)
    assert (file.path, file.run) == ("f.toml", {"chunk_size": 200})
    assert list(file.apis.items()) == [
        (
            "one",
            {
                "url": "https://one.example.com/",
                "limit": 5,
                "headers": {"Accept": "a", "authorization": "mine", "X-Trace": "t"},
            },
        ),
        (
            "two words",
            {
                "url": "https://two.example.com/",
                "limit": 32,
                "headers": {"Authorization": "Bearer ${TOKEN}", "Accept": "a"},
            },
        ),
    ]


@pytest.mark.parametrize("text", ["", "\n", "[run]\n[defaults]\n[api]\n", "# nothing\r\n"])
def test_parse_config_of_nothing_is_nothing(text: str) -> None:
    """Every table may be left out."""
    assert parse(text) == ConfigFile("f.toml")


def test_config_file_shows_no_secret() -> None:
    """Its repr is its path."""
    assert repr(parse('[defaults]\nproxy = "s3cret"')) == "<ConfigFile f.toml>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run", "f.toml: not TOML: "),
        ("[run]\ntimeout = 20s", "f.toml: not TOML: "),
        ("a = " + "[" * 100_000, "f.toml: not TOML: "),
        ("[runs]", "f.toml: runs: unknown key; did you mean run?"),
        ("[apis.x]", "f.toml: apis: unknown key; did you mean api?"),
        ("[Default]", "f.toml: Default: unknown key; did you mean defaults?"),
        ("[zzz]", "f.toml: zzz: unknown key; known are run, defaults, api"),
        ("limit = 3", "f.toml: limit: unknown key here; it is an option of the run; write it"),
        ('url = "x"', "f.toml: url: unknown key here; it is a key of an API; write it under ["),
        ("run = 3", "f.toml: run: write a table, [run]"),
        ("api = 3", "f.toml: api: write a table for each API, such as [api.lookup]"),
        ("[api]\nx = 3", "f.toml: api.x: write a table, [api.x] of an API; such keys stand under "),
        ("[run]\nchunk-size = 3", "f.toml: run.chunk-size: unknown key; did you mean chunk_size?"),
        ("[run]\nCHUNKSIZE = 3", "f.toml: run.CHUNKSIZE: unknown key; did you mean chunk_size?"),
        ("[run]\nheaders = {}", "f.toml: run.headers: unknown key here; it is a key of an API; "),
        ("[defaults]\nemit = 3", "f.toml: defaults.emit: unknown key here; it is an option of the"),
        ("[defaults]\ntimout = 3", "f.toml: defaults.timout: unknown key; did you mean timeout?"),
        ("[defaults]\nname = 3", "f.toml: defaults.name: unknown key"),
        ("[api.x]\nclient = 3", "f.toml: api.x.client: unknown key; "),
        ("[api.x]\nurls = 3", "f.toml: api.x.urls: unknown key; did you mean url?"),
        ('[api."a b"]\nurls = 3', 'f.toml: api."a b".urls: unknown key; did you mean url?'),
        ('[api.x]\n"https://s3cret" = 1', 'f.toml: api.x."https…": unknown key; '),
        ('[api."https://u:s3cret@h/"]\nurls = 1', "f.toml: api: API name: it is a URL; write a"),
        ('[api."\\u0007s3cret"]\nurls = 1', "f.toml: api: API name '…': write a printable one"),
    ],
    ids=lambda value: value[:30],
)
def test_parse_config_names_file_and_key_and_the_fix(text: str, message: str) -> None:
    """One line: the file, the path of the key, what is wrong, the nearest key that is known."""
    with pytest.raises(ConfigError) as info:
        parse(text)
    said = str(info.value)
    assert said.startswith(message)
    assert "\n" not in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("defaults", "own", "merged"),
    [
        ({}, {}, {}),
        ({"limit": 1}, {"limit": 2}, {"limit": 2}),
        ({"headers": {"A": "1"}}, {}, {"headers": {"A": "1"}}),
        (
            {"headers": {"A": "1", "B": "2"}},
            {"headers": {"a": "3"}},
            {"headers": {"B": "2", "a": "3"}},
        ),
        ({"headers": {"Authorization": "x"}}, {"auth": 1}, {"auth": 1, "headers": {}}),
        (
            {"auth": 1},
            {"headers": {"AUTHORIZATION": "x"}},
            {"headers": {"AUTHORIZATION": "x"}},
        ),
        (
            {},
            {"auth": 1, "headers": {"Authorization": "x"}},
            {"auth": 1, "headers": {"Authorization": "x"}},
        ),
        ({"headers": 5}, {"headers": {"A": "1"}}, {"headers": {"A": "1"}}),
        ({"headers": {"A": "1"}}, {"headers": 5}, {"headers": 5}),
    ],
)
def test_inherit_merges_headers_and_replaces_credentials(
    defaults: dict[str, Any], own: dict[str, Any], merged: dict[str, Any]
) -> None:
    """Own keys win; headers are one by one; two kinds of credentials do not meet by inheriting."""
    assert inherit(defaults, own) == merged


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (ConfigError("bad"), "f.toml: bad"),
        (ConfigError("bad", key="run.emit"), "f.toml: run.emit: bad"),
        (ConfigError("bad", api="x"), "f.toml: api.x: bad"),
        (ConfigError("bad", key="batch.size", api="x"), "f.toml: api.x.batch.size: bad"),
        (ConfigError("bad", key="url", api="a b"), 'f.toml: api."a b".url: bad'),
    ],
)
def test_in_file_writes_the_key_path(mistake: ConfigError, said: str) -> None:
    """API and key become a path as TOML would write it."""
    assert str(in_file("f.toml", mistake)) == said


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quote_text_is_read_back(text: str) -> None:
    """Any text, as a value or as a key, comes back from TOML as it was, and steers nothing."""
    line = f"{quote_key(text)} = {quote_text(text)}"
    assert tomllib.loads(line) == {text: text}
    assert line.isprintable()


def test_quote_text_makes_do_with_lone_surrogates() -> None:
    """They come from arguments that are not UTF-8, and TOML has none."""
    assert tomllib.loads(f"x = {quote_text(chr(0xDC80))}") == {"x": "\ufffd"}


def test_api_keys_are_those_of_the_library() -> None:
    """All the words of `Api` but those that only a program can say."""
    assert {"url", "endpoints", "headers", "auth", "tls", "batch", "transport"} <= set(API_KEYS)
    assert not {"name", "client"} & set(API_KEYS)
