"""`tmux_fanout.asyncio.fanout` against a real server."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
import sniffio
import trio
from support.command import PATIENCE, Process, environment
from support.loopback import Loopback, connections_to

from tmux_fanout import Api, ConfigError, Plan, RunStatistics
from tmux_fanout.asyncio import AsyncioResults, fanout
from tmux_fanout.engine.run.local import LocalBackend

VARIABLE = ContextVar("VARIABLE", default="")


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a program under asyncio, and check that it leaves no task and no thread behind."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await main
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(bounded(), debug=True)
    assert [thread for thread in threading.enumerate() if "fanout" in thread.name] == []


def apis(server: Loopback, *names: str) -> list[Api]:
    return [Api(name, server.url("/" + name)) for name in names or ("a",)]


def plain() -> list[int]:
    return [0, 1, 2]


def generated() -> Iterator[int]:
    yield from plain()


async def awaited() -> AsyncIterator[int]:
    for number in plain():
        await asyncio.sleep(0)
        yield number


@pytest.mark.parametrize("records", [plain, generated, awaited])
def test_results_come_in_order(server: Loopback, records: Callable[[], Any]) -> None:
    """Whatever kind of iterable the records come from."""

    async def main() -> None:
        async with fanout(records(), apis(server, "a", "404")) as results:
            seen = [result async for result in results]
            assert isinstance(results, AsyncioResults)
        assert [result.index for result in seen] == [0, 1, 2]
        assert [result["a"].body for result in seen] == [0, 1, 2]
        assert {result["404"].status for result in seen} == {404}
        assert repr(results) == "<AsyncioResults: over>"
        assert (results.statistics.read, results.statistics.not_ok) == (3, 3)

    run(main())


def test_many_results_come_in_order(server: Loopback) -> None:
    """Over many batches and chunks."""

    async def main() -> None:
        async with fanout(({"id": n} for n in range(1000)), apis(server), window=50) as results:
            assert [result["a"].body["id"] async for result in results] == [*range(1000)]

    run(main())


def test_a_plan_may_take_the_place_of_the_apis(server: Loopback) -> None:
    """As in the other functions."""

    async def main() -> None:
        async with fanout([1], Plan(apis(server)), limit=1) as results:
            assert [result["a"].body async for result in results] == [1]

    run(main())


def test_a_result_is_there_before_the_next_record(server: Loopback) -> None:
    """An async iterable that waits delays no earlier result."""

    async def main() -> None:
        come = asyncio.Event()

        async def records() -> AsyncIterator[int]:
            yield 1
            await come.wait()
            yield 2

        async with fanout(records(), apis(server)) as results:
            assert (await anext(results)).record == 1
            come.set()
            assert (await anext(results)).record == 2
            with pytest.raises(StopAsyncIteration):
                await anext(results)

    run(main())


def test_records_are_read_in_the_event_loop_of_the_program(server: Loopback) -> None:
    """In its thread, with its context variables; collections of the program's own, too."""

    async def main() -> None:
        VARIABLE.set("mine")
        seen = []
        loop = asyncio.get_running_loop()

        def look() -> None:
            where = threading.current_thread() is threading.main_thread()
            seen.append((VARIABLE.get(), where, asyncio.get_running_loop() is loop))

        async def records() -> AsyncIterator[int]:
            look()
            assert sniffio.current_async_library() == "asyncio"
            yield 1

        def more() -> Iterator[int]:
            look()
            yield 1

        class Rows:
            def __len__(self) -> int:
                return 1

            def __contains__(self, _: object) -> bool:
                return False

            def __iter__(self) -> Iterator[int]:
                return more()

        class Numbers(list[int]):
            def __iter__(self) -> Iterator[int]:
                return more()

        for each in (records(), more(), Rows(), Numbers()):
            async with fanout(each, apis(server), progress=lambda _: look()) as results:
                assert [result.ok async for result in results] == [True]
        assert seen == [("mine", True, True)] * 8

    run(main())


