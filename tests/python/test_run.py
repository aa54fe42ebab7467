"""Pool.run(): whole transactions, repeated where nothing has been changed, and nowhere else."""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import weirpool
from support import free_port, no_warnings, until, until_async
from weirpool import errors

FAIL = "do $$ begin raise exception 'again' using errcode = '40001'; end $$"


def counter(pool_url):
    with weirpool.create_pool_sync(pool_url, max_size=1) as pool:
        pool.execute("create table counter (n integer)")
        pool.execute("insert into counter values (0)")


def read_counter(pool_url):
    with weirpool.create_pool_sync(pool_url, max_size=1) as pool:
        return pool.fetchval("select n from counter")


def test_serializable_increments_both_land(pg_url, run):
    counter(pg_url)

    async def main():
        both, calls = asyncio.Event(), 0

        async def increment(session):
            nonlocal calls
            n = await session.fetchval("select n from counter")
            calls += 1
            if calls == 2:
                both.set()
            await both.wait()
            await session.execute("update counter set n = $1", n + 1)
            return n + 1

        async with weirpool.create_pool(pg_url, max_size=2) as pool:
            answers = await asyncio.gather(
                *(pool.run(increment, retries=100, isolation="serializable") for _ in range(2))
            )
            assert sorted(answers) == [1, 2] and calls >= 3
            assert pool.snapshot()["active"] == 0

    with no_warnings():
        run(main)
    assert read_counter(pg_url) == 2


def test_serializable_increments_of_threads(pg_url):
    counter(pg_url)
    gate, local = threading.Barrier(2), threading.local()

    def increment(session):
        n = session.fetchval("select n from counter")
        if not getattr(local, "met", False):
            local.met = True
            gate.wait(60)
        session.execute("update counter set n = $1", n + 1)
        return n + 1

    with weirpool.create_pool_sync(pg_url, max_size=2) as pool, ThreadPoolExecutor(2) as threads:
        futures = [
            threads.submit(pool.run, increment, retries=100, isolation="serializable") for _ in range(2)
        ]
        assert sorted(future.result(60) for future in futures) == [1, 2]
        assert pool.fetchval("select n from counter") == 2


def test_a_deadlock_is_resolved(pg_url, run):
    async def main():
        options = {"max_size": 2, "server_settings": {"deadlock_timeout": "20ms"}}
        async with weirpool.create_pool(pg_url, **options) as pool:
            await pool.execute("create table t (id integer, n integer)")
            await pool.execute("insert into t values (1, 0), (2, 0)")
            both, held = asyncio.Event(), 0

            async def add(session, first, second):
                nonlocal held
                update = "update t set n = n + 1 where id = $1"
                await session.execute(update, first)
                held += 1
                if held == 2:
                    both.set()
                await both.wait()
                await session.execute(update, second)

            await asyncio.gather(
                pool.run(lambda session: add(session, 1, 2), retries=100),
                pool.run(lambda session: add(session, 2, 1), retries=100),
            )
            assert held >= 3
            assert [row["n"] for row in await pool.fetch("select n from t")] == [2, 2]

    with no_warnings():
        run(main)


def terminate(server, backend):
    server.sql(f"select pg_terminate_backend({backend})")
    until(lambda: server.sql(f"select count(*) from pg_stat_activity where pid = {backend}") == "0")


def test_a_connection_lost_before_commit(server, pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=2) as pool:
            await pool.execute("create table t (a integer)")
            calls = 0

            async def insert(session):
                nonlocal calls
                calls += 1
                await session.execute("insert into t values ($1)", calls)
                if calls == 1:
                    terminate(server, session.info["backend"])
                return await session.fetchval("select a from t")

            assert await pool.run(insert) == 2
            assert [row["a"] for row in await pool.fetch("select a from t")] == [2]

    with no_warnings():
        run(main)


