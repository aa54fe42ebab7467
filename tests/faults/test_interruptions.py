"""Cancellations and deadlines at every await: delivered, and nothing is lost, poisoned or hit in passing."""

import asyncio
import itertools
import random
import threading
import types

import pytest
import weirpool
from harness import LONG, NONCES, Claims, agree, no_poison, write
from proxy import Fault
from support import LOOPS, no_warnings, until, until_async

SIZE = 3


@types.coroutine
def watched(coroutine, at, interrupt):
    """Awaits the coroutine, and calls interrupt(future) when it waits for the at-th time, from 0 on."""
    waits, step, argument = 0, coroutine.send, None
    while True:
        try:
            future = step(argument)
        except StopIteration as stop:
            return stop.value
        if waits == at:
            interrupt(future)
        waits += 1
        try:
            step, argument = coroutine.send, (yield future)
        except BaseException as error:
            step, argument = coroutine.throw, error


async def work(pool):
    """Something of everything; what it gets must be its own."""
    nonce = next(NONCES)
    async with pool.session() as session:
        await session.execute("insert into t values ($1)", nonce)
        try:
            async with session.transaction():
                assert await session.fetchval("insert into t values ($1) returning a", -nonce) == -nonce
                await session.execute("select 1/0")
        except weirpool.DataError:
            pass
        assert await session.fetchval("select a from t where abs(a) = $1", nonce) == nonce
    assert await pool.fetchval("select $1::bigint", nonce) == nonce
    assert await pool.executemany("insert into u values ($1)", [(n,) for n in range(20)]) == 20
    async with pool.connection() as connection:
        await connection.execute("set work_mem = '1MB'")  # a reset follows
        assert await connection.fetchval("select $1::bigint from pg_sleep(0.001)", nonce) == nonce
    explicit = await pool.session(readonly=True)
    try:
        assert await explicit.fetchval("select $1::bigint", nonce) == nonce
        await explicit.commit()
        assert await explicit.fetchval("select count(*) from t where a = $1", nonce) == 1
        await explicit.rollback()
    finally:
        explicit.release()
    assert await pool.fetchval("show work_mem") == "4MB"
    return nonce


async def whole_transaction(pool):
    nonce = next(NONCES)
    statements = [("insert into t values ($1) returning a", nonce), ("select $1::bigint", nonce)]
    assert [rows[0][0] for rows in await pool.transaction(statements)] == [nonce, nonce]


async def pipelines(pool):
    nonce = next(NONCES)
    async with pool.session() as session:
        async with session.pipeline():
            session.execute("insert into t values ($1)", nonce)
            early = session.fetchval("select $1::bigint", nonce)
            assert await early == nonce
            late = session.fetchval("select a from t where a = $1", nonce)
        assert await late == nonce
    async with pool.connection() as connection:
        async with connection.pipeline():
            started = [connection.fetchval("select $1::bigint", nonce + n) for n in range(5)]
        assert [await operation for operation in started] == [nonce + n for n in range(5)]


async def streams(pool):
    nonce = next(NONCES)
    text = "select $1::bigint + i from generate_series(1, 30) i"
    async with pool.session() as session:
        async for row in session.stream(text, nonce, prefetch=7):
            assert await session.fetchval("select $1::bigint", nonce) == nonce
            if row[0] > nonce + 12:
                break
        assert [row[0] async for row in session.stream(text, nonce, prefetch=7)] == [
            nonce + n for n in range(1, 31)
        ]


async def copies(pool):
    nonce = next(NONCES)
    line = b"%d\n" % nonce

    async def source():
        for _ in range(3):
            yield line * 1000
            await asyncio.sleep(0)

    assert await pool.copy_in("copy u from stdin", source()) == 3000
    chunks = pool.copy_out(f"copy (select {nonce} from generate_series(1, 3000)) to stdout")
    assert b"".join([chunk async for chunk in chunks]) == line * 3000
    assert await pool.copy_records("u", [(nonce,)] * 10) == 10
    assert await pool.execute_script(f"select 1; insert into u values ({nonce})") == "INSERT 0 1"


async def repetition(pool):
    nonce, attempts = next(NONCES), 0

    async def conflicting(session):
        nonlocal attempts
        attempts += 1
        await session.execute("insert into t values ($1)", nonce)
        if attempts == 1:
            await session.execute("do $$ begin raise exception 'again' using errcode = '40001'; end $$")
        return await session.fetchval("select count(*) from t where a = $1", nonce)

    assert await pool.run(conflicting) == 1


