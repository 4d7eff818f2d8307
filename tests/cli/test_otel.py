"""Spans for OpenTelemetry: the extra `otel`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.command import environment, lines, records, run
from support.loopback import Loopback, loopback

SPANS = "/v1/traces"


@pytest.fixture
def collector() -> Iterator[Loopback]:
    with loopback() as server:
        server.replies[SPANS] = lambda _: (200, b"")
        yield server


def asking(collector: Loopback, **more: str) -> dict[str, str]:
    """Return an environment that asks for spans to be exported to a collector."""
    url = collector.url("")
    return environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_COMPRESSION="none", **more
    )


def received(collector: Loopback) -> list[Any]:
    """Return the spans that have come, and check where they say that they are from."""
    spans: list[Any] = []
    for body in collector.bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert names["service.name"] == "tmux-fanout"
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    return spans


@pytest.mark.parametrize("more", [[], ["--workers", "2", "--chunk-size", "5"]])
def test_spans_are_exported(
    server: Loopback, collector: Loopback, tmp_path: Path, more: list[str]
) -> None:
    """One for each record, call and attempt, in the traces that the server and outcomes name."""
    config = tmp_path / "fan.toml"
    config.write_text(f"[api.x]\nurl = '{server.url('/x?key=secret')}'\ntraceparent = true\n")
    done = run("-c", str(config), *more, stdin=records(20), env=asking(collector))
    assert (done.returncode, done.stderr) == (0, b"")
    spans = received(collector)
    by_name: dict[str, list[Any]] = {}
    for span in spans:
        by_name.setdefault(span.name, []).append(span)
    assert {name: len(each) for name, each in by_name.items()} == {
        **{"record": 20, "call x": 20, "POST": 20}
    }
    traces = {line["results"]["x"]["trace"] for line in lines(done.stdout)}
    assert {span.trace_id.hex() for span in spans} == traces
    sent = {headers["traceparent"].split("-")[2] for headers in server.headers}
    assert {span.span_id.hex() for span in by_name["POST"]} == sent
    ids = {span.span_id for span in spans}
    assert all(span.parent_span_id in ids for span in by_name["POST"] + by_name["call x"])
    assert not any(span.parent_span_id for span in by_name["record"])
    for span in by_name["POST"]:
        found = {each.key: each.value for each in span.attributes}
        assert found["url.full"].string_value == server.url("/x?key=***")
        assert found["http.response.status_code"].int_value == 200
        assert span.kind == 3  # client
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano


def test_sampler_of_the_environment_decides(server: Loopback, collector: Loopback) -> None:
    """A trace is exported as a whole, or not at all."""
    env = asking(collector, OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0.5")
    done = run("-a", f"x={server.url('/x')}", stdin=records(200), env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    spans = received(collector)
    assert 0 < len(spans) < 600
    assert len(spans) == 3 * len({span.trace_id for span in spans})


def test_collector_that_is_gone_is_said_once(
    server: Loopback, closed_port: int, tmp_path: Path
) -> None:
    """The output is what it would have been."""
    env = environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{closed_port}",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )
    done = run("-a", f"x={server.url('/x')}", stdin=records(5), env=env)
    assert (done.returncode, len(lines(done.stdout))) == (0, 5)
    assert done.stderr.decode().count("tmux-fanout: warning: OpenTelemetry: ") <= 1
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_collector_that_does_not_answer_holds_up_nothing(
    server: Loopback, collector: Loopback, workers: str
) -> None:
    """It gets some seconds at the end."""
    collector.gate.clear()
    args = ("-a", f"x={server.url('/x')}", "--workers", workers)
    done = run(*args, stdin=records(5), env=asking(collector))
    collector.gate.set()
    assert (done.returncode, len(lines(done.stdout))) == (0, 5)
    assert len(done.stderr.splitlines()) <= 1


def test_console_exporter_keeps_off_standard_output(server: Loopback) -> None:
    """It is for results."""
    env = environment(OTEL_TRACES_EXPORTER="console")
    done = run("-a", f"x={server.url('/x')}", stdin=records(2), env=env)
    assert (done.returncode, len(lines(done.stdout))) == (0, 2)
    assert b'"name": "call x"' in done.stderr


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"OTEL_TRACES_EXPORTER": "nonsuch"}, "OTEL_TRACES_EXPORTER: there is no exporter nonsuch"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "x"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: invalid protocol 'x': use http/protobuf or grpc",
        ),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_mistakes_are_refused(
    server: Loopback, variables: dict[str, str], why: str, workers: str
) -> None:
    """Before anything is sent."""
    args = ("-a", f"x={server.url('/x')}", "--workers", workers)
    done = run(*args, stdin=records(2), env=environment(**variables))
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"tmux-fanout: {why}" in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    assert not server.bodies


def test_without_the_extra_a_line_says_so(server: Loopback, tmp_path: Path) -> None:
    """The run goes on; -q drops the line."""
    (tmp_path / "opentelemetry.py").write_text("raise ImportError('not installed')\n")
    paths = [str(tmp_path), *filter(None, [environment().get("PYTHONPATH")])]
    env = environment(OTEL_EXPORTER_OTLP_ENDPOINT="http://c", PYTHONPATH=":".join(paths))
    done = run("-a", f"x={server.url('/x')}", stdin=records(2), env=env)
    assert (done.returncode, len(lines(done.stdout))) == (0, 2)
    (line,) = done.stderr.decode().splitlines()
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed" in line
    assert "pip install 'tmux-fanout[otel]'" in line
    assert run("-a", f"x={server.url('/x')}", "-q", stdin=records(2), env=env).stderr == b""


def test_nothing_is_loaded_unless_it_is_asked_for(server: Loopback) -> None:
    """Its import takes longer than the start of the command."""
    script = (
        "import sys; from tmux_fanout.__main__ import main\n"
        "try: main()\n"
        "finally: print('opentelemetry' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "-q", "-a", f"x={server.url('/x')}"],
        input=records(1),
        capture_output=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.stderr.decode().strip().endswith("False")
