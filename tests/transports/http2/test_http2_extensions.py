"""HTTP/2 frames that do not concern a client are ignored, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.client import classify
from support.http2 import Stream, http2
from support.http2_frames import OK, data, frame, head

ALTSVC, ORIGIN, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, PRIORITY_UPDATE = (
    10,
    12,
    2,
    3,
    4,
    8,
    16,
)
LARGEST = 16384

Open = Callable[..., Any]

IGNORED: dict[str, Callable[[int], bytes]] = {
    "ALTSVC, empty": lambda n: frame(ALTSVC, 0),
    "ALTSVC, cut short": lambda n: frame(ALTSVC, 0, b"\0"),
    "ALTSVC, origin longer than the frame": lambda n: frame(ALTSVC, 0, b"\xff\xffa"),
    "ALTSVC, no origin": lambda n: frame(ALTSVC, 0, b'\0\0h2=":443"'),
    "ALTSVC, an origin on a stream": lambda n: frame(ALTSVC, n, b'\0\1ah2=":443"'),
    "ALTSVC, on a stream of the future": lambda n: frame(ALTSVC, n + 100, b'\0\0h2=":443"'),
    "ALTSVC, on a stream of the server's": lambda n: frame(ALTSVC, 2, b'\0\0h2=":443"'),
    "ALTSVC, large": lambda n: frame(ALTSVC, 0, b"\xff" * LARGEST),
    "ALTSVC, sound": lambda n: frame(ALTSVC, 0, b'\0\x09https://ah2=":443"'),
    "ORIGIN, empty": lambda n: frame(ORIGIN, 0),
    "ORIGIN, cut short": lambda n: frame(ORIGIN, 0, b"\0\x20https://a.test"),
    "ORIGIN, on a stream": lambda n: frame(ORIGIN, n, b"\0\x0ehttps://a.test"),
    "ORIGIN, with flags": lambda n: frame(ORIGIN, 0, b"\0\x0ehttps://a.test", 0xFF),
    "PRIORITY_UPDATE": lambda n: frame(PRIORITY_UPDATE, 0, n.to_bytes(4, "big") + b"u=1"),
    "PRIORITY_UPDATE, empty, on a stream": lambda n: frame(PRIORITY_UPDATE, n),
    "unknown, empty": lambda n: frame(0xEE, 0),
    "unknown, large": lambda n: frame(0xEE, 0, bytes(LARGEST), 0xFF),
    "unknown, on a stream": lambda n: frame(0xEE, n, b"x", 0xFF),
    "unknown, on a stream of the future": lambda n: frame(0xEE, 0x7FFFFFFF, b"x"),
    "unknown, with the reserved bit": lambda n: frame(0xEE, 0x80000000 | n, b"x"),
    "PRIORITY": lambda n: frame(PRIORITY, n, b"\0\0\0\0\x10"),
    "PRIORITY, on itself": lambda n: frame(PRIORITY, n, n.to_bytes(4, "big") + b"\x10"),
    "PRIORITY, on a stream of the future": lambda n: frame(PRIORITY, n + 50, b"\0\0\0\0\x10"),
    "PRIORITY, cut short": lambda n: frame(PRIORITY, n, b"\0"),
    "SETTINGS, unknown": lambda n: frame(SETTINGS, 0, b"\xf0\x0d\xff\xff\xff\xff"),
    "SETTINGS, twice the same": lambda n: frame(SETTINGS, 0, b"\0\5\0\0\x40\0" * 2),
    "SETTINGS, of RFC 8441": lambda n: frame(SETTINGS, 0, b"\0\x08\0\0\0\1"),
    "SETTINGS, of RFC 9218": lambda n: frame(SETTINGS, 0, b"\0\x09\0\0\0\1"),
    "SETTINGS, with flags": lambda n: frame(SETTINGS, 0, b"", 0xFE),
    "WINDOW_UPDATE, with flags": lambda n: frame(WINDOW_UPDATE, n, b"\0\0\0\1", 0xFF),
}


@pytest.mark.parametrize("case", IGNORED)
async def test_send_ignores_frames_that_say_nothing_to_it(connect: Open, case: str) -> None:
    """Before, in and after a response; the connection stays usable.

    nodejs and nghttp2 end the connection for some of them (oven-sh/bun#42391), although RFC 7838,
    section 4, requires that they are ignored.
    """
    made = IGNORED[case]

    async def handler(stream: Stream) -> None:
        number, extra = stream.number, made(stream.number)
        whole = [head(number, OK), frame(0, number, b"o"), data(number, b"k")]
        await stream.link.flush(extra + b"".join(part + extra for part in whole))

    server, client = await connect(http2(handler))
    for _ in range(3):
        answer = await client.send("POST", b"{}")
        assert (answer.status, answer.body) == (200, b"ok")
    assert server.connections == 1


@pytest.mark.parametrize("kind", [ALTSVC, ORIGIN, 0xEE, PRIORITY])
async def test_send_takes_no_frame_inside_of_a_head(connect: Open, kind: int) -> None:
    """Not even one that is ignored elsewhere (RFC 9113, sections 4.3 and 5.5)."""

    async def handler(stream: Stream) -> None:
        whole = bytearray(head(stream.number, OK, end=True))
        whole[4] &= ~4  # END_HEADERS
        await stream.link.flush(bytes(whole) + frame(kind, 0) + frame(9, stream.number, b"", 4))

    _, client = await connect(http2(handler))
    assert classify(await client.failure()) == ("protocol", "final")


LATE: dict[str, Callable[[int], bytes]] = {
    "RST_STREAM": lambda n: frame(RST_STREAM, n, bytes(4)),
    "RST_STREAM, twice": lambda n: frame(RST_STREAM, n, bytes(4)) * 2,
    "RST_STREAM, cancel": lambda n: frame(RST_STREAM, n, b"\0\0\0\x08"),
    "WINDOW_UPDATE": lambda n: frame(WINDOW_UPDATE, n, b"\0\0\0\1"),
    "PRIORITY": lambda n: frame(PRIORITY, n, b"\0\0\0\0\x10"),
    "ALTSVC": lambda n: frame(ALTSVC, n, b'\0\0h2=":443"'),
    "unknown": lambda n: frame(0xEE, n, b"x"),
}


@pytest.mark.parametrize("case", LATE)
async def test_send_ignores_what_may_follow_a_response(connect: Open, case: str) -> None:
    """Above all RST_STREAM with NO_ERROR (RFC 9113, section 8.1), which lost the response in
    hyperium/hyper#2872, dotnet/corefx#40513 and kazu-yamamoto/http2#76.
    """

    async def handler(stream: Stream) -> None:
        late = LATE[case](stream.number)
        await stream.link.flush(head(stream.number, OK) + data(stream.number, b"ok") + late)
        await stream.link.flush(late)

    server, client = await connect(http2(handler))
    for _ in range(3):
        assert (await client.send("POST", b"{}")).body == b"ok"
    assert server.connections == 1