def test_a_connection_lost_before_commit_blocking(server, pg_url):
    with no_warnings(), weirpool.create_pool_sync(pg_url, max_size=2) as pool:
        pool.execute("create table t (a integer)")
        calls = []

        def insert(session):
            calls.append(session)
            session.execute("insert into t values ($1)", len(calls))
            if len(calls) == 1:
                terminate(server, session.info["backend"])
            return session.fetchval("select a from t")

        assert pool.run(insert) == 2
        assert calls[0] is not calls[1] and calls[0].closed


SLOW_COMMIT = [
    "create table t (a integer)",
    "create function slow() returns trigger language plpgsql as "
    "$$ begin perform pg_sleep(60); return null; end $$",
    "create constraint trigger slow after insert on t deferrable initially deferred "
    "for each row execute function slow()",
]
COMMITTING = "select pid from pg_stat_activity where query = 'COMMIT' and state = 'active' and datname = '{}'"


def test_an_unknown_commit_is_not_repeated(server, pg_url, run):
    committing = COMMITTING.format(pg_url.rpartition("/")[2])

    async def main():
        async with weirpool.create_pool(pg_url, max_size=2) as pool:
            for statement in SLOW_COMMIT:
                await pool.execute(statement)
            calls = 0

            async def insert(session):
                nonlocal calls
                calls += 1
                await session.execute("insert into t values (1)")

            task = asyncio.ensure_future(pool.run(insert))
            await until_async(lambda: server.sql(committing) != "")
            terminate(server, server.sql(committing))
            with pytest.raises(weirpool.OutcomeUnknown):
                await task
            assert calls == 1

    with no_warnings():
        run(main)


def test_an_unknown_commit_is_not_repeated_blocking(server, pg_url):
    committing = COMMITTING.format(pg_url.rpartition("/")[2])
    calls = []

    def insert(session):
        calls.append(session)
        session.execute("insert into t values (1)")

    with weirpool.create_pool_sync(pg_url, max_size=2) as pool, ThreadPoolExecutor(1) as thread:
        for statement in SLOW_COMMIT:
            pool.execute(statement)
        future = thread.submit(pool.run, insert)
        until(lambda: server.sql(committing) != "")
        terminate(server, server.sql(committing))
        with pytest.raises(weirpool.OutcomeUnknown):
            future.result(60)
        assert len(calls) == 1


