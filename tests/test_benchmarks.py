"""The benchmarks measure what they claim, and reject output that is not the work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from benchmarks.checks import (
    Check,
    Work,
    all_succeeded,
    bodies_and_statuses,
    in_any_order,
    in_order,
)
from benchmarks.figure import Bar, draw
from benchmarks.report import Report, Spread, ratios
from benchmarks.servers import Server
from benchmarks.twin import body_of, delay_of
from support.command import PATIENCE, environment

RUN = Path(__file__).parent.parent / "benchmarks" / "run.py"
BODY = body_of(0)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks run on Linux")


def envelope(index: int, *bodies: bytes) -> bytes:
    outcomes = {
        name: {"status": 200, "body": json.loads(body)} for name, body in zip("abc", bodies)
    }
    return json.dumps({"index": index, "results": outcomes}).encode() + b"\n"


def work(count: int) -> Work:
    """`count` records to two APIs."""
    server = Server(what="none", urls=["http://a", "http://b"], body=BODY)
    return Work(records=Path("none"), count=count, server=server)


BOTH = [envelope(0, BODY, BODY), envelope(1, BODY, BODY)]
H2LOAD = [b"requests: 4 total, 4 done\n", b"status codes: 4 2xx, 0 3xx, 0 4xx, 0 5xx\n"]
CURL = [BODY + BODY + b"\n", b"200\n", b"\n", b"200\n"]


@pytest.mark.parametrize(
    ("check", "lines", "count", "right"),
    [
        (in_order, BOTH, 2, True),
        (in_order, BOTH[::-1], 2, False),
        (in_any_order, BOTH[::-1], 2, True),
        (in_order, BOTH, 3, False),
        (in_order, [envelope(0, BODY)], 1, False),
        (in_order, [envelope(0, BODY, b"{}")], 1, False),
        (in_order, [envelope(0, BODY, BODY).replace(b"200", b"500")], 1, False),
        (bodies_and_statuses, CURL, 1, True),
        (bodies_and_statuses, CURL, 2, False),
        (bodies_and_statuses, [BODY + b"\n", b"200\n", b"\n", b"200\n"], 1, False),
        (bodies_and_statuses, [*CURL[:3], b"503\n"], 1, False),
        (all_succeeded, H2LOAD, 2, True),
        (all_succeeded, H2LOAD, 20, False),
        (all_succeeded, H2LOAD[:1], 2, False),
    ],
)
def test_check_accepts_only_done_work(
    check: Check, lines: Sequence[bytes], count: int, right: bool
) -> None:
    """A missing line, a wrong order or another response makes a run void."""
    assert check(lines, work(count)) is right


def test_ratios_are_taken_round_by_round() -> None:
    """A round that is slow for everyone changes no ratio."""
    assert ratios([10, 5, 20], [5, 2.5, 10]).values == [2, 2, 2]
    assert str(Spread([1.0, 3.0, 2.0])) == "2 (1 to 3)"


def test_report_without_rows_says_why() -> None:
    """A case that cannot run here has a note instead of an empty table."""
    assert str(Report(case="tls", server="none", notes=["why"])) == "tls; server: none\nwhy\n"


@pytest.mark.parametrize("size", [0, 1000, 65536])
def test_body_is_json_of_the_size(size: int) -> None:
    """Long responses have the size that the case names."""
    body = body_of(size)
    assert json.loads(body)["label"] == "ok"
    assert len(body) == (size or len(BODY))


def test_delays_have_a_pareto_tail() -> None:
    """P(delay > x) is (minimum / x) ** alpha, up to the maximum, and depends on the request."""
    delays = [delay_of(0.01, 1.5, 1.0, b"request %d" % number) for number in range(20_000)]
    assert delays == [delay_of(0.01, 1.5, 1.0, b"request %d" % n) for n in range(20_000)]
    assert min(delays) >= 0.01
    assert max(delays) == 1.0
    for times in (2, 4, 10):
        share = sum(delay > 0.01 * times for delay in delays) / len(delays)
        assert share == pytest.approx(times**-1.5, rel=0.1)
    assert delay_of(0.01, 0.0, 1.0, b"request") == 0.01


def test_figure_is_xml_with_bars_to_scale() -> None:
    """The length of a bar is its median, and names may hold any character."""
    text = draw('a "title" & more', [Bar("one", [200, 100, 300]), Bar("a<b", [50])], "foot")
    root = ElementTree.fromstring(text)
    svg = "{http://www.w3.org/2000/svg}"
    widths = [float(rect.get("width", "")) for rect in root.iter(f"{svg}rect")]
    assert widths[0] == pytest.approx(4 * widths[1], rel=0.01)
    texts = [element.text for element in root.iter(f"{svg}text")]
    assert texts == ['a "title" & more', "one", "200", "a<b", "50", "foot"]


def benchmark(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), *args],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )


@on_linux
def test_run_gives_a_table_a_file_and_a_figure(tmp_path: Path) -> None:
    """The short cases run on whatever server is installed, and each of them measures something."""
    cases = ["throughput", "tls", "large", "trickle", "cancel", "workers"]
    chosen = [word for case in cases for word in ("--case", case)]
    found, figure = tmp_path / "found.json", tmp_path / "figure.svg"
    files = ["--json", str(found), "--figure", str(figure)]
    done = benchmark(*chosen, "--records", "30", "--rounds", "1", "--against", "none", *files)
    assert done.returncode == 0, done.stderr
    reports: list[dict[str, Any]] = json.loads(found.read_text())["reports"]
    assert [report["case"] for report in reports] == cases
    # Every report has notes; only a case that ran has rows.
    assert [report["case"] for report in reports if not report["rows"]] == []
    assert [row[""] for row in reports[0]["rows"]] == ["tmux-fanout"]
    assert all(f"{case}; server: " in done.stdout for case in cases)
    assert "tmux-fanout" in [element.text for element in ElementTree.parse(figure).iter()]


@on_linux
def test_figure_without_its_case_is_a_usage_error(tmp_path: Path) -> None:
    """A figure that could not be drawn is reported before anything runs."""
    done = benchmark("--case", "pure", "--figure", str(tmp_path / "figure.svg"))
    assert done.returncode == 2
    assert "add --case throughput" in done.stderr
