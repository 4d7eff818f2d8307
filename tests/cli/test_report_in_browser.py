"""The page of `report` in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from support.command import run
from support.envelopes import eventful, line, outcome

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"),
    *("--no-first-run", "--enable-logging=stderr", "--virtual-time-budget=20000"),
)
PATIENCE = 240  # seconds; a browser takes long to start on a loaded machine

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(BROWSERS)} is here")


def shown(page: Path) -> str:
    """Return the page as the browser has it after its script, which had no error."""
    assert BROWSER
    profile = page.parent / "profile"
    done = subprocess.run(
        [BROWSER, *OPTIONS, f"--user-data-dir={profile}", page.as_uri()],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    messages = [each for each in done.stderr.decode().splitlines() if ":CONSOLE" in each]
    assert messages == []
    return done.stdout.decode()


def report(folder: Path, outputs: Sequence[Sequence[bytes]]) -> tuple[str, Any]:
    """Return the page of these outputs, as it is shown, and their figures."""
    paths = []
    for at, lines in enumerate(outputs):
        path = folder / f"run{at}.jsonl"
        path.write_bytes(b"".join(each + b"\n" for each in lines))
        paths.append(str(path))
    page = folder / "report.html"
    assert run("report", *paths, "-o", str(page)).returncode == 0
    figures = json.loads(run("report", "--json", *paths).stdout)
    return shown(page), figures


def charts(text: str) -> list[tuple[str, int]]:
    """Return the kind of each chart that was drawn, and how many points it has."""
    found = []
    for figure in re.findall(r"<figure.*?</figure>", text, re.DOTALL):
        kind = re.findall(r'data-chart="(\w+)"', figure)[0]
        points = re.findall(r'data-points="(\d+)"', figure)
        assert bool(points) == ("<canvas" in figure) == ('hidden=""' not in figure)
        if points:
            found.append((kind, int(points[0])))
    return found


@pytest.mark.parametrize("timed", [False, True])
def test_every_chart_is_drawn_from_the_figures(tmp_path: Path, timed: bool) -> None:
    """A chart has a point for each stretch, or bar; the page embeds what --json says."""
    text, figures = report(tmp_path, [list(eventful(3000, timed=timed))])
    (output,) = figures["outputs"]
    stretches = len(output["by_time" if timed else "by_index"])
    assert charts(text) == [
        ("records", stretches),
        *([("rate", stretches)] if timed else []),
        ("latencies", stretches),
        ("trouble", stretches),
        *[
            each
            for api in output["apis"].values()
            for each in (
                ("latency", stretches),
                ("failures", stretches),
                ("histogram", len(api["histogram"]) + 1),
            )
        ],
    ]
    assert f'data-charts="{len(charts(text))}"' in text
    embedded = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', text)
    assert json.loads(embedded[0])["figures"] == figures


def test_outputs_are_drawn_side_by_side(tmp_path: Path) -> None:
    """Each has its charts along the run; an API has one histogram."""
    text, _ = report(tmp_path, [list(eventful(1000)), list(eventful(700, 2, timed=True))])
    kinds = [kind for kind, _ in charts(text)]
    assert (kinds.count("latency"), kinds.count("histogram"), kinds.count("rate")) == (6, 3, 1)
    assert "A: " in unescape(text)


def test_hostile_names_run_no_script(tmp_path: Path) -> None:
    """Their charts are drawn, and nothing that they hold becomes an element."""
    names = ["</script><script>document.title='owned'</script>", "__proto__", "1", "constructor"]
    results = {name: outcome(0.1, 2, "status", 503, message=f"<img src=x>{name}") for name in names}
    text, _ = report(tmp_path, [[line(at, results) for at in range(5)]])
    assert charts(text) == [("records", 5), ("latencies", 5), ("trouble", 5)] + [
        ("latency", 5),
        ("failures", 5),
        ("histogram", 2),
    ] * len(names)
    assert "<img" not in text
    assert "owned" not in text[text.index("<title>") : text.index("</title>")]


def test_runs_without_calls_have_no_empty_charts(tmp_path: Path) -> None:
    """An empty output, and one of which nothing was sent, are shown without errors."""
    skipped = {"a": {"ok": True, "skipped": True, "attempts": 0}}
    text, _ = report(tmp_path, [[], [line(0, skipped)]])
    assert charts(text) == []
