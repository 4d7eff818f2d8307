"""The pages of the documentation, the README first, and what can be tried out on them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"

_FENCED = re.compile(
    r"(?:`([\w-]+\.\w+)`:\n\n)?"  # a file name just above: "In `enrich.toml`:"
    r"^```([^`\n]*)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_STEP = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block, its language, and the file that it is said to be, or ""."""

    file: str
    language: str
    text: str


class Step(NamedTuple):
    """A command of a console block and the output shown below it, or the writing of a file."""

    command: str
    output: str


class Program(NamedTuple):
    """A Python program, and the output block that follows it at once."""

    text: str
    output: str


class Page:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self._fenced = [Block(*groups) for groups in _FENCED.findall(self.text)]

    def __repr__(self) -> str:
        return str(self.path.relative_to(ROOT))

    def blocks(self, language: str) -> list[str]:
        """Return the fenced blocks of a language; "" is for those without one."""
        return [block.text for block in self._fenced if block.language == language]

    @property
    def languages(self) -> set[str]:
        """The languages of all fenced blocks, apart from Sphinx's own directives."""
        return {block.language for block in self._fenced if not block.language.startswith("{")}

    @property
    def steps(self) -> list[Step]:
        """What to do in one shell, in the order of the page."""
        steps = list[Step]()
        for block in self._fenced:
            if block.file:
                steps.append(Step(f"cat > {block.file} <<'END'\n{block.text}END", ""))
            elif block.language == "console":
                steps += [Step(*step) for step in _STEP.findall(block.text)]
        return steps

    @property
    def files(self) -> dict[str, str]:
        """The files that the page has in full, by name."""
        return {block.file: block.text for block in self._fenced if block.file}

    @property
    def programs(self) -> list[Program]:
        """The Python programs, in order."""
        following = [*self._fenced[1:], Block("", "", "")]
        return [
            Program(block.text, after.text if after.language == "output" else "")
            for block, after in zip(self._fenced, following)
            if block.language == "python"
        ]

    def table(self, heading: str) -> list[list[str]]:
        """Return the rows of the table under a heading, as cells, without the header row."""
        section = re.split(rf"^#+ {re.escape(heading)}$", self.text, flags=re.MULTILINE)[1]
        lines = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
        assert lines, f"{self!r} has no table under {heading!r}"
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[0].splitlines()[2:]]
        return [[cell.strip() for cell in row] for row in rows]


def pages() -> list[Page]:
    """Return the README and every page of docs/."""
    built = DOCS / "_build"
    found = sorted(path for path in DOCS.rglob("*.md") if built not in path.parents)
    return [Page(path) for path in (README, *found)]
