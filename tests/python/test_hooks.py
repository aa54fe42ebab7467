"""init: once a connection. setup: at each checkout."""

import asyncio
import contextlib
import contextvars
import io
import logging
import re
import threading
import time

import pytest
import weirpool
from support import DEADLINE, no_warnings, until, until_async


def test_init_runs_once_a_connection(url, run):
    async def main():
        seen = []

        async def init(connection):
            assert type(connection) is weirpool.Connection
            assert await connection.fetchval("select 1") == 1
            seen.append(connection)

        async with weirpool.create_pool(url, min_size=2, max_size=2, init=init) as pool:
            await until_async(lambda: pool.snapshot()["idle"] == 2)
            assert len(seen) == 2
            for _ in range(5):
                await pool.fetchval("select 1")
                async with pool.session() as session:
                    await session.fetchval("select 1")
            assert len(seen) == 2 and all(connection.closed for connection in seen)
            pool.expire()
            await until_async(lambda: pool.snapshot()["idle"] == 2 and len(seen) == 4)

    with no_warnings():
        run(main)


def test_init_prepares_the_connection(sqlite_url, run):
    async def main():
        async def init(connection):
            await connection.execute("pragma cache_size = 77")

        async with weirpool.create_pool(sqlite_url, min_size=0, max_size=2, init=init) as pool:
            async with pool.connection() as one, pool.connection() as two:
                assert await one.fetchval("pragma cache_size") == 77
                assert await two.fetchval("pragma cache_size") == 77
            async with pool.connection() as connection:
                assert await connection.fetchval("pragma cache_size") == 77

    with no_warnings():
        run(main)


def test_init_survives_what_borrowers_leave_behind(pg_url, run):
    async def main():
        async def init(connection):
            await connection.execute("set search_path = 'mine'")

        async with weirpool.create_pool(pg_url, min_size=0, max_size=1, init=init) as pool:
            for _ in range(3):
                async with pool.connection() as connection:
                    assert await connection.fetchval("show search_path") in ("mine", '"mine"')
                    await connection.execute("set search_path = 'yours'")
                    await connection.execute("set lock_timeout = '7s'")
                async with pool.connection() as connection:
                    assert await connection.fetchval("show lock_timeout") != "7s"

    with no_warnings():
        run(main)


async def insistently(call):
    """A connection whose init fails is one that could not be made: those who wait for it are told."""
    while True:
        try:
            return await call()
        except weirpool.ConnectError as error:
            assert "init" in str(error) and error.retryable
            await asyncio.sleep(0.002)


def test_init_that_fails(url, run, caplog):
    async def main():
        attempts = []

        async def init(connection):
            attempts.append(connection)
            if len(attempts) <= 2:
                raise ValueError("no good")

        async with weirpool.create_pool(url, min_size=1, max_size=1, init=init, retry_min=0.001) as pool:
            with pytest.raises(weirpool.ConnectError) as caught:
                await pool.fetchval("select 1")
            assert caught.value.detail == "ValueError: no good"
            assert await insistently(lambda: pool.fetchval("select 1")) == 1
            assert len(attempts) == 3
        records = [r for r in caplog.records if r.name == "weirpool" and r.exc_info]
        assert (
            len(records) == 2 and records[0].exc_info[0] is ValueError and records[0].levelno == logging.ERROR
        )
        caplog.clear()  # its tracebacks hold the pool
        records.clear()

    run(main)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (3, "TypeError: the init hook of an asynchronous pool must be a coroutine function .*; it gave int"),
        (None, "ValueError"),  # with a text that is none
    ],
)
def test_init_must_be_awaitable(url, run, caplog, answer, said):
    def init(connection):
        if answer is None:
            raise ValueError("\ud800")
        return answer

    async def main():
        async with weirpool.create_pool(url, min_size=0, max_size=1, init=init) as pool:
            with pytest.raises(weirpool.ConnectError) as caught:
                await pool.fetchval("select 1")
            assert re.fullmatch(said, caught.value.detail)
        caplog.clear()  # its tracebacks hold the pool

    run(main)


def test_init_that_is_cancelled(url, run):
    async def main():
        tasks = []

        async def init(connection):
            tasks.append(asyncio.current_task())
            if len(tasks) == 1:
                await asyncio.sleep(60)

        async with weirpool.create_pool(url, min_size=0, max_size=1, init=init, retry_min=0.001) as pool:
            waiting = asyncio.ensure_future(insistently(lambda: pool.fetchval("select 1")))
            await until_async(lambda: tasks)
            tasks[0].cancel()
            assert await waiting == 1
            assert len(tasks) == 2

    with no_warnings():
        run(main)


