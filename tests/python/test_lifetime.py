"""What happens to what nobody returns, closes or awaits: garbage, loops that end, forks."""

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import warnings
import weakref

import pytest
import weirpool
from support import LOOPS, descriptors, for_python, no_warnings, until, until_async


def caught(function):
    """The ResourceWarnings that a call causes."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        function()
        gc.collect()
    return [str(w.message) for w in seen if issubclass(w.category, ResourceWarning)]


def test_a_collected_session_goes_back(url, run):
    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=1) as pool:
            await pool.execute("create table t (a integer)")
            for make in (pool.session, pool.connection):
                kept = [await make()]
                await kept[0].execute("insert into t values (1)")
                seen = caught(kept.clear)
                assert len(seen) == 1 and "was not returned to its pool" in seen[0]
                assert await pool.fetchval("select 1") == 1
            assert await pool.fetchval("select count(*) from t") == 1
            # in a cycle, and in another thread
            for collect in (gc.collect, lambda: in_thread(gc.collect)):
                ring = [await pool.connection()]
                ring.append(ring)
                reference = weakref.ref(ring[0])
                del ring
                waiter = asyncio.ensure_future(pool.fetchval("select 1"))
                await asyncio.sleep(0)
                assert not waiter.done()
                assert len(caught(collect)) == 1 and reference() is None
                assert await waiter == 1

    run(main)


def in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join()


def test_a_collected_blocking_session_goes_back(url):
    with weirpool.create_pool_sync(url, min_size=1, max_size=1) as pool:
        kept = [pool.connection().__enter__()]
        assert len(caught(kept.clear)) == 1
        assert pool.fetchval("select 1") == 1


def test_a_returned_session_gives_no_warning(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1) as pool:
            session = await pool.session()
            session.discard()
            cut_off = await pool.connection()
            await pool.close(grace=0)
            assert cut_off.closed

    with no_warnings():
        run(main)


def test_discard_closes_the_connection(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1) as pool:
            connection = await pool.connection()
            before = connection.info["backend"]
            connection.discard()
            assert await pool.fetchval("select pg_backend_pid()") != before

    run(main)


@pytest.mark.parametrize("when", ["inside", "after"])
def test_a_dropped_pool(server, url, run, when):
    before = descriptors()
    kept = []

    async def main():
        kept.append(await weirpool.create_pool(url, min_size=2, max_size=2, name="dropped"))
        assert await kept[0].fetchval("select 1") == 1
        if when == "inside":
            assert caught(kept.clear) == ["the pool dropped was not closed"]

    run(main)
    if when == "after":
        assert caught(kept.clear) == ["the pool dropped was not closed"]
    until(lambda: descriptors() <= before)
    if url.startswith("postgresql"):
        until(lambda: server.backends(url) == 0)


def test_a_pool_dropped_in_another_thread(url, run):
    before = descriptors()

    async def main():
        ring = [await weirpool.create_pool(url, min_size=1, max_size=2)]
        ring.append(ring)
        del ring
        seen = []
        await asyncio.get_running_loop().run_in_executor(None, lambda: seen.extend(caught(gc.collect)))
        assert len(seen) == 1
        await until_async(lambda: descriptors() <= inside)

    async def measure():
        nonlocal inside
        await asyncio.get_running_loop().run_in_executor(None, gc.collect)
        inside = descriptors()

    inside = 0
    run(measure)
    run(main)
    until(lambda: descriptors() <= before)


def test_a_dropped_blocking_pool(url):
    before = descriptors()
    kept = [weirpool.create_pool_sync(url, min_size=1, max_size=2)]
    assert len(caught(kept.clear)) == 1
    until(lambda: descriptors() <= before)


def test_loop_closed_with_operations_under_way(pg_url):
    before = descriptors()

    def abandon(new_loop):
        loop = new_loop()
        pool = loop.run_until_complete(_open(pg_url))
        session = loop.run_until_complete(_session(pool))
        task = loop.create_task(_wait(pool))
        loop.run_until_complete(until_async(lambda: pool.snapshot()["active"] == 2))
        loop.close()
        return weakref.ref(pool), session, task

    import uvloop

    for new_loop in (asyncio.new_event_loop, uvloop.new_event_loop):
        logger = logging.getLogger("asyncio")
        logger.disabled = True  # "Task was destroyed but it is pending"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pool, session, task = abandon(new_loop)
                assert pool() is not None
                del session, task
                gc.collect()
                gc.collect()
        finally:
            logger.disabled = False
        assert pool() is None
        until(lambda: descriptors() <= before)


async def _open(url):
    return await weirpool.create_pool(url, min_size=1, max_size=2)


async def _session(pool):
    return await pool.session()


async def _wait(pool):
    await pool.fetchval("select pg_sleep(60)")


def test_another_loop(url, run):
    kept = []

    async def first():
        kept.append(await weirpool.create_pool(url, max_size=1))
        kept.append(await kept[0].connection())

    async def second():
        pool, connection = kept
        for operation in (
            pool.fetch("select 1"),
            pool.session(),
            connection.fetch("select 1"),
        ):
            with pytest.raises(weirpool.WrongLoop):
                await operation
        with pytest.raises(weirpool.WrongLoop):
            async with connection.transaction():
                pass
        connection.release()
        await pool.close()
        assert pool.closed

    with no_warnings():
        run(first)
        run(second)
        kept.clear()


def test_two_running_loops(url):
    with no_warnings():

        async def main():
            async with weirpool.create_pool(url, max_size=1) as pool:

                async def use():
                    with pytest.raises(weirpool.WrongLoop):
                        await pool.fetch("select 1")
                    with pytest.raises(weirpool.WrongLoop):
                        await pool.close()
                    assert pool.snapshot()["size"] <= 1 and pool.name

                failed = []

                def thread():
                    try:
                        LOOPS["asyncio"](use)
                    except BaseException as error:
                        failed.append(error)

                await asyncio.get_running_loop().run_in_executor(None, thread)
                assert failed == []
                assert await pool.fetchval("select 1") == 1

        LOOPS["asyncio"](main)


def test_a_loop_that_goes_on_in_another_thread(url):
    loop = asyncio.new_event_loop()
    try:
        pool = loop.run_until_complete(_open(url))
        answers = []

        async def use():
            answers.append(await pool.fetchval("select 1"))
            async with pool.session() as session:
                answers.append(await session.fetchval("select 2"))

        in_thread(lambda: loop.run_until_complete(asyncio.wait_for(use(), 30)))
        loop.run_until_complete(asyncio.wait_for(use(), 30))
        assert answers == [1, 2, 1, 2]
        loop.run_until_complete(asyncio.wait_for(pool.close(), 30))
    finally:
        loop.close()


FORKED = """
import asyncio, gc, os, sys, warnings
import weirpool

