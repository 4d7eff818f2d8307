"""`--metrics` and `--metrics-file`: what Prometheus is given of a run."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.command import PATIENCE, lines, records, run, start
from support.loopback import Loopback

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])
FIVE_HUNDRED = (500, b"broken")


class Samples:
    """The samples of an exposition.

    Args:
        text: in the format of Prometheus.
    """

    def __init__(self, text: str) -> None:
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a name that have these labels."""
        found = [
            sample.value
            for sample in self._samples
            if sample.name == f"tmux_fanout_{name}" and labels.items() <= sample.labels.items()
        ]
        assert found, name
        return sum(found)


def fussy(body: bytes) -> tuple[int, bytes]:
    """Fail for records whose id ends in 7."""
    return FIVE_HUNDRED if body.endswith(b"7}") else (200, b"{}")


def scrape(connection: HTTPConnection, path: str = "/metrics") -> Samples:
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 200
    return Samples(response.read().decode())


def scrape_under_way(connection: HTTPConnection, in_flight: int) -> Samples:
    """Scrape until so many attempts are under way: a worker may report too late for a scrape."""
    for _ in range(100):
        found = scrape(connection)
        if found.value("in_flight", api="x") == in_flight:
            return found
    pytest.fail("the attempts under way are not shown")


class UnixConnection(HTTPConnection):
    """A connection to a Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.host)


def address_in(process: Any) -> HTTPConnection:
    """Return a connection to where a run says that its metrics are."""
    line = process.stderr.readline().decode()
    assert line.startswith("tmux-fanout: metrics at http://127.0.0.1:"), line
    return HTTPConnection("127.0.0.1", int(line.split(":")[-1].split("/")[0]), timeout=PATIENCE)


@WORKERS
def test_file_has_the_counts_of_the_summary(server: Loopback, tmp_path: Path, workers: str) -> None:
    """At the end each counter equals the figure of the summary."""
    server.replies["/fussy"] = fussy
    out = tmp_path / "run.prom"
    args = ("-a", f"x={server.url('/fussy')}", "-a", f"y={server.url()}", "--workers", workers)
    done = run(
        *args, "--metrics-file", str(out), "--summary", "json", stdin=records(100) + b"not JSON\n"
    )
    assert done.returncode == 1
    summary = json.loads(done.stderr)
    found = Samples(out.read_text())
    assert found.value("records_read_total") == summary["records"] == 101
    assert found.value("records_written_total", result="ok") == summary["ok"] == 90
    assert found.value("records_written_total", result="not_ok") == summary["not_ok"] == 11
    for kind, number in summary["errors"].items():
        assert found.value("record_errors_total", kind=kind) == number
    for name, api in summary["apis"].items():
        assert found.value("calls_total", api=name) == api["calls"]
        assert found.value("attempts_total", api=name) == api["attempts"]
        assert found.value("call_seconds_count", api=name) == api["calls"]
        assert found.value("call_seconds_bucket", api=name, le="+Inf") == api["calls"]
        assert found.value("sent_bytes_total", api=name) == api["bytes_sent"]
        assert found.value("received_bytes_total", api=name) == api["bytes_received"]
        assert found.value("in_flight", api=name) == 0
    assert found.value("call_failures_total", api="x", kind="status", status="500") == 10
    assert found.value("processes") == int(workers)
    assert list(tmp_path.glob("run.prom.*")) == []


@WORKERS
def test_server_shows_what_is_under_way(server: Loopback, tmp_path: Path, workers: str) -> None:
    """A scrape has the counts of that moment, those of all workers too."""
    server.gate.clear()
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(20))
    args = ("-a", f"x={server.url()}", "-l", "4", "--workers", workers, "--metrics", "127.0.0.1:0")
    with start(*args, str(source)) as process:
        connection = address_in(process)
        server.await_requests(4)
        found = scrape_under_way(connection, 4)
        assert found.value("limit", api="x") == 4
        assert found.value("queued", api="x") == 16
        assert found.value("window_records") == found.value("records_read_total") == 20
        assert found.value("endpoint_condition", condition="ready") == 1
        assert found.value("memory_bytes", process="this") > 0
        server.gate.set()
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert len(lines(out)) == 20


def test_unix_socket_takes_the_place_of_one_left_behind(server: Loopback, tmp_path: Path) -> None:
    """The socket of a run that was killed is replaced; at the end it is removed."""
    path = tmp_path / "m.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server.gate.clear()
    args = ("-a", f"x={server.url()}", "--metrics", f"unix:{path}")
    with start(*args) as process:
        assert process.stdin
        process.stdin.write(records(1))
        process.stdin.flush()
        server.await_requests(1)
        assert scrape(UnixConnection(str(path)), "/metrics?x=1").value("in_flight", api="x") == 1
        for request, status in (
            (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
            (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "),
            (b"nonsense\r\n\r\n", b"HTTP/1.1 400 "),
            (b"x" * (17 << 10), b"HTTP/1.1 400 "),
            (b"HEAD /metrics HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 "),
        ):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(str(path))
                client.sendall(request)
                assert client.recv(13) == status
        server.gate.set()
        process.communicate()
    assert process.returncode == 0
    assert not path.exists()


def test_openmetrics_is_served_to_who_asks_for_it(server: Loopback) -> None:
    """Prometheus asks for OpenMetrics, which ends with a mark."""
    server.gate.clear()
    with start("-a", f"x={server.url()}", "--metrics", "127.0.0.1:0") as process:
        connection = address_in(process)
        accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
        connection.request("GET", "/metrics", headers=accept)
        response = connection.getresponse()
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        assert response.read().endswith(b"# EOF\n")
        process.send_signal(signal.SIGTERM)
        process.communicate()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--metrics", "9100"], "invalid address of metrics '9100': use ADDR:PORT"),
        (["--metrics", "unix:"], "invalid address of metrics"),
        (["--metrics", "unix:/no/such/folder/x"], "cannot listen at 'unix:/no/such/folder/x'"),
        (["--metrics-file", "/no/such/folder/x"], "its folder does not exist"),
        (["--metrics-file", "/dev/null"], "is not a regular file"),
        (["--metrics-file", "other.txt"], "has no metrics of an earlier run"),
        (["--metrics-file", "out.jsonl", "-o", "out.jsonl"], "'out.jsonl' has another use"),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], expected: str
) -> None:
    """One line names the option; nothing is sent, and no file is changed."""
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other.txt"
    other.write_text("mine\n")
    done = run("-a", "x=http://127.0.0.1:9", *args, stdin=records(1))
    assert done.returncode == 2
    assert expected in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert other.read_text() == "mine\n"
    assert os.listdir(tmp_path) == ["other.txt"]


def test_address_in_use_is_refused(server: Loopback) -> None:
    """The port of another program is named before anything is sent."""
    done = run("-a", "x=http://127.0.0.1:9", "--metrics", f"127.0.0.1:{server.server_address[1]}")
    assert done.returncode == 2
    assert b"--metrics: cannot listen at" in done.stderr
    assert b"address already in use: use another" in done.stderr


def test_every_metric_is_documented(server: Loopback, tmp_path: Path) -> None:
    """The page names each metric that a run has, and no other."""
    config = tmp_path / "c.toml"
    config.write_text(
        f'[api.x]\nurl = "{server.url("/503")}"\nretries = 0\nprice = {{ call = 1 }}\n'
    )
    out = tmp_path / "run.prom"
    run("-c", str(config), "--metrics-file", str(out), stdin=records(10) + b"not JSON\n")
    families = text_string_to_metric_families(out.read_text())
    found = {
        f"{each.name}_total" if each.type == "counter" else each.name
        for each in families
        if each.name.startswith("tmux_fanout_")
    }
    page = Path(__file__).parents[2] / "docs/reference/metrics.md"
    named = set(re.findall(r"`(tmux_fanout_\w+)`", page.read_text()))
    assert named == found


def test_dashboard_names_metrics_that_exist() -> None:
    """Each expression of the dashboard is of documented metrics; no identifier is used twice."""
    docs = Path(__file__).parents[2] / "docs/reference"
    known = set(re.findall(r"`(tmux_fanout_\w+)`", (docs / "metrics.md").read_text()))
    dashboard = json.loads((docs / "grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        for target in panel["targets"]:
            names = re.findall(r"tmux_fanout_\w+", target["expr"])
            assert {name.removesuffix("_bucket") for name in names} <= known
            assert names
