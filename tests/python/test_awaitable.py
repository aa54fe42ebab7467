"""What the methods give is a coroutine in all but its type, and nothing is sent before it is awaited."""

import asyncio
import collections.abc
import gc
import inspect
import sys
import warnings

import pytest
import weirpool
from support import no_warnings, turns, until_async


def with_pool(run, url, body, **options):
    async def main():
        async with weirpool.create_pool(url, **options) as pool:
            await body(pool)

    run(main)


def test_is_a_coroutine(sqlite_url, run):
    async def body(pool):
        operation = pool.fetchval("select 1")
        assert isinstance(operation, collections.abc.Coroutine) and isinstance(
            operation, collections.abc.Awaitable
        )
        assert asyncio.iscoroutine(operation) and inspect.isawaitable(operation)
        assert operation.__name__ == operation.__qualname__ == "Pool.fetchval"
        assert operation.cr_await is None and operation.cr_frame is None and operation.cr_running is False
        assert await operation == 1
        for checkout in (pool.session(), pool.connection()):
            assert isinstance(checkout, collections.abc.Coroutine)
            (await checkout).release()

    with_pool(run, sqlite_url, body)


def test_runners_take_it(url):
    async def opened():
        return await weirpool.create_pool(url)

    with no_warnings():
        assert asyncio.run(weirpool.create_pool(url).close()) is None
        if sys.version_info >= (3, 11):
            with asyncio.Runner() as runner:
                pool = runner.run(opened())
                assert runner.run(pool.fetchval("select 1")) == 1
                runner.run(pool.close())


def test_ways_to_await(url, run):
    async def body(pool):
        assert await pool.fetchval("select 1") == 1
        assert await asyncio.create_task(pool.fetchval("select 2")) == 2
        assert await asyncio.ensure_future(pool.fetchval("select 3")) == 3
        assert await asyncio.wait_for(pool.fetchval("select 4"), 30) == 4
        assert await asyncio.shield(pool.fetchval("select 5")) == 5
        assert await asyncio.gather(*[pool.fetchval(f"select {n}") for n in range(20)]) == list(range(20))
        done, _ = await asyncio.wait([asyncio.create_task(pool.fetchval("select 6"))])
        assert done.pop().result() == 6
        found = [
            await each
            for each in asyncio.as_completed([pool.fetchval("select 7"), pool.fetchval("select 7")])
        ]
        assert found == [7, 7]
        session = await asyncio.create_task(pool.session())
        assert await asyncio.create_task(session.fetchval("select 8")) == 8
        await asyncio.create_task(session.commit())
        session.release()
        if sys.version_info >= (3, 11):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(pool.fetchval("select 9"))
            assert task.result() == 9
            async with asyncio.timeout(30):
                assert await pool.fetchval("select 10") == 10

    with no_warnings():
        with_pool(run, url, body, max_size=3)


def test_asyncio_run(url):
    kept = []

    async def main():
        kept.append(await weirpool.create_pool(url, max_size=1))
        return await kept[0].fetchval("select 1")

    async def close():
        await kept.pop().close()

    assert asyncio.run(main()) == 1
    asyncio.run(close())  # its loop is closed: it ends at once


def test_nothing_is_sent_before_the_first_await(url, run):
    async def body(pool):
        await pool.execute("create table t (a integer)")
        operations = [pool.execute("insert into t values (1)") for _ in range(3)]
        await turns()
        assert await pool.fetchval("select count(*) from t") == 0
        with pytest.warns(RuntimeWarning, match=r"Pool.execute\(\) was never awaited"):
            operations.pop()
            gc.collect()
        await operations.pop()
        operations.pop().close()  # a coroutine that was closed gives no warning
        assert await pool.fetchval("select count(*) from t") == 1
        assert pool.snapshot()["checkouts_started"] == 4

    with_pool(run, url, body)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda pool, session: pool.fetch("select 1"), "Pool.fetch"),
        (lambda pool, session: pool.session(), "Pool.session"),
        (lambda pool, session: pool.connection(), "Pool.connection"),
        (lambda pool, session: pool.close(), "Pool.close"),
        (lambda pool, session: session.executemany("select $1", [(1,)]), "Session.executemany"),
        (lambda pool, session: session.commit(), "Session.commit"),
        (lambda pool, session: weirpool.create_pool("sqlite:///x"), "create_pool"),
    ],
)
def test_never_awaited(sqlite_url, run, make, name):
    async def body(pool):
        async with pool.session() as session:
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                make(pool, session)
                gc.collect()
        assert [(w.category, str(w.message)) for w in seen] == [
            (RuntimeWarning, f"{name}() was never awaited")
        ]
        assert not pool.closed

    with_pool(run, sqlite_url, body)


def test_never_awaited_may_be_an_error(sqlite_url, run):
    unraisable = []

    async def body(pool):
        hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                pool.fetch("select 1")
        finally:
            sys.unraisablehook = hook
        assert len(unraisable) == 1 and unraisable.pop().exc_type is RuntimeWarning

    with_pool(run, sqlite_url, body)


