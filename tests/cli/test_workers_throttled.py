"""Several workers find the pace of an API that refuses what is too much."""

from __future__ import annotations

import json

import pytest
import trio
from support.command import COMMAND, PATIENCE, environment, lines, records
from support.gates import Shed
from support.quotas import RateLimit, TokenBucket
from support.server import Peer, response, serve
from support.throttling import Gate, Server

COUNT = 300


@pytest.mark.parametrize("gate", [Shed(6), RateLimit(TokenBucket(150, 30))], ids=["shed", "bucket"])
async def test_nothing_is_lost_to_refusals(gate: Gate) -> None:
    """Two workers bring every record home, each processed once, with few extra requests."""
    simulated = Server(gate, latency=0.02, refusal=0.005)

    async def answer(peer: Peer) -> None:
        while (received := await peer.request()) is not None:
            reply = await simulated.answer([json.loads(received.body)])
            await peer.send(response(received.body, status=f"{reply.status} Status"))

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, answer)
        args = ["-a", f"x={server.url}", "-l", "32", "--workers", "2", "--chunk-size", "10"]
        with trio.fail_after(PATIENCE):
            done = await trio.run_process(
                [*COMMAND, *args],
                stdin=records(COUNT),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=environment(),
            )
        nursery.cancel_scope.cancel()
    assert done.returncode == 0, done.stderr
    assert [line["record"]["id"] for line in lines(done.stdout)] == list(range(COUNT))
    assert simulated.doubled == 0
    assert len(simulated.arrivals) < 2.3 * COUNT
