"""For data that is in Dask: `from tmux_fanout.dask import fanout_bag, fanout_files`.

The calls are made where the partitions are, and the limits hold over the whole cluster: the
scheduler grants each worker process a share of them.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, cast

from dask.bag import Bag, from_delayed, read_text
from dask.delayed import delayed
from distributed import SchedulerPlugin, get_client, get_worker, secede
from fsspec.core import url_to_fs

from tmux_fanout.core.config.settings import Api, RunSettings
from tmux_fanout.core.dealing.cluster import check_sendable, plan_for_cluster
from tmux_fanout.core.dealing.registrar import Registrar
from tmux_fanout.core.dealing.shares import shared_limits
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.results.envelope import Emit
from tmux_fanout.core.sharing.holder import LEASE, Amount
from tmux_fanout.core.sharing.lease import Grant
from tmux_fanout.core.text import counted, invalid, one_of
from tmux_fanout.engine.cluster.partitions import PartitionEngine
from tmux_fanout.engine.configuration.secrets import Secrets
from tmux_fanout.engine.library.plan import Plan
from tmux_fanout.engine.workers.assignment import Assignment, WorkerJob, encode_assignment

__all__ = ["fanout_bag", "fanout_files"]

_FORMS = ("merge", "body", "envelope")
_NOT_HERE = ("window", "unordered", "max_failures", "deadline", "chunk_size")
_SPACING = 1 << 32  # between the first indexes of two partitions that were not counted


def fanout_bag(
    bag: Bag,
    apis: Sequence[Api] | Plan,
    *,
    emit: str = "merge",
    repeat: bool = False,
    **options: Any,
) -> Bag:
    """Send each record of a bag to several HTTP APIs, under limits that hold over the cluster.

    Example::

        client = distributed.Client("tls://scheduler:8786")
        lines = fanout_bag(dask.bag.read_text("s3://in/*.jsonl"), [Api("a", "https://...")])
        lines.to_textfiles("s3://out/*.jsonl")

    Args:
        bag: Records: JSON-serialisable values, or text or bytes that hold JSON.
        apis: The APIs to call, or a plan.  `${VAR}` comes from the environment of each worker.
        emit: `"merge"` for the record with the bodies merged in, `"body"` for the body of a single
            API alone, `"envelope"` for all that is known of each call.  An envelope has the index
            of its record, so the records are counted at once, which computes the bag once more.
        repeat: Whether requests may be sent again that an API need not accept twice: Dask runs
            partitions again whose worker dies (False).
        options: As for `fanout`, apart from those that need one place that sees all records:
            `window`, `unordered`, `chunk_size`, `max_failures` and `deadline`.  Once `max_cost` is
            reached, calls fail with kind `cancelled`.

    Returns:
        A bag of lines of JSON, in the partitions and the order of the records.

    Raises:
        ConfigError: A value cannot be used.  Raised by the call itself, before anything is sent.
    """
    spec = _plan(apis, emit, options, repeat=repeat)
    client = _register()
    parts = bag.to_delayed()
    lines = [
        delayed(_run_partition, pure=False)(part, first, spec)
        for part, first in zip(parts, _first_indexes(parts, emit, client))
    ]
    return from_delayed(lines)


def fanout_files(
    urls: str | Sequence[str],
    directory: str,
    apis: Sequence[Api] | Plan,
    *,
    blocksize: int | str | None = "64MiB",
    emit: str = "merge",
    repeat: bool = False,
    **options: Any,
) -> list[str]:
    """Send each line of files to several HTTP APIs, and write the results to a directory.

    There is one file for each block of the input.  It appears as a whole once it is complete, and
    is not made again: so what was interrupted goes on when it is called again.  Blank lines are no
    records.

    Args:
        urls: Files of JSON lines, as `dask.bag.read_text` takes them.
        directory: Where the files go, in any file system that fsspec knows; other input, or another
            block size, needs another directory.
        apis: See `fanout_bag`.
        blocksize: Size of the blocks; None for one block for each file, as compressed files need.
        emit: See `fanout_bag`.
        repeat: See `fanout_bag`.
        options: See `fanout_bag`.

    Returns:
        The paths of all files, in the order of the input.

    Raises:
        ConfigError: A value cannot be used.  Raised before anything is sent.
        RuntimeError: The run was given up, as `max_cost` is reached.  Blocks that are not complete
            have no file.
    """
    spec = _plan(apis, emit, options, repeat=repeat)
    client = _register()
    blocks = read_text(urls, blocksize=blocksize).filter(str.strip).to_delayed()
    files, root = url_to_fs(directory)
    files.makedirs(root, exist_ok=True)
    there = {os.path.basename(path) for path in files.ls(root, detail=False)}
    names = [f"part-{number:06d}-of-{len(blocks):06d}.jsonl" for number in range(len(blocks))]
    if others := sorted(name for name in there - {*names} if name.startswith("part-")):
        why = f"it has files of other blocks, such as {others[0]}: use an empty directory"
        raise ConfigError(why, key="directory")
    if there.issuperset(names):
        return _paths(root, names)
    missing = [
        delayed(_write_part, pure=False)(block, first, spec, directory, name)
        for block, first, name in zip(blocks, _first_indexes(blocks, emit, client), names)
        if name not in there
    ]
    client.gather(client.compute(missing))
    return _paths(root, names)


def _paths(root: str, names: Sequence[str]) -> list[str]:
    return [f"{root.rstrip('/')}/{name}" for name in names]


def _first_indexes(parts: Sequence[Any], emit: str, client: Any) -> Iterator[int]:
    """Return the index of the first record of each partition."""
    if emit != "envelope":
        return iter(range(0, len(parts) * _SPACING, _SPACING))
    counts = client.gather(client.compute([delayed(_count)(part) for part in parts]))
    return accumulate(counts, initial=0)


def _count(values: Iterable[Any]) -> int:
    return sum(1 for _ in values)


class _Spec(NamedTuple):
    """What a partition needs; it holds no secret.

    Attributes:
        run: name of the run.
        assignment: for engines.
        amounts: of the limits.
    """

    run: str
    assignment: bytes
    amounts: Sequence[tuple[int, bool]]


def _plan(
    apis: Sequence[Api] | Plan, emit: str, options: Mapping[str, Any], *, repeat: bool
) -> _Spec:
    plan = apis if isinstance(apis, Plan) else Plan([*apis])
    for key in _NOT_HERE:
        if key in options:
            raise ConfigError("no partition sees all records: leave it out", key=key)
    if emit not in _FORMS:
        raise ConfigError(invalid("form", emit, one_of(_FORMS)), key="emit")
    if emit == "body" and len(plan.apis) != 1:
        why = f"the body of {counted(len(plan.apis), 'API')}: use merge"
        raise ConfigError(why, key="emit")
    kept = {key: value for key, value in plan.settings.items() if key not in _NOT_HERE}
    settings = RunSettings(**Plan(plan.apis, {**kept, **options, "unordered": True}).settings)
    check_sendable(plan.apis)
    env = Secrets(os.environ).environment(plan.apis, in_urls=True)
    run = plan_for_cluster([*plan.apis], settings, env)
    for api in run.apis:
        if not (repeat or api.retry.idempotent):
            why = "Dask runs a partition again whose worker dies, and so sends its requests again"
            advice = "add idempotent = true or an idempotency_key, or say repeat=True"
            raise ConfigError(f"{why}: {advice}", api=api.name)
    limits = shared_limits(run)
    form = cast(Emit, emit)
    job = WorkerJob(plan.apis, settings, 1, form, False, 0, 1.0, run.window, False)
    assignment = Assignment(job, Grant(0, (0,) * len(limits), LEASE, 0.0))
    amounts = [(limit.amount.whole, limit.amount.is_budget) for limit in limits]
    return _Spec(uuid.uuid4().hex, encode_assignment(assignment), amounts)


class SharesPlugin(SchedulerPlugin):  # type: ignore[misc] # Dask is typed in part only
    """Grants shares of limits, on the scheduler."""

    name = "tmux-fanout-shares"
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        self._registrar = Registrar()
        scheduler.handlers["tmux_fanout_report"] = self._report

    def _report(
        self,
        run: str,
        member: str,
        amounts: Sequence[tuple[int, bool]],
        data: bytes,
        is_settled: bool,
    ) -> bytes:
        shared = [Amount(*amount) for amount in amounts]
        return self._registrar.report(
            run, member, shared, bytes(data), time.monotonic(), is_settled=is_settled
        )

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        self._registrar.leave(f"{worker} ", time.monotonic())


def _register() -> Any:
    try:
        client = get_client()
    except ValueError:
        why = "no cluster to share limits: open a distributed.Client first"
        raise ConfigError(why) from None
    client.register_plugin(SharesPlugin())
    return client


_engines: dict[str, PartitionEngine] = {}
_engines_lock = threading.Lock()


def _run_partition(
    values: Iterable[Any], first: int, spec: _Spec, *, must_be_whole: bool = False
) -> list[str]:
    """Make the calls of one partition, in a task of a worker; others are under way meanwhile."""
    engine = _reserved_engine(_Spec(*spec))
    try:
        with engine.places:
            secede()
            lines = engine.lines(first, [*values], must_be_whole=must_be_whole)
            return [line.decode().removesuffix("\n") for line in lines]
    finally:
        engine.release()


def _reserved_engine(spec: _Spec) -> PartitionEngine:
    """Return the engine of this process for a run, kept from ending."""
    with _engines_lock:
        engine = _engines.get(spec.run)
        if engine is None or not engine.reserve():
            for run in [run for run, each in _engines.items() if each.has_ended]:
                del _engines[run]
            worker = get_worker()
            member = f"{worker.address} {uuid.uuid4().hex}"
            report = partial(_report, worker, spec, member)
            engine = PartitionEngine(spec.assignment, report, partial(report, b""))
            engine.reserve()
            _engines[spec.run] = engine
        return engine


def _report(
    worker: Any, spec: _Spec, member: str, data: bytes, is_settled: bool = False
) -> Future[bytes]:
    async def report() -> bytes:
        try:
            orders = await worker.scheduler.tmux_fanout_report(
                run=spec.run,
                member=member,
                amounts=spec.amounts,
                data=data,
                is_settled=is_settled,
            )
        except Exception as exc:
            raise OSError("the scheduler does not answer") from exc
        return bytes(orders)

    return asyncio.run_coroutine_threadsafe(report(), worker.loop.asyncio_loop)


def _write_part(values: Iterable[Any], first: int, spec: _Spec, directory: str, name: str) -> None:
    """Write a file that appears as a whole: by renaming it, or by a single upload."""
    lines = _run_partition(values, first, spec, must_be_whole=True)
    files, root = url_to_fs(directory)
    path = f"{root.rstrip('/')}/{name}"
    is_local = "file" in (files.protocol if isinstance(files.protocol, tuple) else [files.protocol])
    written = f"{root.rstrip('/')}/.{name}.{uuid.uuid4().hex}" if is_local else path
    with files.open(written, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
    if is_local:
        files.mv(written, path)
