"""Draining: by call, and by a real SIGTERM to a real process."""

import asyncio
import contextlib
import gc
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest
import weirpool
from support import DEADLINE, for_python, until, until_async


def test_what_is_out_is_served(url, run):
    async def main():
        pool = await weirpool.create_pool(url, max_size=1, min_size=0)
        async with pool.session() as session:
            await session.execute("create table t (a integer)")
            waiting = asyncio.create_task(pool.fetchval("select count(*) from t"))
            await until_async(lambda: pool.snapshot()["waiting"])
            drain = asyncio.create_task(pool.drain())
            await until_async(lambda: pool.closed)
            for call in (pool.fetchval("select 1"), pool.connection(), pool.run(lambda _: None)):
                with pytest.raises(weirpool.PoolClosed, match="it is draining: it ends what has begun"):
                    await call
            await session.execute("insert into t values (7)")
            assert not drain.done()
        assert await waiting == 1
        await drain
        with pytest.raises(weirpool.PoolClosed, match="closed"):
            await pool.fetchval("select 1")

    run(main)


def test_what_is_out_is_served_blocking(url):
    pool = weirpool.create_pool_sync(url, max_size=1, min_size=0)
    values = []
    with pool.session() as session:
        session.execute("create table t (a integer)")
        waiter = threading.Thread(target=lambda: values.append(pool.fetchval("select count(*) from t")))
        waiter.start()
        until(lambda: pool.snapshot()["waiting"])
        drain = threading.Thread(target=pool.drain)
        drain.start()
        until(lambda: pool.closed)
        with pytest.raises(weirpool.PoolClosed, match="it is draining: it ends what has begun"):
            pool.fetchval("select 1")
        session.execute("insert into t values (7)")
    drain.join()
    waiter.join()
    assert values == [1]


def test_the_grace_ends_it(url, run):
    async def main():
        pool = await weirpool.create_pool(url, max_size=1, min_size=0)
        with pytest.raises(weirpool.PoolClosed):
            async with pool.connection() as connection:
                waiting = asyncio.create_task(pool.fetchval("select 1"))
                await until_async(lambda: pool.snapshot()["waiting"])
                started = time.monotonic()
                await pool.drain(grace=0.1)
                assert 0.1 <= time.monotonic() - started < DEADLINE
                with pytest.raises(weirpool.PoolClosed):
                    await waiting
                await connection.fetchval("select 1")

    run(main)


def test_arguments(sqlite_url):
    with weirpool.create_pool_sync(sqlite_url) as pool:
        with pytest.raises(TypeError, match=r"drain\(\) takes keyword arguments only"):
            pool.drain(1)
        with pytest.raises(weirpool.ArgumentError, match="grace"):
            pool.drain(grace=-1)
        assert pool.drain(grace=0) is None
        assert pool.drain() is None
    unopened = weirpool.create_pool(sqlite_url)
    asyncio.run(until_drained(unopened))
    with pytest.raises(TypeError, match="a Pool or SyncPool is wanted, not str"):
        weirpool.drain_on_sigterm("pool")
    before = signal.getsignal(signal.SIGTERM)
    with weirpool.create_pool_sync(sqlite_url) as pool, pytest.raises(weirpool.ArgumentError, match="grace"):
        weirpool.drain_on_sigterm(pool, grace="5")
    assert signal.getsignal(signal.SIGTERM) is before


async def until_drained(pool):
    await pool.drain()
    assert pool.closed


# ---- SIGTERM. The scripts say "ready" when the signal may come, and wait for a line when they are to go on.

