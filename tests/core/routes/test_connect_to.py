"""Where connections go instead of the host and port of the URL."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.config.plan import ApiPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.routes.connect_to import parse_connect_to


def plan(value: Any, env: dict[str, str] | None = None) -> ApiPlan:
    api = Api("a", "https://api.test:8443/v1", connect_to=value)
    return plan_run([api], RunSettings(), env or {}).apis[0]


@pytest.mark.parametrize(
    ("value", "host", "port", "shown"),
    [
        ("b.test:9", "b.test", 9, "b.test:9"),
        ("b.test", "b.test", 8443, "b.test"),
        ("b.test:", "b.test", 8443, "b.test"),
        ("B.Test.:9", "b.test.", 9, "b.test.:9"),
        ("10.0.0.7:65535", "10.0.0.7", 65535, "10.0.0.7:65535"),
        ("[::1]:9", "::1", 9, "[::1]:9"),
        ("[fe80::1%eth0]", "fe80::1%eth0", 8443, "[fe80::1%eth0]"),
        ("bücher.test:1", "xn--bcher-kva.test", 1, "xn--bcher-kva.test:1"),
    ],
)
def test_connect_to_is_host_and_port(value: str, host: str, port: int, shown: str) -> None:
    """Without a port, that of the URL counts; the request stays what it is."""
    found = plan(value)
    assert found.connect_to
    assert found.connect_to.of(found.origin) == Origin("https", host, port)
    assert str(found.connect_to) == shown
    assert parse_connect_to(shown) == found.connect_to
    assert found.origin == Origin("https", "api.test", 8443)
    assert ("Host", "api.test:8443") in found.requests.headers


@pytest.mark.parametrize(
    "value",
    ["", ":9", "http://b.test", "b:c", "b.test:9:9", "::1", "[b]:1", "a b", "a/b", 5, "a@b"],
)
def test_other_values_are_refused(value: Any) -> None:
    """The message shows the form, that of IPv6 as well."""
    with pytest.raises(ConfigError) as info:
        plan(value)
    message = str(info.value)
    assert message.startswith("API 'a': connect_to: invalid destination ")
    assert '"[::1]:8443"' in message


@pytest.mark.parametrize("port", ["0", "65536", "9" * 50])
def test_ports_are_checked(port: str) -> None:
    """A port is a number from 1 to 65535."""
    with pytest.raises(ConfigError, match=r"invalid port .*: use a number from 1 to 65535"):
        plan(f"b:{port}")


def test_variables_are_expanded_and_not_shown() -> None:
    """They may hold a part or all of it."""
    assert str(plan("${H}:${P}", {"H": "b", "P": "1"}).connect_to) == "b:1"
    with pytest.raises(ConfigError, match="connect_to: not a destination: use host:port") as info:
        plan("${H}", {"H": "s3cret/"})
    assert "s3cret" not in str(info.value)