def test_close_while_init_runs(url, run):
    async def main():
        begun, ended = asyncio.Event(), asyncio.Event()

        async def init(connection):
            begun.set()
            await until_async(lambda: connection.closed)
            with pytest.raises(weirpool.InterfaceError):
                await connection.fetchval("select 1")
            ended.set()

        pool = await weirpool.create_pool(url, min_size=0, max_size=1, init=init)
        waiting = asyncio.ensure_future(pool.fetchval("select 1"))
        await begun.wait()
        await pool.close(grace=0)
        with pytest.raises(weirpool.PoolClosed):
            await waiting
        await ended.wait()

    run(main)


def test_setup_at_each_checkout(url, run):
    async def main():
        seen = []

        async def setup(connection):
            seen.append(type(connection))
            assert await connection.fetchval("select 1") == 1

        async with weirpool.create_pool(url, max_size=2, setup=setup) as pool:
            async with pool.session() as session:
                assert await session.fetchval("select 2") == 2
            async with pool.connection():
                pass
            (await pool.session()).release()
            assert seen == [weirpool.Session, weirpool.Connection, weirpool.Session]
            seen.clear()
            await pool.execute("create table t (a integer)")
            assert await pool.executemany("insert into t values ($1)", [(1,), (2,)]) == 2
            assert await pool.fetch("select a from t order by a") == [(1,), (2,)]
            assert await pool.fetchrow("select a from t where a = $1", 2, timeout=30) == (2,)
            assert await pool.fetchval("select a, 7 from t where a = $1", 2, column=1) == 7
            assert seen == [weirpool.Connection] * 5

    with no_warnings():
        run(main)


def test_setup_and_readonly(pg_url, run):
    """Read only, as without the hook."""
    write = "with x as (insert into t values (1) returning a) select * from x"

    async def setup(connection):
        await connection.fetchval("select 1")

    async def body():
        async with weirpool.create_pool(pg_url, max_size=1, setup=setup) as pool:
            await pool.execute("create table t (a int)")
            assert await pool.fetchval("select 1, 2", column=1, readonly=True, timeout=5) == 2
            with pytest.raises(weirpool.errors.ReadOnlySqlTransaction):
                await pool.fetchval(write, readonly=True)
            assert await pool.fetchval(write, readonly=False) == 1
            with pytest.raises(TypeError):
                await pool.fetch("select 1", isolation="serializable")

    run(body)
    with weirpool.create_pool_sync(pg_url, max_size=1, setup=lambda connection: None) as pool:
        assert pool.fetchval("select 1, 2", column=1, readonly=True) == 2
        with pytest.raises(weirpool.errors.ReadOnlySqlTransaction):
            pool.fetchval(write, readonly=True)
        with pytest.raises(TypeError, match="executemany.*'readonly'"):
            pool.executemany("select $1::int", [(1,)], readonly=False)
        with pytest.raises(TypeError, match="execute_script.*'readonly'"):
            pool.execute_script("select 1", readonly=True)


def test_setup_that_fails(pg_url, run):
    async def main():
        failing = True

        async def setup(connection):
            if failing:
                raise ValueError("no good")

        async with weirpool.create_pool(pg_url, min_size=1, max_size=1, setup=setup) as pool:
            for use in (lambda: pool.fetchval("select 1"), pool.session, pool.connection):
                with pytest.raises(ValueError, match="no good"):
                    await use()
            with pytest.raises(ValueError, match="no good"):
                async with pool.session():
                    raise AssertionError
            assert pool.snapshot()["connections_closed"] >= 4
            failing = False
            assert await pool.fetchval("select 1") == 1

    with no_warnings():
        run(main)


@pytest.mark.parametrize("ends", [StopIteration, StopAsyncIteration])
def test_setup_that_raises_the_end_of_an_iteration(pg_url, run, ends):
    """It is no stream's end, and no session that is None."""

    def at_once(connection):
        raise ends

    async def later(connection):
        raise ends

    async def read(rows):
        return [row async for row in rows]

    async def enter(checkout):
        async with checkout:
            raise AssertionError

    async def main():
        for setup in (at_once, later):
            async with weirpool.create_pool(pg_url, max_size=1, setup=setup) as pool:
                for use in (
                    lambda: pool.fetch("select 1"),  # noqa: B023
                    lambda: enter(pool.session()),  # noqa: B023
                    lambda: read(pool.stream("select 1")),  # noqa: B023
                    lambda: read(pool.copy_out("copy (select 1) to stdout")),  # noqa: B023
                ):
                    with pytest.raises(RuntimeError, match=f"raised {ends.__name__}"):
                        await use()

    run(main)
    with weirpool.create_pool_sync(pg_url, max_size=1, setup=at_once) as pool:
        for use in (
            lambda: pool.fetch("select 1"),
            lambda: list(pool.stream("select 1")),
            lambda: list(pool.copy_out("copy (select 1) to stdout")),
        ):
            with pytest.raises(RuntimeError, match=f"the setup hook raised {ends.__name__}"):
                use()


