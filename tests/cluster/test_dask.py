"""`fanout_bag` and `fanout_files`: calls where the data is, under limits of the whole cluster."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.command import PATIENCE, records
from support.dask import Dask, Slowly
from support.loopback import Loopback

from tmux_fanout import Api, ConfigError

LIMIT = 6


@pytest.fixture
def client(three: Dask) -> Iterator[Any]:
    from distributed import Client

    with Client(three.address) as client:
        yield client


@pytest.fixture
def api(server: Loopback) -> Api:
    server.replies["/"] = Slowly(0.005)
    return Api("x", server.url(), limit=LIMIT, idempotent=True)


def bag_of(count: int, partitions: int) -> Any:
    from dask.bag import from_sequence

    return from_sequence([{"id": i} for i in range(count)], npartitions=partitions)


def peak_of(server: Loopback) -> int:
    replies = server.replies["/"]
    assert isinstance(replies, Slowly)
    return replies.peak


def test_bag_keeps_partitions_and_order(client: Any, server: Loopback, api: Api) -> None:
    """Failed records have their line, limits hold over all workers, and text is JSON."""
    from tmux_fanout.dask import fanout_bag

    bag = bag_of(2, 1)
    failed = Api("y", server.url("/404"), idempotent=True)
    line = json.loads(fanout_bag(bag, [failed]).compute()[1])
    assert line["_errors"]["y"]["kind"] == "status"

    lines = fanout_bag(bag_of(300, 10), [api])
    assert lines.npartitions == 10
    found = [json.loads(line) for line in lines.compute()]
    assert [line["id"] for line in found] == list(range(300))
    assert found[8] == {"id": 8, "x": {"id": 8}}
    assert 2 <= peak_of(server) <= LIMIT
    odd = bag_of(3, 1).map(lambda record: '{"id": 1}' if record["id"] else "not JSON")
    texts = [json.loads(line) for line in fanout_bag(odd, [api]).compute()]
    assert texts[1:] == [{"id": 1, "x": {"id": 1}}] * 2
    assert "not JSON" in texts[0]["_errors"]["record"]["message"]


def test_secrets_are_those_of_the_workers(client: Any, server: Loopback, api: Api) -> None:
    """A missing one is a ConfigError that names it."""
    from tmux_fanout.dask import fanout_bag

    one = Api("x", server.url(), idempotent=True, headers={"Authorization": "Bearer ${TOKEN}"})
    assert len(fanout_bag(bag_of(4, 1), [one], emit="body").compute()) == 4
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer tok-5f0c1e"}
    other = Api("x", server.url(), idempotent=True, headers={"Authorization": "Bearer ${OTHER}"})
    with pytest.raises(ConfigError, match=r"\$\{OTHER\} is not set"):
        fanout_bag(bag_of(4, 1), [other]).compute()


def test_what_a_bag_is_refused_for(client: Any, api: Api) -> None:
    from tmux_fanout.dask import fanout_bag

    once = Api("x", api.url)
    for apis, options, why in [
        ([once], {}, "or say repeat=True"),
        ([api], {"window": 5}, "window: no partition sees all records"),
        ([api], {"emit": "csv"}, "use merge, body or envelope"),
        ([api], {"deadline": 5}, "deadline: no partition sees all records"),
        ([api], {"lmit": 5}, "did you mean limit"),
        ([api, Api("y", api.url, idempotent=True)], {"emit": "body"}, "the body of 2 APIs"),
        ([Api("x", api.url, headers={"X-Key": "s3"}, idempotent=True)], {}, "secret in the open"),
    ]:
        with pytest.raises(ConfigError, match=why):
            fanout_bag(bag_of(1, 1), apis, **options)  # type: ignore[arg-type] # that is tested
    assert fanout_bag(bag_of(2, 1), [once], repeat=True).count().compute() == 2


def test_envelopes_have_the_index_of_their_record(client: Any, server: Loopback, api: Api) -> None:
    """It counts from 0 through all partitions, whatever their sizes, also for invalid records."""
    from tmux_fanout.dask import fanout_bag

    bag = bag_of(50, 7).filter(lambda record: record["id"] % 7).map(json.dumps)
    mixed = bag.map(lambda text: text[:-1] if "45" in text else text)
    found = [json.loads(line) for line in fanout_bag(mixed, [api], emit="envelope").compute()]
    ids = [number for number in range(50) if number % 7]
    assert [line["index"] for line in found] == list(range(len(ids)))
    assert [line["record"]["id"] for line in found if line["ok"]] == [i for i in ids if i != 45]
    [invalid] = [line for line in found if not line["ok"]]
    assert (invalid["error"]["kind"], invalid["raw"]) == ("invalid_record", '{"id": 45')


def test_budget_is_that_of_the_cluster(
    client: Any, server: Loopback, api: Api, tmp_path: Path
) -> None:
    """Once it is spent, calls of a bag are cancelled; a block of files has no file then."""
    from tmux_fanout.dask import fanout_bag, fanout_files

    paid = Api("x", api.url, limit=LIMIT, idempotent=True, price={"call": "1"})
    found = [json.loads(line) for line in fanout_bag(bag_of(200, 9), [paid], max_cost=40).compute()]
    assert len(found) == 200
    errors = [line["_errors"]["x"]["kind"] for line in found if "_errors" in line]
    assert set(errors) == {"cancelled"}
    assert 200 - len(errors) == len(server.bodies)
    assert 38 <= len(server.bodies) <= 40

    server.bodies.clear()
    for number in range(3):
        (tmp_path / f"in{number}.jsonl").write_bytes(b"\n" + records(20, 20 * number))
    source, out = str(tmp_path / "in*.jsonl"), tmp_path / "out"
    with pytest.raises(RuntimeError, match="max_cost is reached"):
        fanout_files(source, str(out), [paid], max_cost=45)
    assert len(server.bodies) <= 45
    paths = fanout_files(source, str(out), [paid], max_cost=60)
    whole = b"".join(Path(path).read_bytes() for path in paths)
    assert [json.loads(line)["id"] for line in whole.splitlines()] == list(range(60))


def test_bag_survives_a_worker(two: Dask, server: Loopback, api: Api) -> None:
    """Dask runs the partitions of a dead worker again, and limits hold."""
    from distributed import Client

    from tmux_fanout.dask import fanout_bag

    with Client(two.address) as client:
        future = client.compute(fanout_bag(bag_of(600, 12), [api]))
        while len(server.bodies) < 100:
            assert server.arrived.acquire(timeout=PATIENCE)
        os.kill(two.workers[0].process.pid, signal.SIGKILL)
        found = [json.loads(line)["id"] for line in future.result(PATIENCE)]
    assert found == list(range(600))
    assert peak_of(server) <= LIMIT


def test_files_are_resumed(client: Any, server: Loopback, api: Api, tmp_path: Path) -> None:
    """What is there is not made again; other input needs another directory."""
    from tmux_fanout.dask import fanout_files

    for number in range(3):
        (tmp_path / f"in{number}.jsonl").write_bytes(records(20, 20 * number))
    out = tmp_path / "out"
    paths = fanout_files(str(tmp_path / "in*.jsonl"), str(out), [api])
    whole = [Path(path).read_bytes() for path in paths]
    found = [json.loads(line)["id"] for line in b"".join(whole).splitlines()]
    assert found == list(range(60))
    assert sorted(map(str, out.iterdir())) == sorted(paths)
    Path(paths[1]).unlink()
    server.bodies.clear()
    assert fanout_files(str(tmp_path / "in*.jsonl"), str(out), [api]) == paths
    assert [Path(path).read_bytes() for path in paths] == whole
    assert len(server.bodies) == 20
    with pytest.raises(ConfigError, match="it has files of other blocks"):
        fanout_files(str(tmp_path / "in0.jsonl"), str(out), [api])