def child(pool, connection):
    for use in (lambda: pool.fetch("select 1"), lambda: connection.fetch("select 1")):
        try:
            answer = use()
            if sys.argv[2] == "async":
                answer.send(None)
            return 1
        except weirpool.ForkedError:
            pass
    try:
        pool.snapshot()
        return 2
    except weirpool.ForkedError:
        pass
    return 0

def fork(pool, connection):
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = child(pool, connection)
            warnings.simplefilter("error")
            connection.release()
            del pool, connection
            gc.collect()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status

async def main():
    async with weirpool.create_pool(sys.argv[1], min_size=1, max_size=2) as pool:
        async with pool.session() as session:
            before = await session.fetchval("select 1")
            fork(pool, session)
            assert await session.fetchval("select 2") == 2
        assert await pool.fetchval("select 3") == 3

def blocking():
    with weirpool.create_pool_sync(sys.argv[1], min_size=1, max_size=2) as pool:
        with pool.session() as session:
            session.fetchval("select 1")
            fork(pool, session)
            assert session.fetchval("select 2") == 2
        assert pool.fetchval("select 3") == 3

asyncio.run(main()) if sys.argv[2] == "async" else blocking()
print("done")
"""


@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_fork(url, kind):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKED, url, kind],
        env=for_python(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_may_open_its_own(url):
    with weirpool.create_pool_sync(url, max_size=1) as pool:
        assert pool.fetchval("select 1") == 1
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with weirpool.create_pool_sync(url, max_size=1) as own:
                    code = 0 if own.fetchval("select 2") == 2 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert pool.fetchval("select 3") == 3


EXIT = """
import asyncio, sys, warnings
warnings.simplefilter("ignore")
import weirpool
kept = []
async def main():
    pool = await weirpool.create_pool(sys.argv[1], min_size=2, max_size=2)
    kept.extend([pool, await pool.session(), await pool.connection()])
    await kept[1].execute("select 1")
if sys.argv[2] == "async":
    asyncio.run(main())
else:
    kept.append(weirpool.create_pool_sync(sys.argv[1], min_size=2, max_size=2))
    kept.append(kept[0].session().__enter__())
    kept[1].execute("select 1")
"""


@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_exit_with_everything_open(server, url, kind):
    done = subprocess.run(
        [sys.executable, "-c", EXIT, url, kind], env=for_python(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    if url.startswith("postgresql"):
        until(lambda: server.backends(url) == 0)


def test_nothing_piles_up(url, run):
    """Objects and references after many calls of every kind, failing and cancelled ones too."""

    async def rounds(pool, count):
        for i in range(count):
            await pool.fetch("select 1 as a, 'x' as b")
            async with pool.session() as session:
                await session.execute("select 1")
                async with session.transaction():
                    pass
            with pytest.raises(weirpool.Error):
                await pool.fetch("select * from nope")
            # a new text: SQLite may answer one that it knows before there is anything to cancel
            task = asyncio.ensure_future(pool.fetchval(f"select {count * 1000 + i}"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            pool.fetch("select 1").close()
            with pytest.raises(weirpool.ArgumentError):
                pool.fetch("select $1", object())

    async def main():
        async with weirpool.create_pool(url, min_size=1, max_size=2) as pool:
            await rounds(pool, 20)
            gc.collect()
            before = len(gc.get_objects()), sys.getrefcount(pool), sys.getrefcount(None)
            await rounds(pool, 100)
            gc.collect()
            after = len(gc.get_objects()), sys.getrefcount(pool), sys.getrefcount(None)
            for had, has in zip(before, after, strict=True):
                assert abs(has - had) < 50

    run(main)


def test_types_are_seen_by_the_collector():
    for name in (
        "Pool",
        "SyncPool",
        "Operation",
        "Checkout",
        "Transaction",
        "SyncCheckout",
        "Session",
        "Columns",
    ):
        assert getattr(weirpool._core, name).__flags__ & (1 << 14), name  # Py_TPFLAGS_HAVE_GC