def test_setup_that_is_cancelled(url, run):
    async def main():
        inside = asyncio.Event()

        async def setup(connection):
            inside.set()
            if slow:
                await asyncio.sleep(60)

        async with weirpool.create_pool(url, min_size=1, max_size=1, setup=setup) as pool:
            for use in (lambda: pool.fetchval("select 1"), pool.session, pool.connection):
                slow = True
                inside.clear()
                closed = pool.snapshot()["connections_closed"]
                task = asyncio.ensure_future(use())
                await inside.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                slow = False
                assert await pool.fetchval("select 1") == 1
                assert pool.snapshot()["connections_closed"] == closed + 1

    with no_warnings():
        run(main)


def test_setup_that_ends_its_own_checkout(url, run):
    async def main():
        def setup(connection):
            if meddle:
                with contextlib.suppress(ValueError):  # it is executing
                    asyncio.current_task().get_coro().close()
            return prepare(connection)

        async def prepare(connection):
            if release:
                connection.release()

        async with weirpool.create_pool(url, min_size=1, max_size=1, setup=setup) as pool:
            meddle = release = True
            with pytest.raises(RuntimeError, match="ended its own checkout"):
                await asyncio.create_task(pool.session())
            meddle = False
            with pytest.raises(weirpool.SessionClosed):
                await pool.session()
            release = False
            assert await pool.fetchval("select 1") == 1

    with no_warnings():
        run(main)


class Took:
    """That what is done within it takes no longer than it may, on a busy machine too."""

    def __init__(self, most):
        self.most = most

    def __enter__(self):
        self.begin = time.monotonic()

    def __exit__(self, *exception):
        assert time.monotonic() - self.begin < self.most


def test_setup_has_the_time_of_the_checkout(url, run):
    async def main():
        ended = []

        async def setup(connection):
            try:
                if slow:
                    await asyncio.sleep(DEADLINE)
            finally:
                ended.append(connection)

        async with weirpool.create_pool(url, min_size=1, max_size=1, setup=setup) as pool:
            slow = False
            async with pool.connection(checkout_timeout=0.1) as connection:
                await asyncio.sleep(0.15)  # the time is over with the setup
                assert await connection.fetchval("select 1", timeout=DEADLINE) == 1
            slow = True
            calls = [
                (lambda: pool.connection(checkout_timeout=0.1), weirpool.CheckoutTimeout),
                (lambda: pool.session(checkout_timeout=0.1), weirpool.CheckoutTimeout),
                (lambda: pool.session(timeout=0.1), weirpool.SessionTimeout),
                (lambda: pool.fetchval("select 1", timeout=0.1), weirpool.CommandTimeout),
                (lambda: pool.executemany("select $1", [(1,)], timeout=0.1), weirpool.CommandTimeout),
                (lambda: pool.transaction(["select 1"], timeout=0.1), weirpool.CommandTimeout),
                (lambda: pool.run(weirpool.Session.commit, timeout=0.1), weirpool.CheckoutTimeout),
            ]
            for call, error in calls:
                await until_async(lambda: pool.snapshot()["idle"] == 1)  # the time is the setup's alone
                ended.clear()
                closed = pool.snapshot()["connections_closed"]
                with Took(DEADLINE / 2), pytest.raises(error):
                    await call()
                await until_async(lambda: ended)
                await until_async(lambda closed=closed: pool.snapshot()["connections_closed"] == closed + 1)
            slow = False
            assert await pool.fetchval("select 1", timeout=DEADLINE) == 1

    with no_warnings():
        run(main)


