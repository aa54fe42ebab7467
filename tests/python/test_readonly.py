"""readonly= where nothing is shared: without pipelining, on SQLite; and pools that only read."""

import asyncio
import io

import pytest
import weirpool
from weirpool import errors

WRITES = [
    "insert into t values (1) returning n",
    "update t set n = n + 1",
    "delete from t",
    "create table other (n int)",
    "drop table t",
]
WRITE_ONE = "create function w() returns int language sql as 'insert into t values (1) returning n'"


@pytest.mark.parametrize("sql", [*WRITES, "with w as (insert into t values (1) returning n) select n from w"])
def test_without_pipelining(pg_url, run, sql):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=2, pipeline=False) as pool:
            await pool.execute("create table t (n int)")
            calls = [pool.fetch(sql, readonly=True)]
            calls += [pool.fetchval("select $1::int", n, readonly=True) for n in range(9)]
            refused, *answers = await asyncio.gather(*calls, return_exceptions=True)
            assert isinstance(refused, (weirpool.ArgumentError, errors.ReadOnlySqlTransaction)), refused
            assert answers == list(range(9))
            assert await pool.fetch("select * from t") == []
            assert await pool.execute("insert into t values (2)") == "INSERT 0 1"

    run(main)


def test_functions_without_pipelining(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1, pipeline=False) as pool:
            await pool.execute("create table t (n int)")
            await pool.execute(WRITE_ONE)
            with pytest.raises(errors.ReadOnlySqlTransaction):
                await pool.fetchval("select w()", readonly=True)
            with pytest.raises(weirpool.ArgumentError, match="does not only read"):
                await pool.execute("do $$ begin insert into t values (1); end $$", readonly=True)
            assert await pool.fetchval("select w()") == 1

    run(main)


@pytest.mark.parametrize("pipeline", [True, False])
def test_a_transaction_behind_a_readonly_call(pg_url, run, pipeline):
    """The connection was told to read only; a BEGIN is not to come before it is told otherwise."""

    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1, pipeline=pipeline) as pool:
            await pool.execute("create table t (n int)")
            for _ in range(2):
                assert await pool.fetchval("select 1", readonly=True) == 1
                async with pool.session() as session:
                    await session.execute("insert into t values (1)")
                assert await pool.fetchval("select 1", readonly=True) == 1
                await pool.transaction(["insert into t values (2)"])
            assert await pool.fetchval("select count(*) from t") == 4

    run(main)


@pytest.mark.parametrize(
    "sql",
    [
        *WRITES,
        "pragma user_version = 7",
        "attach ':memory:' as another",
        "pragma foreign_keys = off",
        "vacuum",
    ],
)
def test_sqlite(sqlite_url, run, sql):
    async def main():
        async with weirpool.create_pool(sqlite_url, min_size=1, max_size=1) as pool:
            await pool.execute("create table t (n int)")
            for _ in range(3):
                with pytest.raises(errors.ReadOnlySqlTransaction) as caught:
                    await pool.fetch(sql, readonly=True)
                assert caught.value.sqlstate == "25006" and not caught.value.retryable
            for n in range(10):  # by the worker, and short ones at once
                assert await pool.fetchval("select $1 + count(*) from t", n, readonly=True) == n
                assert [row[0] for row in await pool.fetch("pragma foreign_keys", readonly=True)] == [1]
            assert await pool.fetchval("pragma user_version") == 0
            assert await pool.execute("insert into t values (1)") == "INSERT 0 1"
            assert len(await pool.fetch("select name from sqlite_master where type = 'table'")) == 1

    run(main)


# ---- pools that only read


async def filled(url):
    async with weirpool.create_pool(url, max_size=1) as pool:
        await pool.execute("create table t (n int)")
        await pool.execute("insert into t values (7)")
        if url.startswith("postgresql"):
            await pool.execute(WRITE_ONE)


async def refused(*calls):
    for call in calls:
        with pytest.raises(errors.ReadOnlySqlTransaction):
            await call()


INSERT = "insert into t values (1)"


