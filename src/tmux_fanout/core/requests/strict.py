"""Evaluate JMESPath so that a missing field is an error that names it.

An expression provides for a missing field on the left of `||`, and in `not_null(...)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from jmespath.visitor import TreeInterpreter

from tmux_fanout.core.requests.advice.rewriting import quoted, raw_text
from tmux_fanout.core.requests.advice.tokens import tokenize
from tmux_fanout.core.requests.fields import MissingField, kind_of, why_missing


class Absent(Exception):
    """A node asks for a field, or an index, that a value lacks.

    Many are caught again, as expressions provide for them, so the message is made at the end only.
    """

    def __init__(self, node: dict[str, Any], value: Any) -> None:
        self._asked = [(node, value)]
        self._items_of = ""

    def asked_by(self, node: dict[str, Any], value: Any) -> Self:
        """Note the path that the node is part of, and the value at which that begins."""
        self._asked.append((node, value))
        return self

    def in_items_of(self, projection: dict[str, Any]) -> Self:
        """Note the list in whose items the path begins."""
        self._items_of = f"{_show_list(projection)}.{self._items_of}"
        return self

    def described(self, record: Any, text: str) -> MissingField:
        """Return the error for people; its words are those of `find_field`.

        Args:
            record: that the expression is about.
            text: the expression.
        """
        first, _ = self._asked[0]
        if first["type"] == "projection":
            return MissingField(self._items_of + _show_list(first), "there is no list")
        node, value = next(each for each in reversed(self._asked) if _steps(each[0]))
        steps = _steps(node)
        path = _show(steps)
        if steps[0] == path and any(
            (token.text, token.after == ":") == (f'"{path}"', False) for token in tokenize(text)
        ):
            why = f'"{path}" in double quotes is a field; for text write {raw_text(path)}'
        elif not isinstance(record, dict) and isinstance(steps[0], str) and value is record:
            why = f"the record is {kind_of(record)}, which is called @"
        elif isinstance(value, (dict, list)):
            why = why_missing(value, steps, [_show(steps[: n + 1]) for n in range(len(steps))])
        else:
            why = f"it is looked for in {kind_of(value)}"
        return MissingField(f"{self._items_of}{path}".replace("].[", "]["), why)


class StrictInterpreter(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    """Evaluates the tree of an expression; raises `Absent` where a field is missing."""

    def visit_field(self, node: dict[str, Any], value: Any) -> Any:
        if isinstance(value, dict) and node["value"] in value:
            return value[node["value"]]
        raise Absent(node, value)

    def visit_index(self, node: dict[str, Any], value: Any) -> Any:
        if isinstance(value, list) and -len(value) <= node["value"] < len(value):
            return value[node["value"]]
        raise Absent(node, value)

    def visit_subexpression(self, node: dict[str, Any], value: Any) -> Any:
        found = value
        try:
            for child in node["children"]:
                found = self.visit(child, found)
        except Absent as exc:
            raise exc.asked_by(node, value) from None
        return found

    visit_index_expression = visit_subexpression

    def visit_projection(self, node: dict[str, Any], value: Any) -> Any:
        left, right = node["children"]
        items = self.visit(left, value)
        if not isinstance(items, list):
            raise Absent(node, value)
        try:
            found = [self.visit(right, item) for item in items]
        except Absent as exc:
            raise exc.in_items_of(node) from None
        return [item for item in found if item is not None]

    def visit_or_expression(self, node: dict[str, Any], value: Any) -> Any:
        left = self._lenient(node["children"][0], value)
        return self.visit(node["children"][1], value) if self._is_false(left) else left

    def visit_function_expression(self, node: dict[str, Any], value: Any) -> Any:
        if node["value"] != "not_null":
            return super().visit_function_expression(node, value)
        found = (self._lenient(child, value) for child in node["children"])
        return next((item for item in found if item is not None), None)

    def _lenient(self, node: dict[str, Any], value: Any) -> Any:
        try:
            return self.visit(node, value)
        except Absent:
            return None


def _steps(node: dict[str, Any]) -> list[str | int]:
    """Return the keys and indexes of a plain path; none if the node is another expression."""
    kind = node["type"]
    if kind in ("field", "index"):
        return [node["value"]]
    if kind in ("subexpression", "index_expression"):
        parts = [_steps(child) for child in node["children"]]
        others = ("current", "identity")
        if all(part or child["type"] in others for part, child in zip(parts, node["children"])):
            return [step for part in parts for step in part]
    return []


def _show(steps: Sequence[str | int]) -> str:
    """Return a path as JMESPath has it."""
    shown = [f"[{step}]" if isinstance(step, int) else f".{quoted(step)}" for step in steps]
    return "".join(shown).removeprefix(".")


def _show_list(projection: dict[str, Any]) -> str:
    """Return the list of a projection, as far as it is a plain path."""
    left = projection["children"][0]
    if left["type"] == "flatten":
        return f"{_show(_steps(left['children'][0]))}[]"
    return f"{_show(_steps(left))}[*]"
