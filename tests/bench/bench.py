"""Weirpool beside asyncpg and psycopg_pool: one run, alternating rounds, medians.

    sh tests/bench/run.sh [--rounds 7] [--seconds 1.0] [--json FILE]

starts a PostgreSQL of its own (pgbench tables, scale 10), builds and installs the package, and runs this. It prints what
it measured and on what; it judges nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import psycopg
import psycopg_pool
import uvloop

import weirpool

POINT = "select abalance from pgbench_accounts where aid=$1"
ACCOUNTS = 1_000_000
CONNECTIONS = 10

Figures = dict[str, float]


def url(scheme: str = "postgresql") -> str:
    return f"{scheme}://postgres@/bench?host={os.environ['PGHOST']}&port={os.environ['PGPORT']}"


async def drive(call: Callable[[int], Awaitable[Any]], concurrency: int, seconds: float) -> Figures:
    """Calls as fast as `concurrency` tasks can, for so long."""
    end = time.perf_counter() + seconds
    latencies: list[float] = []

    async def worker(seed: int) -> None:
        number = random.Random(seed).randrange
        now = time.perf_counter()
        while now < end:
            await call(number(1, ACCOUNTS))
            then, now = now, time.perf_counter()
            latencies.append(now - then)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(seed) for seed in range(concurrency)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    latencies.sort()
    return {
        "rate": len(latencies) / wall,
        "p50_us": latencies[len(latencies) // 2] * 1e6,
        "p99_us": latencies[int(len(latencies) * 0.99)] * 1e6,
        "cpu_us": cpu / len(latencies) * 1e6,
    }


async def repeat(call: Callable[[], Awaitable[None]], times: int) -> Figures:
    """The cost of one call after another, without a task switch between them."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        await call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"rate": times / wall, "p50_us": wall / times * 1e6, "p99_us": float("nan"), "cpu_us": cpu / times * 1e6}


def median(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def report(title: str, ours: list[Figures], theirs: list[Figures], peer: str, result: list[dict[str, Any]]) -> None:
    mine, other = median(ours), median(theirs)
    ratios = sorted(a["rate"] / b["rate"] for a, b in zip(ours, theirs))
    print(f"\n{title}")
    for name, figures in (("weirpool", mine), (peer, other)):
        print(f"  {name:<14}{figures['rate']:>12,.0f}/s   p50 {figures['p50_us']:>8.1f} us   p99 {figures['p99_us']:>8.1f} us"
              f"   cpu {figures['cpu_us']:>7.2f} us a call")
    ratio = statistics.median(ratios)
    print(f"  ratio of rates: {ratio:.2f} (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})")
    result.append({"title": title, "peer": peer, "ratio": ratio, "weirpool": ours, "other": theirs})


async def measure(rounds: int, seconds: float) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    ours = await weirpool.create_pool(url(), min_size=CONNECTIONS, max_size=CONNECTIONS)
    apg = await asyncpg.create_pool(host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]), user="postgres",
                                    database="bench", min_size=CONNECTIONS, max_size=CONNECTIONS)
    psy = psycopg_pool.AsyncConnectionPool(
        f"host={os.environ['PGHOST']} port={os.environ['PGPORT']} user=postgres dbname=bench",
        min_size=CONNECTIONS, max_size=CONNECTIONS, open=False)
    await psy.open(wait=True)

    for concurrency in (1, 16):
        mine, other = [], []
        for warm in range(rounds + 1):
            a = await drive(lambda i: ours.fetchval(POINT, i), concurrency, seconds)
            b = await drive(lambda i: apg.fetchval(POINT, i), concurrency, seconds)
            if warm:
                mine.append(a)
                other.append(b)
        report(f"pool.fetchval, point query, {CONNECTIONS} connections, concurrency {concurrency}", mine, other,
               "asyncpg", result)

    async def our_session() -> None:
        async with ours.session():
            pass

    async def their_connection() -> None:
        async with psy.connection():
            pass

    mine, other = [], []
    for warm in range(rounds + 1):
        a, b = await repeat(our_session, 20_000), await repeat(their_connection, 2_000)
        if warm:
            mine.append(a)
            other.append(b)
    report("checkout and return of an idle connection: async with pool.session() / pool.connection()", mine, other,
           "psycopg_pool", result)

    await ours.close()
    await apg.close()
    await psy.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--json", metavar="FILE", help="keep the raw figures")
    parser.add_argument("--core", metavar="PROGRAM", help="the benchmark of the C core, run first")
    arguments = parser.parse_args()
    server = subprocess.run(["psql", "-XAtc", "show server_version", url()], capture_output=True, text=True, check=True)
    versions = {
        "weirpool": weirpool.__version__, "libpq": weirpool.libpq_version(), "server": server.stdout.strip(),
        "asyncpg": asyncpg.__version__, "psycopg": f"{psycopg.__version__} ({psycopg.pq.__impl__})",
        "psycopg_pool": psycopg_pool.__version__, "uvloop": uvloop.__version__, "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.release()}",
    }
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{arguments.rounds} alternating rounds after a warm-up; medians")
    if arguments.core:
        print(flush=True)
        subprocess.run([arguments.core], check=True)
    uvloop.install()
    result = asyncio.run(measure(arguments.rounds, arguments.seconds))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"versions": versions, "measures": result}, file, indent=1)


if __name__ == "__main__":
    sys.exit(main())
