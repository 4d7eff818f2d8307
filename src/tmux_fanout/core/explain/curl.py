"""A request as a curl command that sends the same request when it is pasted into a shell.

Where curl would send something of its own, it is told not to: its User-Agent and its Accept give
way to ours, it does not wait for a 100 (Continue), does not fold `..` out of a path and does not
read `[1-3]` as a range.  Host and Content-Length it makes as we do.
"""

from __future__ import annotations

from collections.abc import Sequence

from tmux_fanout.core.explain.shell import Placeholders, is_plain, printf_format, quote
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Headers, Request, RequestHead
from tmux_fanout.core.http.tls import Tls

MOST_AS_ARGUMENT = 100_000  # bytes; Linux takes no argument of 128 KiB or more
_WAITS_FROM = 1024  # bytes of a body from which some curl sends Expect: 100-continue


def curl_command(request: Request, options: Sequence[str], marks: Placeholders) -> str:
    """One line for a POSIX shell.

    Args:
        request: what to send; texts in its head may have marks in them.
        options: more words for curl, such as those of `connection_options`.
        marks: what is to be shown for them.
    """
    head, body = request.head, request.body
    words = ["curl", *map(marks.quote, [*_method(request), *_url(head, marks), *options])]
    for header in _headers(head):
        words += ["-H", marks.quote(header, "latin-1")]
    if body is None:
        return " ".join(words)
    if len(body) >= _WAITS_FROM and "expect" not in {name.lower() for name, _ in head.headers}:
        words += ["-H", "Expect:"]
    if is_plain(body) and len(body) < MOST_AS_ARGUMENT:
        return " ".join([*words, "--data-raw", quote(body.decode())])
    # printf is part of the shell, for which no length is too long.
    return " ".join(["printf", printf_format(body), "|", *words, "--data-binary", "@-"])


def _method(request: Request) -> list[str]:
    method, body = request.head.method, request.body
    if method == ("GET" if body is None else "POST"):
        return []
    return ["--head"] if method == "HEAD" and body is None else ["-X", method]


def _url(head: RequestHead, marks: Placeholders) -> list[str]:
    url, has_marks = head.url, marks.are_in(head.url)
    words = ["--globoff"] if has_marks or set("[]{}").intersection(url) else []
    if has_marks or "/." in url or "/%2e" in url.lower():
        words.append("--path-as-is")
    return [*words, url]


def _headers(head: RequestHead) -> list[str]:
    """As curl takes them, without those that it makes just so by itself."""
    made = {"Host": head.origin.authority, "Accept": "*/*"}
    return [
        f"{name}: {value}" if value.strip(" \t") else f"{name};"
        for name, value in head.headers
        if made.get(name) != value
    ]


def without(head: RequestHead, name: str) -> RequestHead:
    """The head without a header."""
    kept: Headers = tuple(item for item in head.headers if item[0].lower() != name.lower())
    return RequestHead(head.method, head.origin, head.target, kept)


def connection_options(
    *, is_tls: bool, http2: bool, tls: Tls, ca_is_folder: bool, seconds: float
) -> list[str]:
    """How to connect and to wait.

    Args:
        ca_is_folder: whether what `tls.ca` names is one.
        seconds: that all of it may take.
    """
    words = ["--compressed", "--max-time", f"{seconds:g}"]
    if http2:
        words.append("--http2")
    elif is_tls:
        words.append("--http1.1")
    if tls.ca is not None:
        words += ["--capath" if ca_is_folder else "--cacert", tls.ca]
    if tls.cert is not None:
        words += ["--cert", tls.cert]
    if tls.key is not None:
        words += ["--key", tls.key]
    return words if tls.verify else [*words, "--insecure"]


def token_command(oauth2: OAuth2, marks: Placeholders) -> str:
    """The command that fetches an access token (RFC 6749, section 4.4), without any proxy."""
    words = ["curl", "--noproxy", "*", "-u", f"{oauth2.client_id}:{oauth2.client_secret}"]
    words += ["--data-urlencode", "grant_type=client_credentials"]
    if oauth2.scope:
        words += ["--data-urlencode", f"scope={oauth2.scope}"]
    return " ".join(map(marks.quote, [*words, oauth2.token_url]))
