"""Find out from the headers of responses that an API is deprecated, and say so once.

Nearly all responses have no such header, and must not pay for the few that have.  Those whose head
the native transport has seen before are marked (`Response.is_plain`), and not looked at.  Of the
others, all of the first ones are, and then one in a few.
"""

from __future__ import annotations

from collections.abc import Callable

from tmux_fanout.core.http.messages import Response
from tmux_fanout.core.report.statistics import ApiStatistics
from tmux_fanout.core.requests.lifecycle.deprecation import announces, deprecation_of
from tmux_fanout.engine.calls.call import Attempt
from tmux_fanout.engine.wall import Wall, wall_clock

_FIRST = 1000  # responses that are all looked at
_EVERY = 16  # of those after that, one in so many


class Listener:
    """Listens to the responses of one API, or one host of it.

    Args:
        name: of the API, for messages.
        statistics: of the API; has what is found out.
        notify: called with one line for the user.
        clock: returns seconds since 1970; None: that of the run.
    """

    def __init__(
        self,
        name: str,
        statistics: ApiStatistics,
        notify: Callable[[str], None],
        clock: Wall | None = None,
    ) -> None:
        self._name = name
        self._statistics = statistics
        self._notify = notify
        self._clock = clock or wall_clock()
        self._looks = 0

    def __repr__(self) -> str:
        return f"<Listener of {self._name}: {self._looks} looks>"

    def has_heard(self, attempt: Attempt, answer: Response) -> bool:
        """Report what a response says of the end of the API; return whether that is known now."""
        if answer.is_plain:
            return False
        self._looks += 1
        if (self._looks > _FIRST and self._looks % _EVERY) or not announces(answer.headers):
            return False
        assert attempt.request is not None  # it was answered
        found = deprecation_of(answer.headers, attempt.request.head.origin)
        if found is None:
            return False
        if self._statistics.deprecation is None:
            self._statistics.deprecation = found
            line = found.sentence(self._name, self._clock())
            self._statistics.tell_once("deprecation", line, self._notify)
        return True