def test_errors_of_the_records_come_after_their_results(server: Loopback) -> None:
    """Whatever the records raise comes out of the iteration, in its place, again and again."""

    async def main() -> None:
        async def breaks(error: BaseException) -> AsyncIterator[int]:
            for number in plain():
                yield number
            raise error

        def breaks_too(error: BaseException) -> Iterator[int]:
            yield from plain()
            raise error

        errors = (LookupError("gone"), asyncio.CancelledError("gone"), SystemExit("gone"))
        for records in (breaks, breaks_too):
            for error in errors:
                async with fanout(records(error), apis(server)) as results:
                    assert [(await anext(results)).record for _ in range(3)] == [0, 1, 2]
                    for _ in range(2):
                        with pytest.raises(type(error), match="gone"):
                            await anext(results)

    run(main())


def test_an_error_in_the_block_comes_out_as_it_is(server: Loopback) -> None:
    """And everything is cancelled."""

    async def raise_in_block() -> None:
        async with fanout(range(100), apis(server)):
            await asyncio.to_thread(server.await_requests, 1)
            raise LookupError("mine")

    async def main() -> None:
        server.gate.clear()
        with pytest.raises(LookupError, match="mine"):
            await raise_in_block()
        assert connections_to(server) == 0

    run(main())


def test_leaving_early_leaks_nothing(server: Loopback) -> None:
    """Blocks left in the middle of requests leave no socket, task or thread behind."""

    async def endless() -> AsyncIterator[int]:
        while True:
            yield 1

    async def main() -> None:
        for number in range(30):
            records: Any = endless() if number % 2 else range(1000)
            async with fanout(records, apis(server, "a", "b"), limit=4) as results:
                await anext(results)
            assert [result async for result in results] == []
            assert connections_to(server) == 0

    run(main())


def test_a_block_that_is_not_waited_in_leaks_nothing(server: Loopback) -> None:
    """Even if it is left before the records are asked for."""

    async def main() -> None:
        for records in (plain, generated, awaited):
            async with fanout(records(), apis(server)):
                pass

    run(main())


@pytest.mark.parametrize("inside", ["iteration", "block", "entry"])
def test_cancelling_ends_the_run(server: Loopback, inside: str) -> None:
    """Wherever the task is: its end is that of all calls, and it is cancelled as any other."""
    server.gate.clear()

    async def work(entered: asyncio.Event) -> None:
        if inside == "entry":
            entered.set()
        async with fanout(range(1000), apis(server)) as results:
            entered.set()
            await (anext(results) if inside == "iteration" else asyncio.sleep(PATIENCE))

    async def main() -> None:
        entered = asyncio.Event()
        task = asyncio.create_task(work(entered))
        await entered.wait()
        if inside != "entry":
            await asyncio.to_thread(server.await_requests, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert connections_to(server) == 0

    run(main())


def test_a_time_limit_of_asyncio_ends_the_run(server: Loopback) -> None:
    """`asyncio.timeout` around the block raises TimeoutError, as around any code."""
    server.gate.clear()

    async def wait() -> None:
        async with asyncio.timeout(0.05), fanout(range(1000), apis(server)) as results:
            await anext(results)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await wait()
        assert connections_to(server) == 0

    run(main())


def test_cancelling_while_the_block_is_left_waits_nevertheless(server: Loopback) -> None:
    """A second cancellation cuts nothing short: the records' own clean-up is waited for."""

    async def main() -> None:
        cleaning, is_clean = asyncio.Event(), asyncio.Event()

        async def records() -> AsyncIterator[int]:
            try:
                yield 1
                await asyncio.sleep(PATIENCE)
            finally:
                cleaning.set()
                await asyncio.sleep(0.02)
                is_clean.set()

        async def work() -> None:
            async with fanout(records(), apis(server)) as results:
                await anext(results)

        task = asyncio.create_task(work())
        await cleaning.wait()
        task.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert is_clean.is_set()

    run(main())


def test_a_wait_that_is_cut_short_loses_no_result(server: Loopback) -> None:
    """The next one gets what it waited for."""

    async def main() -> None:
        server.gate.clear()
        async with fanout(range(3), apis(server)) as results:
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(results), 0.01)
            server.gate.set()
            assert [result.record async for result in results] == [0, 1, 2]

    run(main())


