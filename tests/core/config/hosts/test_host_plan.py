"""`hosts`, `host_limit` and `host_rate`, and what goes with them."""

from __future__ import annotations

from typing import Any

import pytest

from tmux_fanout.core.config.descriptors import fit
from tmux_fanout.core.config.plan import ApiPlan, plan_run
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.config.show import show_config
from tmux_fanout.core.dealing.shares import max_workers, plan_for_worker
from tmux_fanout.core.errors import ConfigError

PAGE: dict[str, Any] = {"url": "{+url}", "hosts": ["*"], "method": "GET"}


def plan(env: dict[str, str] | None = None, /, **settings: Any) -> ApiPlan:
    return plan_run([Api("page", **{**PAGE, **settings})], RunSettings(), env or {}).apis[0]


def test_hosts_have_defaults() -> None:
    """Eight attempts at each host, at any rate, over the native transport."""
    planned = plan()
    assert planned.hosts is not None
    assert (planned.hosts.limit, planned.hosts.rate) == (8, None)
    assert planned.transport == "native"
    assert planned.requests.fields == {"url": "url"}


@pytest.mark.parametrize(
    ("settings", "key", "advice"),
    [
        ({"hosts": None}, "url", r'add one such as hosts = \["\*\.example\.com"\] \(--hosts\)'),
        ({"hosts": None, "url": "https://{t}.test/"}, "url", "unless hosts lists those that may"),
        ({"url": "https://a.test/{id}"}, "hosts", "no effect, as url has its host"),
        ({"url": "https://a.test/", "hosts": None, "host_limit": 2}, "host_limit", "add hosts"),
        ({"url": "https://a.test/", "hosts": None, "host_rate": "2/s"}, "host_rate", "add hosts"),
        ({"host_limit": 0}, "host_limit", "at least 1"),
        ({"host_rate": "fast"}, "host_rate", "N/s"),
        ({"hosts": ["a:b"]}, "hosts", "HOST:PORT"),
        ({"endpoints": ["https://a.test"]}, "endpoints", "leave one of the two out"),
        ({"batch": {"size": 2}}, "batch", "leave it out, or add an API for each host"),
        (
            {"pages": {"next": "link", "items": "data"}},
            "pages",
            "leave it out, or add an API for each host",
        ),
        ({"hedge": "p95"}, "hedge", "leave one of the two out"),
        ({"cost": "chars/4"}, "cost", "leave it out, or add an API for each host"),
        ({"price": {"call": "0.01"}}, "price", "leave it out, or add an API for each host"),
        ({"rate": "5/s", "rate_group": "g"}, "rate_group", "leave one of the two out"),
        ({"rate": {"tokens": "5/s"}}, "rate", "use one such as"),
        ({"limit": "adaptive"}, "limit", "use a number"),
        ({"proxy": "http://p.test:3128"}, "proxy", "leave one of the two out"),
        ({"http2": True}, "http2", "leave one of the two out"),
        ({"transport": "httpx"}, "transport", "use native beside hosts"),
        ({"headers": {"Host": "x"}}, "headers.Host", "leave it out"),
        ({"headers": {"host": "x"}}, "headers.Host", "leave it out"),
        ({"auth": {"bearer": "t"}}, "hosts", r"the credentials \(auth.bearer\): list the hosts"),
        ({"headers": {"X-Api-Key": "k"}}, "hosts", r"\(header X-Api-Key\)"),
        ({"url": "{+url}?token=abc"}, "hosts", r"the credentials \(url\)"),
    ],
)
def test_settings_that_contradict_hosts_are_explained(
    settings: dict[str, Any], key: str, advice: str
) -> None:
    """The message names the key and says what to write instead."""
    with pytest.raises(ConfigError, match=advice) as caught:
        plan(**settings)
    assert caught.value.key == key
    assert caught.value.api == "page"


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "ALL_PROXY"])
def test_proxies_of_the_environment_are_refused(variable: str) -> None:
    """A proxy would resolve names by itself; `--no-env-proxy` leaves it out."""
    env = {variable: "http://p.test:3128"}
    with pytest.raises(ConfigError, match=f"{variable} names a proxy.*--no-env-proxy"):
        plan(env)
    apis = [Api("page", **PAGE)]
    assert plan_run(apis, RunSettings(env_proxy=False), env).apis[0].transport == "native"


def test_credentials_go_to_hosts_that_are_listed() -> None:
    """With names in place of `*`, an API may have credentials."""
    assert plan(hosts=["*.example.com"], auth={"bearer": "t"}).hosts is not None


def test_check_shows_what_counts() -> None:
    """`check` prints the hosts and their limit, also where that is the default."""
    apis = [Api("page", **PAGE, host_rate="2/s"), Api("other", "https://a.test/")]
    planned = plan_run(apis, RunSettings(), {})
    shown = show_config(apis, RunSettings(), planned, {})
    assert 'hosts = ["*"]\nhost_limit = 8\nhost_rate = "2/s"\n' in shown
    assert shown.count("host_limit") == 1


def test_idle_connections_to_other_hosts_need_descriptors() -> None:
    """There may be as many idle connections as used ones, so the limit is lowered for both."""
    apis = [Api("page", **PAGE, limit=64), Api("other", "https://a.test/", limit=64)]
    fitted = fit(plan_run(apis, RunSettings(), {}), 96)
    assert [api.limit for api in fitted.apis] == [32, 32]
    assert sum(api.max_connections for api in fitted.apis) == 96


def test_processes_have_fixed_shares_of_each_host() -> None:
    """No more processes than attempts at one host; each has an equal part of them, rounded down."""
    whole = plan_run([Api("page", **PAGE, host_limit=7)], RunSettings(), {})
    assert max_workers(whole) == (7, "page's host_limit of 7")
    hosts = plan_for_worker(whole, 3).apis[0].hosts
    assert hosts is not None
    assert hosts.limit == 2


@pytest.mark.parametrize(("rate", "number"), [("2/s", 1), ("40/s", 4)])
def test_rates_of_hosts_bound_the_processes(rate: str, number: int) -> None:
    """Each process needs one attempt of the burst at each host."""
    whole = plan_run([Api("page", **PAGE, host_limit=64, host_rate=rate)], RunSettings(), {})
    assert max_workers(whole).number == number
    hosts = plan_for_worker(whole, number).apis[0].hosts
    assert hosts is not None
    assert hosts.rate is not None
    assert hosts.rate * number == pytest.approx(float(rate.removesuffix("/s")))
