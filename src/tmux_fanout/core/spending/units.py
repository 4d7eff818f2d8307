"""Units, such as tokens: what an attempt is expected to spend, and what it has spent."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from tmux_fanout.core.errors import ErrorInfo
from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.json_text import NotJSON, decode_spelled
from tmux_fanout.core.requests.expressions import Expression, ExpressionError
from tmux_fanout.core.requests.response_body import json_of
from tmux_fanout.core.requests.streams.reader import StreamReader
from tmux_fanout.core.text import describe

_MAX_UNITS = 1e12
_CHARS = re.compile(r"\s*chars\s*/\s*([1-9]\d{0,5})\s*", re.ASCII)
_USE = "use an expression that gives a number of at least 0"


class Units(NamedTuple):
    """Units of an attempt: those that go in, and those that come out."""

    input: float
    output: float

    @property
    def total(self) -> float:
        """All of them, as a rate counts them."""
        return self.input + self.output


class Cost(NamedTuple):
    """What `cost` finds in a request; `output` is None where it says nothing about that."""

    input: float
    output: float | None

    def plus(self, other: Cost) -> Cost:
        """Return the cost of a request that does what both do."""
        output = None
        if self.output is not None and other.output is not None:
            output = self.output + other.output
        return Cost(self.input + other.input, output)


class Reservation(NamedTuple):
    """What an attempt reserves: units, and money in trillionths."""

    units: Units
    money: int


class CostReader:
    """Find out from the body of a request what it will cost.

    Args:
        text: an expression, or `chars/N`.
        max_units: more than this is an error.

    Raises:
        ConfigError: the text is neither.
    """

    def __init__(self, text: str, max_units: float = math.inf) -> None:
        match = _CHARS.fullmatch(text)
        self._chars_per_unit = int(match[1]) if match else 0
        self._expression = None if match else Expression("cost", text, strict=False)
        self._max_units = min(max_units, _MAX_UNITS)

    def __repr__(self) -> str:
        return f"<CostReader: {self._expression or f'chars/{self._chars_per_unit}'}>"

    def read(self, body: bytes | None, *, is_json: bool) -> Cost | ErrorInfo:
        """Return the cost of a request; an error of kind `template` where it has none.

        Args:
            body: of the request.
            is_json: whether the body is JSON; if not, the expression sees it as text.
        """
        if self._expression is None:
            characters = len((body or b"").decode(errors="replace"))
            return self._checked(Cost(characters / self._chars_per_unit, None))
        try:
            value = _decode(body, is_json=is_json)
            found = self._expression.search(value)
        except ExpressionError as exc:
            return ErrorInfo("template", str(exc))
        except RecursionError:
            return ErrorInfo("template", "cost: the body is nested too deeply")
        cost = parse_units(found)
        if cost is None:
            return ErrorInfo("template", f"cost: {describe(found)} is no number of units: {_USE}")
        return self._checked(cost)

    def _checked(self, cost: Cost) -> Cost | ErrorInfo:
        if cost.input + (cost.output or 0.0) <= self._max_units:
            return cost
        why = f"cost: {cost.input:g} units are more than the rate allows in a day"
        return ErrorInfo("template", why)


def _decode(body: bytes | None, *, is_json: bool) -> Any:
    if body is None:
        return None
    return decode_spelled(body) if is_json else body.decode(errors="replace")


class SpentReader:
    """Find in a response what an attempt has spent.

    Args:
        text: an expression.
        max_units: more than this is no plausible answer.
        stream: reads the responses if they are streams, or None.

    Raises:
        ConfigError: the text is not an expression.
    """

    def __init__(
        self, text: str, max_units: float = math.inf, stream: StreamReader | None = None
    ) -> None:
        self._expression = Expression("spent", text, strict=False)
        self._stream = stream
        self._max_units = min(max_units, _MAX_UNITS)

    def __repr__(self) -> str:
        return f"<SpentReader: {self._expression}>"

    def read(self, response: Response) -> Units | None:
        """Return what was spent; None if the response does not say so in a plausible way."""
        if self._stream is not None:
            response = self._stream.read(response)
        try:
            found = parse_units(self._expression.search(decode_spelled(json_of(response))))
        except (NotJSON, ExpressionError, RecursionError):
            return None
        if found is None:
            return None
        units = Units(found.input, found.output or 0.0)
        return units if units.total <= self._max_units else None


def parse_units(value: Any) -> Cost | None:
    """Return units from a number, or an object with the numbers `input` and `output`.

    One of the two may be missing or null.

    Returns:
        The units; None if the value has none, or ones that cannot be: negative, or absurdly many.
    """
    if not isinstance(value, dict):
        return Cost(float(value), None) if _is_amount(value) else None
    found = {key: value.get(key) for key in ("input", "output")}
    given = [each for each in found.values() if each is not None]
    if not given or not all(map(_is_amount, given)):
        return None
    return Cost(float(found["input"] or 0.0), float(found["output"] or 0.0))


def _is_amount(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value <= _MAX_UNITS


class Mean:
    """The running mean of what attempts have spent; of more than a hundred, the last ones count."""

    _ATTEMPTS = 100

    def __init__(self) -> None:
        self._count = 0
        self._units = Units(0.0, 0.0)
        self.is_known = False

    def __repr__(self) -> str:
        return f"<Mean: {self._units} of {self._count}>"

    def add(self, units: Units | None) -> None:
        """Learn from an attempt that was not refused; None: it did not say what it spent."""
        self.is_known = True
        if units is not None:
            self._count = min(self._count + 1, self._ATTEMPTS)
            self._units = Units(
                self._units.input + (units.input - self._units.input) / self._count,
                self._units.output + (units.output - self._units.output) / self._count,
            )

    def fill(self, cost: Cost | None) -> Units:
        """Return what to reserve for an attempt: its cost, else the mean of what it leaves open."""
        if cost is None:
            return self._units
        return Units(cost.input, self._units.output if cost.output is None else cost.output)


class Worst:
    """The most that attempts have spent so far, for a budget that is not to be passed."""

    def __init__(self) -> None:
        self._units = Units(0.0, 0.0)
        self._factors = Units(1.0, 1.0)

    def __repr__(self) -> str:
        return f"<Worst: {self._units}, {self._factors} times the cost>"

    def add(self, cost: Cost | None, units: Units) -> None:
        """Learn from an attempt what it has spent, its cost having told something else."""
        self._units = Units(*map(max, self._units, units))
        if cost is not None:
            ratios = [spent / told if told else 1.0 for spent, told in zip(units, cost)]
            self._factors = Units(*map(max, self._factors, ratios))

    def fill(self, cost: Cost | None) -> Units:
        """Return the most that an attempt may spend, as far as others have shown.

        That is its cost, times the largest factor by which a cost was too low; of what the cost
        leaves open it is the most that an attempt has spent.
        """
        known = [
            told * factor if told else most
            for told, factor, most in zip(cost or (None, None), self._factors, self._units)
        ]
        return Units(*known)
