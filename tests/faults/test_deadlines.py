"""A server that has stopped and answers nobody: every call has its answer when its time is up."""

import asyncio
import contextlib
import pathlib
import time

import pytest
import weirpool
from harness import no_poison, quiet
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


async def a_session(pool):
    async with pool.session(timeout=SOON) as session:
        await session.fetchval(ECHO, 1)


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


OPTIONS = {"circuit_breaker": False, "command_timeout": SOON, "connect_timeout": 20, "checkout_timeout": 20}


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
