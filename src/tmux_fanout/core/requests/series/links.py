"""Links of a response to others: Link headers (RFC 8288, section 3)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

_LINK = re.compile(
    r"""[\s,]*+<([^>]*+)>
        ((?:\s*+;\s*+(?:[^\s=;,"]++(?:\s*+=\s*+(?:"(?:[^"\\]|\\.)*+"|[^\s;,"]*+))?+)?+)*+)
        \s*+(?=,|$)""",
    re.VERBOSE,
)
_PARAMETER = re.compile(
    r';\s*+([^\s=;,"]++)(?:\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s;,"]*+)))?+',
)
_REST = re.compile(r"[\s,]*+")


class MalformedLink(ValueError):
    """A Link header that cannot be read, so that nobody knows whether there is a next page."""


def next_link(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return the target of the first link with `rel=next`, or None.

    Args:
        headers: of a response.

    Raises:
        MalformedLink: a Link header is malformed.
    """
    return next(iter(targets(headers, ("next",))), None)


def targets(headers: Sequence[tuple[bytes, bytes]], relations: Collection[str]) -> Iterator[str]:
    """Yield the targets of the links that have one of these relations.

    Args:
        headers: of a response.
        relations: in lower case.

    Raises:
        MalformedLink: a Link header is malformed.
    """
    for name, value in headers:
        if name == b"link":
            for target, parameters in _links(value.decode("latin-1")):
                if not _relations(parameters).isdisjoint(relations):
                    yield target


def _links(value: str) -> Iterator[tuple[str, str]]:
    index = 0
    while not _REST.fullmatch(value, index):
        link = _LINK.match(value, index)
        if link is None:
            raise MalformedLink("its Link header is malformed")
        yield link[1], link[2]
        index = link.end()


def _relations(parameters: str) -> set[str]:
    """Return how the target of a link with these parameters is related to this page."""
    relations: str | None = None
    for name, quoted, plain in _PARAMETER.findall(parameters):
        if name.lower() == "anchor":
            return set()  # it is about another page
        if name.lower() == "rel" and relations is None:  # the first counts (section 3.3)
            relations = re.sub(r"\\(.)", r"\1", quoted) or plain
    return set((relations or "").lower().split())
