"""JMESPath expressions (jmespath.org) over records and bodies.

In JMESPath a missing field is null.  In the body of a request, a misspelt field would then be sent
as null.  There a missing field is an error that names it (`core.requests.strict`).
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.visitor import Options, TreeInterpreter

from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.json_text import spell_json
from tmux_fanout.core.requests.advice.diagnosis import diagnose, find_trap
from tmux_fanout.core.requests.advice.misfits import explain_argument, explain_operands
from tmux_fanout.core.requests.functions import Functions
from tmux_fanout.core.requests.strict import Absent, StrictInterpreter
from tmux_fanout.core.text import nearest, printable

# Evaluating a level takes up to five frames of the interpreter's stack, which holds 1,000.
_MAX_LEVELS = 150
_MISPLACED = {
    False: "misplaced &: use it only in functions such as sort_by(list, &field)",
    True: "missing &: use it here, as in sort_by(list, &field) or map(&field, list)",
}
_TOO_DEEP = "the expression is nested too deeply: use a shorter one"
_LONG_NUMBER_IN_LITERAL = re.compile(r"`[^`\"]*[0-9]{4301}")


class ExpressionError(ValueError):
    """An expression does not fit a value; the text says why."""


class Expression:
    """A compiled expression.

    Args:
        key: the setting, for messages: `body`, `select`, `when`.
        text: the expression.
        strict: whether a missing field is an error.

    Attributes:
        text: the expression as it was written.

    Raises:
        ConfigError: the text is not an expression.
    """

    def __init__(self, key: str, text: str, *, strict: bool) -> None:
        if _LONG_NUMBER_IN_LITERAL.search(text):  # jmespath reads such a literal as a string
            why = "a number in a literal `...` has too many digits: use a shorter one"
            raise ConfigError(why, key=key)
        if trap := find_trap(text):
            raise ConfigError(trap, key=key)
        try:
            self._ast = jmespath.compile(text).parsed
        except RecursionError:
            raise ConfigError(_TOO_DEEP, key=key) from None
        except Exception as exc:  # jmespath passes on Python's own exceptions for odd text
            why = f"invalid JMESPath expression: {diagnose(text, exc)}"
            raise ConfigError(why, key=key) from None
        _check(key, self._ast)
        self.text = text
        self._key = key
        options = Options(custom_functions=Functions())
        self._interpreter = StrictInterpreter(options) if strict else TreeInterpreter(options)

    def __repr__(self) -> str:
        return f"<Expression {self._key}>"

    def search(self, value: Any) -> Any:
        """Return what the expression finds in a value.

        Raises:
            MissingField: a strict expression needs a missing field.
            ExpressionError: a function does not accept its arguments.
        """
        try:
            return self._interpreter.visit(self._ast, value)
        except Absent as exc:
            raise exc.described(value, self.text) from None
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as exc:
            raise ExpressionError(f"{self._key}: {self._explain(exc)}") from exc

    def _explain(self, error: Exception) -> str:
        """Return why an evaluation failed; jmespath passes on Python's own exceptions, too."""
        if isinstance(error, JMESPathTypeError):
            signature = Functions.FUNCTION_TABLE[error.function_name]["signature"]
            return explain_argument(self.text, error, signature)
        if isinstance(error, TypeError) and (why := explain_operands(self.text, error)):
            return why
        return printable(str(error).partition("\n")[0]) or type(error).__name__

    def holds(self, value: Any) -> bool:
        """Return whether the expression is true of a value: it finds neither null, false nor 0, and
        nothing that is empty.

        Raises:
            MissingField: as `search`.
            ExpressionError: as `search`.
        """
        return bool(self.search(value))


def _check(key: str, ast: dict[str, Any]) -> None:
    """Check that a compiled expression only gives values that JSON can hold.

    Raises:
        ConfigError: it does not, or it calls a function with the wrong arguments.
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
            raise ConfigError("invalid slice step 0: use one such as [::1]", key=key)
        if kind == "subexpression" and children[0]["type"] == "not_expression":
            # The grammar reads !a.b as (!a).b, which is always null.
            raise ConfigError("misplaced !: put the path after it in parentheses: !(a.b)", key=key)
        references = [False] * len(children)
        if kind == "function_expression":
            _check_function(key, node["value"], len(children))
            references = _takes_references(node["value"], len(children))
        nodes += [
            (child, level + 1, takes_reference)
            for child, takes_reference in zip(children, references)
            if isinstance(child, dict)  # not a number of a slice
        ]


def _check_literal(key: str, value: Any) -> None:
    try:
        spell_json(value)
    except ValueError:
        raise ConfigError("invalid literal in `...`: use a JSON value", key=key) from None
    except RecursionError:
        raise ConfigError(_TOO_DEEP, key=key) from None


def _takes_references(name: str, arguments: int) -> list[bool]:
    """Return for each argument of a function whether it is an expression reference (`&...`)."""
    parameters = Functions.FUNCTION_TABLE[name]["signature"]
    takes = ["expref" in parameter["types"] for parameter in parameters]
    return takes + takes[-1:] * (arguments - len(takes))


def _check_function(key: str, name: str, arguments: int) -> None:
    known = Functions.FUNCTION_TABLE
    if name not in known:
        raise ConfigError(f"unknown function {name}(): {nearest(name, known)}", key=key)
    signature = known[name]["signature"]
    is_open = bool(signature) and signature[-1].get("variadic", False)
    if arguments < len(signature) or (arguments > len(signature) and not is_open):
        minimum = "at least " if is_open else ""
        advice = f"use {minimum}{len(signature)}"
        raise ConfigError(f"wrong number of arguments of {name}(): {advice}", key=key)
