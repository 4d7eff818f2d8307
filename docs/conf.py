"""Build the documentation: `tox -e docs`, where any warning is an error.

The library's reference is its docstrings, and the command's reference is its options; both are
generated here, so that neither can fall behind.
"""

from __future__ import annotations

import re
from typing import Any

import click
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import tmux_fanout
from tmux_fanout.cli.help import Option
from tmux_fanout.cli.options import RUN_OPTIONS

project = "tmux-fanout"
author = "the tmux-fanout authors"
copyright = author
version = release = tmux_fanout.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["_build"]
autodoc_mock_imports = ["dask", "distributed", "fsspec"]  # an extra
html_theme = "furo"
html_title = f"tmux-fanout {release}"
html_show_sphinx = False

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

_LIKE_RUN = ("check", "explain")  # take the options of `run`


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


def arrange_options(app: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    """Put options under the headings of `--help`, those of `run` in the section of `run` only."""
    options = {name: option for option in ctx.command.params for name in option.opts}
    shared = {option.name for option in RUN_OPTIONS} if ctx.command.name in _LIKE_RUN else set()
    arranged, heading = list[str](), ""
    for entry in re.split(r"^(?=\.\. option::)", "\n".join(lines), flags=re.MULTILINE):
        named = re.match(r"\.\. option:: (--?[\w-]+)", entry)
        if named is None:
            continue
        option = options[named[1]]
        if option.name in shared:
            continue
        if isinstance(option, Option) and option.heading != heading:
            heading = option.heading
            arranged += [f".. rubric:: {heading}", ""]
        arranged += entry.splitlines()
    lines[:] = arranged


def escape_markup(app: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    """Show the stars of a help text as they are."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def keep_colons(app: Sphinx, what: str, *args: Any) -> None:
    """Keep napoleon from taking what comes before a property's first colon for its type."""
    if what == "property":
        *_, lines = args
        lines[:0] = ["..", ""]  # an empty comment


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", keep_colons, priority=400)  # before napoleon
    app.connect("missing-reference", link_public_name)
    app.connect("sphinx-click-process-options", arrange_options)
    app.connect("sphinx-click-process-description", escape_markup)
