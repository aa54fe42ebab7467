"""
Every call has its answer when its time is up: when the server has stopped and answers nobody, and when it talks without
end.
"""

import asyncio
import contextlib
import pathlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import weirpool
from harness import no_poison, quiet
from proxy import Fault
from support import LOOPS, PRELOAD, no_warnings, stopped

pytestmark = pytest.mark.skipif(
    "san" in (PRELOAD or ""), reason="a sanitizer takes longer by itself than what is allowed here"
)

SOON = 0.1  # seconds that a call has
LATE = 0.1  # … and how much later it may answer, but for when others had the processor
INSERT = "insert into t values ($1)"
ECHO = "select $1::bigint"
ROWS = "select generate_series(1, 100000)"
OUT = f"copy ({ROWS}) to stdout"

# Each is given a pool, or what a pool has lent before the server stopped.
ON_POOL = {
    "fetchval": lambda on: on.fetchval(ECHO, 1, timeout=SOON),
    "fetch": lambda on: on.fetch(ECHO, 1, timeout=SOON),
    "fetchrow": lambda on: on.fetchrow(ECHO, 1, timeout=SOON),
    "readonly": lambda on: on.fetchval(ECHO, 1, readonly=True, timeout=SOON),
    "an unknown statement": lambda on: on.fetchval("select $1::bigint + 1", 1, timeout=SOON),
    "by the option": lambda on: on.fetchval(ECHO, 1),
    "execute": lambda on: on.execute(INSERT, 1, timeout=SOON),
    "executemany": lambda on: on.executemany(INSERT, [(n,) for n in range(100)], timeout=SOON),
    "much": lambda on: on.executemany("insert into u values ($1)", [("x" * 10000,)] * 2000, timeout=SOON),
    "transaction": lambda on: on.transaction([(INSERT, 1), (ECHO, 1)], timeout=SOON),
    "run": lambda on: on.run(lambda session: session.fetchval(ECHO, 1), timeout=SOON),
    "script": lambda on: on.execute_script("select 1; insert into t values (1)", timeout=SOON),
    "copy_in": lambda on: on.copy_in("copy t from stdin", b"1\n2\n", timeout=SOON),
    "much copy_in": lambda on: on.copy_in("copy t from stdin", [b"1\n" * 100_000] * 200, timeout=SOON),
    "copy_records": lambda on: on.copy_records("t", [(1,), (2,)], timeout=SOON),
    "copy_out": lambda on: all_of(on.copy_out(OUT, timeout=SOON)),
    "stream": lambda on: all_of(on.stream(ROWS, prefetch=10, timeout=SOON)),
}
ON_LOAN = [
    "fetchval",
    "an unknown statement",
    "by the option",
    "execute",
    "executemany",
    "script",
    "copy_in",
    "copy_out",
]
IN_DOUBT = ["execute", "executemany", "script"]


async def all_of(pieces):
    async for _ in pieces:
        pass


async def prepared(pool, stack):
    """(name, what is called while the server has stopped, whether its outcome is unknown)"""
    reader = await pool.connection()
    stack.callback(reader.release)
    stream = aiter(reader.stream(ROWS, prefetch=10, timeout=SOON))
    await anext(stream)
    yield "a stream's later batch", lambda: all_of(stream), False
    for name, call in ON_POOL.items():
        yield name, lambda call=call: call(pool), name in IN_DOUBT
    for name in ON_LOAN:
        connection = await pool.connection()
        stack.callback(connection.release)
        call = ON_POOL[name]
        yield f"{name} on a connection", lambda c=connection, call=call: call(c), name in IN_DOUBT
    for name in ("fetchval", "execute", "stream"):
        session = await pool.session()
        stack.callback(session.release)
        assert await session.fetchval(ECHO, 1) == 1
        yield f"{name} in a session", lambda s=session, call=ON_POOL[name]: call(s), False
    session = await pool.session()
    stack.callback(session.release)
    await session.execute(INSERT, 1)
    yield "commit", session.commit, True
    session = await pool.session()
    stack.callback(session.release)
    await session.execute(INSERT, 1)
    yield "rollback", session.rollback, False
    connection = await pool.connection()
    stack.callback(connection.release)
    await connection.fetchval(ECHO, 1)
    yield "a pipeline", lambda: pipeline(connection), False
    yield "wait_for", lambda: asyncio.wait_for(pool.fetchval(ECHO, 1), SOON), False
    yield "the time of a session", lambda: a_session(pool), False


async def pipeline(connection):
    async with connection.pipeline():
        answers = [connection.fetchval(ECHO, n, timeout=SOON) for n in range(5)]
        await answers[-1]