async def readonly_group(pool):
    """One fails; what the server skips behind it is sent again."""
    nonce, text = next(NONCES), "select $1::bigint / $2::bigint"
    answers = await asyncio.gather(
        *[pool.fetchval(text, nonce + n, int(n != 5), readonly=True) for n in range(20)], return_exceptions=True
    )
    assert isinstance(answers.pop(5), weirpool.DataError)
    assert answers == [nonce + n for n in range(20) if n != 5]


async def volumes(pool):
    nonce = next(NONCES)
    assert await pool.executemany("insert into u values ($1)", [(nonce,)] * 3000) == 3000
    rows = await pool.fetch("select $1::bigint from generate_series(1, 3000)", nonce)
    assert [row[0] for row in rows] == [nonce] * 3000


OTHERS = [whole_transaction, pipelines, streams, copies, repetition, readonly_group, volumes]


async def life(url):
    async with weirpool.create_pool(url, min_size=1, max_size=SIZE) as pool:
        return await work(pool)


def at_once(task, future):
    task.cancel()


def when_answered(task, future):
    """The answer is there, and the task has not been woken."""
    if asyncio.isfuture(future):
        future.add_done_callback(lambda _: task.cancel())
    else:
        task.cancel()


def after_some_turns(task, future):
    def turn(left):
        if left:
            task.get_loop().call_soon(turn, left - 1)
        else:
            task.cancel()

    turn(random.randrange(1, 12))


def twice(task, future):
    """Again while it cleans up."""
    task.cancel()
    task.get_loop().call_soon(task.get_loop().call_soon, task.cancel)


MOMENTS = [at_once, when_answered, after_some_turns, twice]


class Victim:
    """A task, whether it has come to its at-th wait, and whether it was cancelled before it had ended."""

    def __init__(self, attempt, at, moment):
        self.reached = self.hit = False
        self.moment = moment
        self.task = asyncio.ensure_future(watched(attempt(), at, self.interrupt))

    def interrupt(self, future):
        self.reached = True
        self.moment(self, future)

    def get_loop(self):
        return self.task.get_loop()

    def cancel(self):
        self.hit |= self.task.cancel()


async def interrupt_every_wait(attempt, check, moment):
    """attempt() again and again, cancelled at its first wait, its second … until it ends before that."""
    for at in itertools.count():
        victim = Victim(attempt, at, moment)
        try:
            await victim.task
            assert not victim.hit, f"the cancellation at wait {at} was swallowed"
        except asyncio.CancelledError:
            assert victim.task.cancelled()
        if not victim.reached:
            return at
        await check()


@pytest.fixture
def tables(server, pg_url):
    server.sql("create table t (a bigint); create table u (a bigint)", pg_url.rpartition("/")[2])


def ways(through):
    """Straight, and through a slow line on which cancellations come late."""
    slow = through.proxy()
    slow.otherwise, slow.cancel_delay = Fault(delay=0.001), 0.004
    return {"direct": through.direct, "slow": through.url(slow)}


PLACES = [
    (loop, way)
    for loop in LOOPS
    for way in ("direct", "slow")
    if LONG or (loop == "uvloop") == (way == "direct")
]


@pytest.mark.parametrize(("loop", "way"), PLACES)
def test_a_pools_whole_life(through, tables, observer, loop, way):
    async def main():
        url = ways(through)[way]
        for moment in MOMENTS:
            assert await interrupt_every_wait(lambda: life(url), observer.nobody, moment) > 8

    with no_warnings():
        LOOPS[loop](main)


@pytest.mark.parametrize(("loop", "way"), PLACES)
def test_work_on_a_shared_pool(through, tables, observer, loop, way):
    async def main():
        async with weirpool.create_pool(ways(through)[way], min_size=SIZE, max_size=SIZE) as pool:
            for moment in MOMENTS * (5 if LONG else 1):
                assert (
                    await interrupt_every_wait(lambda: work(pool), lambda: intact(pool, observer), moment) > 8
                )

    with no_warnings():
        LOOPS[loop](main)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize(("loop", "way"), PLACES if LONG else [("uvloop", "direct")])
