"""Answers that are kept on disk, with a real file and without sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from support.scripted import Answer, Scenario, Script, answers

from tmux_fanout.core.results.outcome import Result
from tmux_fanout.engine.calls.reuse.database import NAME, Database
from tmux_fanout.engine.calls.reuse.store import Store
from tmux_fanout.engine.calls.reuse.stored import CacheError, Stored

AT_ONCE = answers(Answer())


def play(
    tmp_path: Path, values: Sequence[Any], script: Script = AT_ONCE, **more: Any
) -> tuple[list[Result], Scenario]:
    """Return the results of a run, and the run."""
    cache = {"dir": str(tmp_path / "cache"), "ttl": "1h", **more.pop("cache", {})}
    keys: dict[str, Any] = {"body": "text", "cache": cache, **more.pop("api", {})}
    scripts = more.pop("scripts", {"a": script})
    scenario = Scenario(scripts, values, api=keys, **more)
    results = trio.run(scenario.play, strict_exception_groups=True)
    return results, scenario


def texts(*values: str) -> list[dict[str, Any]]:
    return [{"id": index, "text": text} for index, text in enumerate(values)]


def cached(results: list[Result]) -> list[bool]:
    return [result["a"].cached for result in results]


def sent(scenario: Scenario) -> list[Any]:
    return sorted(value for _, value in scenario.transports["a"].sent_at)


def test_second_run_makes_no_requests(tmp_path: Path) -> None:
    """It has the answers of the first, which cost no attempt and no time."""
    first, run = play(tmp_path, texts(*"xyz"))
    assert cached(first) == [False] * 3
    assert sent(run) == ["x", "y", "z"]
    second, run = play(tmp_path, texts(*"wzyx"))
    assert cached(second) == [False, True, True, True]
    assert [result["a"].body for result in second] == ["w", "z", "y", "x"]
    assert [result["a"].attempts for result in second] == [1, 0, 0, 0]
    assert [result["a"].status for result in second] == [200] * 4
    assert sent(run) == ["w"]
    [stats] = run.run.statistics.apis
    assert (stats.calls, stats.attempts, stats.cached) == (4, 1, 3)


def test_only_ok_answers_are_kept(tmp_path: Path) -> None:
    """A failure is tried again by the next run, and so is an answer that a rule rejects."""
    play(tmp_path, texts("x"), answers(Answer(status=400)))
    play(tmp_path, texts("y"), api={"ok_when": "body == 'x'"})
    results, _ = play(tmp_path, texts("x", "y"))
    assert cached(results) == [False, False]


@pytest.mark.parametrize(
    ("keys", "is_found"),
    [
        ({}, True),
        ({"select": "@"}, True),
        ({"limit": 3, "retries": 0, "timeout": 9}, True),
        ({"headers": {"User-Agent": "other"}}, True),
        ({"idempotency_key": True}, True),
        ({"headers": {"Authorization": "Bearer other"}}, False),
        ({"auth": {"bearer": "other"}}, False),
        ({"url": "http://api.test/other"}, False),
        ({"method": "PUT"}, False),
        ({"ok_when": "body"}, False),
        ({"batch": {"size": 2}}, False),
    ],
)
def test_answer_belongs_to_its_request_and_its_sender(
    tmp_path: Path, keys: dict[str, Any], is_found: bool
) -> None:
    """Another token may see other things; what is only kept of an answer may change."""
    play(tmp_path, texts("x"))
    results, _ = play(tmp_path, texts("x"), api=keys)
    assert cached(results) == [is_found]


def test_answers_expire(tmp_path: Path) -> None:
    """An answer is used for its ttl, by the clock on the wall; and none from the future."""
    play(tmp_path, texts("x"))
    file = tmp_path / "cache" / NAME
    for seconds, is_found in ((-3500, True), (-200, False), (+9000, False)):
        database = Database(str(file.parent), 1 << 30)
        database._db.execute("UPDATE answers SET at = at + ?", (seconds,))
        database.close()
        results, _ = play(tmp_path, texts("x"), answers(Answer(status=400)))
        assert cached(results) == [is_found]


def test_no_store_is_honoured_and_said_once(tmp_path: Path) -> None:
    """An answer that must not be stored is not."""
    headers = ((b"cache-control", b"private, No-Store"),)
    told: list[str] = []
    for _ in range(2):
        results, played = play(
            tmp_path, texts("x", "y"), answers(Answer(headers=headers)), notify=told.append
        )
        assert cached(results) == [False, False]
        assert (
            played.run.statistics.apis[0].told["no-store"] in told
        )  # by which workers say it once
    assert told == ["a: its answers have Cache-Control: no-store, so they are not kept"] * 2


def test_headers_are_kept_but_for_cookies(tmp_path: Path) -> None:
    """What outcomes may have of an answer is there; cookies only if they are asked for."""
    headers = ((b"etag", b"1"), (b"set-cookie", b"secret-cookie"))
    for capture, found in ((["etag"], {"etag": "1"}), (["set-cookie"], {})):
        play(tmp_path, texts("x"), answers(Answer(headers=headers)), api={"capture_headers": []})
        results, _ = play(tmp_path, texts("x"), api={"capture_headers": capture})
        assert cached(results) == [True]
        assert results[0]["a"].headers == found
    content = b"".join(each.read_bytes() for each in (tmp_path / "cache").iterdir())
    assert b"secret-cookie" not in content


def test_secrets_of_requests_are_not_in_the_file(tmp_path: Path) -> None:
    """Keys are digests."""
    play(
        tmp_path,
        texts("a private text"),
        answers(Answer(body=b"1")),
        api={"auth": {"bearer": "hidden-token"}, "url": "http://api.test/?key=hidden-key"},
    )
    content = b"".join(each.read_bytes() for each in (tmp_path / "cache").iterdir())
    assert not [word for word in (b"hidden", b"private") if word in content]


def test_share_looks_up_once(tmp_path: Path) -> None:
    """Of identical requests one is looked up, and made if need be."""
    results, run = play(tmp_path, texts("x", "x", "x"), api={"share": True})
    assert [(r["a"].shared, r["a"].cached) for r in results] == [(False, False)] + [
        (True, False)
    ] * 2
    assert sent(run) == ["x"]
    results, run = play(tmp_path, texts("x", "x", "x"), api={"share": True})
    assert [(r["a"].shared, r["a"].cached) for r in results] == [(False, True)] + [(True, True)] * 2
    assert not sent(run)
    assert run.run.statistics.apis[0].cached == 1


def test_items_of_batches_are_kept_each(tmp_path: Path) -> None:
    """A batch is made of those that are not there."""
    api = {"batch": {"size": 9}}
    play(tmp_path, texts("x", "y"), api=api)
    results, run = play(tmp_path, texts("x", "z", "y"), api=api)
    assert cached(results) == [True, False, True]
    assert sent(run) == [["z"]]
    assert [result["a"].body for result in results] == ["x", "z", "y"]


@pytest.mark.parametrize("more", [{}, {"share": True}])
def test_calls_that_are_looked_up_together_fill_batches(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    """A cache makes for no more requests than there would be without it."""
    api = {"batch": {"size": 10}, "limit": 100, **more}
    _, run = play(tmp_path, texts(*map(str, range(60))), api=api)
    assert [len(value) for _, value in run.transports["a"].sent_at] == [10] * 6


def test_pages_are_kept_as_one_answer(tmp_path: Path) -> None:
    """A list that was fetched page by page is there as a whole."""

    def pages(value: Any, attempt: int) -> Answer:
        return Answer(body=b'{"items":[%d],"next":%s}' % (attempt, [b'"n"', b"null"][attempt > 1]))

    api = {
        "method": "GET",
        "body": None,
        "pages": {"next": "next", "param": "p", "items": "items"},
        "ok_when": "body.items",
    }
    first, _ = play(tmp_path, [1], pages, api=api)
    second, run = play(tmp_path, [1], pages, api=api)
    assert cached(second) == [True]
    assert first[0]["a"].body == second[0]["a"].body == [1, 2]
    assert not run.transports["a"].sent_at


def test_hosts_of_records_have_answers(tmp_path: Path) -> None:
    """They are found by URL."""
    values = [{"url": f"http://{host}.test/"} for host in "xy"]
    api = {"url": "{+url}", "hosts": ["*.test"], "method": "GET", "body": None}
    play(tmp_path, values[:1], api=api)
    results, run = play(tmp_path, values, api=api)
    assert cached(results) == [True, False]
    assert run.transports["a"].urls == ["http://y.test/"]


def test_dependent_and_lost_calls(tmp_path: Path) -> None:
    """An answer that is found starts what depends on it, and settles a race."""
    scripts = {"a": AT_ONCE, "b": AT_ONCE}
    each = {"b": {"after": ["a"], "body": "_results.a.body", "url": "http://api.test/b"}}
    for is_cached in (False, True):
        results, _ = play(tmp_path, texts("x", "y"), scripts=scripts, each=each)
        assert [result["b"].cached for result in results] == [is_cached] * 2
        assert [result["b"].body for result in results] == ["x", "y"]
    slow = {"a": AT_ONCE, "c": answers(Answer(500.0))}
    results, _ = play(tmp_path, texts("x"), scripts=slow, each={"c": {"cache": None}}, join="first")
    assert cached(results) == [True]


def test_budget_pays_for_nothing_that_is_there(tmp_path: Path) -> None:
    """Answers that were kept cost nothing."""
    api = {"price": {"call": "1"}}
    play(tmp_path, texts("x", "y"), api=api)
    results, run = play(tmp_path, texts("x", "y"), api=api, max_cost="0.5")
    assert cached(results) == [True, True]
    assert not run.run.statistics.cost


def test_window_bounds_what_is_read(tmp_path: Path) -> None:
    """Answers that are too large for the window are read as it empties, and all arrive."""
    big = answers(Answer(body=b'"%b"' % (b"x" * 50_000)))
    values = texts(*map(str, range(60)))
    play(tmp_path, values, big)
    results, run = play(tmp_path, values, big, window_bytes="100KiB", window=16)
    assert cached(results) == [True] * 60
    assert not sent(run)


def test_unusable_cache_is_left_out_with_one_notice(tmp_path: Path) -> None:
    """The run makes its requests."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / NAME).write_bytes(b"damaged" * 1000)
    told: list[str] = []
    results, _ = play(tmp_path, texts("x", "y"), notify=told.append)
    assert [result["a"].ok for result in results] == [True, True]
    [line] = told
    assert line.startswith(f"cache {tmp_path}")
    assert line.endswith("delete the file; the run goes on without it")


