"""100,000 rows of seven columns into a table: executemany and COPY. The table is MagicStack's pgbench's."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import peers
from harness import Bench, Figures, Row, Side
from loads import figures

COUNT = 100_000
TABLE = "create unlogged table if not exists bench_bulk (a int, b int, c int, d text, e float, f int, g text)"
INSERT = "insert into bench_bulk (a, b, c, d, e, f, g) values ($1, $2, $3, $4, $5, $6, $7)"
ROWS = [(i, 11, 10, "TESTTESTTEST", 10.333, 12341234, "123412341234") for i in range(COUNT)]


def side(pool: Any, fill: Callable[[], Awaitable[object]]) -> Side:
    async def run() -> Figures:
        await pool.execute("truncate bench_bulk")
        wall, cpu = time.perf_counter(), time.process_time()
        await fill()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        count = await pool.fetchval("select count(*) from bench_bulk")
        assert count == COUNT, count
        return figures(COUNT, wall, cpu)

    return run


async def measure(bench: Bench) -> None:
    """pool.executemany and pool.copy_records against asyncpg's executemany and copy_records_to_table."""
    async with peers.ours() as ours, peers.asyncpg_pool() as theirs:
        await ours.execute(TABLE)
        row = Row("bulk", "executemany, 100,000 rows", "asyncpg", unit="rows/s", asked=1)
        sides = (side(pool, partial(pool.executemany, INSERT, ROWS)) for pool in (ours, theirs))
        await bench.compare(row, *sides)
        row = Row("bulk", "COPY, 100,000 rows", "asyncpg", unit="rows/s", asked=1)
        copy = partial(ours.copy_records, "bench_bulk", ROWS)
        copy_of_peer = partial(theirs.copy_records_to_table, "bench_bulk", records=ROWS)
        await bench.compare(row, side(ours, copy), side(theirs, copy_of_peer))
