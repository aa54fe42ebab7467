"""Lending connections: a transaction of one statement, and nothing at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import peers
from harness import Bench, Row
from loads import POINT, Closed


def session_caller(pool: Any) -> Any:
    async def calls(keys: Iterator[int]) -> None:
        for key in keys:
            async with pool.session() as lent:
                await lent.fetchval(POINT, key)

    return calls


async def session(bench: Bench) -> None:
    """A session, one SELECT and the commit, against asyncpg's acquire and transaction; 16 callers."""
    async with peers.ours() as ours, peers.asyncpg_pool() as theirs:

        async def their_calls(keys: Iterator[int]) -> None:
            for key in keys:
                async with theirs.acquire() as lent, lent.transaction():
                    await lent.fetchval(POINT, key)

        row = Row("session", "session, SELECT, commit, 16 callers", "asyncpg", asked=3)
        await bench.compare(
            row, Closed(session_caller(ours), 16, bench.seconds), Closed(their_calls, 16, bench.seconds)
        )


async def checkout(bench: Bench) -> None:
    """An idle connection is lent and given back unused, against psycopg_pool."""
    async with peers.ours() as ours, peers.psycopg_async() as theirs:

        async def our_sessions(keys: Iterator[int]) -> None:
            for _ in keys:
                async with ours.session():
                    pass

        async def our_connections(keys: Iterator[int]) -> None:
            for _ in keys:
                async with ours.connection():
                    pass

        async def their_connections(keys: Iterator[int]) -> None:
            for _ in keys:
                async with theirs.connection():
                    pass

        for name, calls in (("connection()", our_connections), ("session()", our_sessions)):
            row = Row("checkout", f"{name}, unused", "psycopg_pool", asked=8)
            await bench.compare(
                row, Closed(calls, 1, bench.seconds), Closed(their_connections, 1, bench.seconds)
            )


def each(call: Callable[[], object], count: int) -> float:
    """Nanoseconds."""
    begun = time.perf_counter_ns()
    for _ in range(count):
        call()
    return (time.perf_counter_ns() - begun) / count


async def site(bench: Bench) -> None:
    """What it costs to know who asks for a connection: connection() before it is entered, less transaction(), which
    makes the same object and notes nobody."""
    count, differences = int(200_000 * bench.seconds), []
    with peers.ours_sync() as pool, pool.connection() as lent:
        for _ in range(bench.rounds):
            noting, without = each(pool.connection, count), each(lent.transaction, count)
            differences.append({"value": noting - without})
    bench.add(Row("site", "the call site of a checkout", measure="value", unit="ns", lower=True, asked=200,
                  ours=differences))  # fmt: skip
