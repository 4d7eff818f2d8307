"""Build HTML from elements.  The serialiser of the standard library escapes all text."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, tostring

from tmux_fanout.core.review.tables import Table

Content = Element | str | Sequence["Element | str"]


def element(tag: str, *contents: Content, **attributes: str) -> Element:
    """Return an element.

    Args:
        tag: its name.
        contents: elements, texts, or sequences of these, in order.
        attributes: its attributes; `class_` is `class`, and `aria_label` is `aria-label`.
    """
    names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    made = Element(tag, names)
    for content in contents:
        for each in [content] if isinstance(content, (Element, str)) else content:
            _append(made, each)
    return made


def _append(parent: Element, child: Element | str) -> None:
    if isinstance(child, Element):
        parent.append(child)
    elif len(parent):
        parent[-1].tail = (parent[-1].tail or "") + child
    else:
        parent.text = (parent.text or "") + child


def document(root: Element) -> str:
    """Return a page."""
    return f"<!DOCTYPE html>\n{tostring(root, encoding='unicode', method='html')}\n"


def table(content: Table, texts: int = 1) -> Element:
    """Return a table that scrolls sideways where it is too wide.

    Args:
        content: of the table.
        texts: number of columns, from the left, that are text; the others are numbers.
    """
    kinds = ["text" if at < texts else "number" for at in range(len(content.header))]
    heads = [
        element("th", name, scope="col", class_=kind) for name, kind in zip(content.header, kinds)
    ]
    rows = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            [element("td", cell, class_=kind) for cell, kind in zip(row[1:], kinds[1:])],
        )
        for row in content.rows
    ]
    made = element(
        "table",
        element("caption", content.title),
        element("thead", element("tr", heads)),
        element("tbody", rows),
    )
    return element(
        "div", made, class_="scroll", tabindex="0", role="group", aria_label=content.title
    )


def folded(summary: str, *contents: Content) -> Element:
    """Return contents that are shown when the reader opens them."""
    return element("details", element("summary", summary), *contents)
