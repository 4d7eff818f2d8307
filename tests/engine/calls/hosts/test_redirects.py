"""Redirects of APIs whose hosts come from their records."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from support.hosts import HostTransport, TasklessHostTransport
from support.scripted import Scenario
from support.witness import check_nothing_is_held

from tmux_fanout.core.errors import TransportError
from tmux_fanout.core.http.messages import Request, Response
from tmux_fanout.core.tracing.traceparent import find_traceparent
from tmux_fanout.transports.base import Progress

API: dict[str, Any] = {
    "url": "{+value}",
    "hosts": ["*.test", "10.1.0.0/16"],
    "method": "GET",
    "redirects": 3,
}


class Site(HostTransport):
    """Answers by URL: a redirect, a status, a failure, or 200 with the URL as the body.

    Args:
        pages: redirects by URL, each a status and a Location; or failures.
    """

    delay = 0.0

    def __init__(self, pages: dict[str, Any]) -> None:
        super().__init__(None)
        self.pages = pages

    async def play(self, request: Request, progress: Progress) -> Response:
        host = self.seen.enter(request)
        self.urls.append(f"{request.head.method} {request.head.url}")
        try:
            progress.sent = True
            await trio.sleep(self.delay)
        finally:
            self.seen.in_flight[host] -= 1
        found = self.pages.get(request.head.url, 200)
        if isinstance(found, TransportError):
            progress.sent = found.sent
            raise found
        if isinstance(found, int):
            return Response(found, (), b'"%b"' % request.head.url.encode(), 1)
        status, location = found
        return Response(status, ((b"location", location.encode()),), b"", 1)


class TasklessSite(Site, TasklessHostTransport):
    pass


def site(pages: dict[str, Any], values: Any, *, kind: Any = Site, **api: Any) -> Scenario:
    return Scenario({"page": pages}, values, api={**API, **api}, transport=kind)  # type: ignore[dict-item]  # a table stands for a script


@pytest.mark.parametrize("kind", [Site, TasklessSite])
async def test_a_redirect_leads_to_another_host(autojump_clock: Any, kind: Any) -> None:
    """Within the hosts, a redirect is followed to another scheme, name and port."""
    pages = {
        "http://a.test/": (301, "https://www.a.test/x?y=1"),
        "https://www.a.test/x?y=1": (302, "/z"),
    }
    run = site(pages, ["http://a.test/"], kind=kind)
    [result] = await run.play()
    assert (result.ok, result["page"].attempts) == (True, 3)
    assert run.transports["page"].urls == [
        "GET http://a.test/",
        "GET https://www.a.test/x?y=1",
        "GET https://www.a.test/z",
    ]
    transport = run.transports["page"]
    assert isinstance(transport, Site)
    hosts = [dict(request.head.headers)["Host"] for request in transport.seen.requests]
    assert hosts == ["a.test", "www.a.test", "www.a.test"]
    check_nothing_is_held(run.backends[0].callers[0])


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://b.example/", "the host b.example is not among the hosts of the API"),
        ("http://169.254.169.254/", "the host 169.254.169.254 is not among the hosts"),
        ("http://0x7f.1/", "the host 127.0.0.1 is not among the hosts"),
        ("//[::ffff:10.0.0.1]/", "the host 10.0.0.1 is not among the hosts"),
        ("http://a.test:8080/", "the port 8080 of a.test is not among the hosts"),
        ("http://u:p@b.test/", "its redirect to another origin is not followed"),
        ("ftp://b.test/", "its redirect to another scheme is not followed"),
        ("https://", "its Location is not a URL"),
    ],
)
async def test_a_redirect_elsewhere_is_not_followed(
    autojump_clock: Any, location: str, why: str
) -> None:
    """The rules for hosts hold for redirects; the message says why one is not followed."""
    run = site({"http://a.test/": (302, location)}, ["http://a.test/"])
    [result] = await run.play()
    assert result["page"].status == 302
    assert result["page"].error is not None
    assert why in result["page"].error.message
    assert run.transports["page"].urls == ["GET http://a.test/"]


async def test_a_redirect_from_https_to_http_is_not_followed(autojump_clock: Any) -> None:
    """What was asked for over TLS is not fetched without."""
    run = site({"https://a.test/": (302, "http://b.test/")}, ["https://a.test/"])
    [result] = await run.play()
    assert result["page"].error is not None
    assert "another origin is not followed" in result["page"].error.message


async def test_redirects_in_a_loop_end(autojump_clock: Any) -> None:
    """No more than `redirects` of them are followed."""
    pages = {"http://a.test/": (302, "http://b.test/"), "http://b.test/": (302, "http://a.test/")}
    run = site(pages, ["http://a.test/"])
    [result] = await run.play()
    assert result["page"].error is not None
    assert "the limit redirects = 3 is reached" in result["page"].error.message
    assert len(run.transports["page"].urls) == 4


async def test_the_limit_of_a_host_holds_for_calls_that_are_redirected_there(
    autojump_clock: Any,
) -> None:
    """Many hosts that redirect to one do not overrun it."""
    pages = {f"http://h{i}.test/": (302, f"http://one.test/{i}") for i in range(20)}
    run = site(pages, list(pages), host_limit=2)
    transport = run.transports["page"]
    assert isinstance(transport, Site)
    transport.delay = 1.0
    results = await run.play()
    assert all(result.ok for result in results)
    assert transport.seen.peaks["one.test"] == 2
    assert trio.current_time() == pytest.approx(11.0)


async def test_credentials_stay_behind(autojump_clock: Any) -> None:
    """Another host gets neither Authorization nor cookies nor keys; the same host gets them."""
    headers = {"X-Api-Key": "k", "Cookie": "c", "X-Plain": "p"}
    pages = {
        "https://a.test/": (307, "/same"),
        "https://a.test/same": (307, "https://b.test/"),
    }
    run = site(pages, ["https://a.test/"], headers=headers, auth={"bearer": "t"})
    await run.play()
    transport = run.transports["page"]
    assert isinstance(transport, Site)
    sent = [{name for name, _ in request.head.headers} for request in transport.seen.requests]
    secret = {"Authorization", "X-Api-Key", "Cookie"}
    assert [secret <= names for names in sent] == [True, True, False]
    assert not secret & sent[2]
    assert "X-Plain" in sent[2]


@pytest.mark.parametrize(("status", "then"), [(303, "GET"), (307, "POST")])
async def test_methods_change_as_elsewhere(autojump_clock: Any, status: int, then: str) -> None:
    """303 fetches the result of a POST, 307 repeats the request at the other host."""
    run = site({"http://a.test/": (status, "http://b.test/")}, ["http://a.test/"], method="POST")
    [result] = await run.play()
    assert result.ok
    assert run.transports["page"].urls[1] == f"{then} http://b.test/"


async def test_what_fails_after_a_processed_post_is_ambiguous(autojump_clock: Any) -> None:
    """If the result of a POST cannot be fetched, the POST may have been applied all the same."""
    lost = TransportError("connect", "connection refused", sent=False, transient=True)
    pages = {"http://a.test/": (303, "http://b.test/"), "http://b.test/": lost}
    [result] = await site(pages, ["http://a.test/"], method="POST").play()
    assert result["page"].error is not None
    assert result["page"].error.ambiguous


async def test_a_retry_goes_to_where_the_redirect_led(autojump_clock: Any) -> None:
    """A failure after a redirect is retried there, and not from the beginning."""
    pages = {"http://a.test/": (302, "http://b.test/"), "http://b.test/": 503}
    run = site(pages, ["http://a.test/"], retries=1)
    transport = run.transports["page"]
    assert isinstance(transport, Site)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.play)
        await trio.testing.wait_all_tasks_blocked()
        del transport.pages["http://b.test/"]
    assert run.sink.results[0].ok
    assert transport.urls.count("GET http://a.test/") == 1


@pytest.mark.parametrize("kind", [Site, TasklessSite])
@pytest.mark.parametrize("compress", [None, "gzip"])
async def test_each_request_is_a_span_of_its_own(
    autojump_clock: object, kind: Any, compress: str | None
) -> None:
    """Its traceparent is not that of the request before, which was compressed on the way."""
    run = site(
        {"http://a.test/": (307, "http://b.test/")},
        [{"url": "http://a.test/", "text": "x" * 2000}],
        kind=kind,
        **{"url": "{+url}", "method": "POST", "traceparent": True, "compress": compress},
    )
    [result] = await run.play()
    assert result["page"].status == 200
    transport = run.transports["page"]
    assert isinstance(transport, Site)
    heads = [request.head for request in transport.seen.requests]
    assert [dict(head.headers).get("Content-Encoding") for head in heads] == [compress] * 2
    values = [find_traceparent(head.headers) for head in heads]
    _, traces, parents, _ = zip(*(value.split("-") for value in values if value))
    assert len(set(parents)) == 2
    assert set(traces) == {result["page"].trace}
