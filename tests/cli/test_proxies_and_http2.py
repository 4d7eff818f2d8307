"""Proxies from the environment, and HTTP/2, in the command."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.command import PATIENCE, environment, lines, records, run
from support.loopback import Loopback

# The command in a Python that has no h2.
WITHOUT_H2 = """
import sys, importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "h2" else find(name, *more)
from tmux_fanout import Api, fanout_sync
from tmux_fanout.core.errors import ConfigError
try:
    fanout_sync([], [Api("a", "https://a.test/", http2=True)])
except ConfigError as exc:
    print(exc)
"""


def test_run_goes_through_the_proxy_of_the_environment(server: Loopback) -> None:
    """The proxy gets the whole URL of an origin that does not exist."""
    env = environment(http_proxy=server.url())
    done = run("-a", "a=http://nowhere.test/x", "-v", stdin=records(2), env=env)
    assert done.returncode == 0
    assert [line["results"]["a"]["body"] for line in lines(done.stdout)] == [{"id": 0}, {"id": 1}]
    assert server.paths == ["http://nowhere.test/x"] * 2
    assert server.headers[0]["Host"] == "nowhere.test"
    assert b"httpx (http_proxy names a proxy, http://127.0.0.1:" in done.stderr


@pytest.mark.parametrize("how", ["--no-env-proxy", "no_proxy"])
def test_run_passes_over_the_proxy_of_the_environment(server: Loopback, how: str) -> None:
    """By the option, or because the host is listed."""
    env = environment(http_proxy="http://127.0.0.1:1", no_proxy="127.0.0.0/8")
    options = []
    if how == "--no-env-proxy":
        env.pop("no_proxy")
        options = [how]
    done = run("-a", f"a={server.url()}", *options, stdin=records(1), env=env)
    assert done.returncode == 0
    assert server.paths == ["/"]


@pytest.mark.parametrize(
    ("value", "options", "words"),
    [
        ("secret secret", [], b"http_proxy: not the URL of a proxy; use one such as http://"),
        ("socks5://p.test", [], b"http_proxy: SOCKS is not supported; use http://"),
        (
            "p.test:1",
            ["--transport", "native"],
            b"the proxy that http_proxy names: use transport = auto",
        ),
    ],
)
def test_run_refuses_a_proxy_that_it_cannot_use(
    value: str, options: list[str], words: bytes
) -> None:
    """One line names the variable, but not its value; nothing is sent."""
    done = run("-a", "a=http://a.test/", *options, env=environment(http_proxy=value))
    assert done.returncode == 2
    assert words in done.stderr
    assert b"secret" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_http2_without_its_extra_says_what_to_install() -> None:
    """The error is reported before anything is sent."""
    command = [sys.executable, "-c", WITHOUT_H2]
    done = subprocess.run(
        command, capture_output=True, env=environment(), timeout=PATIENCE, check=True
    )
    assert done.stdout == (b"API 'a': http2: it needs an extra; pip install 'tmux-fanout[http2]'\n")
