"""What one caller does must not reach another: locks, answers, errors, cancellations."""

import asyncio
import contextlib
import random
import threading
import time

import pytest
import weirpool
from harness import LONG, NONCES, no_poison, quiet
from proxy import Fault
from support import LOOPS, no_warnings, until_async

BLOCKED = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    " and clock_timestamp() - query_start > '30 ms'"  # nobody takes it for a short one any more
)


@pytest.fixture
def rows(server, pg_url):
    server.sql(
        "create table t (a bigint primary key, b bigint);"
        " insert into t select n, 0 from generate_series(1, 9) n",
        pg_url.rpartition("/")[2],
    )


@pytest.mark.parametrize("loop", list(LOOPS))
@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_lock_of_ones_own(pg_url, rows, loop, size):
    """
    A task holds a row's lock in its session, and awaits the pool, on which a statement is blocked by that
    lock. Its own statement must not stand behind that one: no deadlock detector would ever see it.
    """

    async def main():
        async with weirpool.create_pool(pg_url, min_size=size, max_size=size) as pool:
            for nonce in range(20 if LONG else 5):
                for _ in range(8):
                    await pool.execute("update t set b = $2 where a = $1", 9, nonce)  # is known to be short
                async with pool.session() as session:
                    await session.execute("update t set b = $1 where a = 1", nonce)
                    blocked = [
                        asyncio.ensure_future(pool.execute("update t set b = $2 where a = $1", 1, -nonce))
                        for _ in range(size - 2)
                    ]
                    for _ in range(10):
                        assert await pool.fetchval("select $1::bigint", nonce, timeout=20) == nonce
                    if blocked:
                        await until_locked(pool, len(blocked))
                    answers = await asyncio.gather(
                        *[pool.fetchval("select $1::bigint", n, timeout=20) for n in range(30)],
                        *[session.fetchval("select b from t where a = 1")],
                    )
                    assert answers == [*range(30), nonce]
                    assert not any(task.done() for task in blocked)
                await asyncio.gather(*blocked)

    with no_warnings():
        LOOPS[loop](main)


def by_gather(pool, numbers):
    return [pool.execute("update t set b = b where a = $1", n, timeout=5) for n in numbers]


def by_tasks(pool, numbers):
    async def child(n):
        return await pool.execute("update t set b = b where a = $1", n, timeout=5)

    return [asyncio.create_task(child(n)) for n in numbers]


def by_wait_for(pool, numbers):
    return [asyncio.wait_for(operation, 30) for operation in by_gather(pool, numbers)]


@pytest.mark.parametrize("loop", list(LOOPS))
@pytest.mark.parametrize("children", [by_gather, by_tasks, by_wait_for])
@pytest.mark.parametrize("way", ["async with", "wait_for"])
def test_a_lock_of_ones_own_and_children(pg_url, rows, loop, children, way):
    """The same, when it is not the task itself that awaits the pool: what a gather makes tasks of, say."""

    async def borrow(pool, stack):
        if way == "async with":
            return await stack.enter_async_context(pool.session())
        session = await asyncio.wait_for(pool.session(), 30)
        stack.callback(session.release)
        return session

    async def main():
        options = {"min_size": 3, "max_size": 3, "pipeline_max_wait": 1}  # all are short, come what may
        async with weirpool.create_pool(pg_url, **options) as pool:
            for _ in range(3):
                for _ in range(20):
                    await asyncio.gather(*children(pool, range(2, 9)))
                async with contextlib.AsyncExitStack() as stack:
                    session = await borrow(pool, stack)
                    await session.execute("update t set b = b where a = 1")
                    blocked = asyncio.create_task(pool.execute("update t set b = b where a = $1", 1))
                    begun = time.monotonic()
                    assert await asyncio.gather(*children(pool, range(2, 10))) == ["UPDATE 1"] * 8
                    assert time.monotonic() - begun < 15 and not blocked.done()
                await blocked
                await until_async(lambda: pool.snapshot()["active"] == 0)

    with no_warnings():
        LOOPS[loop](main)


