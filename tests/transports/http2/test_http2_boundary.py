"""What nobody foresaw about one HTTP/2 stream costs that stream and no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import h2.events
import pytest
import trio
from support.client import Client
from support.http2 import Stream, http2
from support.http2_frames import OK, data, frame, head
from support.server import Server

from tmux_fanout.core.errors import TransportError
from tmux_fanout.transports.http2.session import Session
from tmux_fanout.transports.http2.stream import Exchange

Connect = Callable[..., Awaitable[tuple[Server, Client]]]


@pytest.mark.parametrize("owner", [Exchange, Session])
async def test_unforeseen_exception_costs_the_stream_that_it_is_about(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, owner: Any
) -> None:
    """One exchange reads for all; a response of which a part was lost is never ok."""
    streams: list[Stream] = []
    arrived, both = trio.Event(), trio.Event()

    async def handler(stream: Stream) -> None:
        streams.append(stream)
        arrived.set()
        if len(streams) < 2:
            await both.wait()
            return
        first, second = streams
        number = second.number
        await second.link.flush(head(number, OK) + frame(0, number, b"o"))
        await second.link.flush(data(number, b"k"))
        await first.link.flush(head(first.number, OK) + data(first.number, b"ok"))
        both.set()

    name = "_take" if owner is Exchange else "_handle"
    step = getattr(owner, name)

    def unsure(self: Any, event: Any, *others: Any) -> Any:
        if isinstance(event, h2.events.DataReceived) and event.data == b"o":
            raise KeyError("hunter2")
        return step(self, event, *others)

    monkeypatch.setattr(owner, name, unsure)
    _, client = await connect(http2(handler))
    answers: dict[str, Any] = {}

    async def call(which: str, body: bytes) -> None:
        try:
            answers[which] = (await client.send("POST", body)).body
        except TransportError as failure:
            answers[which] = failure.kind

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, "first", b"{}")
            await arrived.wait()
            nursery.start_soon(call, "second", b"{}")
    assert answers["second"] == "internal"
    assert answers["first"] == (b"ok" if owner is Exchange else "internal")
