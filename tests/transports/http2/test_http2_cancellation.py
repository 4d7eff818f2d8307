"""HTTP/2: a cancelled request leaves its connection to the others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import h2.errors
import pytest
import trio
from support.cancelling import cancelled_after
from support.client import descriptors_settle_at, open_descriptors
from support.http2 import Stream, echo2, http2
from trio.testing import wait_all_tasks_blocked

ErrorCodes = h2.errors.ErrorCodes
LARGE = bytes(range(256)) * (12 << 10)
MAX_STEPS = 400

Open = Callable[..., Any]


async def test_send_cancelled_leaves_its_neighbours_alone(connect: Open) -> None:
    """The task that receives for all may be cancelled, and the server is informed."""
    streams: list[Stream] = []
    enough = trio.Event()

    async def handler(stream: Stream) -> None:
        streams.append(stream)
        if len(streams) == 6:
            enough.set()
        await (streams[0].reset if stream is not streams[0] else stream.reset).wait()
        if stream is not streams[0]:
            await stream.answer(stream.body)

    server, client = await connect(http2(handler))
    answers: list[bytes] = []

    async def call(number: int) -> None:
        answers.append((await client.send("POST", b"%d" % number)).body)

    async with trio.open_nursery() as requests, trio.open_nursery() as leader:
        leader.start_soon(call, 0)
        while not streams:
            await wait_all_tasks_blocked(0.001)
        for number in range(1, 6):
            requests.start_soon(call, number)
        await enough.wait()
        leader.cancel_scope.cancel()
    assert sorted(answers) == [b"1", b"2", b"3", b"4", b"5"]
    assert server.connections == 1


@pytest.mark.parametrize("used_before", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("body", [b"{}", LARGE[:200_000]], ids=["small", "large"])
async def test_send_cancelled_at_every_checkpoint_in_turn(
    connect: Open, used_before: bool, body: bytes
) -> None:
    """No socket is left, and the next request works."""
    before = open_descriptors()
    for steps in range(MAX_STEPS):
        _, client = await connect(http2(echo2), max_response=8 << 20)
        before = open_descriptors()
        if used_before:
            await client.send("POST", b"before")
        cancelled = await cancelled_after(steps, partial(client.send, "POST", body))
        nonce = b"%d" % steps
        assert (await client.send("POST", nonce)).body == nonce
        await client.transport.aclose()
        assert await descriptors_settle_at(before)
        if not cancelled:
            break
    assert not cancelled
    assert steps > 2
