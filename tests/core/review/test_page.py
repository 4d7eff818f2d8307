"""The page: whatever an output holds, it is text there, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.envelopes import eventful, line, outcome

from tmux_fanout.core.review.collector import Collector
from tmux_fanout.core.review.figures import Figures
from tmux_fanout.core.review.page import Assets, page

ASSETS = Assets("/* script */ 1 < 2 && 3 > 2;", "p > a { color: red }")

SCHEMA = Path(__file__).parents[3] / "docs" / "reference" / "report.schema.json"

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "&lt;b&gt; &amp;",
    "]]>",
    "\u202e\u2028\x00\x1b[2J\ud800",
    "javascript:alert(1)",
    "__proto__",
    "{}\\u003c/script\\u003e",
]
texts = st.sampled_from(HOSTILE) | st.text(
    st.characters(codec="utf-8") | st.sampled_from("<>&\"'/\\\0")
)


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        is_script = self.elements and self.elements[-1][0] in ("script", "style")
        (self.scripts if is_script else self.texts).append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    @property
    def shape(self) -> list[tuple[str, list[str], str | None]]:
        """The elements, without what foreign text may be in."""
        return [(tag, sorted(attrs), attrs.get("href")) for tag, attrs in self.elements]


def made(text: str) -> str:
    """Return the page of an output in which a text is everywhere."""
    failed = outcome(0.5, 2, "status", 503, message=text, via=text or "x")
    failed["body"] = text
    failed["headers"] = {text: text}
    lines = [
        line(0, {text or "x": failed}, record={text: text}),
        json.dumps({"index": 1, "ok": False, "error": _invalid(text), "raw": text}).encode(),
        text.encode(errors="surrogatepass"),
    ]
    collector = Collector(text)
    for each in lines:
        collector.add(each)
    return page(Figures(outputs=[collector.figures()]), [collector.excerpts()], ASSETS)


def _invalid(text: str) -> dict[str, Any]:
    return {"kind": "invalid_record", "message": text}


HARMLESS = Parsed(made("harmless"))


@given(texts)
@example(HOSTILE[0])
@example(HOSTILE[6])
def test_hostile_text_adds_no_element_and_no_attribute(text: str) -> None:
    """The page has the elements that it has with a harmless text in the same places."""
    parsed = Parsed(made(text))
    assert parsed.shape == HARMLESS.shape
    script, style = ASSETS
    assert parsed.scripts[0] == style
    assert parsed.scripts[2] == script
    assert not any(re.search("[\x00\x1b\u202e]", each) for each in parsed.texts)


@given(texts)
def test_data_of_the_charts_are_those_of_json(text: str) -> None:
    """The JSON in the page has the same figures, and nothing in it can end its element."""
    parsed = Parsed(made(text))
    data = parsed.scripts[1]
    assert not set(data) & set("<>&")
    assert len(json.loads(data)["figures"]["outputs"]) == 1


def test_policy_allows_this_script_and_style_only() -> None:
    """The content security policy has the digests of both, and allows nothing else."""
    policy = HARMLESS.elements[3][1]["content"]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in ASSETS]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digests[0]}'; style-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    attributes = {name for _, attrs in HARMLESS.elements for name in attrs}
    assert not {name for name in attributes if name.startswith("on") or name in ("style", "src")}


@pytest.mark.parametrize("count", [1, 2])
def test_links_lead_to_lines_and_sections(count: int) -> None:
    """Each link has a target in the page, and each id is there once."""
    collectors = []
    for seed in range(count):
        collectors.append(Collector(f"{seed}.jsonl"))
        for each in eventful(500, seed):
            collectors[-1].add(each)
    figures = Figures(outputs=[each.figures() for each in collectors])
    parsed = Parsed(page(figures, [each.excerpts() for each in collectors], ASSETS))
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    links = [attrs["href"] or "" for tag, attrs in parsed.elements if tag == "a"]
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert sum(link.startswith("#line-") for link in links) >= 30 * count
    regions = [attrs for _, attrs in parsed.elements if attrs.get("role") in ("group", "img")]
    assert all(attrs["aria-label"] for attrs in regions)
    data = json.loads(parsed.scripts[1])["figures"]
    assert data == json.loads(msgspec.json.encode(figures))


def test_figures_keep_to_their_schema() -> None:
    """The published schema is that of the types.

    To write it anew: python -c "import msgspec; from tmux_fanout.core.review.figures import Figures
    print(msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Figures))).decode())"
    """
    published, actual = json.loads(SCHEMA.read_text()), msgspec.json.schema(Figures)
    assert without_indentation(published) == without_indentation(actual)


def without_indentation(schema: Any) -> Any:
    """Return a schema with descriptions as Python 3.13 keeps docstrings: without indentation."""
    if isinstance(schema, dict):
        return {key: without_indentation(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [without_indentation(value) for value in schema]
    return cleandoc(schema) if isinstance(schema, str) else schema