@pytest.mark.parametrize("loop", list(LOOPS))
def test_reads_of_a_holder_share(through, loop):
    """Also of one that holds its connection for good; that they only read is seen by their text, or said."""

    async def main():
        proxy = through.proxy()
        options = {"min_size": 2, "max_size": 2, "pipeline_max_wait": 1}
        async with weirpool.create_pool(through.url(proxy), **options) as pool, pool.connection():

            async def trips(text, **keywords):
                before = proxy.trips()
                answers = await asyncio.gather(*[pool.fetchval(text, n, **keywords) for n in range(100)])
                assert answers == list(range(100))
                return proxy.trips() - before

            calls = "select abs($1::bigint)"
            for _ in range(3):
                for text in ("select $1::bigint", calls):
                    await asyncio.gather(*[pool.fetchval(text, n, readonly=True) for n in range(20)])
            assert await trips("select $1::bigint") < 80
            assert await trips(calls, readonly=True) < 80
            assert await trips(calls) >= 100  # who knows what it calls

    with no_warnings():
        LOOPS[loop](main)


async def until_locked(pool, count):
    while await pool.fetchval(BLOCKED, timeout=20) < count:
        await asyncio.sleep(0.001)


def test_a_lock_of_ones_own_in_threads(pg_url, rows):
    with no_warnings(), weirpool.create_pool_sync(pg_url, min_size=3, max_size=3) as pool:
        for nonce in range(5):
            with pool.session() as session:
                session.execute("update t set b = $1 where a = 1", nonce)
                blocked = threading.Thread(target=pool.execute, args=("update t set b = 1 where a = 1",))
                blocked.start()
                while pool.fetchval(BLOCKED, timeout=20) < 1:
                    pass
                for n in range(30):
                    assert pool.fetchval("select $1::bigint", n, timeout=20) == n
            blocked.join()


def test_an_error_stays_its_own(pg_url, rows):
    """Each of many at once has its own error, or its own row."""

    async def main():
        async with weirpool.create_pool(pg_url, min_size=2, max_size=4) as pool:

            async def good(n):
                assert await pool.fetchval("select $1::bigint", n) == n

            async def divides(n):
                with pytest.raises(weirpool.DataError) as caught:
                    await pool.fetchval("select 1 / ($1::bigint - $1::bigint)", n)
                assert caught.value.sqlstate == "22012"

            async def violates(n):
                with pytest.raises(weirpool.IntegrityError) as caught:
                    await pool.execute("insert into t values ($1, $2)", 1, n)
                assert caught.value.sqlstate == "23505"

            async def violates_late(n):
                with pytest.raises(weirpool.IntegrityError):
                    await pool.executemany("insert into t values ($1, $2)", [(-n, 0), (1, n), (n + 5000, n)])

            async def wrong(n):
                with pytest.raises(weirpool.ProgrammingError) as caught:
                    await pool.execute(f"selec {n}")
                assert caught.value.sqlstate == "42601"

            async def writes(n):
                await pool.execute("insert into t values ($1, $2)", n, n)

            for start in range(120, 1320, 240):
                kinds = [
                    (good, divides, violates, violates_late, wrong, writes)[n % 6](n)
                    for n in range(start, start + 240)
                ]
                await asyncio.gather(*kinds)
            assert await pool.fetchval("select count(*) from t where a > 9 and a = b") == 200
            assert await pool.fetchval("select count(*) from t where a < 0 or a > 5000") == 0

    with no_warnings():
        LOOPS["uvloop"](main)


KINDS = ["short"] * 8 + ["slow"] * 2 + ["write"] * 2 + ["many", "session", "connection", "error"]


async def one(pool, kind, nonce, timeout):
    if kind == "short":
        assert await pool.fetchval("select $1::bigint", nonce, timeout=timeout) == nonce
    elif kind == "slow":
        assert await pool.fetchval("select $1::bigint from pg_sleep(0.002)", nonce, timeout=timeout) == nonce
    elif kind == "write":
        text = "insert into t values ($1, 0) returning a"
        assert await pool.fetchval(text, nonce, timeout=timeout) == nonce
    elif kind == "many":
        rows = await pool.fetch("select $1::bigint from generate_series(1, 200)", nonce, timeout=timeout)
        assert [row[0] for row in rows] == [nonce] * 200
    elif kind == "session":
        async with pool.session(timeout=timeout) as session:
            assert await session.fetchval("insert into t values ($1, 1) returning a", nonce) == nonce
            async with session.transaction():
                assert await session.fetchval("select $1::bigint", -nonce) == -nonce
            assert await session.fetchval("select a from t where a = $1", nonce) == nonce
    elif kind == "connection":
        async with pool.connection() as connection:
            assert await connection.fetchval("select $1::bigint", nonce, timeout=timeout) == nonce
    else:
        with pytest.raises((weirpool.DataError, weirpool.PoolTimeout)) as caught:
            await pool.fetchval("select ($1::text)::bigint", f"not {nonce}", timeout=timeout)
        assert isinstance(caught.value, weirpool.PoolTimeout) or str(nonce) in str(caught.value)


