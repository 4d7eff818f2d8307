"""Passing on the notices of several processes, each text once."""

from __future__ import annotations

from collections.abc import Callable

import trio

_INTERVAL = 5.0  # seconds within which workers tend to notice the same thing


class MessageDeduplicator:
    """Passes on notices, except those that were passed on within the last seconds.

    Args:
        notify: called with each text.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._recent: dict[str, float] = {}  # times, by text

    def __repr__(self) -> str:
        return f"<MessageDeduplicator: {len(self._recent)} recent texts>"

    def pass_on(self, text: str) -> None:
        """Pass a text on unless it was recently."""
        now = trio.current_time()
        self._recent = {text: at for text, at in self._recent.items() if at > now - _INTERVAL}
        if text not in self._recent:
            self._recent[text] = now
            self._notify(text)
