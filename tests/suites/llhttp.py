"""llhttp's tests as data: Markdown files with an input and the log that it should give."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_META = re.compile(r"<!-- meta=(\{.*\}) -->")
_STATUS = re.compile(r"headers complete status=(\d+)")
_BODY = re.compile(r'span\[body\]=(?:"(.*)"|(cr|lf))$')


class Case(NamedTuple):
    """One test.

    Attributes:
        kind: of parser, such as `response` or `response-lenient-all`.
        status, body: of the first final response.
        end: the result: `complete`, `unfinished`, or `refused`.
        goes_on: whether another message follows.
    """

    name: str
    kind: str
    data: bytes
    status: int
    body: bytes
    end: str
    goes_on: bool


def cases(folder: Path) -> dict[str, Case]:
    """Return the tests of responses in llhttp's folder `test`, by file and name."""
    found: dict[str, Case] = {}
    for path in sorted((folder / "response").glob("*.md")):
        name = kind = text = ""
        for block, heading, lines in _blocks(path.read_text()):
            if heading:
                name, kind = f"{path.stem}: {heading}", ""
            elif meta := _META.match(lines):
                options = json.loads(meta[1])
                kind = "" if options.get("skip") else options.get("type", "")
            elif block == "http":
                text = lines
            elif block == "log" and kind.startswith("response"):
                while name in found:
                    name += "'"
                found[name] = _case(name, kind, text, lines)
    return found


def _blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the parts of a file: code with its language, headings, and other lines."""
    language: str | None = None
    code: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("```"):
            if language is not None:
                yield language, "", "".join(code)
            language = None if language is not None else line[3:].strip()
            code = []
        elif language is not None:
            code.append(line)
        else:
            yield "", line.lstrip("#").strip() if line.startswith("#") else "", line


def _case(name: str, kind: str, text: str, log: str) -> Case:
    """Return a test with its escapes replaced as by llhttp's runner."""
    text = re.sub(r"\\\r?\n", "", text.removesuffix("\n"))
    text = re.sub(r"\r\n|\r|\n", "\r\n", text)
    for escape, char in (("\\r", "\r"), ("\\n", "\n"), ("\\t", "\t"), ("\\f", "\f")):
        text = text.replace(escape, char)
    text = re.sub(r"\\x([0-9a-fA-F]+)", lambda match: chr(int(match[1], 16)), text)
    text = re.sub(r"\\([0-7]{1,3})", lambda match: chr(int(match[1], 8)), text)
    status, body, end, goes_on = 0, b"", "unfinished", False
    for line in log.splitlines():
        if end == "complete" and "message begin" in line:
            goes_on = True
        if end == "complete":
            continue
        if found := _STATUS.search(line):
            status = int(found[1])
        elif found := _BODY.search(line):
            body += (found[1] or {"cr": "\r", "lf": "\n"}.get(found[2], "")).encode()
        elif "message complete" in line and status >= 200:
            end = "complete"
        elif "error code=" in line:
            end = "refused"
    return Case(name, kind, text.encode("utf-8"), status, body, end, goes_on)
