"""Writes in autocommit that may have been done, or in part, though they have failed, or their time was up."""

import asyncio
import sqlite3
import subprocess
import sys

import pytest
import weirpool
from support import LOOPS, PRELOAD, no_warnings, until, until_async

SLOW = "insert into t select $1::int from pg_sleep(60)"
READ = "select $1::int from pg_sleep(60)"
SOON = 0.1


async def connection(pool, call):
    async with pool.connection() as connection:
        await call(connection)


async def transaction(pool, call, **options):
    async with pool.session(**options) as session:
        await call(session)


def execute(on, text=SLOW, timeout=SOON):
    return on.execute(text, 1, timeout=timeout)


def many(on):
    return on.executemany(SLOW, [(1,), (2,)], timeout=SOON)


def script(on):
    return on.execute_script("insert into t select 1 from pg_sleep(60); select 1", timeout=SOON)


def with_query(on):
    return on.fetch("with x as (insert into t select 1 from pg_sleep(60) returning 1) select 1", timeout=SOON)


def on_pool(main, url, loop="asyncio", **options):
    async def body():
        async with weirpool.create_pool(
            url, min_size=1, max_size=1, circuit_breaker=False, **options
        ) as pool:
            await pool.execute("create table if not exists t (a int)")
            await idle(pool)
            await main(pool)
            assert await pool.fetchval("select count(*) from t") == 0

    with no_warnings():
        LOOPS[loop](body)


async def idle(pool):
    """Every connection of it is: what comes next has its time for itself."""
    await until_async(lambda: not pool or (s := pool.snapshot())["idle"] == s["size"])


async def is_in_doubt(attempt, pool=None):
    with pytest.raises(weirpool.OutcomeTimeout, match="takes effect is unknown") as caught:
        await attempt
    error = caught.value
    assert isinstance(error, weirpool.OutcomeUnknown) and isinstance(error, weirpool.CommandTimeout)
    assert isinstance(error, TimeoutError) and not error.retryable and error.xid is None
    await idle(pool)


async def is_out(kind, attempt, pool=None):
    with pytest.raises(weirpool.PoolTimeout) as caught:
        await attempt
    assert type(caught.value) is kind
    await idle(pool)


@pytest.mark.parametrize("loop", list(LOOPS))
def test_it_is_in_doubt(pg_url, loop):
    async def main(pool):
        for kind in (execute, many, script, with_query):
            await is_in_doubt(kind(pool), pool)
            await is_in_doubt(connection(pool, kind), pool)
        assert pool.snapshot()["queries_timed_out"] == 8

    on_pool(main, pg_url, loop)


def test_with_a_setup(pg_url):
    async def setup(connection):
        await connection.fetchval("select 1")

    async def main(pool):
        await is_in_doubt(execute(pool), pool)
        await is_out(weirpool.CommandTimeout, execute(pool, READ))

    on_pool(main, pg_url, setup=setup)


def test_by_the_pools_option(pg_url):
    async def main(pool):
        await is_in_doubt(pool.execute(SLOW, 1))

    on_pool(main, pg_url, command_timeout=SOON)


def test_what_was_not_done_is_not(pg_url):
    """Reads, what a transaction undoes, what was never sent."""

    async def read(on):
        await execute(on, READ)

    async def endless(on):
        await execute(on, timeout=None)

    async def nested(on):
        async with on.transaction():
            await execute(on)

    async def begun(on):
        await on.execute("begin")
        await execute(on)

    async def main(pool):
        late = weirpool.CommandTimeout
        await is_out(late, execute(pool, READ), pool)
        await is_out(late, pool.execute(READ, 1, readonly=True, timeout=SOON), pool)
        await is_out(late, connection(pool, read), pool)
        await is_out(late, transaction(pool, execute), pool)
        await is_out(weirpool.SessionTimeout, transaction(pool, endless, timeout=SOON), pool)
        await is_out(late, connection(pool, nested), pool)
        await is_out(late, connection(pool, begun), pool)
        async with pool.connection() as held:
            await is_out(weirpool.CheckoutTimeout, execute(pool))
            with pytest.raises(weirpool.ProgrammingError):
                await held.execute("selec 1", timeout=SOON)

    on_pool(main, pg_url)


