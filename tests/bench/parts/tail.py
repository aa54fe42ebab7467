"""Latency beside slow statements, at a load that both sides bear easily."""

from __future__ import annotations

import random
from typing import Any

import peers
from harness import Bench, Row
from loads import KEYS, POINT, Closed, Open

from parts.point import caller

CALLERS, RATE, SLOW = 64, 2000, "select pg_sleep(0.05)"


def open_loop(pool: Any, seconds: float) -> Open:
    calls = int(RATE * seconds)
    slow = set(random.Random(7).sample(range(1, calls + 1), k=calls // 50))

    async def call(which: int) -> bool:
        if which in slow:
            await pool.fetchval(SLOW)
            return False
        await pool.fetchval(POINT, KEYS[which % len(KEYS)])
        return True

    return Open(call, CALLERS, RATE, calls)


async def measure(bench: Bench) -> None:
    """p99 of point queries at 2,000/s by whichever of 64 callers is free, one in fifty of 50 ms (not
    counted) instead; from when each was due."""
    seconds = 5 * bench.seconds
    async with peers.ours() as ours, peers.asyncpg_pool() as theirs:
        for pool in (ours, theirs):
            await Closed(caller(pool), CALLERS, 0.5)()  # every connection has prepared the statement
        row = Row("tail", "p99 at 2,000/s, 1 in 50 slow", "asyncpg", "p99_ms", "ms", lower=True, asked=1.05)
        await bench.compare(row, open_loop(ours, seconds), open_loop(theirs, seconds))