def ways_to_write(pool):
    """All that reaches the database; what PostgreSQL's pools refuse by the first keyword is not among them."""

    async def with_session(work, **options):
        async with pool.session(**options) as session:
            await work(session)

    async def with_connection(work):
        async with pool.connection() as connection:
            await work(connection)

    async def in_transaction(connection):
        async with connection.transaction():
            await connection.execute(INSERT)

    async def in_pipeline(connection):
        async with connection.pipeline():
            connection.fetch("select 1")
            connection.execute(INSERT)
            connection.fetch("select 2")

    def statement(it):
        return it.execute(INSERT)

    def many(it):
        return it.executemany("insert into t values ($1)", [(1,), (2,)])

    def script(it):
        return it.execute_script(f"select 1; {INSERT}; select 2")

    for work in (statement, many):
        yield lambda work=work: with_session(work)
        yield lambda work=work: with_session(work, readonly=False, isolation="serializable")
    for work in (statement, many, script, in_transaction, in_pipeline):
        yield lambda work=work: with_connection(work)
    yield lambda: pool.execute_script(f"select 1; {INSERT}")
    yield lambda: pool.transaction(["select 1", INSERT])
    yield lambda: pool.run(statement)


@pytest.mark.parametrize("pipeline", [True, False])
def test_a_pool_that_only_reads(url, run, pipeline):
    async def main():
        await filled(url)
        async with weirpool.create_pool(url, readonly=True, max_size=2, pipeline=pipeline) as pool:
            for _ in range(2):
                await refused(*ways_to_write(pool))
                answers = await asyncio.gather(*[pool.fetchval("select n + $1 from t", n) for n in range(20)])
                assert answers == list(range(7, 27))
                async with pool.session() as session:
                    assert await session.fetchval("select n from t") == 7
                assert [row[0] async for row in pool.stream("select n from t")] == [7]
            by_keyword = pool.database_system == "postgresql"
            for call in (pool.execute(INSERT), pool.executemany("insert into t values ($1)", [(1,)])):
                with pytest.raises(weirpool.ArgumentError if by_keyword else errors.ReadOnlySqlTransaction):
                    await call
            assert await pool.fetchval("select count(*) from t") == 1

    run(main)


def ways_of_postgresql(pool):
    yield lambda: pool.fetchval("select w()")
    yield lambda: pool.copy_in("copy t from stdin", b"1\n")
    yield lambda: pool.copy_records("t", [(1,)])
    yield lambda: pool.copy_out("copy (insert into t values (1) returning n) to stdout", to=io.BytesIO())

    async def after(*texts):
        async with pool.connection() as connection:
            for text in texts:
                await connection.execute(text)
            await connection.execute(INSERT)

    yield lambda: after("set default_transaction_read_only = off")
    yield lambda: after("discard all")
    yield lambda: after("reset all")
    yield lambda: after("begin read write")
    yield lambda: after("begin", "set transaction read write")
    yield lambda: after("begin", "select w()")


def test_a_pool_of_postgresql_that_only_reads(pg_url, run):
    async def main():
        await filled(pg_url)
        async with weirpool.create_pool(pg_url, readonly=True, max_size=1) as pool:
            for _ in range(2):
                await refused(*ways_of_postgresql(pool))
                assert await pool.fetchval("show transaction_read_only") == "on"
                chunks = [chunk async for chunk in pool.copy_out("copy t to stdout")]
                assert b"".join(chunks) == b"7\n"
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            assert await pool.fetchval("select count(*) from t") == 1

    run(main)


def test_a_blocking_pool_that_only_reads(pg_url):
    with weirpool.create_pool_sync(pg_url + "?readonly=true", max_size=1) as pool:
        assert pool.fetchval("select 1") == 1
        with pytest.raises(errors.ReadOnlySqlTransaction), pool.session() as session:
            session.execute("create table t (n int)")


def test_readonly_of_sqlite(sqlite_url, run):
    """As mode=ro: what there is not cannot be read."""

    async def main():
        with pytest.raises(weirpool.OptionError, match="readonly means nothing for a database in memory"):
            await weirpool.create_pool("sqlite://", readonly=True)
        with pytest.raises(weirpool.ConnectError, match="does not exist"):
            await weirpool.create_pool(sqlite_url, readonly=True, require=True)

    run(main)