START = """
import _thread, asyncio, os, signal, sys, threading, time, weirpool
url, kind = sys.argv[1:]
def say(*words): print(*words, flush=True)
def hear(): assert sys.stdin.readline() == "go on\\n"
def before(number, frame): say("before")
def forever():
    while True: time.sleep(0.1)  # in pieces: a signal that comes right before a wait does not end it
chains = "signal" in kind or " loop" in kind
"""
ASYNC = """
async def serve():
    pool = await weirpool.create_pool(url, max_size=1, min_size=0)
    weirpool.drain_on_sigterm(pool)
    async with pool.session() as session:
        await session.execute("create table t (a integer)")
        waiting = asyncio.create_task(pool.execute("insert into t values (8)"))
        while not pool.snapshot()["waiting"]: await asyncio.sleep(0)
        say("ready")
        while not pool.closed: await asyncio.sleep(0)
        try:
            await pool.fetchval("select 1")
        except weirpool.PoolClosed as error:
            say(error)
        await asyncio.to_thread(hear)
        await session.execute("insert into t values (7)")
    await waiting
    if chains: say("served")
    await asyncio.Event().wait()

async def main():
    if kind.endswith(" signal"): signal.signal(signal.SIGTERM, before)
    if kind.endswith(" loop"): asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, before, 15, None)
    await serve()

if kind.startswith("uvloop"):
    import uvloop
    uvloop.new_event_loop().run_until_complete(main())
else:
    asyncio.run(main())
"""
BLOCKING = """
if kind == "signal": signal.signal(signal.SIGTERM, before)
pool = weirpool.create_pool_sync(url, max_size=1, min_size=0)
weirpool.drain_on_sigterm(pool)
with pool.session() as session:
    session.execute("create table t (a integer)")
    waiting = threading.Thread(target=pool.execute, args=["insert into t values (8)"])
    waiting.start()
    while not pool.snapshot()["waiting"]: time.sleep(0)
    say("ready")
    while not pool.closed: time.sleep(0)
    try:
        pool.fetchval("select 1")
    except weirpool.PoolClosed as error:
        say(error)
    hear()
    session.execute("insert into t values (7)")
waiting.join()
if chains: say("served")
forever()
"""
# Holds a connection of each of its pools for ever.
HOLDERS = """
if kind == "ignore": signal.signal(signal.SIGTERM, signal.SIG_IGN)
pools = [weirpool.create_pool_sync(url) for _ in range(2)]
for pool in pools: weirpool.drain_on_sigterm(pool, grace={grace})
loans = [pool.connection() for pool in pools]
held = [loan.__enter__() for loan in loans]
say("ready")
while not all(pool.closed for pool in pools): time.sleep(0)
say("draining")
hear()
loans[0].__exit__(None, None, None)
say("one is back")
hear()
loans[1].__exit__(None, None, None)
if kind != "ignore": forever()
hear()
say("alive")
while _thread._count(): time.sleep(0)
"""
FORKED = """
async def main():
    async with weirpool.create_pool(url, min_size=0) as pool:
        weirpool.drain_on_sigterm(pool)
        ready, tell = os.pipe()
        if not (child := os.fork()):
            os.write(tell, b"x")  # Python forgets signals that come before the fork is done
            forever()
        os.read(ready, 1)
        os.kill(child, signal.SIGTERM)
        say("ready")
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), await pool.fetchval("select 1"))
asyncio.run(main())
"""


FORKED_ANEW = """
signal.signal(signal.SIGTERM, lambda number, frame: None)
with weirpool.create_pool_sync(url, min_size=0) as first:
    weirpool.drain_on_sigterm(first)
    ready, tell = os.pipe()
    if not (child := os.fork()):
        pool = weirpool.create_pool_sync(url, min_size=0)
        weirpool.drain_on_sigterm(pool)
        os.write(tell, b"x")
        while not pool.closed: time.sleep(0)
        os._exit(7)
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    say("ready")
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), first.fetchval("select 1"))
"""


class Child:
    def __init__(self, script, *arguments):
        command = [sys.executable, "-X", "dev", "-c", START + script, *arguments]
        self.popen = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True, env=for_python())

    def line(self):
        return self.popen.stdout.readline().strip() or pytest.fail(self.popen.stderr.read())

    def go_on(self):
        self.popen.stdin.write("go on\n")
        self.popen.stdin.flush()

    def terminate(self):
        self.popen.send_signal(signal.SIGTERM)

    def runs(self):
        return self.popen.poll() is None

    def ended_by(self):
        """The signal that ended it, which wrote nothing more."""
        code = self.popen.wait(DEADLINE)
        assert self.popen.stdout.read() == "", self.popen.stderr.read()
        return -code


