"""JMESPath expressions (jmespath.org) over records and bodies.

In JMESPath a field that is not there is null.  For the body of a request that would send a null
where a typing error was made, so there a missing field is an error that names it, except where the
expression itself provides for it: on the left of `||`, and in `not_null(...)`.
"""

from __future__ import annotations

from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from tmux_fanout.core.errors import ConfigError, printable
from tmux_fanout.core.fields import MissingField


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
            why = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
            message = f"not a JMESPath expression: {printable(why)}"
            raise ConfigError(message, key=key) from None
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
        except JMESPathError as exc:
            raise ExpressionError(f"{self._key}: {printable(str(exc).splitlines()[0])}") from exc


class _Strict(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    def visit_field(self, node: dict[str, Any], value: Any) -> Any:
        if isinstance(value, dict) and node["value"] in value:
            return value[node["value"]]
        raise MissingField(node["value"])

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
