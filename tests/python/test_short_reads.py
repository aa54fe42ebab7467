"""Short reads of SQLite, which run on the caller's thread: what runs longer than that behaves as anything else."""

import asyncio
import threading

import pytest
import weirpool

SUM = "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) select sum(i) from n"
ENDLESS = 2**60


async def warmed(url):
    """A pool whose connection has run the statement so often and so quickly that it is run at once."""
    pool = await weirpool.create_pool(url, min_size=1, max_size=1)
    for _ in range(200):
        assert await pool.fetchval(SUM, 3) == 6
    return pool


def test_the_right_answer(sqlite_url, run):
    async def body():
        pool = await warmed(sqlite_url)
        for most in [3, 500_000, 4, 5, 300_000, 6]:
            assert await pool.fetchval(SUM, most) == most * (most + 1) // 2
        assert pool.snapshot()["queries_succeeded"] == 206
        await pool.close()

    run(body)


def test_a_deadline(sqlite_url, run):
    async def body():
        pool = await warmed(sqlite_url)
        for _ in range(3):
            with pytest.raises(weirpool.CommandTimeout):
                await pool.fetchval(SUM, ENDLESS, timeout=0.05)
            assert await pool.fetchval(SUM, 3) == 6
        await pool.close()

    run(body)


def test_a_cancellation(sqlite_url, run):
    async def body():
        pool = await warmed(sqlite_url)
        for _ in range(3):
            task = asyncio.ensure_future(pool.fetchval(SUM, ENDLESS))
            await asyncio.sleep(0)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await pool.fetchval(SUM, 3) == 6
        await pool.close()

    run(body)


def test_a_close(sqlite_url, run):
    async def body():
        pool = await warmed(sqlite_url)
        task = asyncio.ensure_future(pool.fetchval(SUM, ENDLESS))
        await asyncio.sleep(0)
        await pool.close(grace=0)
        with pytest.raises(weirpool.Error):
            await task

    run(body)


def test_others_have_their_turn(sqlite_url, run):
    async def body():
        pool = await warmed(sqlite_url)
        turns = 0

        async def other():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.ensure_future(other())
        for _ in range(20_000):
            await pool.fetchval(SUM, 3)
        task.cancel()
        assert turns >= 10
        await pool.close()

    run(body)


def test_threads(sqlite_url):
    """Reads see the writes before them, whichever thread each runs on."""
    with weirpool.create_pool_sync(sqlite_url, max_size=2) as pool:
        pool.execute("create table t (id integer primary key, v integer)")
        pool.executemany("insert into t values (?, 0)", [(i,) for i in range(4)])
        failed = []

        def work(i):
            try:
                for n in range(1, 101):
                    pool.execute("update t set v = ? where id = ?", n, i)
                    for _ in range(5):
                        assert pool.fetchval("select v from t where id = ?", i) == n
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