def test_awaited_twice(url, run):
    async def body(pool):
        operation = pool.fetchval("select 1")
        assert await operation == 1
        for _ in range(2):
            with pytest.raises(RuntimeError, match="already awaited"):
                await operation
        failed = pool.fetchval("select * from nope")
        with pytest.raises(weirpool.errors.UndefinedTable):
            await failed
        with pytest.raises(RuntimeError, match="already awaited"):
            await failed
        slow = pool.fetchval("select 1")
        first, second = asyncio.ensure_future(slow), asyncio.ensure_future(slow)
        answers = await asyncio.gather(first, second, return_exceptions=True)
        assert answers[0] == 1 and isinstance(answers[1], RuntimeError)
        checkout = pool.session()
        (await checkout).release()
        with pytest.raises(RuntimeError, match="already awaited"):
            await checkout
        opened = weirpool.create_pool(url, max_size=1)
        await opened
        with pytest.raises(RuntimeError, match="opened before"):
            await opened
        await opened.close()

    with_pool(run, url, body)


def test_by_hand(pg_url, run):
    async def body(pool):
        operation = pool.fetchval("select pg_sleep(0.05)")
        with pytest.raises(TypeError, match="non-None"):
            operation.send(1)
        operation.close()
        operation = pool.fetchval("select pg_sleep(0.05)::text")
        future = operation.send(None)
        assert asyncio.isfuture(future) and operation.cr_await is future
        with pytest.raises(RuntimeError, match="being awaited already"):
            operation.send(None)
        await until_async(future.done)
        with pytest.raises(StopIteration) as stop:
            operation.send(None)
        assert stop.value.value == ""
        with pytest.raises(StopIteration) as stop:  # a tuple as the value
            iterator = pool.connection().__await__()
            next(iterator)
        stop.value.value.release()

        class Odd(Exception):
            pass

        for thrown in [(Odd,), (Odd("x"),), (Odd, Odd("x")), (Odd, "x", None)]:
            for steps in (0, 1):
                operation = pool.fetchval("select pg_sleep(60)")
                if steps:
                    operation.send(None)
                with pytest.raises(Odd):
                    operation.throw(*thrown)
                with pytest.raises(RuntimeError, match="already awaited"):
                    operation.send(None)
        with pytest.raises(TypeError, match="deriving from BaseException"):
            pool.fetchval("select 1").throw(1)
        operation = pool.fetchval("select pg_sleep(60)")
        operation.send(None)
        operation.close()
        operation.close()
        await until_async(lambda: pool.snapshot()["idle"] == pool.snapshot()["size"])
        assert await pool.fetchval("select 1") == 1

    with no_warnings():
        with_pool(run, pg_url, body, max_size=2)


def test_no_running_loop(sqlite_url):
    with pytest.raises(RuntimeError, match="no running event loop"):
        weirpool.create_pool(sqlite_url).__await__().send(None)
    with pytest.raises(TypeError):
        weirpool._core.Operation()


def test_a_task_shows_what_it_does(pg_url, run):
    async def body(pool):
        task = asyncio.ensure_future(pool.fetchval("select pg_sleep(60)"))
        await asyncio.sleep(0)
        assert "Pool.fetchval()" in repr(task)
        assert task.get_stack() == []
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_pool(run, pg_url, body)


def test_setup_is_part_of_the_checkout(url, run):
    async def main():
        async def setup(connection):
            seen.append(await connection.fetchval("select 1"))

        seen = []
        async with weirpool.create_pool(url, max_size=2, setup=setup) as pool:
            session = await asyncio.create_task(pool.session())
            assert seen == [1]
            session.release()
            checkout = pool.connection()
            future = checkout.send(None)
            while True:
                await until_async(future.done)
                try:
                    future = checkout.send(None)
                except StopIteration as stop:
                    stop.value.release()
                    break
            assert seen == [1, 1]
            checkout = pool.connection()
            checkout.send(None)
            checkout.close()
            checkout = pool.connection()
            checkout.send(None)
            with pytest.raises(KeyError):
                checkout.throw(KeyError)
            assert await pool.fetchval("select 5") == 5
            assert seen == [1, 1, 1]

    with no_warnings():
        run(main)


def test_a_checkout_awaited_by_two_while_its_setup_runs(url, run):
    """The second is refused, and the first goes on."""

    async def first(rows):
        return (await anext(rows))[0]

    async def main():
        entered, gate = asyncio.Event(), asyncio.Event()

        async def setup(connection):
            entered.set()
            await gate.wait()

        async with weirpool.create_pool(url, max_size=1, setup=setup) as pool:
            checkout, rows = pool.connection(), aiter(pool.stream("select 7"))
            for again in (lambda: asyncio.ensure_future(checkout), lambda: asyncio.ensure_future(first(rows))):
                entered.clear()
                gate.clear()
                task = again()
                await entered.wait()
                with pytest.raises(RuntimeError, match="being awaited already"):
                    await again()
                gate.set()
                answer = await asyncio.wait_for(task, 30)
                if answer != 7:
                    answer.release()
            rows.close()
            assert pool.snapshot()["connections_closed"] == 0

    with no_warnings():
        run(main)
