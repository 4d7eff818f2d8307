"""What several processes have to tell, each thing once."""

from __future__ import annotations

from collections.abc import Callable

import trio

_SAME_NEWS = 5.0  # seconds in which several processes may have the same to tell


class MessageDeduplicator:
    """Passes on what is told, unless another has just said the same.

    Args:
        tell: called with each text.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._last: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<MessageDeduplicator: {len(self._last)} of late>"

    def pass_on(self, text: str) -> None:
        now = trio.current_time()
        self._last = {text: at for text, at in self._last.items() if at > now - _SAME_NEWS}
        if text not in self._last:
            self._last[text] = now
            self._tell(text)
