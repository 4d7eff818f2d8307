"""The option `--strict`: refuse settings that will have no effect, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tmux_fanout.cli.mend import can_read_twice
from tmux_fanout.cli.reporting.conclusion import settings_of
from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.errors import ConfigError, InputError
from tmux_fanout.core.report.nothing import Settings, Trial, never_true
from tmux_fanout.engine.io.source import FileSource


def check_effects(plan: RunPlan, paths: Sequence[str], source: FileSource) -> None:
    """Check that the settings will have an effect, as far as that is known.

    Files are read until each setting has had one; other input can be read only once.

    Args:
        plan: the run.
        paths: of the input.
        source: the input, from its start; it is closed.

    Raises:
        ConfigError: one will have none.
    """
    apis = settings_of(plan)
    try:
        mistakes = never_true(apis)
        if not mistakes and can_read_twice(paths):
            mistakes = trio.run(_try_records, apis, source)
    finally:
        source.close()
    if mistakes:
        raise ConfigError(f"--strict: {'; '.join(mistakes)}")


async def _try_records(apis: Sequence[Settings], source: FileSource) -> list[str]:
    """Return a sentence on each setting that has no effect on any record."""
    trials = [Trial(api) for api in apis if api.is_first]
    needed = trials
    has_records = False
    try:
        while needed and (chunk := await source.next_chunk()):
            for record in chunk:
                has_records = has_records or record.error is None
                needed = [trial for trial in needed if trial.needs(record)]
    except InputError:
        return []  # the run reports it, with the records before it
    return [text for trial in trials for text in trial.without_effect()] if has_records else []
