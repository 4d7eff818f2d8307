"""A request as a curl command that sends the same request when pasted into a shell.

Options keep curl from departing from it: they replace its User-Agent and Accept, and stop it from
waiting for 100 (Continue), removing `..` from a path and reading `[1-3]` as a range.  curl's Host
and Content-Length are the same as ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote_plus

from tmux_fanout.core.explain.shell import Placeholders, is_plain, printf_format, quote
from tmux_fanout.core.http.auth import OAuth2
from tmux_fanout.core.http.messages import Headers, Request, RequestHead
from tmux_fanout.core.http.oauth2 import parse_params
from tmux_fanout.core.http.tls import Tls

MAX_ARGUMENT = 100_000  # bytes; Linux rejects arguments of 128 KiB or more
_WAITS_FROM = 1024  # bytes of a body for which some versions send Expect: 100-continue


def curl_command(request: Request, options: Sequence[str], placeholders: Placeholders) -> str:
    """Return a command for a POSIX shell, on one line.

    Args:
        request: to send; its head may contain placeholders.
        options: more arguments of curl, such as those of `connection_options`.
        placeholders: for secrets in the request.
    """
    head, body = request.head, request.body
    words = [
        "curl",
        *map(placeholders.quote, [*_method(request), *_url(head, placeholders), *options]),
    ]
    for header in _headers(head):
        words += ["-H", placeholders.quote(header, "latin-1")]
    if body is None:
        return " ".join(words)
    if len(body) >= _WAITS_FROM and "expect" not in {name.lower() for name, _ in head.headers}:
        words += ["-H", "Expect:"]
    if is_plain(body) and len(body) < MAX_ARGUMENT:
        return " ".join([*words, "--data-raw", quote(body.decode())])
    # printf is built into the shell, so that its argument may have any length.
    return " ".join(["printf", printf_format(body), "|", *words, "--data-binary", "@-"])


def _method(request: Request) -> list[str]:
    method, body = request.head.method, request.body
    if method == ("GET" if body is None else "POST"):
        return []
    return ["--head"] if method == "HEAD" and body is None else ["-X", method]


def _url(head: RequestHead, placeholders: Placeholders) -> list[str]:
    url, has_placeholders = head.url, placeholders.are_in(head.url)
    words = ["--globoff"] if has_placeholders or set("[]{}").intersection(url) else []
    if has_placeholders or "/." in url or "/%2e" in url.lower():
        words.append("--path-as-is")
    return [*words, url]


def _headers(head: RequestHead) -> list[str]:
    """Return headers as curl reads them, without those that it sends anyway."""
    made = {"Host": head.origin.authority, "Accept": "*/*"}
    return [
        f"{name}: {value}" if value.strip(" \t") else f"{name};"
        for name, value in head.headers
        if made.get(name) != value
    ]


def without(head: RequestHead, name: str) -> RequestHead:
    """Return the head without a header."""
    kept: Headers = tuple(item for item in head.headers if item[0].lower() != name.lower())
    return RequestHead(head.method, head.origin, head.target, kept, auth=head.auth)


def connection_options(
    *,
    is_tls: bool,
    http2: bool,
    tls: Tls,
    ca_is_folder: bool,
    socket: str,
    connect_to: str | None,
    seconds: float,
) -> list[str]:
    """Return curl's options for connecting and waiting.

    Args:
        is_tls: whether the origin is https.
        http2: whether to speak HTTP/2.
        tls: how https is verified.
        ca_is_folder: whether `tls.ca` is the path of a folder.
        socket: Unix socket to connect to, or "".
        connect_to: where to connect, as the value of `--connect-to`, or None.
        seconds: maximum duration of the request.
    """
    words = ["--compressed", "--max-time", f"{seconds:g}"]
    if socket.startswith("@"):
        words += ["--abstract-unix-socket", socket[1:]]
    elif socket:
        words += ["--unix-socket", socket]
    if connect_to is not None:
        words += ["--connect-to", connect_to]
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


def token_command(oauth2: OAuth2, placeholders: Placeholders) -> str:
    """Return the command that fetches an access token (RFC 6749, section 4.4) without a proxy."""
    words = ["curl", "--noproxy", "*"]
    form = [("grant_type", "client_credentials")]
    if oauth2.scope:
        form.append(("scope", oauth2.scope))
    form += [(quote_plus(name), text) for name, text in parse_params(oauth2.params)]
    if oauth2.auth_method == "post":
        form += [("client_id", oauth2.client_id), ("client_secret", oauth2.client_secret)]
    else:
        words += ["-u", f"{oauth2.client_id}:{oauth2.client_secret}"]
    for name, text in form:
        words += ["--data-urlencode", f"{name}={text}"]
    return " ".join(map(placeholders.quote, [*words, oauth2.token_url]))
