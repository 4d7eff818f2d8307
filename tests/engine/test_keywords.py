"""The three functions of the library have the same keywords, and pass them all on."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tmux_fanout import ConfigError, asyncio, fanout, fanout_sync

FUNCTIONS = [fanout, fanout_sync, asyncio.fanout]


def test_keywords_of_asyncio_are_those_of_trio() -> None:
    """They have the same types and defaults."""
    parameters = inspect.signature(asyncio.fanout).parameters
    assert parameters == inspect.signature(fanout).parameters


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_pass_every_keyword_on(
    function: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is accepted and then forgotten."""
    keywords = [*inspect.signature(function).parameters][2:]
    passed: list[dict[str, Any]] = []

    def resolve(records: object, apis: object, progress: object, **settings: Any) -> None:
        passed.append({**settings, "progress": progress})
        raise ConfigError("enough")

    monkeypatch.setattr(sys.modules[function.__module__], "resolve", resolve)
    with pytest.raises(ConfigError, match="enough"):
        function([], [], **{name: name for name in keywords})
    assert passed == [{name: name for name in keywords}]


@pytest.mark.parametrize(
    ("function", "reference"), [(fanout_sync, "fanout"), (asyncio.fanout, "tmux_fanout.fanout")]
)
def test_docstrings_refer_to_that_of_fanout(
    function: Callable[..., object], reference: str
) -> None:
    """All keywords are described there alone, in the order of the signature."""
    arguments = re.split(r"\n +(?=\w+: )", (inspect.getdoc(function) or "").partition("Args:")[2])[
        1:
    ]
    described = dict(each.split(": ", 1) for each in arguments)
    names = [*inspect.signature(function).parameters]
    assert [*described][: len(names)] == names
    own = dict.fromkeys(names, f"See `{reference}`.") | {
        name: described[name] for name in ("records", "apis", "progress")
    }
    assert {name: described[name] for name in names} == own
