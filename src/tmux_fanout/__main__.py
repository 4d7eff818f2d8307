"""`python -m tmux_fanout` is `tmux-fanout`."""

from tmux_fanout.cli import main

if __name__ == "__main__":
    main()
