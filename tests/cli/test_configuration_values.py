"""Any value under any key: it is accepted and printed with its meaning, or rejected."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.configured import configured

from tmux_fanout.cli.configuration import RUN_KEYS, Configuration
from tmux_fanout.core.config.config_file import API_KEYS
from tmux_fanout.core.config.settings import RunSettings
from tmux_fanout.core.config.show import show_config
from tmux_fanout.core.errors import ConfigError

VALUES = [
    *("5", "-1", "0", "1.5", "nan", "inf", "true", "99999999999999999999999", "1979-05-27"),
    *('""', '"x"', '"["', '"${"', '"${NO}"', '"\\u0000"', '"\\u009b"', '"http://u:s3cret@h/"'),
    *("[]", "[5]", "[[1]]", '["x"]', "[true]", "[{}]", '["a", "b"]'),
    *("{}", "{a = 1}", "{size = 5}", '{size = "big"}', '{key = "k"}', '{bearer = "a"}'),
    *('{bearer = "s3cret\\n"}', '{basic = ["a", "s3cret"]}', "{A = 5}", "{call = 1}", "07:32:00"),
    *('"auto"', '"lines"', '"merge"', '"json"', '"failover"', '["2xx", 404]', '"5/s"', '"first"'),
    *('"fail"', '"minimal"', '"id=record.id"', '"sse"', '"gzip"', '{next = "link"}'),
    '{url = "/jobs/{_submitted.id}", until = "done"}',
    '{dir = "c", ttl = "24h"}',
]
_SLOTS = {"model": '"m"', "prompt": '"p"', "max_tokens": "5", "system": '"s"', "params": "{}"}
_BODIES = ("json", "text", "model", "prompt", "system", "params")  # which are printed as they are
_NO_DEFAULTS = ("fallback_of", "fallback_on")  # which would make an API its own fallback


@pytest.mark.parametrize("line", ['fallback_of = "one"', "fallback_on = [429]"])
def test_fallbacks_are_set_per_api(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fallback for all APIs would be one of itself: the message says where to set it."""
    monkeypatch.chdir(tmp_path)
    Path("tmux-fanout.toml").write_text(f'[defaults]\n{line}\n[api.one]\nurl = "http://h/"\n')
    with pytest.raises(ConfigError, match=f"^tmux-fanout.toml: defaults.{line[:11]}: .*fallback"):
        configured()


def shown(found: Configuration) -> str:
    own = {
        name: found.options[name] for name in RUN_KEYS if name not in RunSettings.__annotations__
    }
    return show_config(found.apis, found.settings, found.plan, own)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        *(("run", key) for key in RUN_KEYS),
        *(("defaults", key) for key in API_KEYS if key != "url" and key not in _NO_DEFAULTS),
        *(("api.one", key) for key in API_KEYS if key != "url"),
    ],
)
def test_any_value_is_accepted_or_rejected(
    table: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rejection is one line with the key path; accepted values survive `check` twice."""
    monkeypatch.chdir(tmp_path)
    path = Path("tmux-fanout.toml")
    start = '[api.x]\nurl = "http://h/"\n' if key.startswith("fallback_") else ""
    start += '[api.one]\nurl = "http://h/"\n' + ("" if table == "api.one" else f"[{table}]\n")
    if key == "hedge":  # which needs requests that may be sent twice
        start += "idempotent = true\n"
    if key == "fallback_on":  # which needs an API to be the fallback of
        start += "fallback_of = 'x'\n"
    if key == "files_root":  # which has to be there
        Path("x").mkdir()
    if key == "rate_group":  # which needs a rate to share
        start += "rate = '5/s'\n"
    if key == "last":  # which needs a stream
        start += "stream = 'sse'\n"
    if key in _SLOTS:  # which need a preset that has a place for them
        start += "preset = 'anthropic-messages'\n"
        start += "".join(f"{each} = {_SLOTS[each]}\n" for each in _SLOTS if each != key)
    if key in ("hosts", "host_limit", "host_rate"):  # which need a host from the record
        start = start.replace("http://h/", "{+url}") + ("hosts = ['h']\n" if key != "hosts" else "")
    if key == "max_cost":  # which needs a price
        start = '[api.one]\nurl = "http://h/"\nprice = { call = 1 }\n[run]\n'
    accepted = 0
    for value in VALUES:
        path.write_text(f"{start}{key} = {value}\n")
        try:
            text = shown(configured())
        except ConfigError as exc:
            printed = str(exc)
            assert printed.startswith(f"tmux-fanout.toml: {table}.{key}")
            assert printed.isprintable()
        else:
            accepted += 1
            printed = text
            path.write_text(text.replace("***", "filled-in"))
            again = shown(configured())
            assert [line.partition("  # ")[0] for line in again.splitlines()] == [
                line.partition("  # ")[0] for line in text.splitlines()
            ]
        assert "s3cret" not in printed or key in _BODIES
    assert accepted < len(VALUES)
    assert accepted or key in ("cluster", "metrics")  # no value here is an address
