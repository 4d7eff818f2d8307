"""The boundary around everything that is computed from a record or a response.

Code that expects an error gives it a kind of its own (`template`, `decode`, ...).  An unexpected
one is a bug, and must cost no more than the call or record that triggers it.  So each processing
step ends with `except Exception as exc:`, and turns `internal_error(exc)` into its own form of
result:

    a line into a record                      core.records, engine.io
    a record into a request                   core.requests, engine.calls
    a request into bytes, bytes into a        engine.calls, and transports.native where an
      response                                attempt has no task
    a response into a pause of its endpoint   engine.calls
    a response into what the rules say        engine.calls
    a response into another attempt           engine.calls
    a response into an outcome                engine.calls
    a frame of HTTP/2 into a response         transports.http2
    a result into a line of output            core.results
    a record into a dead letter               engine.io
    a request into a curl command             core.explain

Each step first computes a value, and changes the state of the run only with that value; if it
fails, it gives back what it has acquired (a slot, a connection).  `trio.Cancelled` and
`KeyboardInterrupt` are not an `Exception`; `MemoryError` passes.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from tmux_fanout.core.errors import ErrorInfo, TransportError


def internal_error(exc: Exception) -> ErrorInfo:
    """Return an error of kind `internal` for an unexpected exception.

    The message names the exception's type and where it was raised, but not its text, which may
    hold a secret.

    Raises:
        MemoryError: the exception is one, or a group that contains one.
    """
    leaves = list(_leaves(exc))
    if any(isinstance(leaf, MemoryError) for leaf in leaves):
        raise exc
    leaf = leaves[0]
    frames = traceback.extract_tb(leaf.__traceback__)
    where = f" in {frames[-1].name}()" if frames else ""
    message = f"{type(leaf).__name__}{where}; this is a bug in tmux-fanout, please report it"
    return ErrorInfo("internal", message, trace="".join(map(_trace, leaves)))


def internal_failure(exc: Exception, *, sent: bool) -> TransportError:
    """Return the error of an attempt that ended with an unexpected exception.

    Args:
        exc: the exception.
        sent: whether a byte of the request may have reached the server.

    Raises:
        MemoryError: as in `internal_error`.
    """
    error = internal_error(exc)
    return TransportError(error.kind, error.message, sent=sent, trace=error.trace)


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        for each in exc.exceptions:
            yield from _leaves(each)
    else:
        yield exc


def _trace(exc: BaseException) -> str:
    return "".join(traceback.format_tb(exc.__traceback__)) + f"{type(exc).__name__}\n"
