"""The command: parse, validate, open, hand over.

Nothing here imports trio or an HTTP library before a run begins, so that `--help` is quick.
"""

from tmux_fanout.cli.main import main

__all__ = ["main"]
