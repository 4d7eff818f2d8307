"""All pages of a list in one call, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from support.scripted import Answer, Scenario
from support.series import Asked, Serving, says, script_of

from tmux_fanout.core.errors import TransportError

GET = {"method": "GET", "url": "http://api.test/items?of={id}"}


def scenario(server: Any, records: list[Any], api: dict[str, Any], **settings: Any) -> Scenario:
    return Scenario(
        {"a": script_of(server)}, records, api={**GET, **api}, transport=Serving, **settings
    )


def transport_of(played: Scenario) -> Serving:
    transport = played.transports["a"]
    assert isinstance(transport, Serving)
    return transport


def by_link(pages: int) -> Any:
    """Return a server of pages of two items, each with a link to the next."""

    def server(asked: Asked) -> Answer:
        page = int(asked.query.get("page", "1"))
        items = [{"of": asked.query["of"], "n": 2 * page - 1 + i} for i in range(2)]
        if page == pages:
            return says(items, link='</items?of=1&page=1>; rel="first prev"')
        link = f'<http://api.test/items?of={asked.query["of"]}&page={page + 1}>; rel="next"'
        return says(items, link=link)

    return server


def by_token(asked: Asked) -> Answer:
    """Serve three pages, the last of which has a null token."""
    where = asked.query.get("cursor") or (asked.value or {}).get("cursor") or ""
    following = {"": "b c&d", "b c&d": 7, "7": None, 7: None}[where]
    return says({"data": [where], "next": following})


@pytest.mark.parametrize(
    ("next_page", "answer", "expected"),
    [
        ("meta.next", says({"d": [], "meta": {}}), "there is no field meta.next"),
        ("meta.next", says({"d": [], "meta": {"next": None}}), None),
        ("not_null(at)", says({"d": []}), None),
        ("more && at", says({"d": [], "more": False}), None),
        ("Link", says({"d": []}), 'there is no field Link; for the Link header, write "link"'),
        (
            "body.meta.next",
            says({"d": [], "meta": {}}),
            "there is no field body.meta.next; the expression sees the body itself: write "
            "meta.next",
        ),
        ("link", says({"d": []}), "there is no Link header"),
        ("link", says({"d": []}, link="</>; rel=first"), None),
    ],
)
async def test_whether_pages_can_lead_on_is_recorded(
    autojump_clock: object, next_page: str, answer: Answer, expected: str | None
) -> None:
    """A list of one page has a place for the next one, or `pages.next` is probably misspelt."""
    pages = {"next": next_page, "items": "d"}
    played = scenario(lambda _: answer, [{"id": 1}, {"id": 2}], {"pages": pages})
    await played.play()
    counts = played.run.statistics.apis[0]
    assert (counts.has_next, counts.no_next) == (expected is None, expected or "")


async def test_one_list_that_goes_on_is_enough(autojump_clock: object) -> None:
    """Where some lists have more pages, those without a Link header are whole."""

    def server(asked: Asked) -> Answer:
        goes_on = asked.query == {"of": "2"}
        return says([], link="</items?of=2&page=2>; rel=next") if goes_on else says([])

    played = scenario(server, [{"id": 1}, {"id": 2}], {"pages": {"next": "link"}, "limit": 1})
    await played.play()
    assert played.run.statistics.apis[0].has_next


@pytest.mark.parametrize(
    ("api", "answer", "message"),
    [
        (
            {},
            says("no", 404),
            "page 2: HTTP 404; '2' from pages.next, taken for a URL, led to /v1/2: if it is a "
            "token, set pages.param",
        ),
        ({}, says({"data": 1}), "page 2: pages.items finds a number in the response, not a list; "),
        ({"param": "c"}, says("no", 404), "page 2: HTTP 404"),
    ],
)
async def test_a_token_that_was_taken_for_a_url(
    autojump_clock: object, api: dict[str, Any], answer: Answer, message: str
) -> None:
    """What was requested for it is shown, with the key that is missing."""

    def server(asked: Asked) -> Answer:
        is_first = asked.line == "GET /v1/items"
        return says({"data": [], "next": "2"}) if is_first else answer

    pages = {"next": "next", "items": "data", **api}
    played = scenario(server, [1], {"url": "http://api.test/v1/items", "pages": pages})
    [result] = await played.play()
    error = result["a"].error
    assert error is not None
    is_whole = message[-1] != " "
    assert error.message == message if is_whole else error.message.startswith(message)
    assert ("pages.param" in error.message) == ("param" not in api)


async def test_links_are_followed_to_the_last_page(autojump_clock: object) -> None:
    """Each record has all items of its own, in one body; each page is an attempt."""
    played = scenario(by_link(3), [{"id": 1}, {"id": 2}], {"pages": {"next": "link"}})
    results = await played.play()
    for result, of in zip(results, "12"):
        assert result["a"].body == [{"of": of, "n": n} for n in range(1, 7)]
        assert (result["a"].status, result["a"].attempts) == (200, 3)
        assert result["a"].seconds == pytest.approx(0.3)
    assert played.run.statistics.apis[0].attempts == 6


async def test_select_sees_the_list_of_all_items(autojump_clock: object) -> None:
    """It is applied once, when all pages are there."""
    played = scenario(by_link(3), [{"id": 1}], {"pages": {"next": "link"}, "select": "length(@)"})
    [result] = await played.play()
    assert result["a"].body == 6


@pytest.mark.parametrize(
    ("api", "sent"),
    [
        (
            {"url": "http://api.test/items?size=2&cursor=a"},
            ["GET /items?size=2&cursor=b%20c%26d", "GET /items?size=2&cursor=7"],
        ),
        (
            {"url": "http://api.test/items", "method": "POST", "body": "{q: id}"},
            [{"q": 1, "cursor": "b c&d"}, {"q": 1, "cursor": 7}],
        ),
    ],
)
async def test_tokens_go_into_the_query_or_the_body(
    autojump_clock: object, api: dict[str, Any], sent: list[Any]
) -> None:
    """Nothing else of the request changes."""

    def server(asked: Asked) -> Answer:
        if asked.query.get("cursor") == "a":
            return says({"data": [""], "next": "b c&d"})
        return by_token(asked)

    pages = {"next": "next", "param": "cursor", "items": "data"}
    played = scenario(server, [{"id": 1}], {"pages": pages, **api})
    [result] = await played.play()
    assert len(result["a"].body) == 3
    asked = transport_of(played).asked[1:]
    assert [each.line if isinstance(sent[0], str) else each.value for each in asked] == sent


async def test_a_page_takes_a_slot_for_itself(autojump_clock: object) -> None:
    """With a limit of 2, two requests are under way, and pages go before new records."""
    played = scenario(
        by_link(3), [{"id": n} for n in range(6)], {"pages": {"next": "link"}, "limit": 2}
    )
    results = await played.play()
    assert all(result.ok for result in results)
    assert transport_of(played).peak == 2
    firsts = [line for line in transport_of(played).lines if "page=" not in line]
    expected = {f"{line}{page}" for line in firsts[:2] for page in ("", "&page=2", "&page=3")}
    assert set(transport_of(played).lines[:6]) == expected


async def test_the_rate_holds_for_pages(autojump_clock: object) -> None:
    """Six requests at one a second take five seconds, as six records would."""
    played = scenario(
        by_link(3), [{"id": 1}, {"id": 2}], {"pages": {"next": "link"}, "rate": "1/s"}
    )
    await played.play()
    times = [time for time, _ in transport_of(played).sent_at]
    assert times == pytest.approx([0, 1, 2, 3, 4, 5])


async def test_each_page_has_its_own_retries_and_time(autojump_clock: object) -> None:
    """Three pages that fail once each need one retry each, and more time than one request has."""

    def server(asked: Asked) -> Answer:
        slow = by_link(3)(asked)._replace(delay=4.0)
        return slow if asked.time == 2 else Answer(1.0, 503)

    played = scenario(
        server, [{"id": 1}], {"pages": {"next": "link"}, "retries": 1, "timeout": "6s"}
    )
    [result] = await played.play()
    assert result.ok
    assert result["a"].attempts == 6
    assert len(result["a"].body) == 6


async def test_a_page_that_fails_fails_the_call(autojump_clock: object) -> None:
    """Nothing is kept of the pages before, and the message says which page it was."""

    def server(asked: Asked) -> Answer:
        return by_link(3)(asked) if asked.query.get("page") != "3" else says("gone", 404)

    played = scenario(server, [{"id": 1}], {"pages": {"next": "link"}})
    [result] = await played.play()
    error = result["a"].error
    assert error is not None
    assert (error.kind, error.message, error.ambiguous) == ("status", "page 3: HTTP 404", False)
    assert (result["a"].status, result["a"].body, result["a"].attempts) == (404, "gone", 3)


@pytest.mark.parametrize("lost", [True, False])
async def test_a_post_for_a_page_may_be_ambiguous(autojump_clock: object, lost: bool) -> None:
    """A page is as safe to repeat as the method is."""

    def server(asked: Asked) -> Answer:
        if asked.value.get("cursor"):
            failure = TransportError("protocol", "lost", sent=True, transient=True)
            return Answer(0.1, failure=failure)
        return says({"data": [], "next": "x"})

    pages = {"next": "next", "param": "cursor", "items": "data"}
    api = {"url": "http://api.test/", "method": "POST", "pages": pages, "idempotent": not lost}
    played = scenario(server, [{"id": 1}], api)
    [result] = await played.play()
    error = result["a"].error
    assert error is not None
    assert error.message.startswith("page 2: lost")
    assert (error.ambiguous, result["a"].attempts) == (lost, 2 if lost else 4)


async def test_pages_that_come_round_again_are_an_error(autojump_clock: object) -> None:
    """A loop of three pages ends at its second round."""

    def server(asked: Asked) -> Answer:
        page = int(asked.query.get("page", "0"))
        return says([page], link=f"</items?of=1&page={page % 3 + 1}>; rel=next")

    played = scenario(server, [{"id": 1}], {"pages": {"next": "link"}})
    [result] = await played.play()
    error = result["a"].error
    assert error is not None
    assert error.kind == "protocol"
    assert error.message == (
        "page 4: the page names one as the next that was fetched before, so they have no end"
    )


async def test_too_many_pages_are_an_error_and_no_short_list(autojump_clock: object) -> None:
    """`max` pages are fetched at most; as many as that are fine."""
    for limit, kind in ((2, "too_large"), (3, None)):
        played = scenario(by_link(3), [{"id": 1}], {"pages": {"next": "link", "max": limit}})
        [result] = await played.play()
        assert played.errors("a") == [kind]
        assert result["a"].attempts == limit


async def test_items_are_bounded_together(autojump_clock: object) -> None:
    """`max_response` holds for the list, which no single page exceeds."""
    api = {"pages": {"next": "link"}, "max_response": 70}
    played = scenario(by_link(3), [{"id": 1}], api)
    [result] = await played.play()
    assert played.errors("a") == ["too_large"]
    error = result["a"].error
    assert error is not None
    assert "page 3: the items of all pages are together larger than max_response" in error.message


@pytest.mark.parametrize("timeout", ["all", "deadline"])
async def test_the_window_counts_what_pages_keep(autojump_clock: object, timeout: str) -> None:
    """While pages are fetched, their bytes are in it; at the end nothing is left behind."""
    settings = {"deadline": 0.25} if timeout == "deadline" else {}
    played = scenario(by_link(3), [{"id": 1}], {"pages": {"next": "link"}}, **settings)
    inside: list[int] = []

    async def watch() -> None:
        for _ in range(3):
            await trio.sleep(0.05)
            inside.append(played.run.window.bytes)
            await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await played.play()
    assert inside == sorted(set(inside))
    assert (played.run.window.records, played.run.window.bytes) == (0, 0)


async def test_a_stopped_run_says_where_it_was(autojump_clock: object) -> None:
    """Between pages and during one, no record is lost."""
    played = scenario(by_link(3), [{"id": 1}], {"pages": {"next": "link"}}, deadline=0.25)
    [result] = await played.play()
    error = result["a"].error
    assert error is not None
    assert error.kind == "deadline"
    assert error.message.startswith("page 3: ")
    assert error.message.endswith("during attempt 3")


@pytest.mark.parametrize(
    ("link", "kind", "message"),
    [
        ("<http://other.test/>; rel=next", "protocol", "the next page to another origin is not"),
        ("<//api.test:81/x>; rel=next", "protocol", "the next page to another origin is not"),
        ("<ftp://api.test/>; rel=next", "protocol", "the next page to another scheme is not"),
        ("<https://api.test/>; rel=next", "protocol", "the next page from http to https is not"),
        ("</items; rel=next", "protocol", "its Link header is malformed"),
    ],
)
async def test_next_pages_are_fetched_within_the_origin(
    autojump_clock: object, link: str, kind: str, message: str
) -> None:
    """Credentials go nowhere else, and a header that cannot be read is no last page."""
    played = scenario(lambda asked: says([], link=link), [{"id": 1}], {"pages": {"next": "link"}})
    [result] = await played.play()
    error = result["a"].error
    assert error is not None
    assert error.kind == kind
    assert error.message.startswith(f"page 1: {message}")
    assert len(transport_of(played).lines) == 1


async def test_rules_hold_for_every_page(autojump_clock: object) -> None:
    """A page that `ok_when` rejects, and `retry_when` repeats, is fetched again."""

    def server(asked: Asked) -> Answer:
        if asked.query.get("cursor") and asked.time == 1:
            return says({"error": "busy"})
        return by_token(asked)

    pages = {"next": "next", "param": "cursor", "items": "data"}
    rules = {"ok_when": "!(body.error)", "retry_when": "body.error == 'busy'"}
    played = scenario(server, [{"id": 1}], {"pages": pages, **rules})
    [result] = await played.play()
    assert result["a"].body == ["", "b c&d", "7"]
    assert result["a"].attempts == 5
