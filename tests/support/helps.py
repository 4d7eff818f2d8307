"""Write the help texts on the page of the command again.

PYTHONPATH=tests python -m support.helps
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from support.command import COMMAND, environment

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "command.md"
_SHOWN = re.compile(r"^(\$ tmux-fanout (\w+) --help\n)(?:(?!```).*\n)*", re.MULTILINE)


def _with_help(match: re.Match[str]) -> str:
    command = [*COMMAND, match[2], "--help"]
    done = subprocess.run(command, capture_output=True, check=True, env=environment(), text=True)
    return match[1] + done.stdout


if __name__ == "__main__":
    PAGE.write_text(_SHOWN.sub(_with_help, PAGE.read_text("utf-8")), "utf-8")
