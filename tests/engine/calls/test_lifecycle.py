"""APIs that say that they are deprecated, in virtual time."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.hosts import HostTransport, urls
from support.members import MembersScenario
from support.scripted import Answer, Scenario, ScriptedTransport, TasklessScripted, answers

HEADERS = (
    (b"deprecation", b"@1688169599"),
    (b"link", b'<https://a.test/d>; rel="deprecation"'),
)
LINE = "a has been deprecated since 2023-06-30; see https://a.test/d"


def deprecated(status: int = 200, headers: Any = HEADERS) -> Answer:
    return Answer(0.1, status, headers=headers)


@pytest.mark.parametrize("kind", [ScriptedTransport, TasklessScripted])
@pytest.mark.parametrize("status", [200, 404, 503])
async def test_it_is_said_once(
    autojump_clock: object, kind: type[ScriptedTransport], status: int
) -> None:
    """Whatever the status, and however many calls and retries there are."""
    lines: list[str] = []
    scenario = Scenario(
        {"a": answers(deprecated(status)), "b": answers(Answer(0.1))},
        list(range(50)),
        notify=lines.append,
        transport=kind,
        api={"breaker": False, "limit": 4},
    )
    await scenario.play()
    assert lines.count(LINE) == 1
    assert not any("b " in line for line in lines)
    [first, second] = scenario.run.statistics.apis
    assert first.deprecation is not None
    assert first.deprecation.links == ("https://a.test/d",)
    assert first.told == {"deprecation": LINE}
    assert (second.deprecation, second.told) == (None, {})


async def test_it_is_heard_late(autojump_clock: object) -> None:
    """An API that begins to say so during a run is heard."""
    lines: list[str] = []

    def script(value: Any, attempt: int) -> Answer:
        return deprecated() if value >= 3000 else Answer(0.1)

    await Scenario({"a": script}, list(range(4000)), notify=lines.append).play()
    assert lines == [LINE]


async def test_workers_say_it_once(autojump_clock: object) -> None:
    """Each of them finds out for itself, at different times, and one line is enough."""

    def script(value: Any, attempt: int) -> Answer:
        return deprecated() if value % 300 == 299 else Answer(0.1)

    scenario = MembersScenario({"a": script}, list(range(3000)), api={"limit": 6})
    await scenario.play()
    assert scenario.notices == [LINE]
    assert scenario.run.statistics.apis[0].told == {"deprecation": LINE}


async def test_hosts_say_it_once(autojump_clock: object) -> None:
    """The line names the host that was the first to answer."""
    lines: list[str] = []
    scenario = Scenario(
        {"page": answers(deprecated())},
        urls(["a.test", "b.test", "c.test"], 3),
        api={"url": "{+url}", "hosts": ["*"], "idempotent": True},
        transport=HostTransport,
        notify=lines.append,
    )
    await scenario.play()
    [line] = lines
    assert re.match(r"page: http://[abc]\.test has been deprecated since 2023-06-30; ", line)