def test_other_work_on_a_shared_pool(through, tables, observer, kind, loop, way):
    async def main():
        async with weirpool.create_pool(ways(through)[way], min_size=SIZE, max_size=SIZE) as pool:
            for moment in MOMENTS:
                waits = await interrupt_every_wait(
                    lambda: kind(pool), lambda: intact(pool, observer), moment
                )
                assert waits > 0

    with no_warnings():
        LOOPS[loop](main)


async def intact(pool, observer):
    """Right after an interruption: the next callers, and then every connection."""
    nonces = [next(NONCES) for _ in range(2 * SIZE)]
    assert await asyncio.gather(*[pool.fetchval("select $1::bigint", nonce) for nonce in nonces]) == nonces
    await no_poison(pool)
    await until_async(lambda: observer.backends() == pool.snapshot()["size"] <= SIZE)


@pytest.mark.parametrize("loop", list(LOOPS))
def test_at_every_turn_of_the_loop(through, tables, observer, loop):
    async def main():
        step = 1 if LONG else 13
        async with weirpool.create_pool(through.direct, min_size=SIZE, max_size=SIZE) as pool:
            turns = ended = 0
            while ended < 5 and turns < 5000:
                task = asyncio.ensure_future(work(pool))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if not task.cancel():
                    ended += 1
                    await task
                else:
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    assert task.cancelled()
                turns += step
                if turns % 10 < step:
                    await intact(pool, observer)
            await intact(pool, observer)

    with no_warnings():
        LOOPS[loop](main)


class Yields:
    """Where the core gives control back to the loop, or is about to get it: around each call for its descriptor."""

    def __init__(self, loop):
        self.left, self.then = 0, None
        add = loop.add_reader

        def add_reader(fd, callback):
            def called():
                self.passed()
                callback()
                self.passed()

            add(fd, called)

        loop.add_reader = add_reader

    def at(self, number, then):
        """Has it called at that one from here on, from 0 on; even numbers are before the core's turn."""
        self.left, self.then = number, then

    def passed(self):
        self.left -= 1
        if self.left < 0 and self.then:
            then, self.then = self.then, None
            then()


@pytest.mark.parametrize("kind", [work, *OTHERS])
@pytest.mark.parametrize(("way", "every"), [("direct", 3), ("sliced", 23)])
def test_wherever_the_core_yields(through, tables, observer, kind, way, every):
    """Sliced: most messages come in several pieces, so that the core waits in the midst of them."""

    async def interrupted(pool, yields, at):
        task, hit = asyncio.ensure_future(kind(pool)), False

        def cancel():
            nonlocal hit
            hit = task.cancel()

        yields.at(at, cancel)
        try:
            await task
            assert not hit, f"the cancellation at {at} was swallowed"
        except asyncio.CancelledError:
            assert task.cancelled()
        return yields.then is None

    async def main():
        yields = Yields(asyncio.get_running_loop())
        proxy = through.proxy()
        proxy.otherwise = Fault(slice=48)
        url = through.direct if way == "direct" else through.url(proxy)
        async with weirpool.create_pool(url, min_size=SIZE, max_size=SIZE) as pool:
            at = 0
            while await interrupted(pool, yields, at):
                await intact(pool, observer)
                at += 1 if LONG else every
            await intact(pool, observer)
            assert at > 0

    with no_warnings():
        LOOPS["asyncio"](main)


@pytest.mark.parametrize("way", ["direct", "slow"])
def test_timeouts_at_every_wait(through, tables, observer, way):
    """As a cancellation that somebody turns into a TimeoutError."""

    async def main():
        async with weirpool.create_pool(ways(through)[way], min_size=SIZE, max_size=SIZE) as pool:
            at, over = 0, False
            while not over:
                late = asyncio.Event()
                try:
                    await limited(watched(work(pool), at, lambda _, late=late: late.set()), late)
                    over = True
                except asyncio.TimeoutError as error:
                    assert not isinstance(error, weirpool.Error)
                await intact(pool, observer)
                at += 1
            assert at > 8

    with no_warnings():
        LOOPS["asyncio"](main)


async def limited(coroutine, late):
    """asyncio.timeout(), which Python 3.10 does not have, with an event as its clock."""
    task = asyncio.ensure_future(coroutine)
    watch = asyncio.ensure_future(late.wait())
    await asyncio.wait([task, watch], return_when=asyncio.FIRST_COMPLETED)
    watch.cancel()
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        raise asyncio.TimeoutError from None