def test_retries_are_used_up(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            for retries in (0, 1, 3):
                sessions = []

                async def fail(session, sessions=sessions):
                    sessions.append(session)
                    await session.execute(FAIL)

                with pytest.raises(errors.SerializationFailure, match="again") as caught:
                    await pool.run(fail, retries=retries)
                attempts = "1 attempt" if not retries else f"{retries + 1} attempts"
                assert caught.value.__notes__ == [f"given up after {attempts}: no retries are left"]
                assert len(set(map(id, sessions))) == retries + 1
                assert all(session.closed for session in sessions)

    with no_warnings():
        run(main)


def test_the_deadline_is_over_everything(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            calls = 0

            async def fail(session):
                nonlocal calls
                calls += 1
                if calls == 3:
                    raise weirpool.ConnectError("later", retry_after=600.0, retryable=True)
                await session.execute(FAIL)

            with pytest.raises(weirpool.ConnectError, match="later") as caught:  # in a pause
                await pool.run(fail, retries=1000, timeout=60)
            assert caught.value.__notes__ == [
                "given up after 3 attempts: the timeout leaves no time for another"
            ]
            await until_async(lambda: pool.snapshot()["idle"] == 1)
            with pytest.raises(weirpool.SessionTimeout):  # in the function
                await pool.run(lambda session: session.execute("select pg_sleep(60)"), timeout=0.1)
            async with pool.connection():
                for given in ({}, {"checkout_timeout": None}, {"checkout_timeout": 60}):
                    with pytest.raises(weirpool.CheckoutTimeout):  # in the queue
                        await pool.run(fail, timeout=0.05, **given)
                with pytest.raises(weirpool.CheckoutTimeout):
                    await pool.run(fail, timeout=600, checkout_timeout=0.05)
            assert await pool.run(lambda session: session.fetchval("select 1"), timeout=60) == 1

    with no_warnings():
        run(main)


def test_the_wait_counts_for_the_session(pg_url, run):
    """The time-out is not begun anew when the connection comes."""

    async def main():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            holder = await pool.connection()
            asyncio.get_running_loop().call_later(0.75, holder.release)
            with pytest.raises(weirpool.SessionTimeout) as caught:
                await pool.run(lambda session: session.execute("select pg_sleep(60)"), timeout=1.5)
            assert int(re.search(r"\((\d+) ms\)", caught.value.message).group(1)) < 1500  # it lasted 750

    run(main)


def test_no_connection_can_be_made(run):
    async def main():
        url = f"postgresql://app@127.0.0.1:{free_port()}/x"
        async with weirpool.create_pool(url, min_size=1, retry_min=0.001, retry_max=0.005) as pool:
            with pytest.raises(weirpool.ConnectError) as caught:
                await pool.run(never)
            assert caught.value.__notes__ == ["given up after 4 attempts: no retries are left"]

    with no_warnings():
        run(main)


async def never(session):
    raise AssertionError


def test_other_errors_are_raised_at_once(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1) as pool:
            await pool.execute("create table t (a integer unique)")
            calls = 0

            async def insert(session, error):
                nonlocal calls
                calls += 1
                await session.execute("insert into t values (1)")
                if error is not None:
                    raise error
                await session.execute("insert into t values (1)")

            for error, expected in [
                (None, errors.UniqueViolation),
                (KeyError("mine"), KeyError),
                (weirpool.CheckoutTimeout("of another pool", retryable=True), weirpool.CheckoutTimeout),
                (errors.SerializationFailure("mine", sqlstate="40001"), errors.SerializationFailure),
                (weirpool.ConnectError("final", retryable=False), weirpool.ConnectError),
                (weirpool.OutcomeUnknown("?"), weirpool.OutcomeUnknown),
            ]:
                calls = 0
                with pytest.raises(expected) as caught:
                    await pool.run(lambda session, error=error: insert(session, error))
                assert calls == 1 and not hasattr(caught.value, "__notes__")
            assert await pool.fetchval("select count(*) from t") == 0
            calls = 0

            async def swallow(session):
                nonlocal calls
                calls += 1
                await session.execute("insert into t values (1)")
                with pytest.raises(errors.UniqueViolation):
                    await session.execute("insert into t values (1)")
                return "unseen"

            if url.startswith("postgresql"):  # SQLite goes on after a failed statement
                with pytest.raises(weirpool.TransactionRolledBack):
                    await pool.run(swallow)
                assert await pool.fetchval("select count(*) from t") == 0
            else:
                assert await pool.run(swallow) == "unseen"
            assert calls == 1

    with no_warnings():
        run(main)


def test_an_error_after_a_repetition_says_so(pg_url, run):
    async def main():
        calls = 0

        async def fail(session):
            nonlocal calls
            calls += 1
            await session.execute(FAIL if calls == 1 else "select 1 / 0")

        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            with pytest.raises(errors.DivisionByZero) as caught:
                await pool.run(fail)
        assert caught.value.__notes__ == ["given up after 2 attempts: this error is not one to be repeated"]

    run(main)


def test_cancelled_in_a_pause_and_in_the_function(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            calls = 0

            async def fail(session):
                nonlocal calls
                calls += 1
                raise weirpool.ConnectError("later", retry_after=600.0, retryable=True)

            async def wait(session):
                nonlocal calls
                calls += 1
                await session.execute("select pg_sleep(600)")

            for function, active in ((fail, 0), (wait, 1)):
                calls = 0
                task = asyncio.ensure_future(pool.run(function))
                await until_async(lambda: calls == 1 and pool.snapshot()["active"] == active)  # noqa: B023
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert calls == 1
            await until_async(lambda: pool.snapshot()["idle"] == 1)
            assert await pool.fetchval("select 1") == 1

    with no_warnings():
        run(main)


def test_nobody_else_commits(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1) as pool:
            await pool.execute("create table t (a integer)")

            async def commit(session):
                await session.execute("insert into t values (1)")
                await session.commit()

            async def begin_anew(session):
                await session.execute("insert into t values (2)")
                await session.rollback()
                async with session.transaction():
                    await session.execute("insert into t values (3)")
                return session

            with pytest.raises(weirpool.TransactionError, match=r"run\(\) commits"):
                await pool.run(commit)
            session = await pool.run(begin_anew)
            assert session.closed
            assert [row["a"] for row in await pool.fetch("select a from t")] == [3]

    with no_warnings():
        run(main)
    with weirpool.create_pool_sync(url, max_size=1) as pool:
        with pytest.raises(weirpool.TransactionError, match=r"run\(\) commits"):
            pool.run(lambda session: session.commit())


def test_options(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            shown = await pool.run(
                lambda session: session.fetchrow(
                    "select current_setting('transaction_isolation'), "
                    "current_setting('transaction_read_only'), current_setting('transaction_deferrable')"
                ),
                isolation="serializable",
                readonly=True,
                deferrable=True,
            )
            assert tuple(shown) == ("serializable", "on", "on")

    run(main)


def test_bad_input(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1) as pool:
            coroutine = never(None)
            for function, text in [
                (None, "a function that takes a session, not NoneType"),
                (coroutine, "not coroutine that was called already"),
                (lambda session: 3, "a coroutine function; .* gave 3"),
            ]:
                with pytest.raises(TypeError, match=text):
                    await pool.run(function)
            coroutine.close()
            for options, text in [
                ({"retries": -1}, "retries=-1: give a number from 0 to 1000"),
                ({"retries": 10**30}, "retries=.*: give a number from 0 to 1000"),
                ({"retries": True}, "retries must be an int, not bool"),
                ({"retries": None}, "retries must be an int, not NoneType"),
                ({"timeout": 0}, "timeout must be seconds"),
                ({"timeout": "1"}, "timeout must be seconds"),
                ({"isolation": "chaos"}, "isolation"),
                ({"checkout_timeout": -1}, "checkout_timeout must be seconds"),
            ]:
                with pytest.raises(weirpool.ArgumentError, match=text):
                    await pool.run(never, **options)
            assert pool.snapshot()["active"] == 0
        with pytest.raises(weirpool.PoolClosed):
            await pool.run(never)

    with no_warnings():
        run(main)
    with no_warnings(), weirpool.create_pool_sync(url, max_size=1) as pool:
        with pytest.raises(TypeError, match="a plain function; .*never.* gave something to be awaited"):
            pool.run(never)
        with pytest.raises(TypeError, match="not int"):
            pool.run(3)
        assert pool.snapshot()["active"] == 0


def test_holders_are_named_by_their_function(sqlite_url, run, caplog):
    async def main():
        pool = await weirpool.create_pool(sqlite_url, max_size=1)

        async def a_function_that_holds(session):
            await session.execute("create table t (a integer)")
            await pool.close(grace=0)

        with pytest.raises(weirpool.PoolClosed):
            await pool.run(a_function_that_holds)

    run(main)
    line = test_holders_are_named_by_their_function.__code__.co_firstlineno
    found = re.search(r"a_function_that_holds \(.*test_run\.py:(\d+)\)", caplog.text)
    assert found and line < int(found.group(1)) < line + 10


def test_sqlite_begins_again_after_a_stale_read(sqlite_url):
    """A deferred transaction that reads, then writes what another has written meanwhile: BUSY_SNAPSHOT."""
    url = sqlite_url + "?sqlite_begin=deferred"
    counter(url)
    calls = []
    with no_warnings(), weirpool.create_pool_sync(url, max_size=2) as pool:

        def increment(session):
            calls.append(session)
            n = session.fetchval("select n from counter")
            if len(calls) == 1:
                pool.execute("update counter set n = 10")
            session.execute("update counter set n = $1", n + 1)

        pool.run(increment)
        assert pool.fetchval("select n from counter") == 11 and len(calls) == 2
