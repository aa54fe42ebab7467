"""Cancellation at every await: always delivered, and no connection is lost."""

import asyncio
import os
import random
import time

import pytest
import weirpool
from support import LOOPS, PRELOAD, descriptors, no_warnings, until_async
from weirpool import errors


async def settled(pool):
    """Every connection is back."""
    await until_async(
        lambda: (s := pool.snapshot())["active"] + s["cleaning"] + s["connecting"] + s["waiting"] == 0
    )


async def statement(pool):
    return await pool.fetchval("select 1")


async def session(pool):
    async with pool.session() as session:
        await session.execute("insert into t values (1)")
        async with session.transaction():
            await session.execute("insert into t values (2)")
        await session.execute("select 1")
    return 1


async def connection(pool):
    async with pool.connection() as connection:
        async with connection.transaction():
            await connection.execute("insert into t values (1)")
        await connection.fetch("select 1")
    return 1


async def explicit(pool):
    session = await pool.session()
    try:
        await session.execute("insert into t values (1)")
        await session.commit()
        await session.execute("insert into t values (2)")
        await session.rollback()
    finally:
        session.release()
    return 1


SCENARIOS = [statement, session, connection, explicit]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("moment", ["waiting", "answered"])
def test_at_every_suspension(url, run, scenario, moment):
    """Waiting: thrown while the operation runs. Answered: when the answer is there, before the task wakes."""

    async def attempt(pool, n):
        task_coroutine = scenario(pool)
        suspensions = 0
        try:
            while True:
                future = task_coroutine.send(None)
                if suspensions == n:
                    if moment == "answered":
                        await until_async(future.done)
                    with pytest.raises(asyncio.CancelledError):
                        while True:
                            await until_async(task_coroutine.throw(asyncio.CancelledError()).done)
                    return True
                suspensions += 1
                await until_async(future.done)
        except StopIteration as stop:
            assert stop.value == 1
            return False

    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=1) as pool:
            await pool.execute("create table t (a integer)")
            n = 0
            while await attempt(pool, n):
                await settled(pool)
                assert await pool.fetchval("select 1") == 1
                n += 1
            assert n >= 1

    with no_warnings():
        run(main)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_tasks_at_every_turn_of_the_loop(url, run, scenario):
    """task.cancel() after 0, 1, 2 … turns: delivered, unless the task had ended by itself."""

    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=1) as pool:
            await pool.execute("create table t (a integer)")
            turns = ended = 0
            while ended < 20 and turns < 3000:
                task = asyncio.ensure_future(scenario(pool))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if not task.cancel():
                    ended += 1
                    assert task.result() == 1
                else:
                    with pytest.raises(asyncio.CancelledError):
                        await task
                turns += 1
            await settled(pool)
            assert pool.snapshot()["size"] >= 1
            assert await pool.fetchval("select 1") == 1

    with no_warnings():
        run(main)


def test_answer_and_cancellation_in_one_turn(url, run):
    """Delivered, and the task is cancelled before it wakes: CancelledError, and nothing is lost."""

    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=1) as pool:
            for make in (lambda: pool.fetchval("select 1"), pool.session, pool.connection):
                hit = 0
                while hit < 20:
                    held = await pool.connection()
                    operation = make()
                    task = asyncio.ensure_future(operation)
                    await asyncio.sleep(0)
                    future = operation.cr_await
                    assert not future.done()
                    held.release()  # the waiter's grant is drained by this call
                    while not future.done():
                        await asyncio.sleep(0)
                    if task.done():
                        continue
                    hit += 1
                    assert task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
            await settled(pool)
            assert pool.snapshot()["idle"] == pool.snapshot()["size"] == 1

    with no_warnings():
        run(main)


def test_a_waiter_that_goes_away_leaves_its_place(url, run):
    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=1) as pool:
            held = await pool.connection()
            waiters = [asyncio.ensure_future(pool.connection()) for _ in range(9)]
            await asyncio.sleep(0)
            assert pool.snapshot()["waiting"] == 9
            for waiter in waiters[:8]:
                waiter.cancel()
            await asyncio.wait(waiters[:8])
            assert pool.snapshot()["waiting"] == 1 and pool.snapshot()["checkouts_cancelled"] == 8
            held.release()
            (await waiters[8]).release()

    with no_warnings():
        run(main)


def test_the_caller_gets_its_answer_at_once(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1) as pool:
            task = asyncio.ensure_future(pool.fetchval("select pg_sleep(60)"))
            await until_async(lambda: pool.snapshot()["active"] == 1)
            begin = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - begin < 1
            assert await pool.fetchval("select 1") == 1  # the server stopped the statement
            assert time.monotonic() - begin < 20
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pool.fetchval("select pg_sleep(60)"), 0.05)
            assert await pool.fetchval("select 1") == 1

    with no_warnings():
        run(main)


