"""Point queries on a SQLite file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import aiosqlite
import weirpool
from harness import Bench, Row
from loads import Closed

COUNT = 100_000
POINT = "select balance from accounts where id = $1"


async def fill(path: str) -> None:
    async with aiosqlite.connect(path) as connection:
        await connection.execute("pragma journal_mode = wal")
        await connection.execute("create table accounts (id integer primary key, balance integer)")
        await connection.executemany("insert into accounts values (?, ?)", ((i, 0) for i in range(COUNT)))
        await connection.commit()


async def measure(bench: Bench) -> None:
    """pool.fetchval against one aiosqlite connection: the documented `async with execute()`, fetchone(), and
    the shortcut execute_fetchall(), which crosses to its thread only once."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/bench.db"
        await fill(path)
        async with weirpool.create_pool(f"sqlite:///{path}") as ours, aiosqlite.connect(path) as theirs:

            async def our_calls(keys: Iterator[int]) -> None:
                fetchval = ours.fetchval
                for key in keys:
                    await fetchval(POINT, key % COUNT)

            async def their_calls(keys: Iterator[int]) -> None:
                execute = theirs.execute
                for key in keys:
                    async with execute(POINT, (key % COUNT,)) as cursor:
                        await cursor.fetchone()

            async def their_shortcuts(keys: Iterator[int]) -> None:
                execute_fetchall = theirs.execute_fetchall
                for key in keys:
                    await execute_fetchall(POINT, (key % COUNT,))

            for callers, asked in ((1, 10), (16, 4)):
                mine = Closed(our_calls, callers, bench.seconds)
                row = Row("sqlite", f"fetchval, {callers} callers", "aiosqlite", asked=asked)
                await bench.compare(row, mine, Closed(their_calls, callers, bench.seconds))
                row = Row("sqlite", f"fetchval, {callers} callers", "its execute_fetchall")
                await bench.compare(row, mine, Closed(their_shortcuts, callers, bench.seconds))
