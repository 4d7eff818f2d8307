"""The ways in which things fail, and what each failure is called.

A failed call is data: transports raise `TransportError`, the engine turns it into an `ErrorInfo` in
the outcome, and the run goes on.  What ends a run, or keeps it from starting, is an exception here.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ErrorKind = Literal[
    "invalid_record",
    "template",
    "connect",
    "tls",
    "timeout",
    "protocol",
    "status",
    "too_large",
    "decode",
    "breaker_open",
    "lost",
    "cancelled",
    "deadline",
    "internal",
]


class ErrorInfo(msgspec.Struct, frozen=True, gc=False):
    """Why a call, or a whole record, is not ok.

    `ambiguous` is true where the request may have been applied although no verdict came back.
    `trace` says where an `internal` error was raised, in several lines; it is not in the output.
    """

    kind: ErrorKind
    message: str
    ambiguous: bool = False
    trace: str = ""


class ConfigError(ValueError):
    """A mistake in the configuration; its text is the one line that the user reads.

    Args:
        why: what is wrong, and what to write instead.
        key: the setting at fault, dotted inside of tables; "" if it is no single one.
        api: name of the API whose setting it is, or None.
    """

    def __init__(self, why: str, *, key: str = "", api: str | None = None) -> None:
        of_api = [] if api is None else [f"API {api!r}"]
        super().__init__(": ".join([*of_api, *([key] if key else []), why]))
        self.why = why
        self.key = key
        self.api = api

    def within(self, key: str = "", *, api: str | None = None) -> ConfigError:
        """The same mistake, as one below a key, or of an API."""
        path = ".".join(part for part in (key, self.key) if part)
        return ConfigError(self.why, key=path, api=api)


class InputError(Exception):
    """The input broke off; the records before the break are whole."""


class OutputError(Exception):
    """The output can take no more lines.

    `whole` is how many of the last results have their whole line there all the same.
    """

    def __init__(self, message: str, *, whole: int = 0) -> None:
        super().__init__(message)
        self.whole = whole


class OutputClosed(OutputError):
    """The reader of the output has gone away (EPIPE)."""


class TransportError(Exception):
    """One attempt that brought no response.

    `sent` tells whether a byte of the request may have reached the server, `transient` whether
    another attempt could fare better, and `stale` that a kept-alive connection turned out to have
    been closed before any byte of a response came.  `retry_after` is for how many seconds a server
    wants to be left alone.  `shortage` names what this process or machine has no more of, such as
    open files: then nothing is wrong with the server, and the attempt has not really begun.
    `trace` is as in `ErrorInfo`.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        sent: bool,
        transient: bool = False,
        stale: bool = False,
        retry_after: float | None = None,
        shortage: str = "",
        trace: str = "",
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.sent = sent
        self.transient = transient
        self.stale = stale
        self.retry_after = retry_after
        self.shortage = shortage
        self.trace = trace

    def detached(self) -> TransportError:
        """Drop traceback and causes, to keep a failure as data.

        Their frames hold the request and what came of a response, and the frame that keeps the
        failure is one of them: a cycle that only the garbage collector would end.
        """
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self
