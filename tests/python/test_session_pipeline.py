"""Statements of one connection, sent one behind the other."""

import asyncio

import pytest
import weirpool

ONE = "select cast(? as integer) + 1"


@pytest.fixture(params=["session", "connection"])
def lend(request):
    """One of the two ways to borrow."""
    return lambda pool: getattr(pool, request.param)()


def one(pool):
    return ONE if pool.database_system == "sqlite" else ONE.replace("?", "$1")


def test_answers_in_any_order(url, run, lend):
    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool:
            async with lend(pool) as lent:
                async with lent.pipeline():
                    first, second, third = (lent.fetchval(one(pool), n) for n in range(3))
                    row, rows, tag = lent.fetchrow(one(pool), 3), lent.fetch(one(pool), 4), lent.execute(one(pool), 5)
                    assert await second == 2
                    assert await first == 1
                assert await third == 3
                assert (await row)[0] == 4 and (await rows)[0][0] == 5 and "SELECT" in await tag
                with pytest.raises(RuntimeError, match="already awaited"):
                    await first
                assert await lent.fetchval(one(pool), 6) == 7  # and it is whole
            assert pool.snapshot()["active"] == 0

    run(body)


def test_what_is_not_awaited_is_done(url, run):
    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool:
            async with pool.session() as session:
                async with session.pipeline():
                    session.execute("create table kept (n integer)")
                    for n in range(200):
                        session.execute(f"insert into kept values ({n})")
                assert await session.fetchval("select count(*) from kept") == 200
            assert await pool.fetchval("select sum(n) from kept") == 199 * 100
            await pool.execute("drop table kept")

    run(body)


def test_tasks_of_one_session(url, run):
    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool, pool.session() as session:
            async with session.pipeline():
                tasks = [asyncio.ensure_future(session.fetchval(one(pool), n)) for n in range(50)]
                assert await asyncio.gather(*[session.fetchval(one(pool), n) for n in range(50)]) == [
                    n + 1 for n in range(50)
                ]
            assert await asyncio.gather(*tasks) == [n + 1 for n in range(50)]

    run(body)


def test_another_task_starts_one_at_the_end(pg_url, run):
    """It is waited for, too; then the connection is for one at a time again."""

    async def body():
        async with weirpool.create_pool(pg_url, max_size=1) as pool, pool.connection() as connection:

            async def late():
                await first
                later.append(connection.fetchval("select pg_sleep(0.05)::text"))

            later = []
            async with connection.pipeline():
                first = connection.fetchval("select pg_sleep(0.05)::text")
                task = asyncio.ensure_future(late())
            assert not connection.info["busy"]
            assert await later[0] == ""
            await task
            running = asyncio.ensure_future(connection.fetchval("select pg_sleep(0.05)::text"))
            await asyncio.sleep(0)
            with pytest.raises(weirpool.SessionBusy):
                await connection.fetchval("select 1")
            await running

    run(body)


def test_a_failure_in_a_transaction(url, run):
    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool:
            await pool.execute("create table kept (n integer unique)")
            with pytest.raises(weirpool.errors.UniqueViolation):
                async with pool.session() as session:
                    async with session.pipeline():
                        before = session.execute("insert into kept values (1)")
                        session.execute("insert into kept values (1)")
                        behind = session.execute("insert into kept values (2)")
            assert await before == "INSERT 0 1"
            with pytest.raises(weirpool.errors.InFailedSqlTransaction):
                await behind
            assert await pool.fetchval("select count(*) from kept") == 0
            await pool.execute("drop table kept")

    run(body)


def test_a_failure_in_autocommit(url, run):
    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool:
            await pool.execute("create table kept (n integer unique)")
            async with pool.connection() as connection:
                with pytest.raises(weirpool.errors.UniqueViolation):
                    async with connection.pipeline():
                        connection.execute("insert into kept values (1)")
                        connection.execute("insert into kept values (1)")
                        connection.execute("insert into kept values (2)")
                async with connection.pipeline():
                    failing = connection.execute("insert into kept values (1)")
                    with pytest.raises(weirpool.errors.UniqueViolation):
                        await failing  # its caller knows: the block does not raise it again
            assert await pool.fetchval("select sum(n) from kept") == 3
            await pool.execute("drop table kept")

    run(body)


