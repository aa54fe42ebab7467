"""pool.listen(): notifications, gaps, and a connection that heals."""

import asyncio
import contextlib
import gc
import itertools
import math
import os
import random
import signal
import threading
import types
import warnings

import pytest
import weirpool
from support import DEADLINE, free_port, no_warnings, turns, until, until_async
from weirpool import Gap, Notification

OPTIONS = {"min_size": 0, "max_size": 2, "retry_min": 0.01, "retry_max": 0.1}


async def elsewhere(function, *arguments):
    """In another thread: a call that blocks."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


def listening(server, url):
    """The backends of listeners, the newest last: one that was killed may be there for another moment."""
    database = url.rpartition("/")[2]
    pids = server.sql(
        f"select pid from pg_stat_activity where datname = '{database}' and (query ~ '^(UN)?LISTEN' or query = '') "
        "order by backend_start"
    )
    return [int(pid) for pid in pids.split()]


async def gap(listener):
    given = await listener.get(timeout=DEADLINE)
    assert isinstance(given, Gap) and given.reconnected >= 1 and given.dropped == 0, given


def test_notifications_arrive(server, pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool, pool.listen("a", 'Ж "☂"') as listener:
            database = pg_url.rpartition("/")[2]
            await elsewhere(server.sql, "notify a; select pg_notify('Ж \"☂\"', 'Привет 🌂')", database)
            assert (await listener.get(timeout=DEADLINE))[:2] == ("a", "")
            first = await listener.get()
            assert (first.channel, first.payload) == ('Ж "☂"', "Привет 🌂") and first.pid > 0
            payloads = ["", "x" * 7900, "ü" * 3900, *map(str, range(200))]
            async with pool.session() as session:
                for payload in payloads:
                    if payload == "":
                        await session.execute("notify a")
                    await session.execute("select pg_notify('a', $1)", payload + ".")
                backend = session.info["backend"]
            seen = []
            async for note in listener:
                assert isinstance(note, Notification) and (note.channel, note.pid) == ("a", backend)
                seen.append(note.payload)
                if len(seen) == len(payloads) + 1:
                    break
            assert seen == ["", *(payload + "." for payload in payloads)]
            numbers = pool.snapshot()
            assert numbers["listeners"] == 1 and numbers["size"] == 1
            assert numbers["notifications"] == len(seen) + 2
        assert pool.closed and listener.closed

    with no_warnings():
        run(main)


def test_beside_a_pool_that_is_lent(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1) as pool:
            async with pool.connection() as connection, pool.listen("a") as listener:
                await connection.execute("notify a, '1'")
                assert (await listener.get(timeout=DEADLINE)).payload == "1"
                assert (pool.snapshot()["size"], pool.snapshot()["listeners"]) == (1, 1)

    with no_warnings():
        run(main)


def test_many_channels(pg_url, run):
    async def main():
        names = [f"channel {number}" for number in range(500)]
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool, pool.listen(*names) as listener:
            for name in names[::50]:
                await pool.execute("select pg_notify($1, 'x')", name)
            assert [(await listener.get(timeout=DEADLINE)).channel for _ in range(10)] == names[::50]

    with no_warnings():
        run(main)


def test_channels_come_and_go(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool:
            listener = await pool.listen()
            await listener.add("a")
            await asyncio.gather(*(listener.add(name) for name in "bcab"), listener.remove("unknown"))
            for name in "abc":
                await pool.execute("select pg_notify($1, '')", name)
                assert (await listener.get(timeout=DEADLINE)).channel == name
            await pool.execute("notify b")
            await listener.remove("b")
            await pool.execute("notify b")
            await pool.execute("notify c")
            assert [(await listener.get(timeout=DEADLINE)).channel for _ in "bc"] == ["b", "c"]
            listener.close()
            listener.close()

    with no_warnings():
        run(main)


def test_a_killed_backend(server, pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool, pool.listen("a") as listener:
            await listener.add("b")
            for number in range(3):
                waiting = asyncio.create_task(gap(listener))
                pid = (await elsewhere(listening, server, pg_url))[-1]
                await elsewhere(server.sql, f"select pg_terminate_backend({pid})")
                await waiting
                await pool.execute("select pg_notify('b', $1)", str(number))
                assert (await listener.get(timeout=DEADLINE))[:2] == ("b", str(number))
            assert pool.snapshot()["listeners_reconnected"] == 3

    with no_warnings():
        run(main)


def test_a_server_that_goes_and_comes(own_server, run):
    async def main():
        async with weirpool.create_pool(own_server.url(), **OPTIONS) as pool, pool.listen("a") as listener:
            waiting = asyncio.create_task(listener.get())
            await elsewhere(own_server.stop)
            with pytest.raises(weirpool.ConnectError) as caught:
                while True:  # until it is known; one that has not lasted counts as an attempt, too
                    with contextlib.suppress(weirpool.ConnectionLost):
                        await listener.add("b")
                    await asyncio.sleep(0)
            assert caught.value.retryable
            with pytest.raises(weirpool.ConnectError):
                await pool.listen("c")
            assert not waiting.done()
            await elsewhere(own_server.start)
            assert isinstance(await asyncio.wait_for(waiting, DEADLINE), Gap)
            await until_async(lambda: pool.snapshot()["listeners_reconnected"] == 1)
            for name in "ab":
                await pool.run(lambda session, name=name: session.execute(f"notify {name}"), retries=50)
                note = await listener.get(timeout=DEADLINE)
                while isinstance(note, Gap):
                    note = await listener.get(timeout=DEADLINE)
                assert note.channel == name

    with no_warnings():
        run(main)


def test_a_server_that_falls_silent(server, pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, command_timeout=0.3, **OPTIONS) as pool:
            async with pool.listen("a", heartbeat=0.05) as listener:
                await until_async(lambda: listening(server, pg_url))
                pid = listening(server, pg_url)[-1]
                os.kill(pid, signal.SIGSTOP)
                try:
                    await gap(listener)
                    await pool.execute("notify a, 'again'", timeout=DEADLINE)
                    assert (await listener.get(timeout=DEADLINE)).payload == "again"
                finally:
                    os.kill(pid, signal.SIGCONT)

    with no_warnings():
        run(main)


def test_expire_makes_it_anew(server, pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool, pool.listen("a") as listener:
            before = listening(server, pg_url)
            pool.expire()
            await gap(listener)
            await until_async(lambda: len(listening(server, pg_url)) == 1)
            assert listening(server, pg_url) != before

    with no_warnings():
        run(main)


def test_opening_fails(server, run):
    async def main():
        async with weirpool.create_pool(f"postgresql://app@127.0.0.1:{free_port()}/x", **OPTIONS) as pool:
            with pytest.raises(weirpool.ConnectError) as caught:
                await pool.listen("a")
            assert caught.value.retryable
            assert pool.snapshot()["listeners"] == 0
        url = server.url(user="locked", password="wrong")
        async with weirpool.create_pool(url, **OPTIONS) as pool:
            with pytest.raises(weirpool.ConnectError) as caught:
                async with pool.listen("a"):
                    pass
            assert not caught.value.retryable

    with no_warnings():
        run(main)


def test_a_full_queue(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool:
            async with pool.listen("a", max_queued=10) as listener:
                await pool.execute("select pg_notify('a', n::text) from generate_series(1, 100) n")
                await until_async(lambda: pool.snapshot()["notifications"] == 100)
                given = [await listener.get(timeout=DEADLINE) for _ in range(11)]
                assert [note.payload for note in given[:10]] == [str(number) for number in range(1, 11)]
                assert given[10] == Gap(reconnected=0, dropped=90)
                await pool.execute("notify a, 'on'")
                assert (await listener.get(timeout=DEADLINE)).payload == "on"
                assert pool.snapshot()["notifications_dropped"] == 90

    with no_warnings():
        run(main)


# ---- the end


def test_the_pool_closes_while_somebody_waits(server, pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool:
            listener = await pool.listen("a")

            async def loop():
                async for _ in listener:
                    pass

            for wait in (listener.get, loop):
                waiting = asyncio.create_task(wait())
                await turns()
                if wait is loop:
                    await pool.close()
                    with pytest.raises(weirpool.PoolClosed):
                        await waiting
                else:
                    waiting.cancel()
            with pytest.raises(weirpool.PoolClosed):
                await listener.get()
            with pytest.raises(weirpool.PoolClosed):
                pool.listen("b")._begin()
            assert listener.closed
            listener.close()

    with no_warnings():
        run(main)
    until(lambda: server.backends(pg_url) == 0)


def test_closed_while_somebody_waits(server, pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool:
            listener = await pool.listen("a")
            seen = []

            async def loop():
                async for note in listener:
                    seen.append(note)

            looping = asyncio.create_task(loop())
            await turns()
            with pytest.raises(weirpool.SessionBusy):
                await listener.get()
            adding = asyncio.create_task(listener.add("b"))
            await turns(1)
            listener.close()
            await asyncio.wait_for(looping, DEADLINE)
            with pytest.raises(weirpool.SessionClosed):
                await adding
            for call in (listener.get(), listener.add("c"), listener.remove("a")):
                with pytest.raises(weirpool.SessionClosed):
                    await call
            assert seen == [] and pool.snapshot()["listeners"] == 0
            await until_async(lambda: server.backends(pg_url) == 0)

    with no_warnings():
        run(main)


def test_nobody_closes_it(server, pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool:
            listener = await pool.listen("a")
            with pytest.warns(ResourceWarning, match="a listener of .* was not closed"):
                del listener
                gc.collect()
            assert pool.snapshot()["listeners"] == 0
            await until_async(lambda: server.backends(pg_url) == 0)
            pool.listen("never opened")

    run(main)


# ---- cancelling


def test_a_cancelled_get_loses_nothing(pg_url, run):
    async def main():
        chance = random.Random(7)
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool, pool.listen("a") as listener:
            seen, sent, cancelled = [], 0, 0
            while sent < 300:
                waiting = asyncio.create_task(listener.get())
                notifying = asyncio.create_task(pool.execute("select pg_notify('a', $1)", str(sent)))
                sent += 1
                await turns(chance.randrange(12))
                if chance.random() < 0.5:
                    await notifying
                if chance.random() < 0.2:
                    await asyncio.wait([waiting])
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    seen.append(int((await waiting).payload))
                cancelled += waiting.cancelled()
                await notifying
            while len(seen) < sent:
                seen.append(int((await listener.get(timeout=DEADLINE)).payload))
            assert seen == list(range(sent))
            assert 10 < cancelled < 290  # of both kinds

    with no_warnings():
        run(main)


@types.coroutine
def cancelled_at(coroutine, at, answered):
    """Awaits it, and cancels it when it waits for the at-th time, from 0 on: at once, or when the answer is there."""
    step, argument = coroutine.send, None
    for waits in itertools.count():
        try:
            future = step(argument)
        except StopIteration as stop:
            return stop.value
        task = asyncio.current_task()
        if waits == at and answered and future:
            future.add_done_callback(lambda _: task.cancel())  # noqa: B023 - it is one and the same
        elif waits == at:
            task.cancel()
        try:
            step, argument = coroutine.send, (yield future)
        except BaseException as error:
            step, argument = coroutine.throw, error


@pytest.mark.parametrize("answered", [False, True])
def test_cancelled_at_every_await(server, pg_url, run, answered):
    async def use(pool):
        async with pool.listen("a") as listener:
            await listener.add("b")
            await pool.execute("notify b")
            assert (await listener.get(timeout=DEADLINE)).channel == "b"
            await listener.remove("a")
            with contextlib.suppress(TimeoutError):
                await listener.get(timeout=0.001)
        return "whole"

    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool:
            await pool.execute("select 1")
            outcomes = []
            while "whole" not in outcomes:
                task = asyncio.ensure_future(cancelled_at(use(pool), len(outcomes), answered))
                await asyncio.wait([task])
                outcomes.append("cancelled" if task.cancelled() else task.result())
                assert pool.snapshot()["listeners"] == 0
            assert len(outcomes) > 4, outcomes
            await until_async(lambda: server.backends(pg_url) == 1)
            assert await pool.fetchval("select 7") == 7

    with no_warnings():
        run(main)


def test_timeouts(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool, pool.listen("a") as listener:
            with pytest.raises(weirpool.PoolTimeout):
                await listener.get(timeout=0.01)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(listener.get(), 0.01)
            await pool.execute("notify a, 'kept'")
            assert (await listener.get(timeout=DEADLINE)).payload == "kept"
            await pool.execute("notify a, 'not taken by a call that is refused'")
            await until_async(lambda: pool.snapshot()["notifications"] == 2)
            for bad in (0, -1, "1", True, math.nan):
                with pytest.raises(weirpool.ArgumentError):
                    await listener.get(timeout=bad)
            assert (await listener.get(timeout=DEADLINE)).payload == "not taken by a call that is refused"

    with no_warnings():
        run(main)


# ---- what is refused


@pytest.mark.parametrize("name", ["", "x" * 64, "ü" * 32, "a\0b", "\ud800", 3, None, b"a", ["a"]])
def test_bad_channels(pg_url, run, name):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool:
            with pytest.raises(weirpool.ArgumentError, match="channel"):
                await pool.listen("a", name)
            async with pool.listen("x" * 63) as listener:
                for change in (listener.add, listener.remove):
                    with pytest.raises(weirpool.ArgumentError, match="channel"):
                        await change(name)
            assert pool.snapshot()["listeners"] == 0

    with no_warnings():
        run(main)


def test_bad_options(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, **OPTIONS) as pool:
            for options in (
                *({"max_queued": value} for value in (0, -1, 1000001, 2**70, True, 1.0, None)),
                *({"heartbeat": value} for value in (0, -1, "x", True)),
            ):
                with pytest.raises(weirpool.ArgumentError, match=next(iter(options))):
                    await pool.listen("a", **options)
            listener = pool.listen("a", max_queued=1000000, heartbeat=None)
            for call in (listener.get(), listener.add("b")):
                with pytest.raises(weirpool.InterfaceError, match="not been opened"):
                    await call
            async with listener:
                with pytest.raises(RuntimeError, match="opened before"):
                    await listener
            with pytest.raises(RuntimeError, match="opened before"):
                await listener

    with no_warnings():
        run(main)


def test_sqlite_has_none(sqlite_url, run):
    async def main():
        async with weirpool.create_pool(sqlite_url) as pool:
            with pytest.raises(weirpool.NotSupportedError, match="sqlite has no LISTEN"):
                await pool.listen("a")

    with no_warnings():
        run(main)
    with weirpool.create_pool_sync(sqlite_url) as pool, pytest.raises(weirpool.NotSupportedError):
        pool.listen("a").__enter__()


def test_a_pool_that_is_not_open(pg_url):
    async def other(listener):
        with pytest.raises(weirpool.WrongLoop):
            await listener.get()

    async def main():
        pool = weirpool.create_pool(pg_url, **OPTIONS)
        with pytest.raises(weirpool.PoolClosed):
            await pool.listen("a")
        async with pool:
            listener = await pool.listen("a")
            await elsewhere(asyncio.run, other(listener))
            listener.close()

    with no_warnings():
        asyncio.run(main())


def test_a_forked_child(pg_url):
    with weirpool.create_pool_sync(pg_url, **OPTIONS) as pool, pool.listen("a") as listener:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: of fork in a process with threads
            pid = os.fork()
        if not pid:
            try:
                for call in (listener.get, lambda: listener.add("b"), lambda: pool.listen("c").__enter__()):
                    with pytest.raises(weirpool.ForkedError):
                        call()
                listener.close()
                with no_warnings():
                    del listener
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        pool.execute("notify a, 'alive'")
        assert listener.get(timeout=DEADLINE).payload == "alive"


# ---- blocking


def test_blocking(server, pg_url):
    with no_warnings(), weirpool.create_pool_sync(pg_url, **OPTIONS) as pool:
        with pool.listen("a", "Ü") as listener:
            pool.execute("select pg_notify('Ü', 'é')")
            assert listener.get(timeout=DEADLINE)[:2] == ("Ü", "é")
            with pytest.raises(TimeoutError):
                listener.get(timeout=0.01)
            listener.add("b")
            listener.remove("a")
            pool.execute("notify a")
            pool.execute("notify b, '1'")
            pool.execute("notify b, '2'")
            seen = []
            for note in listener:
                seen.append(note.payload)
                if len(seen) == 2:
                    break
            assert seen == ["1", "2"]
            pid = listening(server, pg_url)[-1]
            server.sql(f"select pg_terminate_backend({pid})")
            assert isinstance(listener.get(timeout=DEADLINE), Gap)
            pool.execute("notify b, '3'")
            assert listener.get(timeout=DEADLINE).payload == "3"
        with pytest.raises(weirpool.SessionClosed):
            listener.get()
        assert list(listener) == [] and pool.snapshot()["listeners"] == 0
        with pytest.raises(RuntimeError, match="opened before"):
            listener.__enter__()
    with no_warnings(), weirpool.create_pool_sync(f"postgresql://app@127.0.0.1:{free_port()}/x", min_size=0) as pool:
        with pytest.raises(weirpool.ConnectError), pool.listen("a"):
            pass


@pytest.mark.parametrize("end", ["listener", "pool"])
def test_threads(pg_url, end):
    seen, failures = [], []

    def work():
        try:
            for note in listener:
                seen.append(int(note.payload))
        except weirpool.PoolClosed as error:
            failures.append(error)

    def notify(worker):
        for number in range(100):
            pool.execute("select pg_notify('a', $1)", str(1000 * worker + number))

    with no_warnings(), weirpool.create_pool_sync(pg_url, **OPTIONS) as pool:
        listener = pool.listen("a").__enter__()
        thread = threading.Thread(target=work)
        workers = [threading.Thread(target=notify, args=(number,)) for number in range(4)]
        for started in (thread, *workers):
            started.start()
        for worker in workers:
            worker.join(DEADLINE)
        until(lambda: len(seen) == 400)
        for number in range(4):
            own = [value for value in seen if value // 1000 == number]
            assert own == list(range(1000 * number, 1000 * number + 100))
        (listener if end == "listener" else pool).close()
        thread.join(DEADLINE)
        assert not thread.is_alive() and len(failures) == (end == "pool")
        listener.close()
