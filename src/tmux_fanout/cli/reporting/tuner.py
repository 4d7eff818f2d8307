"""What a run may do at the moment, by `--live` and by the keys of the full-screen view."""

from __future__ import annotations

from collections.abc import Callable

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.tuning.tuning import Tuning, changes, slots_in, untuned
from tmux_fanout.engine.process import allow_connections
from tmux_fanout.engine.run.pipeline import Pipeline


class Tuner:
    """Changes what a run may do, and says so.

    Args:
        run: the run.
        plan: that it follows.
        notify: called with one line on what changed.

    Attributes:
        plan: as above.
        tuning: what the run may do now.
    """

    def __init__(self, run: Pipeline, plan: RunPlan, notify: Callable[[str], None]) -> None:
        self.plan = plan
        self.tuning = untuned(plan)
        self._run = run
        self._notify = notify

    def __repr__(self) -> str:
        return f"<Tuner: {self.tuning}>"

    def change(self, tuning: Tuning, why: str) -> None:
        """Let the run do something else from now on.

        Args:
            tuning: what it may do.
            why: who says so, as the line on it begins.
        """
        if tuning == self.tuning:
            return
        changed = ", ".join(changes(self.tuning, tuning, self.plan))
        self.tuning = tuning
        allow_connections(slots_in(tuning, self.plan))
        self._run.tune(tuning)
        if changed:
            self._notify(f"{why}: {changed}")
