"""Any value under any key: it is taken, and said again as it is meant, or it is a mistake."""

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
    *('{bearer = "s3cret\\n"}', '{basic = ["a", "s3cret"]}', "{A = 5}", "07:32:00"),
    *('"auto"', '"lines"', '"merge"', '"json"', '"failover"', '["2xx", 404]', '"5/s"', '"first"'),
]


def shown(found: Configuration) -> str:
    own = {
        name: found.options[name] for name in RUN_KEYS if name not in RunSettings.__annotations__
    }
    return show_config(found.apis, found.settings, found.plan, own)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        *(("run", key) for key in RUN_KEYS),
        *(("defaults", key) for key in API_KEYS if key != "url"),
        *(("api.one", key) for key in API_KEYS if key != "url"),
    ],
)
def test_any_value_is_taken_or_told(
    table: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal is one line with the key path; what is taken comes out of `check` to stay."""
    monkeypatch.chdir(tmp_path)
    path = Path("tmux-fanout.toml")
    start = '[api.one]\nurl = "http://h/"\n' + ("" if table == "api.one" else f"[{table}]\n")
    if key == "hedge":  # which nothing can be that must not be sent twice
        start += "idempotent = true\n"
    taken = 0
    for value in VALUES:
        path.write_text(f"{start}{key} = {value}\n")
        try:
            text = shown(configured())
        except ConfigError as exc:
            said = str(exc)
            assert said.startswith(f"tmux-fanout.toml: {table}.{key}")
            assert said.isprintable()
        else:
            taken += 1
            said = text
            path.write_text(text)
            again = shown(configured())
            assert [line.partition("  # ")[0] for line in again.splitlines()] == [
                line.partition("  # ")[0] for line in text.splitlines()
            ]
        assert "s3cret" not in said
    assert 0 < taken < len(VALUES)
