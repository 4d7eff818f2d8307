"""The library: `fanout` and `fanout_sync` against a real server."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
import trio
from support.command import PATIENCE, Process
from support.loopback import Loopback, connections_to

import tmux_fanout
from tmux_fanout import Api, ConfigError, RunStatistics, SyncResults, fanout, fanout_sync
from tmux_fanout.core.config.settings import RunSettings
from tmux_fanout.core.version import is_compiled
from tmux_fanout.engine.run.local import LocalBackend


def our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "fanout" in thread.name]


def apis(server: Loopback, *names: str) -> list[Api]:
    return [Api(name, server.url("/" + name)) for name in names]


async def test_fanout_gives_results_in_order(server: Loopback) -> None:
    """Each result has the record as it was given, and each API's outcome by name."""
    given: list[Any] = [{"id": n} for n in range(200)]
    async with fanout(given, apis(server, "a", "404")) as results:
        seen = [result async for result in results]
    assert [result.index for result in seen] == list(range(200))
    assert all(result.record is value for result, value in zip(seen, given))
    assert all(result["a"].body == result.record for result in seen)
    assert not any(result.ok or result["404"].ok for result in seen)
    assert seen[0]["404"].error is not None
    assert (seen[0]["404"].status, seen[0]["404"].error.kind) == (404, "status")
    with pytest.raises(KeyError, match="b: there is no such API; there are a"):
        seen[0]["b"]


async def test_fanout_takes_values_and_json_text(server: Loopback) -> None:
    """JSON-able values and bytes are records; what is neither is an invalid one."""
    given = [1, "two", None, [3.5], b'{"four": 4}', b"{", object(), float("nan"), b'"\xff"']
    async with fanout(given, apis(server, "a")) as results:
        seen = [result async for result in results]
    assert [result.ok for result in seen] == [True] * 5 + [False] * 4
    assert [result["a"].body for result in seen[:5]] == [1, "two", None, [3.5], {"four": 4}]
    assert seen[4].record == {"four": 4}
    assert {result.error.kind for result in seen if result.error} == {"invalid_record"}
    with pytest.raises(KeyError, match="not called"):
        seen[5]["a"]


async def test_fanout_reads_an_async_iterable(server: Loopback) -> None:
    """A result is there before the next record is."""
    come = trio.Event()

    async def records() -> AsyncIterator[int]:
        yield 1
        await come.wait()
        yield 2

    async with fanout(records(), apis(server, "a")) as results:
        assert (await anext(results)).record == 1
        come.set()
        assert (await anext(results)).record == 2
        with pytest.raises(StopAsyncIteration):
            await anext(results)


async def test_error_of_the_records_comes_after_their_results(server: Loopback) -> None:
    """An exception from the records comes out of the iteration, in its place."""

    def breaks() -> Iterator[int]:
        yield from range(3)
        raise LookupError("gone")

    async def breaks_too() -> AsyncIterator[int]:
        for number in breaks():
            yield number

    for records in (breaks(), breaks_too()):
        async with fanout(records, apis(server, "a")) as results:
            assert [(await anext(results)).record for _ in range(3)] == [0, 1, 2]
            with pytest.raises(LookupError, match="gone"):
                await anext(results)


async def test_error_in_the_block_comes_out_as_it_is(server: Loopback) -> None:
    """No exception group is put around what the caller's own code raises."""

    async def block() -> None:
        async with fanout([1, 2], apis(server, "a")):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await block()


async def test_leaving_early_a_hundred_times_leaks_nothing(server: Loopback) -> None:
    """Blocks left in the middle of requests leave no socket, task or thread behind."""
    tasks = trio.lowlevel.current_statistics().tasks_living
    for _ in range(100):
        async with fanout(range(1000), apis(server, "a", "b"), limit=4) as results:
            await anext(results)
    assert connections_to(server) == 0
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert our_threads() == []


async def test_cancelled_block_leaks_nothing(server: Loopback) -> None:
    """A caller's own cancel scope ends it like any other code."""
    server.gate.clear()
    scope = trio.CancelScope()

    async def cancel_mid_request() -> None:
        await trio.to_thread.run_sync(server.await_requests, 1)
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_mid_request)
        with scope:
            async with fanout(range(1000), apis(server, "a")) as results:
                await anext(results)
    assert scope.cancelled_caught
    assert connections_to(server) == 0


