"""Write the man pages into docs/man: `tox -e man`.

They are built from the pages of the documentation, and kept in the repository since an installation
from it, which has no Sphinx, brings them along.  With `--check`, change nothing, and fail if they
are not those of the documentation.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

DOCS = Path(__file__).resolve().parent.parent / "docs"
MAN = DOCS / "man"


def build(directory: Path) -> dict[Path, str]:
    """Return the man pages by their path below docs/man, without the version of docutils."""
    options = ("-q", "-W", "--keep-going", "-d", str(directory / "doctrees"))
    target = directory / "man"
    command = [sys.executable, "-m", "sphinx", "-b", "man", *options, str(DOCS), str(target)]
    subprocess.run(command, check=True)
    return {
        path.relative_to(target): re.sub(
            r'^\.\\" by the Docutils .*\n', "", path.read_text(), flags=re.MULTILINE
        )
        for path in sorted(target.rglob("*.[15]"))
    }


def text(page: str) -> str:
    """Return a page without its macros, which are those of the version of docutils."""
    return page[page.index("\n.TH ") :]


def main() -> None:
    with TemporaryDirectory(prefix="tmux-fanout-man-") as directory:
        pages = build(Path(directory))
    if sys.argv[1:] == ["--check"]:
        there = {path.relative_to(MAN): path.read_text() for path in sorted(MAN.rglob("*.[15]"))}
        if {p: text(page) for p, page in there.items()} != {p: text(pages[p]) for p in pages}:
            sys.exit("docs/man is not built from the documentation as it is: run tox -e man")
        return
    for path, page in pages.items():
        (MAN / path).parent.mkdir(parents=True, exist_ok=True)
        (MAN / path).write_text(page)


if __name__ == "__main__":
    main()
