"""What a worker process has to know, as the first frame that it gets.

It is JSON, which can be read without executing anything, and holds `${VAR}` as it was written: a
worker expands variables from its own environment.  A worker on this machine is also told what this
process has read from files and commands, so that it need not ask for them again; one on a cluster
is told no secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tmux_fanout.core.config.rules import rules_of
from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.results.envelope import Emit
from tmux_fanout.core.sharing.conditions import Condition
from tmux_fanout.core.sharing.lease import Grant


class WorkerJob(NamedTuple):
    """What all workers of a run have to know.

    Attributes:
        apis, settings: of the whole run.
        workers: how many there are.
        emit: the form of output lines.
        mends: whether records may have the line of an earlier run.
        verbose: 1 to report the outcomes of records with an error, 2 to report all outcomes.
        interval: seconds between two reports of what was counted.
        slots: maximum number of records that one worker has at the same time.
        tracks_sent: whether to record which records may have been sent, in case a worker dies.
        flush_timeout: seconds that a worker may need beyond the usual to end.
        variables: those that are not in the environment, with secrets by their references.
        folders: those in which modules are found beside the usual ones.
    """

    apis: Sequence[Api]
    settings: RunSettings
    workers: int
    emit: Emit
    mends: bool
    verbose: int
    interval: float
    slots: int
    tracks_sent: bool
    flush_timeout: float = 0.0
    variables: Mapping[str, str] = {}
    folders: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"<WorkerJob: {', '.join(api.name for api in self.apis)}>"  # the rest may be secret


class Assignment(NamedTuple):
    """A job, and what is particular to one worker.

    Attributes:
        grant: its first share of the limits.
        conditions: what is known of endpoints.
    """

    job: WorkerJob
    grant: Grant
    conditions: Sequence[Condition] = ()


def encode_assignment(assignment: Assignment) -> bytes:
    """Return an assignment as bytes."""
    job = assignment.job
    written = {
        **assignment._asdict(),
        "job": job._asdict()
        | {"apis": [_written(api) for api in job.apis], "settings": _written(job.settings)},
        "grant": msgspec.to_builtins(assignment.grant),
        "conditions": msgspec.to_builtins(assignment.conditions),
    }
    # Not msgspec's JSON: an option may hold bytes that are not UTF-8, as lone surrogates.
    return json.dumps(written).encode()


def decode_assignment(data: bytes) -> Assignment:
    """Return the assignment that bytes of `encode_assignment` hold.

    Raises:
        ConfigError: a setting cannot be used, as with another version.
    """
    read = json.loads(data)
    job = read["job"]
    job["apis"] = [Api(**keys) for keys in job["apis"]]
    job["settings"] = RunSettings(**job["settings"])
    job["folders"] = tuple(job["folders"])
    return Assignment(
        WorkerJob(**job),
        msgspec.convert(read["grant"], Grant),
        msgspec.convert(read["conditions"], list[Condition]),
    )


def _written(settings: Api | RunSettings) -> dict[str, Any]:
    """Return what is set, as a configuration file could have it."""
    rules = rules_of(type(settings))
    return {
        key: value if isinstance(value, (str, int, float)) else rules[key].show(value)
        for key, value in msgspec.structs.asdict(settings).items()
        if value is not None
    }