def test_a_call_has_one_time_with_setup_too(pg_url, run):
    async def main():
        async def setup(connection):
            await connection.execute("select pg_sleep(0.1)")

        async with weirpool.create_pool(pg_url, min_size=1, max_size=1, setup=setup) as pool:
            nap, timeout = "select pg_sleep(0.15)", 0.2
            assert await pool.fetchval("select 1", timeout=DEADLINE) == 1
            for call in (
                lambda: pool.execute(nap, timeout=timeout),
                lambda: pool.transaction([nap] * 3, timeout=timeout),
                lambda: pool.copy_out(f"copy ({nap}) to stdout", io.BytesIO(), timeout=timeout),
            ):
                await until_async(lambda: pool.snapshot()["idle"] == 1)  # there is no connection to wait for
                with pytest.raises(weirpool.CommandTimeout):
                    await call()
            async with pool.connection(checkout_timeout=DEADLINE) as connection:
                held = asyncio.ensure_future(pool.fetchval("select 1", timeout=timeout))
                with pytest.raises(weirpool.CheckoutTimeout):
                    await held
                assert await connection.fetchval("select 1") == 1
            assert await pool.transaction([nap, nap], timeout=DEADLINE) is not None
            assert await pool.transaction(["select 1"], timeout=None) == [[(1,)]]

    with no_warnings():
        run(main)


def test_setup_when_the_pool_closes(url, run):
    async def main():
        inside = asyncio.Event()

        async def setup(connection):
            inside.set()
            await asyncio.sleep(DEADLINE)

        pool = await weirpool.create_pool(url, min_size=1, max_size=1, setup=setup)
        task = asyncio.ensure_future(pool.connection())
        await inside.wait()
        await pool.close(grace=0)
        with Took(DEADLINE / 2), pytest.raises(weirpool.PoolClosed):
            await task

    with no_warnings():
        run(main)


def test_setup_sees_its_callers_context(url, run):
    tenant = contextvars.ContextVar("tenant")
    seen = []

    async def setup(connection):
        seen.append(tenant.get())

    async def ask(pool, name):
        tenant.set(name)
        await pool.fetchval("select 1")

    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=2, setup=setup) as pool:
            await asyncio.gather(*(ask(pool, name) for name in "abc"))
        assert sorted(seen) == ["a", "b", "c"]

    with no_warnings():
        run(main)


def test_blocking_setup_has_the_time_of_the_checkout(url):
    def setup(connection):
        time.sleep(pause)

    with no_warnings(), weirpool.create_pool_sync(url, min_size=1, max_size=1, setup=setup) as pool:
        pause = 0.15
        for call, error in (
            (lambda: pool.connection(checkout_timeout=0.1).__enter__(), weirpool.CheckoutTimeout),
            (lambda: pool.fetchval("select 1", timeout=0.1), weirpool.CommandTimeout),
            (lambda: pool.transaction(["select 1"], timeout=0.1), weirpool.CommandTimeout),
        ):
            until(lambda: pool.snapshot()["idle"] == 1)  # the time is the setup's alone
            closed = pool.snapshot()["connections_closed"]
            with pytest.raises(error):
                call()
            until(lambda closed=closed: pool.snapshot()["connections_closed"] == closed + 1)
        pause = 0
        assert pool.fetchval("select 1", timeout=DEADLINE) == 1
        assert pool.transaction(["select 1"], timeout=DEADLINE) == [[(1,)]]


def test_a_blocking_call_has_one_time_with_setup_too(pg_url):
    def setup(connection):
        connection.execute("select pg_sleep(0.1)")

    with no_warnings(), weirpool.create_pool_sync(pg_url, min_size=1, max_size=1, setup=setup) as pool:
        nap, timeout = "select pg_sleep(0.15)", 0.2
        for call in (
            lambda: pool.execute(nap, timeout=timeout),
            lambda: pool.transaction([nap] * 3, timeout=timeout),
            lambda: pool.copy_out(f"copy ({nap}) to stdout", io.BytesIO(), timeout=timeout),
            lambda: pool.execute("select 1", timeout=0.05),
        ):
            until(lambda: pool.snapshot()["idle"] == 1)  # there is no connection to wait for
            with pytest.raises(weirpool.CommandTimeout):
                call()
        assert pool.transaction([nap, nap], timeout=DEADLINE) is not None


def test_setup_must_be_awaitable(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1, setup=lambda connection: 3) as pool:
            with pytest.raises(TypeError, match="coroutine function"):
                await pool.session()

    run(main)


