"""JMESPath expressions (jmespath.org) over records and bodies.

In JMESPath a field that is not there is null.  For the body of a request that would send a null
where a typing error was made, so there a missing field is an error that names it, except where the
expression itself provides for it: on the left of `||`, and in `not_null(...)`.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import Options, TreeInterpreter

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.json_text import spell_json
from tmux_fanout.core.requests.fields import MissingField
from tmux_fanout.core.requests.functions import Functions
from tmux_fanout.core.text import nearest, printable

# To evaluate a level takes up to five frames of the interpreter's stack, which holds 1,000.
_MAX_LEVELS = 150
_MISPLACED = {
    False: "&... stands only in functions such as sort_by(list, &field); leave the & out",
    True: "this function needs &..., as in sort_by(list, &field) or map(&field, list)",
}
_TOO_DEEP = "the expression is nested too deeply; write a shorter one"
_LONG_NUMBER = re.compile(r"[0-9]{4301}")
_LONG_NUMBER_IN_LITERAL = re.compile(r"`[^`\"]*[0-9]{4301}")


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
        if _LONG_NUMBER_IN_LITERAL.search(text):  # jmespath takes such a literal for a string
            raise ConfigError("a number in a literal `...` has too many digits", key=key)
        try:
            self._ast = jmespath.compile(text).parsed
        except RecursionError:
            raise ConfigError(_TOO_DEEP, key=key) from None
        except Exception as exc:  # the library lets through what Python says of odd text
            why = f"not a JMESPath expression{_where(exc, text)}"
            raise ConfigError(why, key=key) from None
        _check(key, self._ast)
        self._key = key
        options = Options(custom_functions=Functions())
        self._interpreter = _Strict(options) if strict else TreeInterpreter(options)

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


def _where(exc: Exception, text: str) -> str:
    """Return where an expression is wrong, as the end of a sentence, if that is known."""
    place = getattr(exc, "lex_position", None)
    if place is not None:
        at_end = place >= len(text.rstrip())
        return "; it ends too early" if at_end else f"; look at character {place + 1}"
    if not text.strip():
        return "; it is empty"
    return "; a number in it has too many digits" if _LONG_NUMBER.search(text) else ""


def _check(key: str, ast: dict[str, Any]) -> None:
    """Return if a compiled expression can give values that JSON can hold.

    Raises:
        ConfigError: it cannot, or it calls a function with the wrong arguments.
    """
    nodes = deque([(ast, 1, False)])
    while nodes:
        node, level, takes_reference = nodes.popleft()
        kind, children = node["type"], node["children"]
        if level > _MAX_LEVELS:
            raise ConfigError(_TOO_DEEP, key=key)
        if takes_reference is not (kind == "expref"):
            raise ConfigError(_MISPLACED[takes_reference], key=key)
        if kind == "literal":
            _check_literal(key, node["value"])
        if kind == "slice" and children[2] == 0:
            raise ConfigError("the step of a slice cannot be 0; write [::1], say", key=key)
        references = [False] * len(children)
        if kind == "function_expression":
            _check_function(key, node["value"], len(children))
            references = _takes_references(node["value"], len(children))
        nodes += [
            (child, level + 1, takes_reference)
            for child, takes_reference in zip(children, references)
            if isinstance(child, dict)  # and not the number of a slice
        ]


def _check_literal(key: str, value: Any) -> None:
    try:
        spell_json(value)
    except ValueError:
        raise ConfigError("a literal in `...` is not a JSON value", key=key) from None
    except RecursionError:
        raise ConfigError(_TOO_DEEP, key=key) from None


def _takes_references(name: str, arguments: int) -> list[bool]:
    """Return for each argument of a function whether it is an expression of its own (`&...`)."""
    parameters = Functions.FUNCTION_TABLE[name]["signature"]
    takes = ["expref" in parameter["types"] for parameter in parameters]
    return takes + takes[-1:] * (arguments - len(takes))


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
