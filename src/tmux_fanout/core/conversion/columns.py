"""The columns of a table of results: `NAME=EXPRESSION, ...`, with JMESPath over the envelope.

id=record.id, score=results.score.body.value, error=results.score.error.kind
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import jmespath

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.requests.expressions import Expression
from tmux_fanout.core.text import describe, invalid, nearest

EXAMPLE = "id=record.id, status=results.NAME.status"

_ADVICE = f"NAME=EXPRESSION, separated by commas, such as '{EXAMPLE}'"
_TOKEN = re.compile(
    r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`|[\[\](){},]", re.DOTALL
)
_QUOTED_NAME = re.compile(r'"([^"]*)"')

_KEYS = ("index", "record", "ok", "results", "error", "raw", "encoding", "started")
_OUTCOME_KEYS = (
    *("ok", "skipped", "status", "headers", "body", "encoding", "error", "attempts", "seconds"),
    *("via", "shared", "cached", "trace", "timings"),
)
_ERROR_KEYS = ("kind", "message", "ambiguous")

Path = tuple[str, ...]


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: In the header row.
        expression: What its cells hold, over the envelope of a record.
        paths: The paths into the envelope that the expression begins with.
    """

    name: str
    expression: Expression
    paths: Sequence[Path]

    @property
    def is_always_expected(self) -> bool:
        """Whether a column without any value has a mistake: it looks at records and bodies only."""
        return all(
            path[0] == "record" or (path[0] == "results" and path[2:3] == ("body",))
            for path in self.paths
        )


def parse_columns(text: str) -> Sequence[Column]:
    """Return the columns that a text describes.

    Raises:
        ConfigError: It does not describe columns, or one that no envelope can fill.
    """
    columns: list[Column] = []
    for part in _split(text):
        name, equals, expression = part.partition("=")
        name = name.strip()
        if quoted := _QUOTED_NAME.fullmatch(name):
            name = quoted[1]
        if not (equals and name) or expression.startswith("="):
            raise ConfigError(invalid("column", part.strip(), _ADVICE))
        if name in [column.name for column in columns]:
            raise ConfigError(f"two columns are called {describe(name)}: rename one")
        columns.append(_column(name, expression.strip()))
    return columns


def check_apis(columns: Sequence[Column], names: Collection[str]) -> None:
    """Check that columns are about APIs that exist.

    Raises:
        ConfigError: One is not.
    """
    for column in columns:
        for path in column.paths:
            if path[0] == "results" and len(path) > 1 and path[1] not in names:
                why = f"there is no API {describe(path[1])}; {nearest(path[1], names)}"
                raise ConfigError(f"column {describe(column.name)}: {why}")


def _split(text: str) -> Iterator[str]:
    """Yield what is between commas that are outside brackets and quotes."""
    start = level = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "([{":
            level += 1
        elif token[0] in ")]}":
            level -= 1
        elif token[0] == "," and level <= 0:
            yield text[start : token.start()]
            start = token.end()
    if text[start:].strip() or not start:  # a comma may come last
        yield text[start:]


def _column(name: str, text: str) -> Column:
    try:
        expression = Expression("", text, strict=False)
        paths = list(dict.fromkeys(_paths(jmespath.compile(text).parsed)))
        for path in paths:
            _check_path(path)
    except ConfigError as exc:
        raise ConfigError(f"column {describe(name)}: {exc.why}") from None
    return Column(name, expression, paths)


def _check_path(path: Path) -> None:
    """Check that a path begins with keys that an envelope can have.

    Raises:
        ConfigError: It does not.
    """
    rest = ".".join(path[1:3])
    for depth, keys, advice in (
        (0, _KEYS, f"use record.{path[0]}, or results.NAME.body"),
        (2, _OUTCOME_KEYS, f"use results.{'.'.join([*path[1:2], 'body', *path[2:3]])}"),
        (3, _ERROR_KEYS, f"use results.{rest}.kind or results.{rest}.message"),
    ):
        if len(path) <= depth or (depth and path[0] != "results"):
            return
        if path[depth] not in keys and (depth < 3 or path[2] == "error"):
            what = ("envelope", "", "outcome", "error")[depth]
            raise ConfigError(f"an {what} has no key {describe(path[depth])}: {advice}")


def _paths(node: dict[str, Any]) -> Iterator[Path]:
    """Yield the paths into the root value that a compiled expression begins with."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield (node["value"],)
    elif kind in ("subexpression", "index_expression", "projection", "value_projection", "pipe"):
        path = _plain_path(node)
        if path:
            yield path
        else:
            yield from _paths(children[0])
    elif kind in ("flatten", "filter_projection", "slice"):
        yield from _paths(children[0])
    elif kind not in ("expref", "literal"):
        for child in children:
            yield from _paths(child)


def _plain_path(node: dict[str, Any]) -> Path:
    """Return the path of an expression that is nothing but one; empty if it is more."""
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return ()
    parts = [_plain_path(child) for child in node["children"]]
    return tuple(step for part in parts for step in part) if all(parts) else ()