@pytest.mark.parametrize(("loop", "way"), [("asyncio", "direct"), ("uvloop", "direct"), ("uvloop", "slow")])
def test_a_nonce_comes_back_to_its_caller(through, rows, observer, loop, way):
    """64 callers at once; one in five is cancelled or runs out of time."""
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    total = 100_000 if LONG else 15_000 if way == "direct" else 2_000
    counts = dict.fromkeys(("answered", "cancelled", "late"), 0)

    async def worker(pool, numbers):
        for nonce in numbers:
            late = dice.random() < 0.1
            task = asyncio.ensure_future(
                one(pool, dice.choice(KINDS), nonce, dice.choice([0.001, 0.003, 0.01]) if late else 60)
            )
            cancelled = dice.random() < 0.1
            if cancelled:
                for _ in range(dice.randrange(12)):
                    await asyncio.sleep(0)
                cancelled = task.cancel()
            try:
                await task
                assert not cancelled, seed
                counts["answered"] += 1
            except asyncio.CancelledError:
                assert cancelled, seed
                counts["cancelled"] += 1
            except (weirpool.PoolTimeout, weirpool.OutcomeUnknown, weirpool.SessionClosed) as error:
                assert late and not cancelled, (seed, repr(error))
                counts["late"] += 1

    async def main():
        proxy = through.proxy()
        proxy.otherwise, proxy.cancel_delay = Fault(delay=0.0005), 0.003
        url = through.direct if way == "direct" else through.url(proxy)
        async with weirpool.create_pool(url, min_size=4, max_size=10) as pool:
            numbers = iter([next(NONCES) for _ in range(total)])
            await asyncio.gather(*[worker(pool, numbers) for _ in range(64)])
            assert sum(counts.values()) == total and all(counts.values()), (seed, counts)
            await quiet(pool)
            assert 1 <= await no_poison(pool) <= 10
            await until_async(lambda: observer.backends() == pool.snapshot()["size"])
            for nonce in range(200):
                assert await pool.fetchval("select $1::bigint", nonce) == nonce

    with no_warnings():
        LOOPS[loop](main)


@pytest.mark.parametrize("cancels", ["pass", "drop", "vanish"])
def test_late_and_lost_cancellations(through, observer, cancels):
    """The next caller is never hit, however late a cancel request arrives, and served if it never does."""

    async def main():
        proxy = through.proxy()
        proxy.cancels, proxy.cancel_delay = cancels, 0.02
        async with weirpool.create_pool(through.url(proxy), min_size=2, max_size=2) as pool:
            for _ in range(10 if LONG else 1 if cancels == "vanish" else 3):
                slow = [asyncio.ensure_future(pool.fetchval("select pg_sleep(0.1)")) for _ in range(2)]
                await until_async(lambda: pool.snapshot()["active"] == 2)
                for task in slow:
                    task.cancel()
                await asyncio.wait(slow)
                assert all(task.cancelled() for task in slow)
                nonces = [next(NONCES) for _ in range(20)]
                answers = await asyncio.gather(
                    *[pool.fetchval("select $1::bigint from pg_sleep(0.002)", nonce) for nonce in nonces]
                )
                assert answers == nonces
            await no_poison(pool)
            assert proxy.cancels_seen >= 2

    with no_warnings():
        LOOPS["asyncio"](main)


def test_a_late_cancellation_with_a_question_of_the_pools_own(through):
    """What the pool asks behind a write, the transaction's number, lets nobody in before the cancellation is over."""

    async def main():
        proxy = through.proxy()
        async with weirpool.create_pool(through.url(proxy), min_size=1, max_size=1) as pool:
            await pool.execute("create table t (a bigint)")
            async with pool.session() as session:
                await session.fetchval("select pg_sleep($1)", 0.0)  # is known from here on
                proxy.cancel_delay = 0.3
                async with session.pipeline():
                    written = session.execute("insert into t select 1 from pg_sleep(0.05)")
                    await asyncio.sleep(0.02)  # it is sent by itself, and answered by itself
                    late = session.fetchval("select pg_sleep($1)", 0.3, timeout=0.2)
                    await written
                    with pytest.raises(weirpool.CommandTimeout):
                        await late
                assert await session.fetchval("select 1 from pg_sleep(0.4)", timeout=4) == 1
            assert proxy.cancels_seen == 1

    with no_warnings():
        LOOPS["asyncio"](main)
