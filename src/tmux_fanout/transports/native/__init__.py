"""HTTP/1.1 straight on sockets, with llhttp as the parser: the fast transport."""

from tmux_fanout.transports.native.transport import NativeTransport

__all__ = ["NativeTransport"]
