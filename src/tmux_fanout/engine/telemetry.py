"""Exporting spans by the SDK of OpenTelemetry (the extra `otel`); nothing else imports that.

The SDK's batch processor has a thread of its own, so that a slow collector delays no call: spans
that it cannot keep up with are dropped, as the SDK says.  Everything is configured by the SDK's own
variables: exporters, endpoints, headers, samplers, resources and limits.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import printable
from tmux_fanout.core.tracing.environment import Asked, asked_exporters
from tmux_fanout.core.tracing.spans import Span, SpanId
from tmux_fanout.core.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext

Exporters = Sequence["SpanExporter"]

FLUSH_TIMEOUT = 5.0  # seconds that exporters have at the end of a run

_GROUP = "opentelemetry_traces_exporter"
_NANOSECONDS = 1_000_000_000
_INSTALL = "pip install 'tmux-fanout[otel]'"


def make_exporters(env: Mapping[str, str], warn: Callable[[str], None]) -> Exporters:
    """Return the exporters that the environment asks for; none without the extra.

    Args:
        env: the environment.
        warn: called with one line if they are asked for, and OpenTelemetry is not installed.

    Raises:
        ConfigError: there is no such exporter, or it cannot be used.
    """
    asked = asked_exporters(env)
    if asked is None:
        return []
    try:
        import opentelemetry.sdk.trace  # noqa: F401 - an extra
    except ImportError:
        why = "OpenTelemetry is not installed, so no traces are exported"
        warn(f"{asked.variable} is set, but {why}: {_INSTALL}, or unset it")
        return []
    return [_made(_load(name, asked), asked) for name in asked.exporters]


def _made(exporter: type[SpanExporter], asked: Asked) -> SpanExporter:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    try:
        if issubclass(exporter, ConsoleSpanExporter):
            return exporter(out=sys.stderr)  # standard output is for results
        return exporter()
    except Exception as exc:  # whatever it thinks of its variables
        why = printable(f"{asked.variable}: the exporter cannot be used, {exc}")
        raise ConfigError(f"{why}: check the OTEL_EXPORTER variables") from exc


def _load(name: str, asked: Asked) -> type[SpanExporter]:
    known = entry_points(group=_GROUP)
    for entry in known:
        if entry.name == name:
            try:
                return entry.load()  # type: ignore[no-any-return]  # so says its group
            except ImportError as exc:
                why = f"the exporter {name} cannot be loaded, {exc}"
                raise ConfigError(f"{asked.variable}: {printable(why)}") from exc
    names = ", ".join(sorted(known.names))
    advice = f"install opentelemetry-exporter-{name.replace('_', '-')}, or use one of {names}"
    raise ConfigError(f"{asked.variable}: there is no exporter {printable(name)}: {advice}")


@contextmanager
def exporting(
    exporters: Exporters, notify: Callable[[str], None]
) -> Iterator[Callable[[Span], None] | None]:
    """Export spans within the block; yields what takes them, or None without exporters.

    At the end the exporters have `FLUSH_TIMEOUT` to send what they have.

    Args:
        exporters: as `make_exporters` returns them.
        notify: called at the end with one line, if spans could not be exported.
    """
    if not exporters:
        yield None
        return
    failures = _kept_failures()
    export = _Export(exporters)
    try:
        yield export
    finally:
        export.close()
        if failures:
            notify(f"OpenTelemetry: {printable(failures[0])}")


def _kept_failures() -> Sequence[str]:
    """Return a list that gets the first warning of the SDK, in place of its log.

    So it stays, as threads of the SDK may outlive the run, up to the end of the process.
    """
    failures: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not failures:
                failures.append(record.getMessage())

    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.addHandler(Keeper(logging.WARNING))
    return failures


class _Export:
    """Hands spans to exporters; arguments as for `exporting`."""

    def __init__(self, exporters: Exporters) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        self._ids = _ids()
        self._provider = TracerProvider(
            resource=Resource.create({} if named else {"service.name": "tmux-fanout"}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        for exporter in exporters:
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("tmux_fanout", __version__)

    def __repr__(self) -> str:
        return f"<_Export by {self._provider!r}>"

    def __call__(self, span: Span) -> None:
        from opentelemetry.sdk.trace.sampling import Decision
        from opentelemetry.trace import (
            Link,
            NonRecordingSpan,
            SpanKind,
            Status,
            StatusCode,
            set_span_in_context,
        )

        trace = int(span.id.trace, 16)
        sampling = self._provider.sampler.should_sample(None, trace, "record")
        if sampling.decision is not Decision.RECORD_AND_SAMPLE:
            return  # nor is any other span of the trace
        self._ids.trace_id, self._ids.span_id = trace, int(span.id.span, 16)
        context = None
        if span.parent:
            context = set_span_in_context(NonRecordingSpan(_context_of(span.parent)))
        made = self._tracer.start_span(
            span.name,
            context=context,
            kind=SpanKind.CLIENT if span.is_client else SpanKind.INTERNAL,
            attributes=span.attributes,
            links=[Link(_context_of(span.link))] if span.link else [],
            start_time=int(span.began * _NANOSECONDS),
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR))
        made.end(int(span.ended * _NANOSECONDS))

    def close(self) -> None:
        """Send what is left, for as long as there is time."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(FLUSH_TIMEOUT)


def _ids() -> Any:
    """Return a generator of ids that returns those that it is given."""
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Given(IdGenerator):
        trace_id = span_id = 0

        def generate_span_id(self) -> int:
            return self.span_id

        def generate_trace_id(self) -> int:
            return self.trace_id

    return Given()


def _context_of(span: SpanId) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(span.trace, 16), int(span.span, 16), is_remote=False, trace_flags=flags)
