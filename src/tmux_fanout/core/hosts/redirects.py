"""Redirects to other hosts, for APIs whose hosts come from their records."""

from __future__ import annotations

from tmux_fanout.core.hosts.rules import HostRefused, HostRules
from tmux_fanout.core.http.messages import Headers, Origin
from tmux_fanout.core.redaction import is_secret_name
from tmux_fanout.core.text import printable

_OF_ONE_HOST = ("host", "cookie")  # and credentials
_OF_ANY_HOST = ("idempotency-key",)  # although its name sounds like a credential


def leave(rules: HostRules, origin: Origin, headers: Headers) -> tuple[Origin, Headers] | str:
    """Return where a redirect to another origin leads, and the headers to send there.

    Credentials stay behind, as in browsers and curl.

    Args:
        rules: the hosts of the API, which hold for redirects as for records.
        origin: that the redirect leads to.
        headers: of the request that was redirected.

    Returns:
        The origin and the headers; or why the redirect is not followed.
    """
    try:
        origin = rules.canonical(origin)
    except HostRefused as exc:
        return f"its redirect is not followed: {printable(str(exc))}"
    kept = (header for header in headers if not _is_for_one_host(header[0]))
    return origin, (("Host", origin.authority), *kept)


def _is_for_one_host(name: str) -> bool:
    name = name.lower()
    return name in _OF_ONE_HOST or (is_secret_name(name) and name not in _OF_ANY_HOST)
