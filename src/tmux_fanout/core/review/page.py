"""Write a report as a page: one file that needs no network, and runs no script but its own.

The tables are in the page; its script only draws charts of the same figures.  All that comes from
an output is escaped, shown without control characters, and never part of the script or the style,
whose digests the content security policy has.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import msgspec

from tmux_fanout.core.review import tables
from tmux_fanout.core.review.figures import ApiFigures, Figures
from tmux_fanout.core.review.html import Content, document, element, folded, table
from tmux_fanout.core.review.notes import held_back, notes
from tmux_fanout.core.text import printable

_EXCERPT = 2100  # characters of a line


class Assets(NamedTuple):
    """The script and the style of the page."""

    script: str
    style: str


def page(figures: Figures, excerpts: Sequence[Mapping[int, str]], assets: Assets) -> str:
    """Return the page.

    Args:
        figures: what it says.
        excerpts: for each output, the beginnings of lines that the figures name, by their numbers.
        assets: what makes it look and work.
    """
    names = ", ".join(tables.shown_path(each.output) for each in figures.outputs)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(assets)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{names}: tmux-fanout report"),
        element("style", assets.style),
    )
    body = element(
        "body",
        element("a", "Skip to the figures", class_="skip", href="#main"),
        element(
            "header", element("h1", "What the run did" if _is_one(figures) else "Runs compared")
        ),
        element("nav", element("ul", list(_contents(figures))), aria_label="Contents"),
        element("main", list(_main(figures, excerpts)), id="main"),
        element("script", _data(figures), type="application/json", id="figures"),
        element("script", assets.script),
    )
    return document(element("html", head, body, lang="en"))


def _policy(assets: Assets) -> str:
    script, style = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in assets
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _data(figures: Figures) -> str:
    """Return what the charts show as JSON that cannot end the element it is in."""
    data = {
        "apis": figures.apis,
        "labels": list(map(tables.shown, figures.apis)),
        "names": tables.output_names(figures),
        "figures": figures,
    }
    text = msgspec.json.encode(data).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _is_one(figures: Figures) -> bool:
    return len(figures.outputs) == 1


def _contents(figures: Figures) -> Iterator[Element]:
    links = [("records", "Records"), ("held", "What held it back")]
    links += [(f"api-{at}", tables.shown(name)) for at, name in enumerate(figures.apis)]
    links.append(("lines", "Lines"))
    for target, text in links:
        yield element("li", element("a", text, href=f"#{target}"))


def _main(figures: Figures, excerpts: Sequence[Mapping[int, str]]) -> Iterator[Element]:
    yield element(
        "p", "Charts need JavaScript; the tables have the same figures.", class_="no-script"
    )
    yield element(
        "fieldset",
        element("legend", "Charts along the run are"),
        [
            element(
                "label",
                element("input", type="radio", name="along", value=value),
                f" {text}",
            )
            for value, text in (("by_index", "by index of the record"), ("by_time", "by time"))
        ],
        id="along",
        hidden="hidden",
    )
    yield _records(figures)
    yield _held(figures)
    for at, name in enumerate(figures.apis):
        yield _api(figures, at, name)
    yield _lines(figures, excerpts)


def _records(figures: Figures) -> Element:
    parts = [element("h2", "Records"), table(tables.overview(figures))]
    for at, (name, each) in enumerate(zip(tables.output_names(figures), figures.outputs)):
        if not _is_one(figures):
            parts.append(element("h3", name))
        parts += map(_note, notes(each))
        of = "" if _is_one(figures) else f", {name}"
        charts = []
        if each.not_ok:
            charts.append(_chart("records", f"Records that are not ok, along the run{of}", at))
        if each.by_time:
            charts.append(_chart("rate", f"Records begun per second{of}", at))
        charts.append(_chart("latencies", f"p90 of how long calls took, by API{of}", at))
        charts.append(_chart("trouble", f"Calls that failed or were retried, by API{of}", at))
        parts.append(element("div", charts, class_="beside"))
        if each.failures:
            parts.append(table(tables.records_failed(each), texts=2))
    return element("section", parts, id="records")


def _note(text: str) -> Element:
    return element("p", text, class_="note")


def _held(figures: Figures) -> Element:
    parts = [element("h2", "What held it back")]
    for name, each in zip(tables.output_names(figures), figures.outputs):
        if not _is_one(figures):
            parts.append(element("h3", name))
        held = held_back(each)
        if held is None or each.summary is None:
            parts.append(
                _note("That is in the summary of the run: give report its --summary-file, too.")
            )
            continue
        parts.append(element("p", held, class_="finding"))
        parts += [_note(f"Warning: {printable(text)}") for text in each.summary.warnings]
        parts += [table(found) for found in tables.waits(each) if found.rows]
    return element("section", parts, id="held")


def _api(figures: Figures, at: int, name: str) -> Element:
    title = tables.shown(name)
    parts = [element("h2", title), table(tables.calls(figures, name))]
    having = [number for number, each in enumerate(figures.outputs) if name in each.apis]
    labels = tables.output_names(figures)
    pairs = []
    for number in having:
        of = "" if _is_one(figures) else f", {labels[number]}"
        pairs.append(
            element(
                "div",
                _chart("latency", f"How long calls took, along the run{of}", number, at),
                _chart(
                    "failures", f"Calls that failed or were retried, along the run{of}", number, at
                ),
                folded(
                    f"Figures along the run{of}",
                    table(tables.course(figures.outputs[number], name)),
                ),
            )
        )
    parts.append(element("div", pairs, class_="beside"))
    parts.append(_chart("histogram", "How many calls took how long", -1, at))
    parts.append(folded("Figures of the histogram", table(tables.histogram(figures, name))))
    parts.append(table(tables.attempts(figures, name)))
    if (found := tables.phases(figures, name)).rows:
        parts.append(table(found))
    for number in having:
        of = "" if _is_one(figures) else f", {labels[number]}"
        parts += _calls_with_lines(figures.outputs[number].apis[name], number, of)
    return element("section", parts, id=f"api-{at}")


def _calls_with_lines(api: ApiFigures, output: int, of: str) -> Iterator[Element]:
    if api.via:
        yield table(tables.via(api))
    if api.failures:
        rows: list[Sequence[Content]] = []
        for each in api.failures:
            samples = [
                element("div", _link(output, sample.index, sample.line), f": {sample.message}")
                for sample in each.samples
            ]
            share = tables.percentage(each.calls, api.calls)
            rows.append([each.label, tables.number(each.calls), share, samples])
        header = ["how", "calls", "share", "the first of them"]
        yield _rows_with_links(f"Calls that failed{of}", header, rows)
    if api.slowest:
        slow: list[Sequence[Content]] = [
            [
                _link(output, each.index, each.line),
                tables.duration(each.seconds),
                tables.number(each.attempts),
                [each.result],
            ]
            for each in api.slowest
        ]
        yield _rows_with_links(f"Slowest calls{of}", ["record", "took", "requests", "result"], slow)


def _link(output: int, index: int, line: int) -> Element:
    return element("a", f"record {index:,}", href=f"#line-{output}-{line}")


def _rows_with_links(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Content]],
) -> Element:
    kinds = ["text", "number", "number", "text"]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            [element("td", cell, class_=kind) for cell, kind in zip(row[1:], kinds[1:])],
        )
        for row in rows
    ]
    heads = [element("th", name, scope="col", class_=kind) for name, kind in zip(header, kinds)]
    made = element(
        "table",
        element("caption", title),
        element("thead", element("tr", heads)),
        element("tbody", body),
    )
    return element("div", made, class_="scroll", tabindex="0", role="group", aria_label=title)


def _chart(kind: str, title: str, output: int, api: int = -1) -> Element:
    return element(
        "figure",
        element("figcaption", title),
        element("div", class_="plot", role="img", tabindex="0", aria_label=f"Chart: {title}"),
        element("p", class_="readout", aria_live="polite"),
        class_="chart",
        data_chart=kind,
        data_output=str(output),
        data_api=str(api),
    )


def _lines(figures: Figures, excerpts: Sequence[Mapping[int, str]]) -> Element:
    parts = [element("h2", "Lines of these records")]
    for at, (output, found) in enumerate(zip(figures.outputs, excerpts)):
        for line, text in found.items():
            parts.append(
                element(
                    "article",
                    element("h3", f"Line {line:,} of {tables.shown_path(output.output)}"),
                    element("pre", printable(text, _EXCERPT), tabindex="0"),
                    id=f"line-{at}-{line}",
                )
            )
    if len(parts) == 1:
        parts.append(_note("No call was made, and no record failed."))
    return element("section", parts, id="lines")
