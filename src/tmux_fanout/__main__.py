"""`python -m tmux_fanout` is `tmux-fanout`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The command; Ctrl-C while it is being loaded ends it as it does later."""
    try:
        from tmux_fanout.cli import main as command
    except KeyboardInterrupt:
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
