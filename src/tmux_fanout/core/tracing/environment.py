"""Which exporters of OpenTelemetry the environment asks for, by the variables of its SDK.

See https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.text import invalid

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS = "OTEL_TRACES_EXPORTER"
_OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


class Asked(NamedTuple):
    """What is asked for.

    Attributes:
        variable: the variable that asks.
        exporters: their names among the entry points of `opentelemetry_traces_exporter`.
    """

    variable: str
    exporters: Sequence[str]


def asked_exporters(env: Mapping[str, str]) -> Asked | None:
    """Return the exporters that the environment asks for; None if it asks for none.

    Raises:
        ConfigError: a variable has a value that means nothing.
    """
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    names = [name.strip() for name in env.get(_EXPORTERS, "").split(",") if name.strip()]
    variable = _EXPORTERS
    if not names:
        found = next((each for each in _ENDPOINTS if env.get(each, "").strip()), None)
        if found is None:
            return None
        variable, names = found, ["otlp"]
    exporters = [_otlp(env) if name == "otlp" else name for name in names if name != "none"]
    return Asked(variable, exporters) if exporters else None


def _otlp(env: Mapping[str, str]) -> str:
    for variable in _PROTOCOLS:
        protocol = env.get(variable, "").strip()
        if protocol and protocol not in _OTLP:
            why = invalid("protocol", protocol, " or ".join(_OTLP))
            raise ConfigError(f"{variable}: {why}")
        if protocol:
            return _OTLP[protocol]
    return _OTLP["http/protobuf"]
