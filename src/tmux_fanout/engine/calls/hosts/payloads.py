"""The payloads of calls that may have been redirected."""

from __future__ import annotations

from tmux_fanout.engine.calls.call import Call
from tmux_fanout.engine.calls.payloads import Payloads


class HostPayloads(Payloads):
    """Keeps the request of a call that followed a redirect, as it cannot be built again."""

    def drop_if_large(self, call: Call) -> int:
        return 0 if getattr(call, "hops", 0) else super().drop_if_large(call)
