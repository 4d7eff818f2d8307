"""Content decoding, which all transports apply to a response once it is complete."""

from __future__ import annotations

from msgspec import structs

from tmux_fanout.core.errors import ErrorKind, TransportError
from tmux_fanout.core.http.content_coding import TooLarge, Undecodable, decode_content
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.text import printable


def decoded(response: Response, max_response: int) -> Response:
    """Return `response` with its content codings undone.

    If that is impossible, a redirect or an error keeps its status and headers, which tell whether
    and when to try again, and loses its body.

    Args:
        response: as received.
        max_response: limit on the bytes of the decoded body.

    Raises:
        TransportError: `decode` or `too_large`, for a successful response.
    """
    if response.is_plain or not response.body:
        return response
    codings = [value for name, value in response.headers if name == b"content-encoding"]
    if not codings:
        return response
    try:
        body = decode_content(response.body, b",".join(codings).decode("latin-1"), max_response)
    except (Undecodable, TooLarge) as exc:
        kind: ErrorKind = "decode"
        message = printable(str(exc))
        if isinstance(exc, TooLarge):
            kind = "too_large"
            message = f"the decoded response body is larger than {max_response} bytes"
        if response.status < 300:
            raise TransportError(kind, message, sent=True) from exc
        return structs.replace(response, body=b"", note=message, never_ok=True)
    return Response(response.status, response.headers, body, response.wire_size)