async def a_session(pool, text="select 1"):
    async with pool.session(timeout=SOON) as session:
        await session.fetch(text)


def held_up():
    """Seconds in which this thread was ready to run, and others did."""
    return int(pathlib.Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


@contextlib.contextmanager
def in_time(name, unknown, lateness):
    began, ready = time.monotonic(), held_up()
    with pytest.raises((weirpool.Error, asyncio.TimeoutError)) as caught:
        yield
    late = time.monotonic() - began - SOON
    lateness[name] = late, late - (held_up() - ready)
    error = caught.value
    assert isinstance(error, (weirpool.PoolTimeout, weirpool.OutcomeUnknown, asyncio.TimeoutError)), (
        name,
        error,
    )
    assert isinstance(error, weirpool.OutcomeUnknown) == unknown or name == "transaction", (name, error)


def none_is_late(lateness):
    wrong = {name: late for name, late in lateness.items() if late[0] <= -0.02 or late[1] >= LATE}
    assert wrong == {}  # seconds


NO_BREAKER = {"circuit_breaker": False}
OPTIONS = {**NO_BREAKER, "command_timeout": SOON, "connect_timeout": 20, "checkout_timeout": 20}


TABLES = "create table t (a bigint); create table u (a text)"


async def begin(pool):
    """The tables, and the statements as a pool knows them."""
    await pool.execute_script(TABLES)
    await pool.fetchval(ECHO, 1)
    await pool.executemany(INSERT, [(1,)])
    await pool.executemany("insert into u values ($1)", [("x",)])
    await quiet(pool)


@pytest.mark.parametrize("loop", list(LOOPS))
def test_a_stopped_server(server, pg_url, loop):
    count, lateness = len(ON_POOL) + len(ON_LOAN) + 9, {}

    async def main():
        async with weirpool.create_pool(pg_url, min_size=count, max_size=count, **OPTIONS) as pool:
            await begin(pool)
            with contextlib.ExitStack() as stack:
                calls = [call async for call in prepared(pool, stack)]
                with stopped(server):
                    for name, call, unknown in calls:
                        with in_time(name, unknown, lateness):
                            await call()
            none_is_late(lateness)
            assert len(lateness) == count
            for n in range(count):
                assert await pool.fetchval(ECHO, n, timeout=20) == n
            await no_poison(pool)

    with no_warnings():
        LOOPS[loop](main)


def test_on_a_blocking_pool(server, pg_url):
    lateness = {}
    calls = ON_POOL | {
        "copy_out": lambda on: list(on.copy_out(OUT, timeout=SOON)),
        "stream": lambda on: list(on.stream(ROWS, prefetch=10, timeout=SOON)),
    }
    count = len(calls) + 3
    with no_warnings(), weirpool.create_pool_sync(pg_url, min_size=count, max_size=count, **OPTIONS) as pool:
        pool.execute_script(TABLES)
        pool.fetchval(ECHO, 1)
        with pool.connection() as connection, pool.session() as session:
            session.execute(INSERT, 1)
            with stopped(server):
                for name, call in calls.items():
                    with in_time(name, name in IN_DOUBT, lateness):
                        call(pool)
                with in_time("execute on a connection", True, lateness):
                    connection.execute(INSERT, 1, timeout=SOON)
                with in_time("commit", True, lateness):
                    session.commit()
        none_is_late(lateness)
        for n in range(count):
            assert pool.fetchval(ECHO, n, timeout=20) == n


def test_in_many_threads(server, pg_url):
    """They wait side by side, and one of them looks for the answers of all."""
    names = ["fetchval", "execute", "an unknown statement", "script"] * 3
    lateness = {}

    def call(number):
        name = names[number]
        with in_time((name, number), name in IN_DOUBT, lateness):
            ON_POOL[name](pool)

    with no_warnings(), weirpool.create_pool_sync(pg_url, min_size=12, max_size=12, **OPTIONS) as pool:
        pool.execute_script(TABLES)
        pool.fetchval(ECHO, 1)
        pool.execute(INSERT, 1)
        with ThreadPoolExecutor(len(names)) as threads:
            with stopped(server):
                done = [threads.submit(call, number) for number in range(len(names))]
                for future in done:
                    future.result()
        none_is_late(lateness)
        assert len(lateness) == len(names)
        for n in range(24):
            assert pool.fetchval(ECHO, n, timeout=20) == n


ENDLESS = "select generate_series(1, 1000000000)"
LONG_ROWS = "select repeat('x', 1000000) from generate_series(1, 1000000)"
NOTICES = "do $$ begin loop raise notice 'x'; end loop; end $$"


@pytest.mark.parametrize("loop", list(LOOPS))
def test_a_server_that_talks_without_end(pg_url, loop):
    lateness = {}

    async def main():
        options = OPTIONS | {"command_timeout": 20}
        async with weirpool.create_pool(pg_url, min_size=13, max_size=13, **options) as pool:  # one for each
            for rows in (ENDLESS, LONG_ROWS):
                for name, call in {
                    "fetch": lambda on, rows=rows: on.fetch(rows, timeout=SOON),
                    "execute": lambda on, rows=rows: on.execute(rows, timeout=SOON),
                    "wait_for": lambda on, rows=rows: asyncio.wait_for(on.fetch(rows), SOON),
                    "session": lambda on, rows=rows: a_session(on, rows),
                    "copy_out": lambda on, rows=rows: all_of(on.copy_out(f"copy ({rows}) to stdout", timeout=SOON)),
                    "stream": lambda on, rows=rows: all_of(on.stream(rows, prefetch=1_000_000, timeout=SOON)),
                }.items():
                    with in_time((name, rows), False, lateness):
                        await call(pool)
            with in_time("notices", True, lateness):
                await pool.execute(NOTICES, timeout=SOON)
            none_is_late(lateness)
            assert await pool.fetchval(ECHO, 7) == 7
            await no_poison(pool)

    with no_warnings():
        LOOPS[loop](main)


def test_a_server_that_mumbles(through):
    """A byte now and then: there is always something to be read, and never an answer."""
    lateness = {}

    async def main():
        proxy = through.proxy()
        async with weirpool.create_pool(through.url(proxy), min_size=1, max_size=1, **OPTIONS) as pool:
            await pool.fetchval(ECHO, 1)
            (talk,) = proxy.conversations
            talk.fault = Fault(slice=1)
            with in_time("fetch", False, lateness):
                await pool.fetch(ROWS)
            talk.fault = Fault()
            none_is_late(lateness)
            assert await pool.fetchval(ECHO, 7, timeout=20) == 7

    with no_warnings():
        LOOPS["asyncio"](main)


def test_a_server_that_is_silent_from_the_beginning(through):
    """It accepts connections: whichever time is up first, that of the attempt or the caller's."""
    lateness, patient = {}, {"min_size": 0, "max_size": 4, **NO_BREAKER}

    async def main():
        proxy = through.proxy()
        proxy.otherwise = Fault(silent=True)
        url = through.url(proxy)
        async with weirpool.create_pool(url, connect_timeout=SOON, checkout_timeout=20, **patient) as pool:
            with in_time("connect_timeout", False, lateness):
                await pool.fetchval(ECHO, 1)
        async with weirpool.create_pool(url, connect_timeout=20, checkout_timeout=SOON, **patient) as pool:
            with in_time("checkout_timeout", False, lateness):
                await pool.connection()
        async with weirpool.create_pool(url, connect_timeout=20, checkout_timeout=20, **patient) as pool:
            with in_time("timeout of a statement", False, lateness):
                await pool.execute(INSERT, 1, timeout=SOON)
            with in_time("checkout_timeout of a session", False, lateness):
                await pool.session(checkout_timeout=SOON)
            with in_time("timeout of run", False, lateness):
                await pool.run(lambda session: session.fetchval(ECHO, 1), timeout=SOON)
        none_is_late(lateness)

    with no_warnings():
        LOOPS["asyncio"](main)


def test_sqlite(sqlite_url):
    """What reckons, what gives rows without end, what waits for a lock."""
    counting = "with recursive n(i) as (select 1 union all select i + 1 from n)"
    lateness = {}

    async def main():
        async with weirpool.create_pool(sqlite_url, max_size=3, lock_timeout=20, **NO_BREAKER) as pool:
            await pool.execute("create table t (a integer)")
            for text in (f"{counting} select count(*) from n", f"{counting} select * from n"):
                with in_time(text, False, lateness):
                    await pool.fetch(text, timeout=SOON)
                with in_time(f"{text}, at once", False, lateness):
                    await asyncio.wait_for(pool.fetch(text), SOON)
            async with pool.session() as session:
                await session.execute(INSERT, 1)
                with in_time("lock", True, lateness):
                    await pool.execute(INSERT, 2, timeout=SOON)
            none_is_late(lateness)
            await quiet(pool)
            assert await pool.fetchval("select count(*) from t") == 1

    with no_warnings():
        LOOPS["asyncio"](main)
