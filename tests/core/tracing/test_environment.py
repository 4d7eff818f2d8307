"""Which exporters the environment asks for."""

from __future__ import annotations

import pytest

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.tracing.environment import Asked, asked_exporters

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
EXPORTERS = "OTEL_TRACES_EXPORTER"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, None),
        ({ENDPOINT: ""}, None),
        ({"OTEL_SERVICE_NAME": "x"}, None),
        ({ENDPOINT: "http://c"}, Asked(ENDPOINT, ["otlp_proto_http"])),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c", ENDPOINT: "http://d"},
            Asked("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ["otlp_proto_http"]),
        ),
        (
            {ENDPOINT: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            Asked(ENDPOINT, ["otlp_proto_grpc"]),
        ),
        ({EXPORTERS: "console, otlp"}, Asked(EXPORTERS, ["console", "otlp_proto_http"])),
        ({EXPORTERS: "none", ENDPOINT: "http://c"}, None),
        ({EXPORTERS: "console", "OTEL_SDK_DISABLED": "True"}, None),
    ],
)
def test_variables_of_the_sdk_decide(env: dict[str, str], expected: Asked | None) -> None:
    """As its specification says; HTTP is the protocol unless another one is given."""
    assert asked_exporters(env) == expected


def test_protocol_that_is_none_is_refused() -> None:
    """The message says what to use."""
    env = {ENDPOINT: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
    with pytest.raises(ConfigError, match="PROTOCOL: invalid protocol 'http/json': use http/proto"):
        asked_exporters(env)