def test_rolled_back_after_a_cancellation(url, run):
    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=1) as pool:
            await pool.execute("create table t (a integer)")
            inside = asyncio.Event()

            async def work():
                async with pool.session() as session:
                    await session.execute("insert into t values (1)")
                    inside.set()
                    await asyncio.sleep(60)

            task = asyncio.ensure_future(work())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await pool.fetchval("select count(*) from t") == 0

    with no_warnings():
        run(main)


def test_a_session_goes_on_after_a_cancelled_statement(pg_url, run):
    async def main():
        async with (
            weirpool.create_pool(pg_url, min_size=1, max_size=1) as pool,
            pool.connection() as connection,
        ):
            for _ in range(5):
                task = asyncio.ensure_future(connection.fetchval("select pg_sleep(60)"))
                await until_async(lambda: connection.info["busy"])
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await connection.fetchval("select 1") == 1

    with no_warnings():
        run(main)


def test_many_queries_with_random_cancellations(server, pg_url, run):
    # The other ways are slower; and where fewer examples are asked for, fewer will do here, too.
    count = 100_000 if run is LOOPS["uvloop"] and not PRELOAD and "WEIR_EXAMPLES" not in os.environ else 20_000
    seed = random.randrange(2**32)
    dice = random.Random(seed)

    async def one(pool, nonce):
        kind = dice.random()
        if kind < 0.5:
            assert await pool.fetchval("select $1::bigint", nonce) == nonce, seed
        elif kind < 0.6:
            assert await pool.fetchval("select $1::bigint from pg_sleep(0.001)", nonce) == nonce, seed
        elif kind < 0.8:
            async with pool.connection() as connection:
                assert await connection.fetchval("select $1::bigint", nonce) == nonce, seed
        else:
            async with pool.session() as session:
                assert await session.fetchval("select $1::bigint", nonce) == nonce, seed
                async with session.transaction():
                    assert await session.fetchval("select $1::bigint", -nonce) == -nonce, seed

    async def worker(pool, numbers, counts):
        for nonce in numbers:
            task = asyncio.ensure_future(one(pool, nonce))
            cancelled = dice.random() < 0.3
            if cancelled:
                for _ in range(dice.randrange(8)):
                    await asyncio.sleep(0)
                cancelled = task.cancel()
            try:
                await task
                assert not cancelled, seed
                counts[0] += 1
            except asyncio.CancelledError:
                assert cancelled, seed
                counts[1] += 1

    async def main():
        async with weirpool.create_pool(pg_url, min_size=4, max_size=10) as pool:
            numbers, counts = iter(range(1, count + 1)), [0, 0]
            await asyncio.gather(*[worker(pool, numbers, counts) for _ in range(32)])
            assert sum(counts) == count and counts[1] > count / 10
            await settled(pool)
            numbers = pool.snapshot()
            assert numbers["idle"] == numbers["size"] <= 10
            assert numbers["checkouts_started"] == sum(
                numbers["checkouts_" + outcome]
                for outcome in ("granted", "timed_out", "cancelled", "refused")
            )
            await until_async(lambda: server.backends(pg_url) == pool.snapshot()["size"])
            for nonce in range(100):
                assert await pool.fetchval("select $1::bigint", nonce) == nonce

    before = descriptors()
    with no_warnings():
        run(main)
    assert descriptors() == before


def test_backends_killed_under_load(server, pg_url, run):
    async def main():
        async with weirpool.create_pool(
            pg_url, min_size=4, max_size=4, retry_min=0.01, retry_max=0.1
        ) as pool:
            stop, failures, done = False, [], 0

            async def worker(nonce):
                nonlocal done
                while not stop:
                    final = (errors.SessionClosed, errors.OutcomeUnknown)
                    try:
                        assert await pool.fetchval("select $1::bigint", nonce) == nonce
                        async with pool.session() as session:
                            assert await session.fetchval("select $1::bigint", nonce) == nonce
                            final += (errors.ConnectionLost,)  # COMMIT may be what the farewell answers
                        done += 1
                    except (errors.OperationalError, errors.SessionClosed) as error:
                        assert error.retryable or isinstance(error, final)
                        failures.append(error)
                        await asyncio.sleep(0.005)

            workers = [asyncio.ensure_future(worker(nonce)) for nonce in range(16)]
            database = pg_url.rpartition("/")[2]
            for _ in range(5):
                target = done + 50
                await until_async(lambda target=target: done >= target)
                server.sql(
                    f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'"
                )
            target = done + 200
            await until_async(lambda: done >= target)
            stop = True
            await asyncio.gather(*workers)
            assert len(failures) < 16 * 5 * 4
            await settled(pool)
            await until_async(lambda: pool.snapshot()["size"] == 4)
            await until_async(lambda: server.backends(pg_url) == 4)
            for nonce in range(100):
                assert await pool.fetchval("select $1::bigint", nonce) == nonce

    with no_warnings():
        run(main)
