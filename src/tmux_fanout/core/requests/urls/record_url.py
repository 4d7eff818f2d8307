"""URLs whose host comes from the record.

    {+url}                                 the whole URL
    {+base}/v1/items/{id}{?lang}           its beginning; path and query are a template as elsewhere
    https://{tenant}.example.com/v1/{id}   parts of its host

Whatever a record says, what comes out is taken apart as a URL and checked against the `hosts` of
the API: the origin that is checked is the one that is connected to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.hosts.rules import HostRefused, HostRules
from tmux_fanout.core.http.messages import Origin
from tmux_fanout.core.http.urls import parse_url
from tmux_fanout.core.requests.fields import as_text, find_field
from tmux_fanout.core.requests.url_template import UnsafeExpansion, UrlTemplate
from tmux_fanout.core.text import printable

_NAME = r"\w+(?:(?:[.-]| +)\w+)*"
_WHOLE = re.compile(rf"(?s)\{{\+({_NAME})\}}(.*)")
_SITE = re.compile(r"(?is)(https?)://((?:[^/?#{}]|\{[^{}/?&+#][^{}]*\})*)(.*)")
_FIELD = re.compile(rf"\{{({_NAME})\}}")
_HOST_IN_RECORD = re.compile(r"(?i)\{|https?://(?:[^/?#{]*\{[^/?&+#]|\{)")
_NOT_IN_HOSTS = re.compile(r"[\s/?#@\\{}%\x00-\x20\x7f]")


def takes_host_from_record(url: str) -> bool:
    """Return whether the scheme, host or port of a URL template is an expression."""
    return bool(_HOST_IN_RECORD.match(url))


class RecordUrl:
    """Finds origin and target of the request for a record.

    Args:
        template: of the URL; `takes_host_from_record` holds for it.
        rules: where requests may go.
        needs_https: whether records must not choose http, as credentials would be sent in clear.

    Raises:
        ConfigError: the template is invalid.
    """

    def __init__(self, template: str, rules: HostRules, *, needs_https: bool) -> None:
        self._rules = rules
        self._needs_https = False
        self._whole = ""
        self._scheme = ""
        self._site: Sequence[str] = ()  # alternating text and names of fields
        if whole := _WHOLE.fullmatch(template):
            self._whole, rest = whole[1], whole[2]
            self._needs_https = needs_https
        else:
            self._scheme, self._site, rest = _split_site(template)
        self._has_path = rest.startswith(("/", "{/", "{+"))
        if rest and not self._has_path and not rest.startswith(("?", "{?")):
            why = "after the host or the field with the URL, continue with /, {/...} or {?...}"
            raise ConfigError(why, key="url")
        self._rest = UrlTemplate(parse_url(f"https://host{rest}")[1]) if rest else None

    def __repr__(self) -> str:
        return f"<RecordUrl: {', '.join(self.names)}>"

    @property
    def names(self) -> Sequence[str]:
        """The names of the fields that it takes from the record."""
        own = [self._whole] if self._whole else self._site[1::2]
        return [*own, *(self._rest.names if self._rest else ())]

    def locate(self, record: Any) -> tuple[Origin, str]:
        """Return origin and request target for a record.

        Raises:
            MissingField: the record lacks a field.
            UnsafeExpansion: what it has is not a URL, or must not be called.
        """
        origin, target = _parse(self._url(record))
        if self._needs_https and not origin.is_tls:
            raise UnsafeExpansion("url: it is not https, and the API has credentials to keep")
        try:
            origin = self._rules.canonical(origin)
        except HostRefused as exc:
            raise UnsafeExpansion(f"url: {printable(str(exc))}") from None
        return origin, self._continued(target, record) if self._rest else target

    def _url(self, record: Any) -> str:
        if self._whole:
            return as_text(find_field(record, self._whole), self._whole)
        parts = list(self._site)
        for index in range(1, len(parts), 2):
            name = parts[index]
            parts[index] = value = as_text(find_field(record, name), name)
            if not value or _NOT_IN_HOSTS.search(value):
                raise UnsafeExpansion(f"url: the field {name} is not part of a host")
        return f"{self._scheme}://{''.join(parts)}/"

    def _continued(self, target: str, record: Any) -> str:
        """Return a target that the rest of the template is appended to."""
        assert self._rest  # only called with one
        more = self._rest.expand(record)
        path, mark, query = target.partition("?")
        if self._has_path:
            if mark:
                raise UnsafeExpansion(f"url: the field {self._whole} has a query, before a path")
            return path.removesuffix("/") + more
        more = more.removeprefix("/").removeprefix("?")
        return f"{path}?{'&'.join(filter(None, (query, more)))}" if mark or more else path


def _split_site(template: str) -> tuple[str, Sequence[str], str]:
    """Return the scheme, the host and port in alternating text and fields, and the rest."""
    match = _SITE.fullmatch(template)
    if match is None:
        why = "begin with https:// or with {+field}, a field that holds a URL"
        raise ConfigError(why, key="url")
    site, rest = match[2], match[3]
    parts = _FIELD.split(site)
    if len(parts) == 1 or set("{}@").intersection("".join(parts[::2])):
        why = "a host is made of text and of fields such as {tenant}, without a user"
        raise ConfigError(why, key="url")
    return match[1].lower(), parts, rest


def _parse(url: str) -> tuple[Origin, str]:
    """Return origin and target of a URL from a record.

    Raises:
        UnsafeExpansion: it is not a URL, or has a user.
    """
    try:
        # In a URL, braces are text.
        origin, target, userinfo = parse_url(url.replace("{", "%7B").replace("}", "%7D"))
    except ConfigError as exc:
        raise UnsafeExpansion(f"url: {exc.why}") from None
    if userinfo:
        raise UnsafeExpansion("url: it has a user or password, which a record must not choose")
    return origin, target
