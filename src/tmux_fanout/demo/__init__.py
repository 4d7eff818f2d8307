"""Sample records, and HTTP APIs on loopback, for the `demo` command."""

from tmux_fanout.demo.records import RECORDS
from tmux_fanout.demo.server import serve

__all__ = ["RECORDS", "serve"]
