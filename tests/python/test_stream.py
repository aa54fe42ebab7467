"""session.stream(…): rows by and by, in bounded memory."""

import asyncio
import contextlib
import datetime
import decimal
import gc
import subprocess
import sys
import uuid

import pytest
import weirpool
from support import for_python

COUNT = {
    "sqlite": "with recursive c(n) as (select 1 union all select n + 1 from c where n < ?1)"
    " select n from c where n <= ?1",
    "postgresql": "select n from generate_series(1, $1::int) as n",
}


def count(pool):
    return COUNT[pool.database_system]


@contextlib.asynccontextmanager
async def borrowed(pool, kind):
    """What has stream(): the pool, a session, a connection."""
    if kind == "pool":
        yield pool
    else:
        async with getattr(pool, kind)() as lent:
            yield lent


KINDS = pytest.mark.parametrize("kind", ["pool", "session", "connection"])


@KINDS
def test_all_rows_in_order(url, run, kind):
    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool:
            async with borrowed(pool, kind) as lent:
                for rows, prefetch in ((0, 10), (1, 10), (9, 10), (10, 10), (11, 10), (2500, 1000), (25, 1)):
                    seen = [row["n"] async for row in lent.stream(count(pool), rows, prefetch=prefetch)]
                    assert seen == list(range(1, rows + 1))
                again = lent.stream(count(pool), 3)
                for _ in range(2):  # each loop runs it anew
                    assert [row[0] async for row in again] == [1, 2, 3]
            assert pool.snapshot()["active"] == 0
            assert await pool.fetchval("select 1") == 1

    run(body)


@KINDS
def test_leaving_early(url, run, kind):
    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool:
            async with borrowed(pool, kind) as lent:
                for _ in range(3):
                    async for row in lent.stream(count(pool), 100000, prefetch=7):
                        if row["n"] == 10:
                            break
                    with pytest.raises(LookupError):
                        async for row in lent.stream(count(pool), 100000, prefetch=7):
                            raise LookupError
                    gc.collect()
                    assert await lent.fetchval("select 5") == 5
            assert await pool.fetchval("select 6") == 6
            assert pool.snapshot()["active"] == 0 and pool.snapshot()["size"] == 1

    run(body)


@KINDS
def test_a_cancelled_loop(url, run, kind):
    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool:
            async with borrowed(pool, kind) as lent:
                seen = 0

                async def loop():
                    nonlocal seen
                    async for row in lent.stream(count(pool), 10_000_000, prefetch=10):
                        seen = row["n"]
                        await asyncio.sleep(0)

                task = asyncio.ensure_future(loop())
                while seen < 25:
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                del task
                if kind != "session":
                    assert await lent.fetchval("select 5") == 5
            assert await pool.fetchval("select 6") == 6
            assert pool.snapshot()["active"] == 0

    run(body)


def test_values_are_those_of_fetch(pg_url, run):
    values = {
        "int": 7,
        "bigint": 1 << 40,
        "float8": 0.5,
        "numeric": decimal.Decimal("1.50"),
        "text": "ä",
        "bytea": b"\x00\xff",
        "bool": True,
        "date": datetime.date(2024, 2, 29),
        "timestamptz": datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
        "uuid": uuid.UUID(int=5),
        "jsonb": {"a": [1, None]},
        "int[]": [1, None, 3],
    }

    async def body():
        async with weirpool.create_pool(pg_url) as pool, pool.session() as session:
            sql = "select " + ", ".join(f"${n}::{kind} as a{n}" for n, kind in enumerate(values, 1))
            for _ in range(3):
                (row,) = [row async for row in session.stream(sql, *values.values())]
                assert tuple(row) == tuple(values.values())
                assert row == await session.fetchrow(sql, *values.values())

    run(body)


def test_two_at_once(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=1) as pool, pool.session() as session:
            first, second = session.stream(count(pool), 50, prefetch=3), session.stream(count(pool), 50, prefetch=4)
            seen = []
            others = aiter(second)
            async for row in first:
                seen.append((row["n"], (await anext(others))["n"], await session.fetchval("select 1")))
            assert seen == [(n, n, 1) for n in range(1, 51)]
            with pytest.raises(StopAsyncIteration):
                await anext(others)

    run(body)


def test_errors(url, run):
    late = {
        "sqlite": "select 1 / 0 as a, json_extract(case when n < 20 then '{}' else '{' end, '$') from (%s)",
        "postgresql": "select 1 / (20 - n) from (%s) as s",
    }

    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool:
            for wrong in ("select nonsense", "insert into nowhere values (1)", "select 1; select 2"):
                with pytest.raises(weirpool.Error):
                    async for _ in pool.stream(wrong):
                        pass
            seen = 0
            with pytest.raises(weirpool.DatabaseError):
                async for _ in pool.stream(late[pool.database_system] % count(pool), 100, prefetch=5):
                    seen += 1
            assert seen < 20
            for bad in ({"prefetch": 0}, {"prefetch": "many"}, {"timeout": 0}, {"timeout": "soon"}):
                with pytest.raises(weirpool.ArgumentError, match=next(iter(bad))):
                    pool.stream("select 1", **bad)
            with pytest.raises(TypeError):
                pool.stream()
            assert await pool.fetchval("select 1") == 1

    run(body)


def test_after_the_session(url, run):
    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool:
            async with pool.session() as session:
                rows = aiter(session.stream(count(pool), 100, prefetch=2))
                assert (await anext(rows))["n"] == 1
            with pytest.raises(weirpool.Error):
                for _ in range(5):
                    await anext(rows)
            with pytest.raises(weirpool.SessionClosed):
                async for _ in session.stream(count(pool), 1):
                    pass
            assert await pool.fetchval("select 1") == 1

    run(body)


def test_a_batch_that_is_late(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            sql = "select n, case when n > 10 then pg_sleep(600)::text end from generate_series(1, 20) as n"
            seen = 0
            with pytest.raises(weirpool.CommandTimeout):
                async for _ in pool.stream(sql, prefetch=5, timeout=0.3):
                    seen += 1
            assert seen == 10
            assert await pool.fetchval("select 1") == 1

    run(body)


MEMORY = """
import asyncio, os, sys, weirpool

def resident():
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def main(url, sql):
    async with weirpool.create_pool(url, max_size=1) as pool:
        text = "'0123456789' || n" if pool.database_system == "sqlite" else "repeat('0123456789', 10) || n"
        before, most = None, 0
        async for row in pool.stream(f"select n, {text} as t from ({sql}) as s", 300_000):
            if row["n"] % 10_000 == 0:
                before = before or resident()
                most = max(most, resident())
        assert row["n"] == 300_000
        print(most - before)

asyncio.run(main(*sys.argv[1:]))
"""


def test_memory(url):
    """In a process of its own, in which a sanitizer keeps no freed memory back."""
    env = for_python()
    env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
    sql = COUNT["sqlite" if url.startswith("sqlite") else "postgresql"]
    command = [sys.executable, "-c", MEMORY, url, sql]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 << 20


def test_blocking(url):
    with weirpool.create_pool_sync(url, max_size=1) as pool:
        assert [row["n"] for row in pool.stream(count(pool), 2500)] == list(range(1, 2501))
        with pool.session() as session:
            for row in session.stream(count(pool), 1000, prefetch=10):
                if row["n"] == 15:
                    break
            assert session.fetchval("select 5") == 5
        rows = iter(pool.stream(count(pool), 1000, prefetch=10))
        assert next(rows)["n"] == 1
        rows.close()
        assert pool.fetchval("select 6") == 6
