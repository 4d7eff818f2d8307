"""A layer that adds the headers which a function of the user's returns, such as a signature.

The function is called right before each request, redirects and repeated attempts included, so that
what it signs is what is sent, at the time when it is sent.  It runs in the event loop: while it
works, nothing else does.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from tmux_fanout.core.config.rules import check_header
from tmux_fanout.core.errors import ConfigError, TransportError
from tmux_fanout.core.http.messages import Request, RequestHead, Response
from tmux_fanout.core.http.signing.functions import with_headers
from tmux_fanout.core.text import printable
from tmux_fanout.transports.base import Progress, Transport

_USE = "return headers to add, such as {'Authorization': '...'}"

Sign = Callable[[str, str, dict[str, str], bytes | None], Any]
"""Returns headers to add to a request: its method, URL, headers and body; that is None where it is
read while it is sent."""


class SigningTransport:
    """Sends each request with headers that a function returns for it.

    Args:
        transport: sends the requests.
        name: of the function, for messages.
        sign: the function, with its arguments.
    """

    def __init__(self, transport: Transport, name: str, sign: Sign) -> None:
        self._transport = transport
        self._name = name
        self._sign = sign

    def __repr__(self) -> str:
        return f"<SigningTransport: {self._name}, {self._transport!r}>"

    async def send(self, request: Request, progress: Progress) -> Response:
        head = request.head
        headers = with_headers(head.headers, self._added(request))
        signed = RequestHead(head.method, head.origin, head.target, headers)
        return await self._transport.send(Request(signed, request.body), progress)

    def _added(self, request: Request) -> Mapping[str, str]:
        """Return the headers to add.

        Raises:
            TransportError: `template`; there are none, and nothing was sent.
        """
        head, body = request.head, None if request.stream else request.content
        given = dict(head.headers)
        if request.body is not None:
            given["Content-Length"] = str(request.size)
        url = f"{head.origin.site}{head.target}"
        try:
            returned = self._sign(head.method, url, dict(given), body)
        except MemoryError:
            raise
        except (Exception, SystemExit) as exc:
            raise self._raised(exc) from exc
        added = self._checked(returned, given)
        return {name: value for name, value in added.items() if given.get(name) != value}

    def _checked(self, added: object, given: Mapping[str, str]) -> Mapping[str, str]:
        """Return what the function has returned, if these are headers.

        Args:
            added: what it has returned.
            given: what it was given, and may return as well.
        """
        if inspect.iscoroutine(added):
            added.close()
            raise self._error("returned a coroutine: use a plain function, without async")
        if added is None:
            raise self._error(f"returned None: {_USE}")
        if not isinstance(added, Mapping):
            raise self._error(f"returned a value of type {type(added).__name__}: {_USE}")
        for name, value in added.items():
            if not isinstance(name, str) or not isinstance(value, str):
                wrong = type(value if isinstance(name, str) else name).__name__
                raise self._error(f"returned a header that is of type {wrong}: use text")
            if given.get(name) == value:
                continue
            try:
                check_header(name, value)
            except ConfigError as exc:
                raise self._error(f"returned a header that cannot be sent: {exc}") from None
        return added

    def _raised(self, exc: BaseException) -> TransportError:
        """Return the error for an exception; its text is not shown, as it may hold a secret."""
        frames = traceback.extract_tb(exc.__traceback__)[1:]
        where = f" at {frames[0].filename}:{frames[0].lineno}" if frames else ""
        error = self._error(printable(f"raised {type(exc).__name__}{where}"))
        error.trace = "".join(traceback.format_list(frames)) + f"{type(exc).__name__}\n"
        return error

    def _error(self, why: str) -> TransportError:
        return TransportError("template", f"auth.call: {self._name} {why}", sent=False)

    async def aclose(self) -> None:
        await self._transport.aclose()
