"""An unforeseen exception about one HTTP/2 stream fails that stream and no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import h2.events
import pytest
import trio
from h2.connection import H2Connection
from support.client import Client
from support.http2 import Stream, http2
from support.http2_frames import OK, data, frame, head
from support.server import Server

from tmux_fanout.core.errors import TransportError

Connect = Callable[..., Awaitable[tuple[Server, Client]]]


class Unreadable:
    """Data that cannot be converted to bytes."""

    def __bytes__(self) -> bytes:
        raise KeyError("hunter2")


def break_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where one stream processes the data `o`."""
    receive_data = H2Connection.receive_data

    def receive(self: H2Connection, received: bytes) -> list[h2.events.Event]:
        events = receive_data(self, received)
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.data == b"o":
                event.data = cast(bytes, Unreadable())
        return events

    monkeypatch.setattr(H2Connection, "receive_data", receive)


def break_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the session processes one byte of data, before it passes it to a stream."""
    acknowledge_received_data = H2Connection.acknowledge_received_data

    def acknowledge(self: H2Connection, size: int, number: int) -> None:
        if size == 1:
            raise KeyError("hunter2")
        acknowledge_received_data(self, size, number)

    monkeypatch.setattr(H2Connection, "acknowledge_received_data", acknowledge)


@pytest.mark.parametrize("breaks", [break_stream, break_session])
async def test_unforeseen_exception_fails_only_streams_that_may_miss_data(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, breaks: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """One task receives for all streams; a response of which a part was lost is never ok."""
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

    breaks(monkeypatch)
    _, client = await connect(http2(handler))
    answers: dict[str, Any] = {}

    async def call(which: str, body: bytes) -> None:
        try:
            answers[which] = (await client.send("POST", body)).body
        except TransportError as error:
            answers[which] = error.kind

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, "first", b"{}")
            await arrived.wait()
            nursery.start_soon(call, "second", b"{}")
    assert answers["second"] == "internal"
    assert answers["first"] == (b"ok" if breaks is break_stream else "internal")
