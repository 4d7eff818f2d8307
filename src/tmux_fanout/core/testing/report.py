"""The report on tests, laid out as pytest's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tmux_fanout.core.testing.matching import show
from tmux_fanout.core.testing.statement import ConfigTest, Reply
from tmux_fanout.core.testing.verdict import Observed, Sent
from tmux_fanout.core.text import printable

_WIDTH = 80
_MAX_SENT = 20  # requests shown of a test
_MAX_RESULT = 600  # characters


class Verdict(NamedTuple):
    """The outcome of a test.

    Attributes:
        test: the test.
        mistakes: a line for each; none if it passes.
        observed: what happened.
    """

    test: ConfigTest
    mistakes: Sequence[str]
    observed: Observed

    @property
    def is_passed(self) -> bool:
        return not self.mistakes

    @property
    def mark(self) -> str:
        """Its letter on the line of all tests."""
        return "." if self.is_passed else "F"

    @property
    def word(self) -> str:
        return "PASSED" if self.is_passed else "FAILED"


def failures(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield lines on the tests that failed; none if all passed."""
    failed = [verdict for verdict in verdicts if not verdict.is_passed]
    if failed:
        yield rule("=", "FAILURES")
    for verdict in failed:
        yield rule("_", verdict.test.title)
        yield from verdict.mistakes
        yield ""
        yield from _course(verdict.observed)
        yield ""


def conclusion(verdicts: Sequence[Verdict], deselected: int, seconds: float) -> str:
    """Return the last line.

    Args:
        verdicts: of the tests that were run.
        deselected: number of tests that `-k` leaves out.
        seconds: duration.
    """
    passed = sum(verdict.is_passed for verdict in verdicts)
    counts = {"failed": len(verdicts) - passed, "passed": passed, "deselected": deselected}
    text = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
    return rule("=", f"{text} in {seconds:.2f}s")


def rule(char: str, title: str) -> str:
    """Return a line with a title in its middle."""
    return f" {title} ".center(_WIDTH, char)


def _course(observed: Observed) -> Iterator[str]:
    """Yield what was sent, what was answered, and what came out."""
    width = max([len("result"), *(len(_name(sent)) for sent in observed.sent)])
    for sent in observed.sent[:_MAX_SENT]:
        yield f"{_name(sent):{width}}  {sent}"
        yield f"{'':{width}}  -> {describe_reply(sent.reply)}"
    if len(observed.sent) > _MAX_SENT:
        yield f"{'':{width}}  and {len(observed.sent) - _MAX_SENT:,} more requests"
    if not observed.sent:
        yield "no request was sent"
    for result in observed.results:
        yield f"{'result':{width}}  {show(result, _MAX_RESULT)}"
    for notice in observed.notices:
        yield f"{'notice':{width}}  {printable(notice)}"


def _name(sent: Sent) -> str:
    return printable(f"{sent.api} token" if sent.is_token else sent.api, 30)


def describe_reply(reply: Reply | None) -> str:
    """Return a reply for a report."""
    if reply is None:
        return "no reply in the test"
    if reply.error is not None:
        return f"error {reply.error}"
    body = printable(reply.body.decode(errors="replace"), 200)
    headers = [
        f"{name.decode()}: {value.decode('latin-1')}"
        for name, value in reply.headers
        if name != b"content-type"
    ]
    return "  ".join(filter(None, [str(reply.status), printable(", ".join(headers)), body]))
