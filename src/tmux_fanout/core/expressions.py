"""JMESPath expressions (jmespath.org) over records and bodies.

In JMESPath a field that is not there is null.  For the body of a request that would send a null
where a typing error was made, so there a missing field is an error that names it, except where the
expression itself provides for it: on the left of `||`, and in `not_null(...)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

from tmux_fanout.core.errors import ConfigError, printable
from tmux_fanout.core.fields import MissingField
from tmux_fanout.core.tables import nearest


class ExpressionError(ValueError):
    """An expression does not fit a value; the text says why."""


class Expression:
    """A compiled expression.

    Args:
        key: what it is for, for messages: `body`, `select`, `when`.
        text: the expression.
        strict: whether a missing field is an error.

    Raises:
        ConfigError: it is no expression.
    """

    def __init__(self, key: str, text: str, *, strict: bool) -> None:
        try:
            self._ast = jmespath.compile(text).parsed
        except (JMESPathError, AttributeError, TypeError) as exc:
            place = getattr(exc, "lex_position", None)
            where = "; it is empty" if place is None else f"; look at character {place + 1}"
            if place is not None and place >= len(text.rstrip()):
                where = "; it ends too early"
            raise ConfigError(f"not a JMESPath expression{where}", key=key) from None
        for function, arguments in _functions(self._ast):
            _check_function(key, function, arguments)
        self._key = key
        self._interpreter = _Strict() if strict else TreeInterpreter()

    def __repr__(self) -> str:
        return f"<Expression {self._key}>"

    def search(self, value: Any) -> Any:
        """What the expression finds in a value.

        Raises:
            MissingField: a strict expression asks for a field that is not there.
            ExpressionError: a function does not take what it finds.
        """
        try:
            return self._interpreter.visit(self._ast, value)
        except MissingField:
            raise
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as exc:
            # Functions of jmespath let through what Python says of odd arguments.
            why = printable(str(exc).partition("\n")[0]) or type(exc).__name__
            raise ExpressionError(f"{self._key}: {why}") from exc


def _functions(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """The functions that a compiled expression calls, and with how many arguments."""
    if node["type"] == "function_expression":
        yield node["value"], len(node["children"])
    for child in node["children"]:
        if isinstance(child, dict):  # and no number of a slice
            yield from _functions(child)


def _check_function(key: str, name: str, arguments: int) -> None:
    known = Functions.FUNCTION_TABLE
    if name not in known:
        raise ConfigError(f"there is no function {name}(); {nearest(name, known)}", key=key)
    signature = known[name]["signature"]
    is_open = bool(signature) and signature[-1].get("variadic", False)
    if arguments < len(signature) or (arguments > len(signature) and not is_open):
        least = "at least " if is_open else ""
        raise ConfigError(f"{name}() takes {least}{len(signature)} arguments", key=key)


class _Strict(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    def visit_field(self, node: dict[str, Any], value: Any) -> Any:
        if isinstance(value, dict) and node["value"] in value:
            return value[node["value"]]
        raise MissingField(node["value"])

    def visit_index(self, node: dict[str, Any], value: Any) -> Any:
        if isinstance(value, list) and -len(value) <= node["value"] < len(value):
            return value[node["value"]]
        raise MissingField(f"[{node['value']}]")

    def visit_projection(self, node: dict[str, Any], value: Any) -> Any:
        found = super().visit_projection(node, value)
        if found is None:
            raise MissingField("[*] (there is no list)")
        return found

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
        except MissingField:
            return None
