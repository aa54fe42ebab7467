"""Connections that are held for too long, and who holds them."""

import asyncio
import contextvars
import io
import logging
import re

import pytest
import weirpool
from support import DEADLINE, no_warnings, until, until_async


def lines_of(caplog, text):
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


async def holder_of(pool):
    session = await pool.session()
    await session.execute("select 1")
    return session


def test_holders(url, run):
    async def main():
        async with weirpool.create_pool(url, min_size=0, max_size=3, leak_stacks=1) as pool:
            assert pool.holders() == []
            session = await holder_of(pool)
            async with pool.connection():
                first, second = pool.holders()
                assert first["function"] == "holder_of" and first["file"].endswith("test_leaks.py")
                assert first["line"] == holder_of.__code__.co_firstlineno + 1
                assert first["age"] >= second["age"] >= 0
                assert first["statement"] == "select 1" and second["statement"] is None
                assert (first["depth"], first["busy"], first["leaked"]) == (1, False, False)
                assert (first["backend"] is None) == url.startswith("sqlite")
                stack = first["stack"].splitlines()
                assert re.fullmatch(r"holder_of \(.*test_leaks.py:\d+\)", stack[0])
                assert re.fullmatch(r"main \(.*test_leaks.py:\d+\)", stack[1])
                assert pool.holders(min_age=1000) == []
            session.release()
            for wrong in (-1, "x", True, None, float("nan"), 1e10):
                with pytest.raises(weirpool.ArgumentError, match="min_age"):
                    pool.holders(wrong)
        assert pool.holders() == []

    with no_warnings():
        run(main)


def test_holders_of_a_blocking_pool(url):
    with no_warnings(), weirpool.create_pool_sync(url, max_size=2, leak_stacks=0) as pool:
        with pool.connection() as connection:
            connection.execute("select 2")
            (holder,) = pool.holders()
            assert holder["statement"] == "select 2" and holder["stack"] is None
            assert holder["function"] == "test_holders_of_a_blocking_pool"
        assert pool.holders() == []


def test_holders_are_the_users_own(pg_url, run):
    """Not the package's files, through which a call goes, also when it is awaited by another task."""
    seen, copied = [], "copy (select 1) to stdout"

    async def setup(connection):
        (holder,) = pool.holders()
        seen.append((holder["function"].rpartition(".")[2], holder["file"], holder["stack"].split(" ")[0]))

    async def in_a_task():
        await asyncio.ensure_future(pool.copy_out(copied, to=io.BytesIO()))

    async def iterates():
        chunks = pool.copy_out(copied)
        await asyncio.ensure_future(drop(chunks))

    async def drop(chunks):
        async for chunk in chunks:
            assert chunk

    async def copies():
        await pool.copy_in("copy t from stdin", b"1\n")

    async def main():
        nonlocal pool
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1, setup=setup, leak_stacks=1) as pool:
            await pool.execute("create table t (a integer)")
            await asyncio.ensure_future(pool.fetch("select 1"))
            await pool.transaction(["select 1"])
            for function in (in_a_task, iterates, copies):
                await function()

    pool = None
    with no_warnings():
        run(main)
    assert [function for function, _, _ in seen] == ["main"] * 3 + ["in_a_task", "iterates", "copies"]
    assert [innermost for _, _, innermost in seen] == [function for function, _, _ in seen]
    assert {file for _, file, _ in seen} == {__file__}


def test_holders_of_a_blocking_pool_with_a_setup_are_the_users_own(pg_url):
    seen = []

    def setup(connection):
        seen.append(pool.holders()[0]["file"])

    with no_warnings(), weirpool.create_pool_sync(pg_url, max_size=1, setup=setup) as pool:
        assert pool.fetchval("select 1") == 1
        pool.execute("create table t (a integer)")
        pool.copy_in("copy t from stdin", b"1\n")
        assert list(pool.copy_out("copy t to stdout")) == [b"1\n"]
    assert seen == [__file__] * 4


def test_a_leak_is_told(url, run, caplog):
    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=1, leak_threshold=0.05) as pool:
            session = await holder_of(pool)
            await until_async(lambda: pool.snapshot()["leaks"] == 1)
            assert pool.holders()[0]["leaked"]
            (line,) = lines_of(caplog, "has held a connection")
            assert re.search(r"holder_of \(.*test_leaks.py:\d+\) has held a connection for \d\.\d s", line)
            assert "its last statement: select 1" in line
            session.release()
            await until_async(lambda: len(lines_of(caplog, "held is free again")) == 1)

    with caplog.at_level(logging.INFO, "weirpool"), no_warnings():
        run(main)


@pytest.mark.parametrize("action", ["cancel", "close", "replace"])
def test_a_leak_is_taken_back(url, run, action):
    async def main():
        options = {"leak_threshold": 0.05, "leak_action": action}
        async with weirpool.create_pool(url, min_size=1, max_size=1, **options) as pool:
            session = await pool.session()
            with pytest.raises(weirpool.SessionReclaimed, match="leak_threshold"):
                await session.execute("create table t (a integer)")  # on a slow machine it is late itself
                assert await pool.fetchval("select 7") == 7  # it waits until then
                await session.execute("insert into t values (1)")
            assert await pool.fetchval("select 8") == 8
            with pytest.raises(weirpool.DatabaseError):  # it was rolled back
                await pool.fetchval("select count(*) from t")
            assert pool.snapshot()["leaks_reclaimed"] == 1

    with no_warnings():
        run(main)