TIMES = [0.0001, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02]
# SessionClosed: of a session that was ended between two calls, on a connection that others have had since.
# Time-outs of milliseconds say nothing against the server, however many there are in a row.
HASTY = {"min_size": SIZE, "max_size": SIZE, "circuit_ignore": "CommandTimeout"}
TIMED_OUT = (weirpool.PoolTimeout, weirpool.OutcomeUnknown, weirpool.SessionClosed)


async def statements(pool, seconds, counts):
    """Each has its answer, and it is its own, or says that time was up."""
    nonce = next(NONCES)
    for coroutine, answer in [
        (pool.fetchval("select $1::bigint", nonce, timeout=seconds), nonce),
        (pool.fetchval("select $1::bigint from pg_sleep(0.004)", nonce, timeout=seconds), nonce),
        (pool.executemany("insert into u values ($1)", [(n,) for n in range(200)], timeout=seconds), 200),
    ]:
        try:
            assert await coroutine == answer
            counts[True] += 1
        except TIMED_OUT:
            counts[False] += 1


async def in_session(pool, nonce, on_session, on_statement):
    async with pool.session(**on_session) as session:
        await session.execute("insert into t values ($1)", nonce, **on_statement)
        assert (
            await session.fetchval("select $1::bigint from pg_sleep(0.002)", nonce, **on_statement) == nonce
        )


async def sessions(pool, seconds, claims):
    for options in (
        ({}, {"timeout": seconds}),
        ({"timeout": seconds}, {}),
        ({"checkout_timeout": seconds}, {}),
    ):
        nonce = next(NONCES)
        await write(claims, nonce, in_session(pool, nonce, *options))


@pytest.mark.parametrize(("loop", "way"), PLACES)
def test_the_pools_own_timeouts(through, tables, observer, loop, way):
    counts, claims = {True: 0, False: 0}, Claims()

    async def main():
        async with weirpool.create_pool(ways(through)[way], **HASTY) as pool:
            for seconds in TIMES * (20 if LONG else 2):
                await asyncio.gather(
                    *[statements(pool, seconds, counts) for _ in range(SIZE)],
                    *[sessions(pool, seconds, claims) for _ in range(SIZE)],
                )
                await intact(pool, observer)
        await observer.nobody()
        agree(observer, claims)
        assert counts[True] and counts[False]

    with no_warnings():
        LOOPS[loop](main)


@pytest.mark.parametrize("way", ["direct", "slow"])
def test_the_blocking_pools_timeouts(through, tables, observer, way):
    counts, wrong = {True: 0, False: 0}, []

    def attempts(pool, seconds, nonce):
        yield lambda: pool.fetchval("select $1::bigint", nonce, timeout=seconds), nonce
        yield lambda: pool.fetchval("select $1::bigint from pg_sleep(0.004)", nonce, timeout=seconds), nonce
        yield lambda: in_session(pool, nonce, timeout=seconds), nonce
        yield lambda: in_session(pool, nonce, checkout_timeout=seconds), nonce

    def in_session(pool, nonce, **options):
        with pool.session(**options) as session:
            session.execute("insert into t values ($1)", nonce)
            return session.fetchval("select $1::bigint from pg_sleep(0.002)", nonce)

    def caller(pool, seconds):
        for attempt, answer in attempts(pool, seconds, next(NONCES)):
            try:
                assert attempt() == answer
                counts[True] += 1
            except TIMED_OUT:
                counts[False] += 1
            except BaseException as error:
                wrong.append((seconds, error))

    with no_warnings(), weirpool.create_pool_sync(ways(through)[way], **HASTY) as pool:
        for seconds in TIMES * (10 if LONG else 1):
            threads = [threading.Thread(target=caller, args=(pool, seconds)) for _ in range(2 * SIZE)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert wrong == []
            for nonce in range(2 * SIZE):
                assert pool.fetchval("select $1::bigint", nonce) == nonce
        assert counts[True] and counts[False]
        held = [pool.connection().__enter__() for _ in range(SIZE)]
        assert [connection.fetchval("select $1::bigint", n) for n, connection in enumerate(held)] == list(
            range(SIZE)
        )
        for connection in held:
            connection.release()
        until(lambda: observer.backends() == pool.snapshot()["size"] <= SIZE)