def test_a_query_that_calls_a_function(pg_url):
    """A user's may do anything; the server's own, and a call that is readonly, only read."""
    pay = "select pay($1)"
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select pay(%'"

    async def lost(pool, other):
        payment = asyncio.ensure_future(pool.fetchval(pay, 60))
        while not payment.done() and not await other.fetchval(kill):
            await asyncio.sleep(0.01)
        with pytest.raises(weirpool.OutcomeUnknown) as caught:
            await payment
        assert not caught.value.retryable

    async def main(pool):
        await pool.execute(
            "create function pay(n float) returns int language plpgsql as "
            "'begin insert into t values (1); perform pg_sleep(n); return 1; end'"
        )
        await idle(pool)
        await is_in_doubt(pool.fetchval(pay, 60, timeout=SOON), pool)
        await is_out(weirpool.CommandTimeout, pool.fetchval("select count(pg_sleep(60))", timeout=SOON), pool)
        await pool.execute("create function nap() returns text language sql as 'select pg_sleep(60)::text'")
        await idle(pool)
        await is_in_doubt(pool.fetchval("select nap()", timeout=SOON), pool)
        await is_out(weirpool.CommandTimeout, pool.fetchval("select nap()", timeout=SOON, readonly=True), pool)
        await is_out(weirpool.CommandTimeout, transaction(pool, lambda on: on.fetchval(pay, 60, timeout=SOON)), pool)
        async with weirpool.create_pool(pg_url, max_size=1) as other:
            await lost(pool, other)

    on_pool(main, pg_url)


SLOW_COMMIT = """
    create function effect() returns int language sql as 'insert into t values (1) returning 1';
    create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(1.5); return null; end';
    create constraint trigger slow after insert on t deferrable initially deferred
        for each row execute function slow()
"""
INSERT = "insert into t values (1)"
DURING_COMMIT = 0.6


def insert(on):
    return on.execute(INSERT)


async def committing(pool, numbers, **options):
    async with pool.session(**options) as session:
        await insert(session)
        numbers.append(int(await session.fetchval("select pg_current_xact_id()::text")))


async def its_commit_is_in_doubt(attempt, kind=weirpool.OutcomeTimeout, numbers=None):
    with pytest.raises(weirpool.OutcomeUnknown) as caught:
        await attempt
    error = caught.value
    assert type(error) is kind and not error.retryable, error
    assert isinstance(error, TimeoutError) == (kind is weirpool.OutcomeTimeout)
    assert numbers is None or error.xid in numbers


def test_a_commit(pg_url):
    """Whichever time is up; but not when the pool itself ends it."""

    async def stream(pool):
        async with pool.connection() as connection:
            async for _ in connection.stream("select effect()", timeout=DURING_COMMIT):
                pass

    async def inner(pool):
        async with pool.connection() as connection, connection.transaction():
            await insert(connection)

    async def closed(server):
        numbers = []
        text = "select count(*) from pg_stat_activity where query = 'COMMIT' and backend_xid = any($1::text[]::xid[])"
        async with weirpool.create_pool(pg_url) as pool:
            attempt = asyncio.ensure_future(committing(pool, numbers))
            while not attempt.done() and not await server.fetchval(text, [str(number) for number in numbers]):
                await asyncio.sleep(0.01)
            await pool.close(grace=0)
            await its_commit_is_in_doubt(attempt, weirpool.OutcomeUnknown, numbers)

    async def main(pool):
        numbers, soon = [], {"timeout": DURING_COMMIT}
        await pool.execute_script(SLOW_COMMIT)
        async with (
            weirpool.create_pool(pg_url, circuit_breaker=False, command_timeout=DURING_COMMIT) as hasty,
            weirpool.create_pool(pg_url, circuit_breaker=False) as other,
        ):
            await asyncio.gather(
                its_commit_is_in_doubt(committing(hasty, numbers), numbers=numbers),
                its_commit_is_in_doubt(inner(hasty)),
                its_commit_is_in_doubt(hasty.run(insert)),
                its_commit_is_in_doubt(hasty.transaction([INSERT])),
                its_commit_is_in_doubt(committing(other, numbers, **soon), numbers=numbers),
                its_commit_is_in_doubt(other.run(insert, **soon)),
                its_commit_is_in_doubt(other.transaction([INSERT], **soon)),
                its_commit_is_in_doubt(stream(other)),
                its_commit_is_in_doubt(other.copy_in("copy t from stdin", b"1\n", **soon)),
            )
        await closed(pool)
        await pool.execute("truncate t")

    on_pool(main, pg_url)


def test_a_commit_on_a_blocking_pool(pg_url):
    with weirpool.create_pool_sync(pg_url, max_size=3, circuit_breaker=False) as pool:
        pool.execute("create table t (a int)")
        pool.execute_script(SLOW_COMMIT)
        with pytest.raises(weirpool.OutcomeTimeout) as caught, pool.session(timeout=DURING_COMMIT) as session:
            insert(session)
            number = int(session.fetchval("select pg_current_xact_id()::text"))
        assert caught.value.xid == number
        with pytest.raises(weirpool.OutcomeTimeout):
            pool.transaction([INSERT], timeout=DURING_COMMIT)
        with pytest.raises(weirpool.OutcomeTimeout):
            pool.run(insert, timeout=DURING_COMMIT)


def test_it_is_not_repeated(pg_url):
    """pool.run() does not take it for a lost connection."""
    attempts = 0

    async def main(pool):
        async def other(session):
            nonlocal attempts
            attempts += 1
            await execute(second)

        async with weirpool.create_pool(pg_url, max_size=1) as second:
            await is_in_doubt(pool.run(other))
        assert attempts == 1

    on_pool(main, pg_url)


def test_in_a_pipeline(pg_url):
    """The one that runs, and the one behind it; but not one of which only the types were asked for."""
    insert = "insert into u values ($1)"

    async def both(on):
        async with on.pipeline():
            first, second = execute(on), execute(on, insert)
            await is_in_doubt(first)
            await is_out(weirpool.CommandTimeout, second)
        assert await on.fetchval("select count(*) from u") == 0
        await on.execute(insert, 1)
        async with on.pipeline():
            first, second = execute(on), execute(on, insert)
            await is_in_doubt(first)
            await is_in_doubt(second)

    async def main(pool):
        await pool.execute("create table u (a int)")
        await connection(pool, both)
        assert await pool.fetchval("select count(*) from u") >= 1  # the cancellation may have ended the first

    on_pool(main, pg_url)


def test_behind_others(pg_url):
    """On a connection that others share it is not even cancelled: there it is done."""
    insert = "insert into t values ($1)"

    async def main(pool):
        for n in range(3):
            await pool.execute(insert, -n)
            await pool.fetchval("select $1::bigint", n)
        await pool.execute("truncate t")
        async with weirpool.create_pool(pg_url, max_size=1) as other, other.session() as session:
            await session.execute("lock table t in exclusive mode")
            writer = asyncio.ensure_future(pool.execute(insert, 1, timeout=SOON))
            neighbour = asyncio.ensure_future(pool.fetchval("select $1::bigint", 7, timeout=20))
            await is_in_doubt(writer)
        assert await neighbour == 7
        assert await pool.fetch("select a from t") == [(1,)]
        await pool.execute("truncate t")

    on_pool(main, pg_url, pipeline_max_wait=60)


def test_on_a_blocking_pool(pg_url):
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool:
        pool.execute("create table t (a int)")
        with pytest.raises(weirpool.OutcomeTimeout):
            execute(pool)
        with pool.connection() as connection, pytest.raises(weirpool.OutcomeTimeout):
            execute(connection)
        with pool.session() as session:
            with pytest.raises(weirpool.CommandTimeout) as caught:
                execute(session)
            assert type(caught.value) is weirpool.CommandTimeout
            session.rollback()
        assert pool.fetchval("select count(*) from t") == 0


def test_on_sqlite(tmp_path):
    """It may be done before anybody has looked, or be done before its cancellation is heard."""
    url, insert = f"sqlite:///{tmp_path}/late.db", "insert into t values ($1)"
    file = sqlite3.connect(tmp_path / "late.db", isolation_level=None)

    async def given_back(pool):
        connection = await pool.connection()
        writer = asyncio.ensure_future(connection.execute(insert, 1))
        await asyncio.sleep(0)
        until(lambda: file.execute("select count(*) from t").fetchone() == (1,))
        connection.release()
        with pytest.raises(weirpool.OutcomeUnknown) as caught:
            await writer
        assert not caught.value.retryable and not isinstance(caught.value, weirpool.CommandTimeout)

    async def late(pool):
        """Whether the lock comes first, nobody knows; in a transaction that does not matter."""
        file.execute("begin immediate")
        for text in (insert, "update t set a = 2 where a = $1", "with x as (select 1) delete from t where a = $1"):
            await is_in_doubt(pool.execute(text, 1, timeout=SOON))
        await is_in_doubt(pool.execute_script("insert into t values (1)", timeout=SOON))
        await is_out(weirpool.CommandTimeout, transaction(pool, lambda on: on.execute(insert, 1, timeout=SOON)))
        file.execute("rollback")
        endless = "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r"
        await is_out(weirpool.CommandTimeout, pool.fetchval(endless, timeout=SOON))

    async def main():
        async with weirpool.create_pool(url, max_size=2, lock_timeout=60, circuit_breaker=False) as pool:
            await pool.execute("create table t (a int)")
            await given_back(pool)
            await late(pool)
            assert await pool.fetchval("select count(*) from t") == 1

    with no_warnings():
        asyncio.run(main())


def test_what_failed_in_part_is_not_retryable(pg_url):
    """A script, or a procedure, that has committed before it failed; a single statement, and a transaction, has not."""
    lock = "lock table lk in exclusive mode nowait"

    async def fails(attempt, retryable):
        with pytest.raises(weirpool.LockTimeout) as caught:
            await attempt
        assert caught.value.retryable is retryable

    async def in_session(on):
        await on.execute_script(f"insert into sc values (3); {lock}")

    async def main(pool):
        await pool.execute_script(
            "create table sc (a int); create table lk (a int);"
            f"create procedure pr() language plpgsql as 'begin insert into sc values (2); commit; {lock}; end'"
        )
        async with weirpool.create_pool(pg_url, max_size=1) as other, other.session() as session:
            await session.execute("lock table lk in exclusive mode")
            await fails(pool.execute_script(f"insert into sc values (1); commit; {lock}"), False)
            await fails(pool.execute("call pr()"), False)
            await fails(
                pool.execute(f"do 'begin insert into sc values (3); commit; {lock}; end'"),
                False,
            )
            await fails(transaction(pool, in_session), True)
            await fails(
                transaction(
                    pool, lambda on: on.execute_script(f"insert into sc values (4); commit; begin; {lock}")
                ),
                False,
            )
            await fails(transaction(pool, lambda on: on.execute(lock)), True)
            await fails(pool.fetch("select * from lk for update nowait"), True)
        assert await pool.fetch("select a from sc order by a") == [(1,), (2,), (3,), (4,)]

    on_pool(main, pg_url)


LEAVING = [(False, "commit"), (False, "rollback"), (True, "commit"), (True, "rollback")]


@pytest.mark.parametrize("failed, end", LEAVING)
def test_a_script_that_leaves_its_transaction(pg_url, failed, end):
    """What stands behind its end is done by itself, whatever the transaction has come to before."""

    async def leaving(on):
        await on.execute("begin")
        if failed:
            with pytest.raises(weirpool.ProgrammingError):
                await on.execute("selec 1")
        await on.execute_script(f"{end}; insert into t select 1 from pg_sleep(60)", timeout=SOON)

    async def main(pool):
        await is_in_doubt(connection(pool, leaving), pool)

    on_pool(main, pg_url)


@pytest.mark.parametrize("end", ["commit", "rollback", "/* ; */ end", "release a"])
def test_a_script_that_leaves_its_transaction_on_sqlite(tmp_path, end):
    endless = "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r"

    async def script(on, text):
        await on.execute("savepoint a" if "release" in end else "begin")
        await on.execute_script(f"{text}; insert into t values (1); {endless}", timeout=SOON)

    async def main():
        async with weirpool.create_pool(f"sqlite:///{tmp_path}/left.db", circuit_breaker=False) as pool:
            await pool.execute("create table t (a text)")
            await is_out(weirpool.CommandTimeout, connection(pool, lambda on: script(on, "select 'a; commit'")))
            assert await pool.fetchval("select count(*) from t") == 0
            await is_in_doubt(connection(pool, lambda on: script(on, f"select 'a;'; {end}")))
            assert await pool.fetchval("select count(*) from t") == 1

    with no_warnings():
        asyncio.run(main())


def test_a_script_that_failed_in_part_on_sqlite(tmp_path):
    other = sqlite3.connect(tmp_path / "other.db", isolation_level=None)
    other.execute("create table t (a int)")
    other.execute("begin immediate")
    second = "insert into other.t values (2)"
    with weirpool.create_pool_sync(f"sqlite:///{tmp_path}/one.db", max_size=1, lock_timeout=0.05) as pool:
        pool.execute("create table t (a int)")
        with pool.connection() as connection:
            connection.execute(f"attach '{tmp_path}/other.db' as other")
            for script, retryable in ((f"insert into t values (1); {second}", False), (second, True)):
                with pytest.raises(weirpool.LockTimeout) as caught:
                    connection.execute_script(script)
                assert caught.value.retryable is retryable
            with pytest.raises(weirpool.LockTimeout) as caught, connection.transaction():
                connection.execute_script(f"insert into t values (1); {second}")
            assert caught.value.retryable
        assert pool.fetchval("select count(*) from t") == 1
    other.close()


STARVING = """
import resource, sys, weirpool
with weirpool.create_pool_sync(sys.argv[1], max_size=1) as pool:
    insert = "insert into t select generate_series(1, $1) returning repeat('x', 1000)"
    assert len(pool.fetch(insert, 2)) == 2
    read = "select repeat('x', 1000) from generate_series(1, $1)"
    assert len(pool.fetch(read, 2)) == 2
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (8 << 20), resource.RLIM_INFINITY))
    for text in (insert, read):
        try:
            pool.fetch(text, 40000)
        except weirpool.Error as error:
            print(type(error).__name__, error.retryable)
"""


@pytest.mark.skipif(bool(PRELOAD), reason="a sanitizer takes more address space than is left")
def test_without_memory_for_the_rows(pg_url):
    """The server has done it, and what it gave was dropped."""
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool:
        pool.execute("create table t (a int)")
        child = subprocess.run([sys.executable, "-c", STARVING, pg_url], capture_output=True, text=True)
        assert child.stdout.split() == ["OutOfMemory", "False", "OutOfMemory", "True"], child.stderr
        assert pool.fetchval("select count(*) from t") == 40002