async def test_slow_consumer_is_waited_for(server: Loopback) -> None:
    """No more than a window of records is read ahead of the consumer."""
    taken = 0

    def count() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    async with fanout(count(), apis(server, "a"), window=10, chunk_size=5) as results:
        await anext(results)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert taken <= 1 + 10 + 10 + 2 * 5


async def test_deadline_is_an_outcome(server: Loopback) -> None:
    """A run that has no time left gives the rest as not ok."""
    server.gate.clear()
    async with fanout([1, 2], apis(server, "a"), deadline="50ms") as results:
        kinds = [result["a"].error.kind async for result in results if result["a"].error]
    assert kinds == ["deadline"] * 2


@pytest.mark.parametrize("function", [fanout, fanout_sync])
def test_mistakes_raise_at_once(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad configuration raises from the call itself, before anything runs."""
    with pytest.raises(TypeError, match="'limt'"):
        function([1], [Api("a", "http://a.test/")], limt=3)
    with pytest.raises(ConfigError, match="no API"):
        function([1], [])
    with pytest.raises(ConfigError, match="timeout: invalid duration 'soon'"):
        function([1], [Api("a", "http://a.test/")], timeout="soon")
    with pytest.raises(ConfigError, match="API 'a': url: not an http or https URL"):
        function([1], [Api("a", "a.test")])
    monkeypatch.setitem(sys.modules, "asks", None)
    with pytest.raises(ConfigError, match="API 'a': transport: asks is not installed here"):
        function([1], [Api("a", "http://a.test/", transport="asks")])


def test_public_names_are_documented() -> None:
    """Every public name can be loaded and has a docstring of its own, which mypyc drops."""
    for name in tmux_fanout.__all__:
        public = getattr(tmux_fanout, name)
        assert name.startswith("__") or inspect.getdoc(public) or is_compiled(), name
    assert set(tmux_fanout.__all__) <= set(dir(tmux_fanout))


def test_keywords_are_those_of_a_run() -> None:
    """Both functions take the same keywords, and each may be left out."""
    parameters = dict(inspect.signature(fanout).parameters)
    assert parameters == dict(inspect.signature(fanout_sync).parameters) | {
        "records": parameters["records"]
    }
    keywords = [
        name for name in parameters if parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in keywords:
        assert parameters[name].default is None
        assert f"    {name}: " in (fanout.__doc__ or "")
        assert f"    {name}: " in (fanout_sync.__doc__ or "")
    without_use = {"chunk_linger", "max_line", "drain_timeout"}
    assert {*keywords} - {"cluster", "trust_network", "progress"} == {
        *RunSettings.__struct_fields__
    } - without_use


async def test_statistics_are_live(server: Loopback) -> None:
    """The statistics of a run can be read while it lasts, and are final after its last result."""
    async with fanout([1, 2, 3], apis(server, "a", "404")) as results:
        statistics = results.statistics
        await anext(results)
        assert statistics.read == 3
        rest = [result async for result in results]
        assert len(rest) == 2
        assert (statistics.written, statistics.ok, statistics.not_ok) == (3, 0, 3)
        assert statistics.seconds > 0
    assert [(api.name, api.calls) for api in statistics.apis] == [("a", 3), ("404", 3)]
    assert results.statistics is statistics


def uncalled() -> list[Api]:
    """An API that no record is sent to, so that time may be virtual."""
    return [Api("a", "http://a.test/", when="`false`")]


async def each_after(delays: Sequence[float]) -> AsyncIterator[int]:
    for number, delay in enumerate(delays):
        await trio.sleep(delay)
        yield number


async def test_progress_is_called_every_half_second(autojump_clock: trio.abc.Clock) -> None:
    """The function gets the live statistics twice a second, and once more at the end."""
    seen: list[tuple[float, int]] = []
    start = trio.current_time()

    def progress(statistics: RunStatistics) -> None:
        seen.append((trio.current_time() - start, statistics.written))

    async with fanout(each_after([0.25, 0.5, 1.0]), uncalled(), progress=progress) as results:
        assert [result.record async for result in results] == [0, 1, 2]
        assert seen == [(0.5, 1), (1.0, 2), (1.5, 2), (1.75, 3)]
    assert len(seen) == 4


async def test_error_of_the_progress_function_ends_the_run(autojump_clock: trio.abc.Clock) -> None:
    """What the progress function raises comes out of the iteration, after what was ready."""

    def progress(statistics: RunStatistics) -> None:
        if statistics.read > 1:
            raise LookupError("enough") from ValueError("cause")

    async with fanout(each_after([0.1, 0.1, 60.0]), uncalled(), progress=progress) as results:
        assert [(await anext(results)).record for _ in range(2)] == [0, 1]
        with pytest.raises(LookupError, match="enough"):
            await anext(results)
        assert trio.current_time() < 60.0


def test_fanout_sync_reports_progress_and_statistics(server: Loopback) -> None:
    """The synchronous iterator has live statistics, too, and calls `progress`."""
    seen: list[RunStatistics] = []
    with fanout_sync([1, 2, 3], apis(server, "a"), progress=seen.append) as results:
        assert results.statistics.apis[0].name == "a"
        assert [result.record for result in results] == [1, 2, 3]
        assert results.statistics.ok == 3
    assert seen == [results.statistics]
    assert repr(results) == "<SyncResults: closed>"


def test_fanout_sync_raises_what_the_progress_function_raises(server: Loopback) -> None:
    """An error in the progress function comes out of the loop, and leaves nothing behind."""

    def progress(_: RunStatistics) -> None:
        raise LookupError("enough")

    results = fanout_sync([1], apis(server, "a"), progress=progress)
    assert next(results).record == 1
    with pytest.raises(LookupError, match="enough"):
        next(results)
    assert our_threads() == []


async def test_fanout_that_crashes_never_ends_in_silence(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the engine is raised, whichever of iteration and engine ends first."""

    def crash(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    async def iterate() -> None:
        async with fanout([1, 2], apis(server, "a")) as results:
            async for _ in results:
                pass

    monkeypatch.setattr(LocalBackend, "admit", crash)
    for _ in range(20):  # trio runs tasks in random order
        with pytest.raises(BaseExceptionGroup) as caught:
            await iterate()
        assert caught.group_contains(ZeroDivisionError)


def test_fanout_outside_trio_names_that_of_asyncio() -> None:
    """In an asyncio program the error names what to use there."""

    async def main() -> None:
        async with fanout([1], [Api("a", "http://127.0.0.1:1/")]):
            pass

    with pytest.raises(RuntimeError, match=r"needs trio: use tmux_fanout\.asyncio\.fanout"):
        asyncio.run(main())


def test_fanout_refuses_a_progress_that_is_no_function() -> None:
    """The mistake is found by the call itself."""
    with pytest.raises(ConfigError, match="progress: invalid progress function 5: use a function"):
        fanout_sync([1], [Api("a", "http://127.0.0.1:1/")], progress=5)  # type: ignore[arg-type]  # the mistake


def test_fanout_sync_may_be_closed_from_another_thread(server: Loopback) -> None:
    """Closing ends an iteration that waits in another thread, and leaves no engine behind."""
    for _ in range(20):
        server.gate.clear()
        results = fanout_sync([{"n": 1}], [Api("a", server.url())])
        taken: list[Any] = []
        thread = threading.Thread(
            target=lambda each, into: into.extend(each), args=(results, taken)
        )
        thread.start()
        results.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert taken == []
        assert "tmux-fanout" not in [each.name for each in threading.enumerate()]


def test_fanout_sync_closed_gives_nothing_more(server: Loopback) -> None:
    """Closing ends the iteration, whether it has begun or not."""
    begun, unused = (fanout_sync(range(9), apis(server, "a")) for _ in range(2))
    assert repr(unused) == "<SyncResults: not started>"
    assert next(begun).record == 0
    assert repr(begun) == "<SyncResults: running>"
    for results in (begun, unused):
        assert isinstance(results, SyncResults)
        results.close()
        assert list(results) == []
    assert our_threads() == []
    assert begun.statistics.read == 9
    with pytest.raises(RuntimeError, match="closed before it started"):
        unused.statistics  # noqa: B018


def test_fanout_sync_gives_results_in_order(server: Loopback) -> None:
    """A plain loop gets results in input order."""
    seen = list(fanout_sync([{"id": n} for n in range(300)], apis(server, "a")))
    assert [result["a"].body["id"] for result in seen] == list(range(300))
    assert all(result.ok for result in seen)


def test_fanout_sync_does_not_wait_for_the_next_record(server: Loopback) -> None:
    """A generator that blocks does not delay earlier results."""
    come = threading.Event()

    def records() -> Iterator[int]:
        yield 1
        assert come.wait(PATIENCE)
        yield 2

    results = fanout_sync(records(), apis(server, "a"))
    assert next(results).record == 1
    come.set()
    assert [result.record for result in results] == [2]


def test_fanout_sync_reads_standard_input_and_lets_it_go(server: Loopback) -> None:
    """Left while standard input is open and silent, the program ends like any other."""
    program = (
        "import sys\n"
        "from tmux_fanout import Api, fanout_sync\n"
        f"for result in fanout_sync(sys.stdin.buffer, [Api('a', {server.url()!r})]):\n"
        "    print(result['a'].body, flush=True)\n"
        "    if result.index: break\n"
    )
    with Process(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        process.stdin.write(b'{"id": 1}\n\n2\n')
        process.stdin.flush()
        assert process.wait() == 0
        assert process.stdout
        assert process.stdout.read() == b"{'id': 1}\n2\n"


def test_fanout_sync_left_open_lets_the_program_end(server: Loopback) -> None:
    """An iterator that still exists when the program ends does not keep it running."""
    program = (
        "from tmux_fanout import Api, fanout_sync\n"
        f"results = fanout_sync(range(1000), [Api('a', {server.url()!r})], limit=1)\n"
        "print(next(results).record, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"0\n", b"")


def test_fanout_sync_raises_what_the_records_raise(server: Loopback) -> None:
    """An exception from the records comes after the results that precede it."""

    def breaks() -> Iterator[int]:
        yield 1
        raise LookupError("gone")

    results = fanout_sync(breaks(), apis(server, "a"))
    assert next(results).record == 1
    with pytest.raises(LookupError, match="gone"):
        next(results)


async def test_fanout_sync_refuses_to_block_trio(server: Loopback) -> None:
    """Called from a trio task it says what to write instead."""
    with pytest.raises(RuntimeError, match="async with fanout"):
        fanout_sync([1], apis(server, "a"))


async def test_keyboard_interrupt_in_the_block_comes_out_as_it_is(server: Loopback) -> None:
    """`except KeyboardInterrupt` around the block works."""

    async def block() -> None:
        async with fanout([1, 2], apis(server, "a")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await block()


def test_fanout_sync_left_early_leaks_nothing(server: Loopback) -> None:
    """Leaving the loop ends the engine's threads and closes its sockets."""

    def endless() -> Iterator[int]:
        while True:
            yield 1

    def leave() -> None:
        for records in (range(1000), endless()):
            for result in fanout_sync(records, apis(server, "a")):
                assert result.ok
                break

    for _ in range(10):
        leave()
    assert connections_to(server) == 0
    for thread in our_threads():  # one that was inside the iterable ends when that returns
        thread.join(PATIENCE)
    assert our_threads() == []


def test_statistics_have_units_and_money(server: Loopback) -> None:
    """A program sees what its calls cost, and a budget ends them as data."""
    server.replies["/paid"] = lambda body: (200, b'{"usage":{"input":1000,"output":10}}')
    price = {"input": "2/1M", "output": "10/1M", "call": "0.001"}
    api = Api("paid", server.url("/paid"), spent="usage", price=price)
    results = fanout_sync(range(20), [api], max_cost="0.031", rate={"requests": "900/s"})
    kinds = [error.kind if (error := result["paid"].error) else "ok" for result in results]
    assert kinds == ["ok"] * 10 + ["cancelled"] * 10
    statistics = results.statistics
    assert str(statistics.cost) == "0.031"
    assert statistics.apis[0].spending.useful == (10, 10_000, 100)
