"""The next page according to a Link header (RFC 8288, section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

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
    for name, value in headers:
        if name == b"link":
            for target, parameters in _links(value.decode("latin-1")):
                if _is_next(parameters):
                    return target
    return None


def _links(value: str) -> Iterator[tuple[str, str]]:
    index = 0
    while not _REST.fullmatch(value, index):
        link = _LINK.match(value, index)
        if link is None:
            raise MalformedLink("its Link header is malformed")
        yield link[1], link[2]
        index = link.end()


def _is_next(parameters: str) -> bool:
    """Whether the parameters of a link say that it leads from this page to the next one."""
    relations: str | None = None
    for name, quoted, plain in _PARAMETER.findall(parameters):
        if name.lower() == "anchor":
            return False  # it is about another page
        if name.lower() == "rel" and relations is None:  # the first counts (section 3.3)
            relations = re.sub(r"\\(.)", r"\1", quoted) or plain
    return "next" in (relations or "").lower().split()
