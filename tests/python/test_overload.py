"""More callers than the database can serve: the queue's rule, and the size that adapts."""

import asyncio

import pytest
import weirpool
from support import until_async


async def outcomes(pool, count, sql):
    """What each of so many callers at a time gets."""
    return await asyncio.gather(*(pool.fetchval(sql) for _ in range(count)), return_exceptions=True)


def test_who_would_wait_too_long_is_told_early(pg_url, run):
    async def main():
        async with weirpool.create_pool(
            pg_url, min_size=1, max_size=1, queue_target=0.02, queue_interval=0.1
        ) as pool:
            await pool.fetchval("select 1")
            got = await outcomes(pool, 60, "select 1 from pg_sleep(0.02)")
            refused = [error for error in got if error != 1]
            error = refused[0]
            assert {type(error) for error in refused} == {weirpool.Overloaded}
            assert issubclass(weirpool.Overloaded, weirpool.TooManyWaiting)
            assert error.retryable and error.retry_after == 0.1
            for text in ("overloaded", "queue_target (20 ms)", "raise max_size (1) if the database can do more"):
                assert text in str(error)
            snapshot = pool.snapshot()
            assert snapshot["checkouts_shed"] == snapshot["checkouts_refused"] == len(refused) > 10
            assert snapshot["checkouts_granted"] == 61 - len(refused)
            assert (snapshot["overloads"], snapshot["overloaded"]) == (1, 0)  # nobody waits any more
            assert await pool.fetchval("select 2") == 2

    run(main)


def test_without_the_rule_all_wait(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1, queue_interval=0.05) as pool:
            assert await outcomes(pool, 20, "select 1 from pg_sleep(0.01)") == [1] * 20
            assert pool.snapshot()["overloads"] == 0

    run(main)


def test_a_server_that_takes_no_more_is_believed(server, pg_url, run):
    server.sql("drop role if exists few; create role few login connection limit 3")
    url = pg_url.replace("app@", "few@")

    async def main():
        async with weirpool.create_pool(url, min_size=0, max_size=20, adaptive_size=True) as pool:
            assert pool.snapshot()["limit"] == 5  # to begin with
            while not pool.snapshot()["connections_failed"]:  # until it has asked for a fourth one
                assert await outcomes(pool, 12, "select 1 from pg_sleep(0.05)") == [1] * 12
            first = pool.snapshot()
            assert first["limit"] <= 3
            assert await outcomes(pool, 12, "select 1 from pg_sleep(0.05)") == [1] * 12
            assert pool.snapshot()["connections_started"] == first["connections_started"]  # no further attempt

    run(main)


def test_holders_that_think_do_not_count(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=0, max_size=12, adaptive_size=True) as pool:
            sessions = [await pool.connection() for _ in range(12)]
            assert pool.snapshot()["active"] == 12
            for session in sessions:
                session.release()
            await until_async(lambda: pool.snapshot()["idle"] == 12)

    run(main)


def test_options(pg_url):
    for option in ({"queue_target": 0}, {"queue_interval": 0}, {"queue_interval": None}, {"queue_target": 61}):
        with pytest.raises(weirpool.OptionError, match=next(iter(option))):
            weirpool.create_pool_sync(pg_url, **option)
    with weirpool.create_pool_sync(f"{pg_url}?queue_target=0.05&adaptive_size=true", min_size=0) as pool:
        assert (pool.options["queue_target"], pool.options["queue_interval"]) == (0.05, 1)
        assert pool.options["adaptive_size"] is True
