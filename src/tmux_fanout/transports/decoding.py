"""What all transports do with a response once it is whole."""

from __future__ import annotations

from tmux_fanout.core.content_coding import TooLarge, Undecodable, decode_content
from tmux_fanout.core.errors import Failure, printable
from tmux_fanout.core.http import Response


def decoded(response: Response, max_response: int) -> Response:
    """`response` with its content codings undone.

    Raises:
        Failure: `decode` or `too_large`.
    """
    codings = [value for name, value in response.headers if name == b"content-encoding"]
    if not codings or not response.body:
        return response
    try:
        body = decode_content(response.body, b",".join(codings).decode("latin-1"), max_response)
    except Undecodable as exc:
        raise Failure("decode", printable(str(exc)), sent=True) from exc
    except TooLarge as exc:
        message = f"the decoded response body is larger than {max_response} bytes"
        raise Failure("too_large", message, sent=True) from exc
    return Response(response.status, response.headers, body, response.wire_size)
