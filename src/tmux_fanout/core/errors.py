"""Errors: those that are data, and those that are exceptions.

A failed call is data: a transport raises `TransportError`, the engine turns it into an `ErrorInfo`
in the outcome, and the run continues.  The other exceptions end a run, or keep it from starting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

ErrorKind = Literal[
    "invalid_record",
    "template",
    "connect",
    "tls",
    "timeout",
    "protocol",
    "status",
    "rejected",
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

    Attributes:
        kind: of the error.
        message: for people, on one line, without secrets.
        ambiguous: whether the request may have been applied although no response says so.
        trace: where an `internal` error was raised, in several lines; not part of the output.
    """

    kind: ErrorKind
    message: str
    ambiguous: bool = False
    trace: str = ""


class Failure(NamedTuple):
    """What a call, or a record, that is not ok is counted as.

    Attributes:
        api: name of the API that failed; "" if the record itself is invalid.
        kind: of the error.
        status: of the response, if the kind is `status`.
    """

    api: str
    kind: ErrorKind
    status: int | None = None

    @property
    def label(self) -> str:
        """What failed, in a word or two: `HTTP 503`, `timeout`."""
        return f"HTTP {self.status}" if self.status else self.kind


def status_of(kind: ErrorKind, status: int | None) -> int | None:
    """Return the status that a failure is counted under; None unless it is the failure."""
    return status if kind == "status" else None


IN_SHELL = "; in a shell, put it in single quotes"  # advice on options only

_PYTHON = (  # how a program writes what a configuration file, or a command, has otherwise
    (re.compile(r"\{ \.\.\. \}"), "{...}"),
    (re.compile(r"\{ (?=[\w-]+ = )"), "{"),
    (re.compile(r"(?<=[{,] )([\w-]+) = |(?<=\{)([\w-]+) = "), r'"\1\2": '),
    (re.compile(r"(?<=[^{]) \}"), "}"),
    (re.compile(r"\b(\w+) = true\b"), r"\1=True"),
    (re.compile(r"\b(\w+) = false\b"), r"\1=False"),
    (re.compile(r"\btrue or false$"), "True or False"),
    (re.compile(r"^(invalid [\w ]+) true:"), r"\1 True:"),
    (re.compile(r"^(invalid [\w ]+) false:"), r"\1 False:"),
    (re.compile(r"^(invalid [\w ]+) null:"), r"\1 None:"),
    (re.compile(r", or false$"), ", or False"),
    (re.compile(r"--no-env-proxy\b"), "env_proxy=False"),
    (re.compile(IN_SHELL), ""),
)


class ConfigError(ValueError):
    """A mistake in the configuration; its text is the line that the user reads.

    Args:
        why: what is wrong, and what to use instead.
        key: the setting at fault, dotted inside tables; "" if it is not a single one.
        api: name of the API that the setting belongs to, or None.
        unknown: a key below `key` that nothing has, and that `why` shows; "" if that is not it.
    """

    def __init__(
        self, why: str, *, key: str = "", api: str | None = None, unknown: str = ""
    ) -> None:
        of_api = [] if api is None else [f"API {api!r}"]
        super().__init__(": ".join([*of_api, *([key] if key else []), why]))
        self.why = why
        self.key = key
        self.api = api
        self.unknown = unknown

    def within(self, key: str = "", *, api: str | None = None) -> ConfigError:
        """Return the same error with its key below another one, or in an API."""
        path = ".".join(part for part in (key, self.key) if part)
        return ConfigError(self.why, key=path, api=api, unknown=self.unknown)

    def in_python(self) -> ConfigError:
        """Return the same error, whose text is in the notation of Python and not of TOML.

        So it is for settings that a program has made.  `within` goes back to TOML.
        """
        why = self.why
        for written, python in _PYTHON:
            why = written.sub(python, why)
        error = ConfigError(why, key=self.key, api=self.api, unknown=self.unknown)
        error.why = self.why
        return error

    def each(self) -> Sequence[ConfigError]:
        """Return the mistakes one by one, where there may be several."""
        return (self,)


class ConfigErrors(ConfigError):
    """Several mistakes in the configuration; its text has a line for each."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self._errors = errors

    def each(self) -> Sequence[ConfigError]:
        return self._errors


class FileError(ConfigError):
    """A mistake in a configuration file.

    Args:
        message: the line that the user reads.
        where: keys from the top of the file down to the mistake.
    """

    def __init__(self, message: str, where: Sequence[str]) -> None:
        super().__init__(message)
        self.where = where


class InputError(Exception):
    """The input broke off; the records before the break are complete."""


class OutputError(Exception):
    """The output accepts no more lines.

    Args:
        message: for people.
        whole: number of the last results whose lines were nevertheless written completely.
    """

    def __init__(self, message: str, *, whole: int = 0) -> None:
        super().__init__(message)
        self.whole = whole


class OutputClosed(OutputError):
    """The reader of the output has closed it (EPIPE)."""


class TransportError(Exception):
    """An attempt without a response.

    Args:
        kind: as in `ErrorInfo`.
        message: as in `ErrorInfo`.
        sent: whether a byte of the request may have reached the server.
        transient: whether another attempt could succeed.
        stale: whether a kept-alive connection turned out to be closed before any byte of a response
            arrived.
        retry_after: seconds until the server wants another request.
        shortage: what this process or machine has run out of, such as open files; the server is not
            at fault then, and the attempt has not really begun.
        trace: as in `ErrorInfo`.
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
        """Drop the traceback and the causes, and return the error to keep it as data.

        Their frames hold the request and parts of a response, and one of them is the frame that
        keeps the error: a cycle that only the garbage collector could free.
        """
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self
