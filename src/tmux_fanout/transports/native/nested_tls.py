"""TLS inside TLS, for an https origin behind an https proxy.

`ssl` cannot run TLS on a TLS socket, only in memory.  This gives the latter the interface of the
non-blocking `ssl.SSLSocket` that the transports use.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

_RECORD = 16384  # bytes


class NestedTls:
    """A TLS session on a TLS socket.

    Args:
        outer: non-blocking, after its handshake; this object owns it.
        context: for the inner session.
        server_hostname: the name expected in the certificate.
    """

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, server_hostname: str) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._unsent = b""
        self._more_to_come = False
        self._inner = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname
        )

    def __repr__(self) -> str:
        return f"<NestedTls on {self._outer!r}>"

    def fileno(self) -> int:
        return self._outer.fileno()

    def close(self) -> None:
        self._outer.close()

    def selected_alpn_protocol(self) -> str | None:
        return self._inner.selected_alpn_protocol()

    def version(self) -> str | None:
        return self._inner.version()

    def do_handshake(self) -> None:
        while True:
            self._flush()
            try:
                self._inner.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            else:
                self._flush()
                return

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Send at most one TLS record; what the outer socket does not take is sent later."""
        self._more_to_come = True
        self._flush()
        count = self._inner.write(data[:_RECORD])
        self._more_to_come = count < len(data)
        with suppress(ssl.SSLWantWriteError):
            self._flush()
        return count

    def recv(self, size: int) -> bytes:
        while True:
            try:
                return self._inner.read(size)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                self._fill_or_flush()

    def _fill_or_flush(self) -> None:
        try:
            self._fill()
        except ssl.SSLWantReadError:
            if (
                not self._more_to_come
            ):  # otherwise the sender already waits for the socket to take more
                self._flush()
            raise

    def _flush(self) -> None:
        self._unsent += self._outgoing.read()
        while self._unsent:
            self._unsent = self._unsent[self._outer.send(self._unsent) :]

    def _fill(self) -> None:
        data = self._outer.recv(65536)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