def test_several_tasks_may_share_the_results(server: Loopback) -> None:
    """Each result goes to one of them, and all of them end."""

    async def main() -> None:
        seen: list[int] = []

        async def consume() -> None:
            async for result in results:
                seen.append(result.index)
                await asyncio.sleep(0)

        async with fanout(range(500), apis(server)) as results:
            await asyncio.gather(*(consume() for _ in range(5)))
        assert sorted(seen) == [*range(500)]

    run(main())


def test_several_runs_may_last_at_once(server: Loopback) -> None:
    """In one event loop."""

    async def work(number: int) -> list[Any]:
        async with fanout([number] * 50, apis(server)) as results:
            return [result["a"].body async for result in results]

    async def main() -> None:
        done = await asyncio.gather(*map(work, range(5)))
        assert done == [[number] * 50 for number in range(5)]

    run(main())


def test_the_event_loop_goes_on_meanwhile(server: Loopback) -> None:
    """Neither waiting for results nor reading records holds it up."""

    async def main() -> None:
        server.gate.clear()

        async def tick() -> None:
            for _ in range(20):
                await asyncio.sleep(0.001)
            server.gate.set()

        async with fanout(awaited(), apis(server)) as results, asyncio.TaskGroup() as group:
            group.create_task(tick())
            assert [result.ok async for result in results] == [True] * 3

    run(main())


def test_a_slow_consumer_is_waited_for(server: Loopback) -> None:
    """No more than the window and a few chunks of records are read ahead."""
    taken = 0

    async def count() -> AsyncIterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    async def main() -> None:
        async with fanout(count(), apis(server), window=10, chunk_size=5) as results:
            await anext(results)
            before = -1
            while before != taken:
                before = taken
                await asyncio.sleep(0.05)
            assert taken <= 1 + 10 + 10 + 10 + 4 * 5

    run(main())


def test_progress_is_reported_at_the_end(server: Loopback) -> None:
    """With the statistics that the results have."""

    async def main() -> None:
        seen: list[RunStatistics] = []
        async with fanout([1, 2], apis(server), progress=seen.append) as results:
            assert [result.record async for result in results] == [1, 2]
            assert seen == [results.statistics]
        assert seen == [results.statistics]

    run(main())


