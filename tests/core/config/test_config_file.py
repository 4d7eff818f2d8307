"""The tables of the configuration file, and the messages about unknown keys."""

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
    parse_tables,
    quote_key,
    quote_text,
)
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.merging.files import Sources
from tmux_fanout.core.merging.inheritance import inherit
from tmux_fanout.core.mistakes.toml import parse_toml

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
    return parse_tables(parse_toml(text, "f.toml"), Sources("f.toml"), RUN_KEYS)


def test_parse_config_returns_the_tables() -> None:
    """Each API has its own keys over the defaults, in the order of the file."""
    file = parse(ALL)
    assert (file.sources.main, file.run) == ("f.toml", {"chunk_size": 200})
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
    assert parse(text) == ConfigFile(Sources("f.toml"))


def test_config_file_shows_no_secret() -> None:
    """Its repr is its path."""
    assert repr(parse('[defaults]\nproxy = "s3cret"')) == "<ConfigFile f.toml>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run", "f.toml: not TOML: write the name of a table as in [api.lookup]"),
        ("[run]\ntimeout = 20s", "f.toml: line 2, column 13: not TOML: put text in quotes, as in "),
        ("[run]\ntimeout = s", "f.toml: line 2, column 11: not TOML: put text in quotes, as in "),
        ("a = 's", "f.toml: not TOML: close the quotes of a text, on the same line"),
        ("a = 's\n'", "f.toml: line 1, column 7: not TOML: close the quotes of a text"),
        ('a = "\\d"', "f.toml: line 1, column 8: not TOML: put text with a \\ in single quotes"),
        ("x", "f.toml: not TOML: write a key and its value as in timeout"),
        (
            "[run]\n[run]",
            "f.toml: line 2, column 5: not TOML: a table or key stands there a second",
        ),
        ("a = 1\na = 2", "f.toml: not TOML: a table or key stands there a second time: merge"),
        ("a = [1 2]", "f.toml: line 1, column 8: not TOML: close the list with ]"),
        ("a = {b = 1 c}", "f.toml: line 1, column 12: not TOML: close the table with }"),
        ("\x01 = 3", "f.toml: line 1, column 1: not TOML: "),
        ("a = " + "[" * 100_000, "f.toml: not TOML, "),
        ("[runs]", "f.toml: unknown key 'runs': did you mean run?"),
        ("[apis.x]", "f.toml: unknown key 'apis': did you mean api?"),
        ("[Default]", "f.toml: unknown key 'Default': did you mean defaults?"),
        ("[zzz]", "f.toml: unknown key 'zzz': use one of run, defaults, api"),
        ("limit = 3", "f.toml: unknown key 'limit' here: an option of the run goes under [run]"),
        ('url = "x"', "f.toml: unknown key 'url' here: a key of an API goes under [defaults] or "),
        ("run = 3", "f.toml: run: not a table: use [run]"),
        ("api = 3", "f.toml: api: not a table: use one for each API, such as [api.lookup]"),
        ("[api]\nx = 3", "f.toml: api.x: not a table: use [api.x]; keys for all APIs go under ["),
        ("[run]\nchunk-size = 3", "f.toml: run: unknown key 'chunk-size': did you mean chunk_s"),
        ("[run]\nCHUNKSIZE = 3", "f.toml: run: unknown key 'CHUNKSIZE': did you mean chunk_size?"),
        ("[run]\nheaders = {}", "f.toml: run: unknown key 'headers' here: a key of an API goes "),
        ("[defaults]\nemit = 3", "f.toml: defaults: unknown key 'emit' here: an option of the run"),
        ("[defaults]\ntimout = 3", "f.toml: defaults: unknown key 'timout': did you mean timeout?"),
        (
            "[api.x]\naudience = 'x'",
            "f.toml: api.x: unknown key 'audience' here: write "
            "auth = { oauth2 = { params = { audience = ... } } }",
        ),
        ("[api.x]\nCA = 'x'", "f.toml: api.x: unknown key 'CA' here: write tls = { CA = ... }"),
        (
            "[defaults]\nkey = 'x'",
            "f.toml: defaults: unknown key 'key' here: write batch = { key = ... } or "
            "tls = { key = ... }",
        ),
        (
            "[run]\nwait = '1h'",
            "f.toml: run: unknown key 'wait' here: under [defaults] or [api.NAME], write "
            "breaker = { wait = ... }",
        ),
        (
            "bearer = 'x'",
            "f.toml: unknown key 'bearer' here: under [defaults] or [api.NAME], write "
            "auth = { bearer = ... }",
        ),
        ("[run]\ninclude = ['x']", "f.toml: run: unknown key 'include' here: it goes to the top"),
        ("[run]\nprofile = 'x'", "f.toml: run: unknown key 'profile' here: choose one with --pro"),
        ("[run]\ninput = 'x'", "f.toml: run: unknown key 'input': did you mean "),
        ("[defaults]\nname = 3", "f.toml: defaults: unknown key 'name'"),
        ("[api.x]\nclient = 3", "f.toml: api.x: unknown key 'client': "),
        ("[api.x]\nurls = 3", "f.toml: api.x: unknown key 'urls': did you mean url?"),
        ('[api."a b"]\nurls = 3', "f.toml: api.\"a b\": unknown key 'urls': did you mean url?"),
        ('[api.x]\n"https://s3cret" = 1', "f.toml: api.x: unknown key 'https…': "),
        ('[api."https://u:s3cret@h/"]\nurls = 1', "f.toml: api: invalid API name (a URL): use "),
        ('[api."\\u0007s3cret"]\nurls = 1', "f.toml: api: invalid API name '…': use printable "),
    ],
    ids=lambda value: value[:30],
)
def test_parse_config_names_file_and_key_and_the_fix(text: str, message: str) -> None:
    """One line: the file, the path of the table, the unknown key, the nearest known one."""
    with pytest.raises(ConfigError) as info:
        parse(text)
    shown = str(info.value)
    assert shown.startswith(message)
    assert "\n" not in shown
    assert "s3cret" not in shown


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
        ({"auth": {"bearer": "a"}}, {"auth": False}, {"auth": False}),
        (
            {"headers": {"Authorization": "a", "X": "1"}},
            {"auth": False},
            {"headers": {"X": "1"}, "auth": False},
        ),
        (
            {"auth": {"bearer": "a"}},
            {"headers": {"authorization": False}},
            {"headers": {"authorization": False}},
        ),
        ({"auth": False}, {"auth": {"bearer": "b"}}, {"auth": {"bearer": "b"}}),
    ],
)
def test_inherit_merges_headers_and_replaces_credentials(
    defaults: dict[str, Any], own: dict[str, Any], merged: dict[str, Any]
) -> None:
    """Own keys win, headers one by one; inherited credentials give way to own ones."""
    assert inherit(defaults, own) == merged


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConfigError("bad"), "f.toml: bad"),
        (ConfigError("bad", key="run.emit"), "f.toml: run.emit: bad"),
        (ConfigError("bad", api="x"), "f.toml: api.x: bad"),
        (ConfigError("bad", key="batch.size", api="x"), "f.toml: api.x.batch.size: bad"),
        (ConfigError("bad", key="url", api="a b"), 'f.toml: api."a b".url: bad'),
    ],
)
def test_in_file_adds_the_key_path(error: ConfigError, message: str) -> None:
    """API and key become a path as TOML would write it."""
    assert str(in_file(Sources("f.toml"), error)) == message


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quote_text_is_read_back(text: str) -> None:
    """Any text, as a value or as a key, survives a round trip, and is printable."""
    line = f"{quote_key(text)} = {quote_text(text)}"
    assert tomllib.loads(line) == {text: text}
    assert line.isprintable()


def test_quote_text_replaces_lone_surrogates() -> None:
    """They come from arguments that are not UTF-8, and TOML has none."""
    assert tomllib.loads(f"x = {quote_text(chr(0xDC80))}") == {"x": "\ufffd"}


def test_api_keys_are_those_of_the_library() -> None:
    """The file takes all arguments of `Api` except those that only a program can give."""
    assert {"url", "endpoints", "headers", "auth", "tls", "batch", "transport"} <= set(API_KEYS)
    assert not {"name", "client"} & set(API_KEYS)
