"""The Keep-Alive header."""

from __future__ import annotations

import pytest

from tmux_fanout.core.policy.keep_alive import MAX_IDLE, idle_limit, requests_left


@pytest.mark.parametrize(
    ("values", "seconds", "left"),
    [
        ([], MAX_IDLE, None),
        ([b""], MAX_IDLE, None),
        ([b"timeout=5"], 4.0, None),  # Node.js
        ([b"timeout=5, max=100"], 4.0, 100),  # Apache
        ([b"max=99,timeout=15"], 14.0, 99),
        ([b"Timeout = 5 ; MAX=0"], 4.0, 0),
        ([b'timeout="5"'], 4.0, None),
        ([b"timeout=1"], 0.5, None),  # a margin of a second would leave nothing
        ([b"timeout=0"], 0.0, None),
        ([b"timeout=3600"], MAX_IDLE, None),
        ([b"300"], MAX_IDLE, None),  # what a client of HTTP/1.0 sends
        ([b"timeout=-1"], MAX_IDLE, None),
        ([b"timeout=" + b"9" * 5000], MAX_IDLE, None),
        ([b"xtimeout=5"], MAX_IDLE, None),
        ([b"timeout=\xff"], MAX_IDLE, None),
        ([b"timeout=60", b"timeout=5"], 4.0, None),
    ],
)
def test_keep_alive_header(values: list[bytes], seconds: float, left: int | None) -> None:
    """The announced time is reduced by a second, as in nodejs/node#52653 and undici."""
    headers = [(b"server", b"x"), *((b"keep-alive", value) for value in values)]
    assert (idle_limit(headers), requests_left(headers)) == (seconds, left)