def test_leaving_by_an_exception(url, run):
    slow = {
        "sqlite": "with recursive c(n) as (select 1 union all select n + 1 from c) select count(*) from c",
        "postgresql": "select pg_sleep(600)",
    }

    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool:
            async with pool.connection() as connection:
                with pytest.raises(LookupError):
                    async with connection.pipeline():
                        running = asyncio.ensure_future(connection.fetchval(slow[pool.database_system]))
                        connection.fetchval(one(pool), 1)
                        await asyncio.sleep(0)
                        raise LookupError
                with pytest.raises(weirpool.errors.OperationCancelled):
                    await running
                assert await connection.fetchval(one(pool), 1) == 2
            assert pool.snapshot()["size"] == 1

    run(body)


def test_a_cancelled_task(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=1) as pool, pool.connection() as connection:

            async def work():
                async with connection.pipeline():
                    connection.fetchval("select pg_sleep(600)")
                    connection.fetchval("select 1")

            task = asyncio.ensure_future(work())
            backend = connection.info["backend"]
            while not connection.info["busy"]:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await connection.fetchval("select pg_backend_pid()") == backend

    run(body)


def test_a_deadline_of_one(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=1) as pool, pool.connection() as connection:
            async with connection.pipeline():
                first = connection.fetchval("select 1")
                late = connection.fetchval("select pg_sleep(0.4)", timeout=0.1)
                last = connection.fetchval("select 3")
                with pytest.raises(weirpool.CommandTimeout):
                    await late
                assert (await first, await last) == (1, 3)

    run(body)


def test_rules(url, run):
    async def body():
        async with weirpool.create_pool(url, max_size=1) as pool, pool.session() as session:
            async with session.pipeline():
                with pytest.raises(weirpool.SessionBusy, match="pipelines already"):
                    async with session.pipeline():
                        pass
                async with session.transaction():
                    await session.fetchval(one(pool), 1)
                answer = session.fetchval(one(pool), 2)
                assert await answer == 3
            other = session.fetchval(one(pool), 1)  # outside, nothing is sent before it is awaited
            assert await other == 2
        with pytest.raises(weirpool.SessionClosed):
            async with session.pipeline():
                pass

    run(body)


def test_transactions_wait_for_the_answers(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=1) as pool, pool.connection() as connection:
            async with connection.pipeline():
                answer = connection.fetchval("select 1")
                with pytest.raises(weirpool.SessionBusy, match="await it first"):
                    async with connection.transaction():
                        pass
                await answer
                async with connection.transaction():
                    connection.execute("create temporary table t (n integer)")
                    await connection.execute("insert into t values (1)")
            assert await connection.fetchval("select n from t") == 1

    run(body)


def test_the_loss_of_the_connection(pg_url, run):
    async def body():
        async with weirpool.create_pool(pg_url, max_size=2) as pool:
            with pytest.raises(weirpool.ConnectionLost):
                async with pool.session() as session:
                    async with session.pipeline():
                        session.fetchval("select 1")
                        await session.fetchval("select 2")
                        waiting = [session.fetchval("select pg_sleep(600)"), session.fetchval("select 3")]
                        await pool.fetchval("select pg_terminate_backend($1)", session.info["backend"])
            for operation in waiting:
                with pytest.raises(weirpool.ConnectionLost):
                    await operation
            assert await pool.fetchval("select 4") == 4

    run(body)


def test_a_large_executemany_behind_the_first_write(pg_url, run):
    """Without names for statements: nothing of the pool's own gets between its parts."""

    async def body():
        async with weirpool.create_pool(pg_url, max_size=1, statement_cache_size=0) as pool:
            await pool.execute("create table kept (n integer, t text)")
            async with pool.session() as session:
                await session.fetchval("select 1")
                async with session.pipeline():
                    session.execute("insert into kept select 0, '' from pg_sleep(0.2)")
                    await asyncio.sleep(0.01)  # it is sent by itself, and answered while the socket is full
                    session.executemany("insert into kept values ($1, $2)", [(n, "x" * 10000) for n in range(1500)])
            assert await pool.fetchval("select count(*) from kept") == 1501
            await pool.execute("drop table kept")

    run(body)
