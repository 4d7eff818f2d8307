"""What tutorials teach: `asyncio.gather` and a semaphore for each API, over aiohttp.

python benchmarks/rivals/aiohttp_gather.py [--uvloop] [--limit N] RECORDS URL...
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import aiohttp


async def post(
    session: aiohttp.ClientSession, semaphore: asyncio.Semaphore, url: str, record: Any
) -> dict[str, Any]:
    async with semaphore, session.post(url, json=record) as response:
        return {"status": response.status, "body": await response.json()}


async def enrich(
    session: aiohttp.ClientSession, semaphores: dict[str, asyncio.Semaphore], record: Any
) -> list[dict[str, Any]]:
    return await asyncio.gather(
        *(post(session, semaphore, url, record) for url, semaphore in semaphores.items())
    )


def load(path: str) -> list[Any]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


async def main(records: list[Any], urls: list[str], limit: int) -> None:
    semaphores = {url: asyncio.Semaphore(limit) for url in urls}
    # aiohttp's own limit of 100 connections would be the bottleneck.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        results = await asyncio.gather(*(enrich(session, semaphores, r) for r in records))
    for index, (record, outcomes) in enumerate(zip(records, results)):
        line = {"index": index, "record": record, "results": dict(zip("abc", outcomes))}
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("records")
    parser.add_argument("urls", nargs="+")
    options = parser.parse_args()
    job = main(load(options.records), options.urls, options.limit)
    if options.uvloop:
        import uvloop

        uvloop.run(job)
    else:
        asyncio.run(job)
