"""`fanout` on a cluster: the same results, for trio, asyncio and plain programs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from support.dask import Dask
from support.loopback import Loopback

import tmux_fanout.asyncio
from tmux_fanout import Api, ConfigError, Result, fanout, fanout_sync

RECORDS = [{"id": number} for number in range(60)]


def told(results: Sequence[Result]) -> list[Any]:
    return [
        (result.index, result.record, result.ok, result["x"].body, result["x"].status)
        for result in results
    ]


@pytest.fixture
def api(server: Loopback) -> Api:
    server.replies["/"] = lambda body: (404 if b"7}" in body else 200, body)
    return Api("x", server.url())


async def test_results_are_those_of_one_process(three: Dask, api: Api) -> None:
    async with fanout(RECORDS, [api], cluster=three.address) as remote:
        found = [result async for result in remote]
    async with fanout(RECORDS, [api]) as local:
        assert told(found) == told([result async for result in local])
    assert remote.statistics.processes == 3


def test_results_for_plain_and_for_asyncio_programs(three: Dask, api: Api) -> None:
    alone = told([*fanout_sync(RECORDS, [api])])
    assert told([*fanout_sync(RECORDS, [api], cluster=three.address)]) == alone

    async def gather() -> list[Result]:
        async with tmux_fanout.asyncio.fanout(RECORDS, [api], cluster=three.address) as results:
            return [result async for result in results]

    assert told(asyncio.run(gather())) == alone


async def test_leaving_early_ends_the_calls(three: Dask, api: Api) -> None:
    """Leaving the block neither waits for the rest nor leaves a process behind."""
    async with fanout(RECORDS * 50, [api], cluster=three.address) as results:
        async for result in results:
            assert result.index == 0
            break
    with trio.fail_after(60):
        while any(worker.children() for worker in three.workers):  # noqa: ASYNC110 they are no tasks
            await trio.sleep(0.05)


async def test_cluster_that_cannot_be_used(three: Dask, api: Api) -> None:
    """Mistakes are raised by the call, and what a member refuses where the run starts."""
    with pytest.raises(ConfigError, match="cluster: invalid address"):
        fanout(RECORDS, [api], cluster="10.0.0.7")
    secret = Api("x", api.url, headers={"Authorization": "Bearer ${MISSING}"})
    with pytest.raises(ConfigError, match=r"\$\{MISSING\} is not set"):
        async with fanout(RECORDS, [secret], cluster=three.address):
            pass
