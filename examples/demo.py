"""A pool under load on SQLite, and its own numbers: checkouts, queries, two time-outs.

Thirty-two tasks share four connections. Then a statement without an end meets its timeout, and a caller who finds all
connections taken meets his. The program counts what it does; the pool's snapshot must say the same, or it exits with 1.

    python examples/demo.py [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import logging
import random
import sys
import tempfile
import textwrap
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import weirpool

TASKS, ROUNDS, CONNECTIONS = 32, 400, 4
ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"

LATENCIES: dict[Literal["wait", "use", "query", "connect"], str] = {
    "wait": "wait for a connection",
    "use": "use of a connection",
    "query": "query",
    "connect": "connect",
}
ROWS = {
    "checkouts_started": "checkouts",
    "checkouts_granted": "  granted",
    "checkouts_timed_out": "  timed out",
    "returned": "  returned",
    "queries_started": "queries",
    "queries_succeeded": "  succeeded",
    "queries_timed_out": "  timed out",
}

Count = collections.Counter[str]


class Said(logging.Handler):
    """What the pool has to say to the program's log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


async def shop(pool: weirpool.Pool, count: Count, seed: int) -> None:
    """One customer: mostly looks at an account, now and then moves money in a transaction."""
    choose = random.Random(seed)
    for _ in range(ROUNDS):
        one, other = choose.sample(range(1, 101), 2)
        count["checkouts"] += 1
        if choose.random() < 0.8:
            count["queries"] += 1
            await pool.fetchval("select balance from account where id = $1", one)
        else:
            async with pool.session() as session:
                count["queries"] += 2
                await session.execute("update account set balance = balance - 1 where id = $1", one)
                await session.execute("update account set balance = balance + 1 where id = $1", other)


async def too_slow(pool: weirpool.Pool, count: Count) -> None:
    """A statement without an end, which is given 200 ms."""
    count.update(checkouts=1, queries=1)
    try:
        await pool.fetchval(ENDLESS, timeout=0.2)
    except weirpool.CommandTimeout:
        count["queries timed out"] += 1


async def too_many(pool: weirpool.Pool, count: Count) -> None:
    """Takes all connections and asks for one more, for 100 ms: the pool knows that it will wait in vain."""
    async with AsyncExitStack() as taken:
        for _ in range(CONNECTIONS):
            count["checkouts"] += 1
            await taken.enter_async_context(pool.connection())
        count["checkouts"] += 1
        try:
            async with pool.connection(checkout_timeout=0.1):
                pass
        except weirpool.CheckoutTimeout:
            count["checkouts timed out"] += 1


async def work(url: str) -> tuple[Count, weirpool.Snapshot, float, int]:
    count: Count = collections.Counter()
    async with weirpool.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        count.update(checkouts=2, queries=101)
        await pool.execute("create table account (id integer primary key, balance integer not null)")
        async with pool.session() as session:
            for number in range(1, 101):
                await session.execute("insert into account values ($1, 1000)", number)
        begun = time.perf_counter()
        await asyncio.gather(*(shop(pool, count, seed) for seed in range(TASKS)))
        elapsed = time.perf_counter() - begun
        await too_slow(pool, count)
        await too_many(pool, count)
        count.update(checkouts=1, queries=1)
        total = await pool.fetchval("select sum(balance) from account")
        return count, pool.snapshot(), elapsed, total


def counted(count: Count) -> dict[str, int]:
    """What the program expects of the pool's numbers, by their names; of a latency, how often it was measured."""
    granted = count["checkouts"] - count["checkouts timed out"]
    succeeded = count["queries"] - count["queries timed out"]
    return {
        "checkouts_started": count["checkouts"],
        "checkouts_granted": granted,
        "checkouts_timed_out": count["checkouts timed out"],
        "returned": granted,
        "queries_started": count["queries"],
        "queries_succeeded": succeeded,
        "queries_timed_out": count["queries timed out"],
        "wait": granted,
        "use": granted,
        "query": count["queries"],
        "connect": CONNECTIONS,
    }


def said(snapshot: weirpool.Snapshot) -> dict[str, int]:
    """The pool's numbers; of a latency, how often it was measured."""
    numbers = {name: number for name, number in snapshot.items() if isinstance(number, int)}
    for name in LATENCIES:
        numbers[name] = snapshot[name]["count"]
    return numbers


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:9.3f}"


def show(count: Count, snapshot: weirpool.Snapshot, elapsed: float, total: int, lines: list[str]) -> None:
    rate = TASKS * ROUNDS / elapsed
    print(f"weirpool {weirpool.__version__}, SQLite {weirpool.sqlite_version()}, CPython {sys.version.split()[0]}")
    print(f"{TASKS} tasks on {CONNECTIONS} connections: {TASKS * ROUNDS} jobs in {elapsed:.2f} s, {rate:,.0f} a second")
    print(f"no money was lost: 100 accounts still hold {total:,}")
    print("then, on purpose: a statement without an end, stopped after 200 ms, and a caller too many, for 100 ms")
    print()
    print("                      the program      the pool")
    program, pool = counted(count), said(snapshot)
    for name, title in ROWS.items():
        print(f"{title:<20}{program[name]:>13,}{pool[name]:>14,}")
    print()
    print("milliseconds               p50       p90       p99       max     times")
    for name, title in LATENCIES.items():
        latency = snapshot[name]
        cells = " ".join(map(milliseconds, (latency["p50"], latency["p90"], latency["p99"], latency["max"])))
        print(f"{title:<21}{cells} {latency['count']:>9,}")
    print()
    print("the pool's log, of the caller too many:")
    for line in lines:
        print(textwrap.fill(line, 110, initial_indent="  ", subsequent_indent="  "))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    arguments = parser.parse_args()
    log = Said()
    logging.getLogger("weirpool").addHandler(log)
    with tempfile.TemporaryDirectory() as folder:
        count, snapshot, elapsed, total = asyncio.run(work(f"sqlite:///{Path(folder, 'demo.db')}"))
    program, pool = counted(count), said(snapshot)
    wrong = [name for name in program if program[name] != pool[name]]
    if arguments.json:
        print(json.dumps({"program": program, "pool": snapshot, "seconds": elapsed, "equal": not wrong}, indent=2))
    else:
        show(count, snapshot, elapsed, total, log.lines)
    for name in wrong:
        print(f"{name}: the program counted {program[name]}, the pool {pool[name]}", file=sys.stderr)
    return 1 if wrong or total != 100_000 else 0


if __name__ == "__main__":
    sys.exit(main())
