"""What the `demo` command needs of its own: sample records, and HTTP APIs on loopback."""

from tmux_fanout.demo.records import RECORDS
from tmux_fanout.demo.server import serve

__all__ = ["RECORDS", "serve"]