def test_run_may_end_while_its_cache_is_opened(tmp_path: Path) -> None:
    """Each record that was read has its line."""
    results, _ = play(tmp_path, texts(*"xyz"), deadline="1ms")
    assert [result.index for result in results] == list(range(len(results)))


class Failing:
    """A file that fails once it has answered some times."""

    salt = b"salt"

    def __init__(self, after: int) -> None:
        self.after = after
        self.is_closed = False

    def exchange(
        self,
        now: float,
        stored: Mapping[bytes, bytes],
        used: Sequence[bytes],
        keys: Sequence[bytes],
    ) -> dict[bytes, Stored | None]:
        self.after -= 1
        if self.after < 0:
            raise CacheError("the disk is full")
        return dict.fromkeys(keys)

    def close(self) -> None:
        self.is_closed = True


def test_failure_under_way_is_reported_once() -> None:
    """From then on nothing is there, and nothing is kept."""
    told: list[str] = []
    found: list[Stored | None] = []
    file = Failing(after=1)

    async def use() -> None:
        store = Store(file, "folder", told.append)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                done = trio.Event()

                def tell(answer: Stored | None, done: trio.Event = done) -> None:
                    found.append(answer)
                    done.set()

                store.ask(b"k", tell, lambda: None, lambda: True, nursery)
                await done.wait()
                store.keep(b"k", b"v", nursery)
        await store.aclose()
        assert store.is_off

    trio.run(use)
    assert found == [None] * 3
    assert told == ["cache folder: the disk is full; the run goes on without it"]
    assert file.is_closed


def test_what_is_kept_last_is_written_at_the_end(tmp_path: Path) -> None:
    """Also if the run is cancelled meanwhile."""

    async def use() -> None:
        store = Store(Database(str(tmp_path), 1 << 20), "folder", print)
        async with trio.open_nursery() as nursery:
            store.keep(b"k", b"v", nursery)
            nursery.cancel_scope.cancel()
        await store.aclose()

    trio.run(use)
    database = Database(str(tmp_path), 1 << 20)
    found = database.exchange(0.0, {}, [], [b"k"])[b"k"]
    assert found is not None
    assert found.answer == b"v"
    database.close()
