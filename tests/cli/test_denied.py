"""A key that expires in the middle of a run, which is then continued with a new one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from support.command import COMMAND, PATIENCE, environment, lines, records
from support.outputs import without_times
from support.server import Peer, Server, response, serve

COUNT = 300
GOOD = 100  # requests before the first key expires
LIMIT = 8


@asynccontextmanager
async def api_with_keys() -> AsyncIterator[tuple[Server, dict[str, int]]]:
    """Run an API that denies the key `old` after some requests; count those of each key."""
    seen = {"old": 0, "new": 0}

    async def answer(peer: Peer) -> None:
        while (received := await peer.request()) is not None:
            key = received.headers["authorization"].removeprefix("Bearer ")
            seen[key] += 1
            is_denied = key == "old" and seen[key] > GOOD
            status = "401 Unauthorized" if is_denied else "200 OK"
            await trio.sleep(0.005)
            await peer.send(response(received.body, status=status))

    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve, answer), seen
        nursery.cancel_scope.cancel()


def arguments(folder: Path, url: str, *, wait: str, retries: int) -> list[str]:
    (folder / "in.jsonl").write_bytes(records(COUNT))
    (folder / "c.toml").write_text(
        f"""
        [api.a]
        url = "{url}"
        auth = {{ bearer = "${{KEY}}" }}
        limit = {LIMIT}
        retries = {retries}
        breaker = {{ wait = "{wait}" }}
        """
    )
    return ["-c", str(folder / "c.toml"), str(folder / "in.jsonl")]


async def run(*args: str, key: str) -> subprocess.CompletedProcess[bytes]:
    with trio.fail_after(PATIENCE):
        return await trio.run_process(
            [*COMMAND, *args],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environment(KEY=key),
        )


def as_undisturbed(output: bytes) -> list[dict[str, Any]]:
    """Return the lines without what differs between attempts: their times and their number."""
    found = lines(without_times(output))
    for line in found:
        line["results"]["a"].pop("attempts")
    return found


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("workers", [(), ("--workers", "2", "--chunk-size", "10")])
async def test_a_run_is_continued_with_a_new_key(
    tmp_path: Path, workers: tuple[str, ...], retries: int
) -> None:
    """Nothing is burnt: the file becomes the one of a run that nothing has disturbed."""
    async with api_with_keys() as (server, seen):
        args = [*arguments(tmp_path, server.url, wait="2s", retries=retries), *workers]
        out = ["-o", str(tmp_path / "out.jsonl")]
        expired = await run(*args, *out, key="old")
        assert (expired.returncode, seen["new"]) == (4, 0), expired.stderr
        assert re.search(rb"giving up: a was not available for [\d.]+s", expired.stderr)
        assert b"(HTTP 401: check the key in its auth.bearer)" in expired.stderr
        assert b"given up: go on with --mend, which keeps all answers" in expired.stderr
        assert seen["old"] <= GOOD + LIMIT + 20 * (2 if workers else 1) + 10  # and some probes
        found = lines((tmp_path / "out.jsonl").read_bytes())
        kinds = {line["results"]["a"].get("error", {}).get("kind") for line in found}
        assert (len(found), kinds) == (COUNT, {None, "cancelled"})

        resumed = await run(*args, *out, "--resume", key="new")
        assert resumed.returncode == 0, resumed.stderr
        # One worker may be far behind the other, and what follows the first gap is made again.
        assert seen["new"] <= (COUNT if workers else COUNT - GOOD + LIMIT + 20)
        whole = await run(*args, key="new")
    assert as_undisturbed((tmp_path / "out.jsonl").read_bytes()) == as_undisturbed(whole.stdout)


async def test_a_signal_ends_what_is_held(tmp_path: Path) -> None:
    """A second one writes a line for each record, to be resumed like those of any other run."""
    async with api_with_keys() as (server, _):
        args = arguments(tmp_path, server.url, wait="1h", retries=2)
        out = ["-o", str(tmp_path / "out.jsonl")]
        process = await trio.lowlevel.open_process(
            [*COMMAND, *args, *out],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(KEY="old"),
        )
        assert process.stderr
        said = b""
        with trio.fail_after(PATIENCE):
            while b"is not available (HTTP 401: " not in said:
                said += await process.stderr.receive_some()
            os.kill(process.pid, signal.SIGINT)
            while b"second signal" not in said.partition(b"SIGINT")[2]:
                said += await process.stderr.receive_some()
            os.kill(process.pid, signal.SIGINT)
            assert await process.wait() == 130
        await process.stderr.aclose()
        resumed = await run(*args, *out, "--resume", key="new")
        assert resumed.returncode == 0, resumed.stderr
    found = lines((tmp_path / "out.jsonl").read_bytes())
    assert [line["record"]["id"] for line in found if line["ok"]] == list(range(COUNT))