def test_blocking_hooks_are_plain_functions(pg_url, caplog):
    """What a coroutine function gives nobody would await: no connection is lent as if it had run."""

    async def hook(_):
        raise AssertionError

    with no_warnings():
        with weirpool.create_pool_sync(pg_url, max_size=1, setup=hook) as pool:
            for use in (lambda: pool.fetchval("select 1"), pool.session().__enter__):
                with pytest.raises(TypeError, match="setup hook of a blocking pool must be a plain function"):
                    use()
        with weirpool.create_pool_sync(pg_url, min_size=0, max_size=1, init=hook) as pool:
            with pytest.raises(weirpool.ConnectError, match="init"):
                pool.fetchval("select 1")
        with weirpool.create_pool_sync(pg_url, max_size=1, on_notice=hook) as pool:
            assert pool.execute("do 'begin raise notice $$x$$; end'") == "DO"
    for what in ("the init hook of a blocking pool", "on_notice"):
        assert f"{what} must be a plain function" in caplog.text
    caplog.clear()  # its tracebacks hold the pool


def test_blocking_hooks(url):
    seen = []

    def init(connection):
        seen.append(("init", type(connection)))
        assert connection.fetchval("select 1") == 1

    def setup(connection):
        seen.append(("setup", type(connection)))
        assert connection.fetchval("select 2") == 2

    with (
        no_warnings(),
        weirpool.create_pool_sync(url, min_size=1, max_size=1, init=init, setup=setup) as pool,
    ):
        assert pool.fetchval("select 3") == 3
        with pool.session() as session:
            assert session.fetchval("select 4") == 4
        assert seen == [
            ("init", weirpool.SyncConnection),
            ("setup", weirpool.SyncConnection),
            ("setup", weirpool.SyncSession),
        ]


def test_blocking_inits_do_not_nest(sqlite_url):
    depths = []

    def init(connection):
        depths.append(1)
        assert connection.fetchval("select 1") == 1
        most.append(len(depths))
        depths.pop()

    most = []
    with no_warnings(), weirpool.create_pool_sync(sqlite_url, min_size=20, max_size=20, init=init) as pool:
        until(lambda: pool.snapshot()["idle"] == 20 or pool.fetchval("select 1") != 1)
        assert most == [1] * 20


def test_inits_of_two_threads_at_once(pg_url):
    """Neither leaves the other behind as if at it: its refused calls would not run the probe's init."""
    threads, done = [], threading.Event()
    entered = [threading.Event(), threading.Event()]

    def init(connection):
        if len(threads) < 2:
            threads.append(threading.get_ident())
            entered[len(threads) - 1].set()
            (entered[1] if len(threads) == 1 else done).wait(DEADLINE)

    with weirpool.create_pool_sync(
        pg_url, min_size=0, max_size=2, init=init, circuit_failure_threshold=1
    ) as pool:

        def other():
            entered[0].wait(DEADLINE)
            assert pool.fetchval("select 1") == 1

        thread = threading.Thread(target=other)
        thread.start()
        with pool.connection() as connection:
            assert connection.fetchval("select 1") == 1
            done.set()
            thread.join()
        assert threads == [threading.get_ident(), thread.ident]
        pool.expire()
        with pytest.raises(weirpool.OperationalError):
            pool.fetchval("select pg_terminate_backend(pg_backend_pid())")
        assert pool.breaker.query.state == "open"

        def healed():
            with contextlib.suppress(weirpool.CircuitOpen):
                return pool.fetchval("select 1") == 1

        until(healed, deadline=10)


def until_connected(call):
    answers = []

    def try_it():
        try:
            answers.append(call())
        except weirpool.ConnectError:
            return False
        return True

    until(try_it)
    return answers[0]


def test_blocking_hooks_that_fail(url, caplog):
    attempts = []  # that failed; one that is tried again at once may be told by the next one's failure

    def init(connection):
        if not told:
            attempts.append(1)
            raise ValueError("no good")

    def setup(connection):
        if failing:
            raise KeyError("not now")

    told, failing = False, True
    with weirpool.create_pool_sync(
        url, min_size=0, max_size=1, init=init, setup=setup, retry_min=0.001
    ) as pool:
        with pytest.raises(weirpool.ConnectError, match="init") as caught:
            pool.fetchval("select 1")
        assert caught.value.detail == "ValueError: no good"
        told = True
        for use in (lambda: pool.fetchval("select 1"), lambda: pool.session().__enter__()):
            with pytest.raises(KeyError, match="not now"):
                until_connected(use)
        failing = False
        assert until_connected(lambda: pool.fetchval("select 1")) == 1
    assert len([r for r in caplog.records if r.exc_info and r.exc_info[0] is ValueError]) == len(attempts)
    caplog.clear()  # its tracebacks hold the pool
