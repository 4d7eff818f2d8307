"""Scheduler, workers, command and API on different hosts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.command import COMMAND, PATIENCE, environment, lines, records, run
from support.dask import Dask, Slowly, dask
from support.loopback import Loopback, loopback
from support.namespaces import Host, NotAllowed, hosts
from support.outputs import without_times

LIMIT = 6


class Network:
    """Four hosts: of the scheduler, of two workers, and of the command; the API is here."""

    def __init__(self, server: Loopback, cluster: Dask, there: Sequence[Host]) -> None:
        self.server = server
        self.cluster = cluster
        self.workers = there[1:3]
        self._command = (*there[3].command, *COMMAND)

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        usual = ("-a", f"x={self.server.url()}", "-l", str(LIMIT), *self.cluster.option)
        command = [*self._command, *usual, *args]
        return subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    pytest.importorskip("distributed", reason="Dask is not installed: tox -e cluster")
    try:
        with hosts(4) as (address, there), loopback(address) as server:
            folder = tmp_path / "dask"
            folder.mkdir()
            with dask(folder, 0, host=there[0].address, on=there[0].command) as cluster:
                for host in there[1:3]:
                    cluster.join("--no-nanny", "--host", host.address, on=host.command)
                cluster.await_workers(2)
                yield Network(server, cluster, there)
    except NotAllowed as exc:
        pytest.skip(f"there are no network namespaces here: {exc}")


def test_members_on_other_hosts(network: Network, tmp_path: Path) -> None:
    """The network must be trusted; then output and limits are those of one machine.

    A host that is cut off is given up, and its records go to the other.
    """
    source = tmp_path / "records.jsonl"
    source.write_bytes(records(300))
    with network.start(str(source)) as refused:
        assert b"use tls://, or --trust-network" in refused.communicate(timeout=PATIENCE)[1]
    assert (refused.returncode, network.server.bodies) == (2, [])

    alone = run("-a", f"x={network.server.url()}", "-l", str(LIMIT), str(source))
    network.server.bodies.clear()
    replies = network.server.replies["/"] = Slowly()
    args = (str(source), "--trust-network", "--idempotent", "-v")
    with network.start(*args) as process:
        out, _ = process.communicate(timeout=PATIENCE)
    assert without_times(out) == without_times(alone.stdout)
    assert replies.peak <= LIMIT

    network.server.bodies.clear()
    with network.start(*args) as process:
        while len(network.server.bodies) < 60:
            assert network.server.arrived.acquire(timeout=PATIENCE)
        network.workers[0].unplug()
        out, err = process.communicate(timeout=2 * PATIENCE)
    found: list[dict[str, Any]] = lines(out)
    assert (process.returncode, [line["index"] for line in found]) == (0, list(range(300)))
    assert {json.loads(body)["id"] for body in network.server.bodies} == set(range(300))
    assert f"{network.workers[0].address}:" in err.decode()
    assert err.count(b" died") == 1
    assert replies.peak <= LIMIT
