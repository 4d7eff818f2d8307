"""The boundary around everything that is computed from a record or a response.

Code that foresees an error gives it a kind of its own (`template`, `decode`, ...).  What it does
not foresee is a bug, and must cost no more than the call, or the record, that met it.  So each step
that data passes ends with `except Exception as exc:`, which makes the step's own kind of outcome
from `internal_error(exc)`:

    a line into a record                      core.records, engine.iterables
    a record into a request                   core.request_builder, engine.caller (submit)
    a request into bytes, bytes into an       engine.caller (_begin, _attempt), and
      answer                                  transports.native.prompt where no task does it
    an answer into a pause of its endpoint    engine.endpoints
    an answer into another attempt, or not    engine.caller (_conclude)
    an answer into an outcome                 engine.settler, engine.batches
    a frame of HTTP/2 into a response         transports.http2_exchange, http2_session
    a result into a line of output            core.containment
    a record into a dead letter               engine.dead_letters
    a request into a curl command             core.explanation

Each of these computes a value first and changes the state of the run only with that value, or gives
back what it had taken (a slot, a connection) where it cannot.
`trio.Cancelled` and `KeyboardInterrupt` are no `Exception`; `MemoryError` passes.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from tmux_fanout.core.errors import ErrorInfo, TransportError


def internal_error(exc: Exception) -> ErrorInfo:
    """Return an error of kind `internal` for an exception that the code did not foresee.

    The message names the exception's type and where it was raised, but not its text, which may
    hold a secret.

    Raises:
        MemoryError: the exception is one, or a group with one in it.
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
    """Return the failure of an attempt that ended with an exception the code did not foresee.

    Args:
        sent: whether a byte of the request may have reached the server.

    Raises:
        MemoryError: as for `internal_error`.
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
