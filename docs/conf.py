"""Build the documentation: `tox -e docs`, where any warning is an error.

The signatures of the library's reference are generated here, from its docstrings, so that they
cannot fall behind.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import tmux_fanout

project = "tmux-fanout"
author = "the tmux-fanout authors"
copyright = author
version = release = tmux_fanout.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
autodoc_mock_imports = ["dask", "distributed", "fsspec"]  # an extra
html_theme = "furo"
html_title = f"tmux-fanout {release}"
html_show_sphinx = False

man_pages = [
    (
        "reference/command",
        "tmux-fanout",
        "send each record to several HTTP APIs at once",
        author,
        1,
    ),
    ("reference/configuration", "tmux-fanout.toml", "configuration file of tmux-fanout", author, 5),
    ("reference/output", "tmux-fanout-output", "output of tmux-fanout", author, 5),
]
man_make_section_directory = True
today = " "  # a man page is dated by the version

myst_heading_anchors = 4

# Options and their values are shown as they are typed.
smartquotes = False

# Docstrings set code in single backticks.
default_role = "code"
maximum_signature_line_length = 90
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# There is no inventory of other projects: a build needs no network.
nitpick_ignore_regex = [
    (r"py:.*", r"(asyncio|collections|contextlib|decimal|httpx|msgspec|os|trio|types|typing)\b.*"),
    (r"py:.*", r"dask\b.*"),
    (r"py:.*", r"[A-Z]|\w+Error|ErrorKind|Any|Callable|Exception"),
    (r"py:class", r".*[|\[].*"),  # an annotation that is no single name
    (r"py:class", r"tmux_fanout\.(core|engine|transports)\..*"),  # types that are not public
]


def link_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """Link a type to its public name: signatures name the module that defines it."""
    target = node.get("reftarget", "")
    name = target.rpartition(".")[2]
    if name not in tmux_fanout.__all__ or node.get("refdomain") != "py":
        return None
    public = f"tmux_fanout.{name}"
    if target == public:
        return None
    return env.domains.python_domain.resolve_xref(
        env, node["refdoc"], app.builder, "obj", public, node, text
    )


def drop_links(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Leave the text of links between pages in man pages, which would show them as `<>`."""
    if app.builder.name == "man":
        for link in list(doctree.findall(nodes.reference)):
            if "://" not in link.get("refuri", ""):
                link.replace_self(link.children)


def keep_colons(app: Sphinx, what: str, *args: Any) -> None:
    """Keep napoleon from taking what comes before a property's first colon for its type."""
    if what == "property":
        *_, lines = args
        lines[:0] = ["..", ""]  # an empty comment


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", keep_colons, priority=400)  # before napoleon
    app.connect("doctree-resolved", drop_links)
    app.connect("missing-reference", link_public_name)
