"""Placeholders for variables and other secrets, so that tests neither need nor show any.

`Bearer ${TOKEN}` stays as it is.  In a URL, a variable gets a value that can be one of its part: a
host such as `api-host.example`, a port, or the variable's own name in a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tmux_fanout.core.config.settings import Api
from tmux_fanout.core.config.tables import parse_poll
from tmux_fanout.core.http.urls import VARIABLE
from tmux_fanout.core.merging.references import expanded_texts

_URL_KEYS = ("url", "endpoints", "token_url", "proxy")
_IN_SITE = re.compile(r"[^/?#{]*://(?P<host>[^/?#{]*)")
_END_OF_SITE = re.compile(r"[/?#{]|$")


class StandIns(dict[str, str]):
    """The environment of a test: any variable is set."""

    def __missing__(self, name: str) -> str:
        return f"${{{name}}}"


def stand_ins_for(apis: Sequence[Api]) -> StandIns:
    """Return placeholders for the variables, files and commands that settings refer to."""
    found = StandIns()
    for key, url, is_relative in _urls(apis):
        for match in VARIABLE.finditer(url):
            before = VARIABLE.sub(lambda m: found[m[1]], url[: match.start()])
            after = url[match.end() :]
            value = _in_url(match[1], before, after, is_relative=is_relative)
            if key.rpartition(".")[2] in _URL_KEYS:
                found.setdefault(match[1], value)
    return found


def _urls(apis: Sequence[Api]) -> Iterator[tuple[str, str, bool]]:
    """Yield the texts that may be URLs, each with its key, and whether endpoints are before it."""
    for name, key, text in expanded_texts(apis):
        api = next(each for each in apis if each.name == name)
        yield key, text, key == "url" and bool(api.endpoints)
    for api in apis:
        if api.poll is not None:
            yield "poll.url", parse_poll(api.poll).url, True


def _in_url(name: str, before: str, after: str, *, is_relative: bool) -> str:
    """Return the placeholder of a variable, by its place in a URL."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "host"
    if not before and not is_relative:
        return "https" if after.startswith("://") else f"https://{label}.example"
    site = _IN_SITE.fullmatch(before)
    if site is None or "@" in _END_OF_SITE.split(after, maxsplit=1)[0]:
        return f"/{label}" if not before and not after.startswith("/") else label
    if site["host"].rpartition("@")[2].endswith(":"):
        return "8080"
    is_whole = not site["host"].rpartition("@")[2] and not after.startswith((".", "-"))
    return f"{label}.example" if is_whole else label