def test_progress_is_reported_regularly(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the run lasts, and not beyond."""
    interval = "tmux_fanout.engine.library.asyncio_results.PROGRESS_INTERVAL"
    monkeypatch.setattr(interval, 0.001)

    async def main() -> None:
        server.gate.clear()
        calls = 0

        def progress(_: RunStatistics) -> None:
            nonlocal calls
            calls += 1
            if calls == 5:
                server.gate.set()

        async with fanout([1], apis(server), progress=progress) as results:
            assert [result.ok async for result in results] == [True]
            last = calls
            await asyncio.sleep(0.02)
        assert calls == last >= 5

    run(main())


def test_progress_is_not_reported_once_the_block_is_left(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if the run opens just after the program was cancelled."""
    monkeypatch.setattr("tmux_fanout.engine.library.asyncio_results.PROGRESS_INTERVAL", 0)
    cancelled, opened = threading.Event(), threading.Event()
    post = AsyncioResults._post

    def post_and_tell(self: AsyncioResults, *args: Any) -> None:
        cancelled.wait(PATIENCE)
        post(self, *args)
        opened.set()

    async def main() -> None:
        seen: list[RunStatistics] = []

        async def enter() -> None:
            async with fanout([1], apis(server), progress=seen.append):
                pytest.fail("the block is not entered")

        task = asyncio.create_task(enter())
        await asyncio.sleep(0)
        task.cancel()
        cancelled.set()
        assert opened.wait(PATIENCE)  # in the event loop, which is to see both in this order
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.sleep(0)
        assert seen == []

    monkeypatch.setattr(AsyncioResults, "_post", post_and_tell)
    run(main())


@pytest.mark.parametrize("when", ["meanwhile", "end"])
def test_an_error_of_the_progress_function_ends_the_run(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """It comes out of the iteration, after what was ready."""
    if when == "meanwhile":
        interval = "tmux_fanout.engine.library.asyncio_results.PROGRESS_INTERVAL"
        monkeypatch.setattr(interval, 0.001)
        server.gate.clear()

    def progress(_: RunStatistics) -> None:
        raise LookupError("enough")

    async def main() -> None:
        async with fanout([1], apis(server), progress=progress) as results:
            if when == "end":
                assert (await anext(results)).record == 1
            with pytest.raises(LookupError, match="enough"):
                await anext(results)
        assert connections_to(server) == 0

    run(main())


def test_a_run_that_crashes_never_ends_in_silence(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the engine is raised by the iteration, and where the block is left."""

    def crash(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    async def iterate() -> None:
        async with fanout([1, 2], apis(server)) as results:
            with pytest.raises(BaseExceptionGroup):
                await anext(results)

    async def main() -> None:
        monkeypatch.setattr(LocalBackend, "admit", crash)
        with pytest.raises(BaseExceptionGroup) as caught:
            await iterate()
        assert caught.group_contains(ZeroDivisionError)

    run(main())


def test_a_run_that_cannot_start_raises(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the block is entered."""

    def crash(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a bug")

    async def main() -> None:
        monkeypatch.setattr("tmux_fanout.engine.library.results.open_transports", crash)
        with pytest.raises(ZeroDivisionError, match="a bug"):
            async with fanout([1, 2], apis(server)):
                raise AssertionError

    run(main())


def test_mistakes_raise_at_once() -> None:
    """Bad configuration raises from the call itself, before anything runs."""
    function: Any = fanout
    with pytest.raises(TypeError, match="'limt'"):
        function([1], [Api("a", "http://a.test/")], limt=3)
    with pytest.raises(ConfigError, match="no API"):
        function([1], [])
    with pytest.raises(ConfigError, match="timeout: invalid duration 'soon'"):
        function([1], [Api("a", "http://a.test/")], timeout="soon")
    with pytest.raises(ConfigError, match="progress: invalid progress function 5"):
        function([1], [Api("a", "http://a.test/")], progress=5)


def test_the_module_is_an_attribute_of_the_package() -> None:
    """So that `import tmux_fanout` suffices."""
    script = "import tmux_fanout; print(tmux_fanout.asyncio.fanout.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env=environment(), check=True
    )
    assert done.stdout == b"tmux_fanout.asyncio\n"


async def test_under_trio_the_error_names_what_to_use() -> None:
    """The other way round as well, as `fanout` of trio does."""
    with pytest.raises(RuntimeError, match=r"needs asyncio: under trio use tmux_fanout\.fanout"):
        async with fanout([1], [Api("a", "http://127.0.0.1:1/")]):
            await trio.lowlevel.checkpoint()


PROGRAM = """
import asyncio
from tmux_fanout import Api
from tmux_fanout.asyncio import fanout

async def main():
    async with fanout(range(100), [Api("a", {url!r})]) as results:
        print("entered", flush=True)
        async for result in results:
            pass

{end}
"""


@pytest.mark.parametrize(
    "end",
    [
        "asyncio.run(main())",
        "loop = asyncio.new_event_loop()\nloop.run_until_complete(main())",
    ],
)
def test_sigint_ends_a_program(server: Loopback, end: str) -> None:
    """As it ends any asyncio program, with KeyboardInterrupt, and nothing hangs."""
    server.gate.clear()
    program = PROGRAM.format(url=server.url(), end=end)
    with Process(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"entered\n"
        server.await_requests(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert (b"\nKeyboardInterrupt\n" in err, b"Exception ignored" in err) == (True, False)


def test_a_program_that_abandons_its_event_loop_ends(server: Loopback) -> None:
    """A loop that is closed inside the block takes no more callbacks."""
    server.gate.clear()
    end = f"""
async def enter():
    global run
    run = fanout((number for number in range(100)), [Api("a", {server.url()!r})])
    await run.__aenter__()

loop = asyncio.new_event_loop()
loop.run_until_complete(enter())
loop.close()
print("left", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(url=server.url(), end=end)],
        capture_output=True,
        timeout=PATIENCE,
        env=environment(PYTHONWARNINGS="ignore"),
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"left\n")
    assert b"Traceback" not in done.stderr