def test_a_running_statement_is_taken_back(pg_url, server, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=1, leak_threshold=0.05, leak_action="cancel") as pool:
            async with pool.connection() as connection:
                with pytest.raises(weirpool.SessionReclaimed):
                    await connection.execute("select pg_sleep(600)")
            assert await pool.fetchval("select 1") == 1
            assert pool.snapshot()["connections_closed"] == 0

    with no_warnings():
        run(main)


def test_an_idle_transaction_is_rolled_back(pg_url, server, run):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1, idle_in_transaction_timeout=0.05) as pool:
            await pool.execute("create table t (a integer)")
            session = await pool.session()
            await session.execute("insert into t values (1)")
            assert await pool.fetchval("select count(*) from t") == 0  # it waits for the roll-back
            with pytest.raises(weirpool.IdleInTransactionTimeout, match="idle_in_transaction_timeout"):
                await session.execute("insert into t values (2)")
            async with pool.session() as session:  # what runs is not idle
                await session.execute("select pg_sleep(0.2)")
            assert pool.snapshot()["transactions_idle"] == 1
            assert pool.snapshot()["connections_closed"] == 0

    with no_warnings():
        run(main)


def test_a_nested_checkout_is_named(url, run, caplog):
    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=1, checkout_timeout=0.1) as pool:

            async def outer():
                async with pool.session():
                    async with pool.connection():
                        pass

            async def statement():
                async with pool.session():
                    await pool.fetchval("select 1")

            for nested in (outer, statement):
                said = rf"the caller itself holds one.*{nested.__name__} \("
                with pytest.raises(weirpool.CheckoutTimeout, match=said):
                    await nested()
            assert pool.snapshot()["checkouts_nested"] == 2
            assert len(lines_of(caplog, "holds a connection and waits for another one")) == 1

            async def wait():
                async with pool.connection():
                    pass

            async with pool.session():
                with pytest.raises(weirpool.CheckoutTimeout) as caught:  # of a task that is no child of the holder
                    await contextvars.Context().run(asyncio.ensure_future, wait())
            assert "itself" not in str(caught.value)

    with caplog.at_level(logging.WARNING, "weirpool"), no_warnings():
        run(main)


def test_what_a_task_inherits_ends_with_the_loan(url, run):
    async def main():
        async with weirpool.create_pool(url, min_size=2, max_size=2, checkout_timeout=0.05) as pool:

            async def asks(itself):
                with pytest.raises(weirpool.CheckoutTimeout) as caught:
                    await pool.connection()
                assert ("the caller itself holds one" in str(caught.value)) == itself

            async def sibling(taken):
                async with pool.connection(checkout_timeout=DEADLINE):
                    taken.set()
                    await over.wait()

            async def late():
                await both.wait()
                await asks(False)

            over, both, taken = asyncio.Event(), asyncio.Event(), [asyncio.Event(), asyncio.Event()]
            parent = await pool.connection()
            other = await contextvars.Context().run(asyncio.ensure_future, stranger(pool))
            await asyncio.ensure_future(asks(True))  # he may wait for what his maker holds
            tasks = [asyncio.ensure_future(sibling(event)) for event in taken]
            tasks.append(asyncio.ensure_future(late()))
            await until_async(lambda: pool.snapshot()["waiting"] == 2)
            assert pool.snapshot()["checkouts_nested"] == 3
            parent.release()
            other.release()
            await asyncio.gather(*(event.wait() for event in taken))
            both.set()
            await tasks[2]
            await asks(False)
            over.set()
            await asyncio.gather(*tasks)
            assert pool.snapshot()["checkouts_nested"] == 3
            for kept in (0, 1):  # of two, one inside of the other
                pair = [await pool.connection(), await pool.connection()]
                pair[1 - kept].release()
                rest = await contextvars.Context().run(asyncio.ensure_future, stranger(pool))
                await asks(True)
                pair[kept].release()
                rest.release()

    async def stranger(pool):
        return await pool.connection()

    with no_warnings():
        run(main)


def test_threads_that_nest(url):
    with no_warnings(), weirpool.create_pool_sync(url, min_size=1, max_size=1, checkout_timeout=0.05) as pool:
        with pool.connection():
            with pytest.raises(weirpool.CheckoutTimeout, match="the caller itself holds one"):
                pool.fetchval("select 1")
        until(lambda: pool.snapshot()["idle"] == 1)


def test_options():
    for name, wrong in (("leak_action", "kill"), ("leak_threshold", 0), ("leak_stacks", -1)):
        with pytest.raises(weirpool.OptionError, match=name):
            weirpool.create_pool_sync("sqlite://", **{name: wrong})