@contextlib.contextmanager
def child(script, *arguments):
    process = Child(script, *arguments)
    try:
        assert process.line() == "ready"
        yield process
    finally:
        process.popen.kill()
        process.popen.communicate()


def stored(url):
    with weirpool.create_pool_sync(url) as pool:
        return [row[0] for row in pool.fetch("select a from t order by a")]


@pytest.mark.parametrize(
    ("script", "kind"),
    [(ASYNC, "asyncio"), (ASYNC, "uvloop"), (BLOCKING, "blocking")],
    ids=["asyncio", "uvloop", "blocking"],
)
def test_sigterm_drains_and_then_ends_the_process(url, script, kind):
    with child(script, url, kind) as process:
        process.terminate()
        assert process.line().endswith("it is draining: it ends what has begun, and takes nothing new")
        assert process.runs()
        process.go_on()
        assert process.ended_by() == signal.SIGTERM
    assert stored(url) == [7, 8]


CHAINS = ["asyncio signal", "asyncio loop", "uvloop signal", "uvloop loop", "signal"]


@pytest.mark.parametrize("kind", CHAINS)
def test_sigterm_reaches_the_handler_that_was_there_before(url, kind):
    with child(BLOCKING if kind == "signal" else ASYNC, url, kind) as process:
        process.terminate()
        lines = {process.line().partition(":")[0], process.line().partition(":")[0]}
        assert "before" in lines and len(lines) == 2
        process.terminate()  # it decides on its own when the process ends
        assert process.line() == "before"
        process.go_on()
        assert process.line() == "served"
        assert process.runs()
    assert stored(url) == [7, 8]


def test_all_pools_are_drained_before_the_end(sqlite_url):
    with child(HOLDERS.format(grace=None), sqlite_url, "") as process:
        process.terminate()
        assert process.line() == "draining"
        process.go_on()
        assert process.line() == "one is back"
        assert process.runs()
        process.go_on()
        assert process.ended_by() == signal.SIGTERM


def test_a_second_sigterm_ends_at_once(sqlite_url):
    with child(HOLDERS.format(grace=None), sqlite_url, "") as process:
        process.terminate()
        assert process.line() == "draining"
        process.terminate()
        assert process.ended_by() == signal.SIGTERM


def test_the_grace_bounds_the_end(url):
    with child(HOLDERS.format(grace=0.2), url, "") as process:
        process.terminate()
        assert process.line() == "draining"
        assert process.ended_by() == signal.SIGTERM


def test_an_ignored_sigterm_only_drains(sqlite_url):
    with child(HOLDERS.format(grace=None), sqlite_url, "ignore") as process:
        process.terminate()
        assert process.line() == "draining"
        process.go_on()
        assert process.line() == "one is back"
        process.go_on()
        process.go_on()
        assert process.line() == "alive"
        assert process.popen.wait(DEADLINE) == 0


def test_a_forked_process_ends_by_itself(sqlite_url):
    with child(FORKED, sqlite_url, "") as process:
        assert process.line() == f"{-signal.SIGTERM} 1"
        assert process.popen.wait(DEADLINE) == 0


def test_a_forked_process_has_its_own(sqlite_url):
    with child(FORKED_ANEW, sqlite_url, "") as process:
        assert process.line() == "7 1"
        assert process.popen.wait(DEADLINE) == 0


def test_a_pool_is_not_kept_alive(sqlite_url):
    before = signal.getsignal(signal.SIGTERM)
    try:
        pool = weirpool.create_pool_sync(sqlite_url)
        weirpool.drain_on_sigterm(pool)
        pool.close()
        watched = weakref.ref(pool)
        del pool
        gc.collect()
        assert watched() is None
        assert signal.getsignal(signal.SIGTERM).before is before
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_event_loop_is_not_kept_alive(sqlite_url, run):
    before = signal.getsignal(signal.SIGTERM)
    loops = weakref.WeakSet()

    async def main():
        loops.add(asyncio.get_running_loop())
        async with weirpool.create_pool(sqlite_url) as pool:
            weirpool.drain_on_sigterm(pool)

    try:
        for _ in range(3):
            run(main)
        gc.collect()
        assert len(loops) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
