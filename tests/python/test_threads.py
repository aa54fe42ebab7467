"""Blocking pools under many threads that do everything at once; beside an asynchronous one."""

import asyncio
import contextlib
import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import weirpool
from support import DEADLINE, no_warnings, until, until_async
from test_sync import check_sums, in_threads
from weirpool import errors

SLOW = {
    "postgresql": "select pg_sleep(600)",
    "sqlite": "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1e12) "
    "select max(i) from n",
}

MOST = 5  # connections


class Work:
    """What threads do; each asks with numbers of its own, and no other's answer may come."""

    def __init__(self, pool, url, n):
        self.pool = pool
        self.kind = url.partition(":")[0]
        self.echo = "select $1::bigint" if self.kind == "postgresql" else "select $1"
        self.dice = random.Random(n)
        self.nonce = n << 32
        self.kept = 0  # rows

    def ask(self, on, **options):
        self.nonce += 1
        assert on.fetchval(self.echo, self.nonce, **options) == self.nonce

    def statement(self):
        self.ask(self.pool, timeout=self.dice.choice([None, 60]))

    def connection(self):
        with self.pool.connection() as connection:
            for _ in range(self.dice.randrange(4)):
                self.ask(connection)

    def session(self):
        with self.pool.session() as session:
            self.ask(session)
            session.execute("insert into t values ($1)", self.nonce)
            with contextlib.suppress(KeyError), session.transaction():
                session.execute("insert into t values ($1)", -self.nonce)
                raise KeyError
            assert session.fetchval("select a from t where a = $1", self.nonce) == self.nonce
        self.kept += 1

    def own_error(self):
        with pytest.raises(ZeroDivisionError), self.pool.session() as session:
            session.execute("insert into t values ($1)", -1)
            raise ZeroDivisionError

    def server_error(self):
        with pytest.raises(errors.UndefinedTable), self.pool.session() as session:
            self.ask(session)
            session.execute("select * from nope")
        with pytest.raises(errors.UndefinedTable):
            self.pool.fetch("select * from nope")

    def command_timeout(self):
        with pytest.raises(weirpool.PoolTimeout):  # of the wait for a connection, or of the run
            self.pool.fetch(SLOW[self.kind], timeout=0.02)
        with self.pool.connection() as connection:
            with pytest.raises(weirpool.CommandTimeout):
                connection.fetch(SLOW[self.kind], timeout=0.01)
            self.ask(connection)

    def session_timeout(self):
        with pytest.raises(weirpool.SessionTimeout):
            with self.pool.session(timeout=0.02, readonly=True) as session:
                session.fetch(SLOW[self.kind], timeout=None)

    def checkout_timeout(self):
        with contextlib.suppress(weirpool.CheckoutTimeout):
            with self.pool.connection(checkout_timeout=0.002) as connection:
                self.ask(connection)

    def given_back_while_it_runs(self):
        with self.pool.connection() as connection:
            outcome = []

            def wait():
                try:
                    connection.fetch(SLOW[self.kind])
                except weirpool.OperationalError as error:
                    outcome.append(error)

            thread = threading.Thread(target=wait)
            thread.start()
            until(lambda: connection.info["busy"])
            connection.release()
            thread.join(DEADLINE)
            assert [type(error).__name__ for error in outcome] == ["OperationCancelled"]

    def run(self):
        calls = []

        def insert(session):
            calls.append(session)
            self.ask(session)
            session.execute("insert into t values ($1)", self.nonce)
            if len(calls) == 1:
                raise errors.SerializationFailure("again", sqlstate="40001", retryable=True)
            return self.nonce

        assert self.pool.run(insert) == self.nonce and len(calls) == 2
        self.kept += 1

    def look(self):
        check_sums(self.pool.snapshot(), MOST)

    def do_something(self):
        rare = [self.command_timeout, self.session_timeout, self.given_back_while_it_runs]
        often = [
            self.statement,
            self.connection,
            self.session,
            self.own_error,
            self.server_error,
            self.checkout_timeout,
            self.run,
            self.look,
        ]
        self.dice.choice(often * 2 + rare)()


def test_twenty_threads_do_everything(server, url):
    # their time-outs are too short on purpose: none of them says that the server is down
    options = {"min_size": 1, "max_size": MOST, "lock_timeout": 60, "circuit_ignore": "CommandTimeout"}
    with no_warnings(), weirpool.create_pool_sync(url, **options) as pool:
        pool.execute("create table t (a bigint)")

        def work(n):
            work = Work(pool, url, n + 1)
            for _ in range(60):
                work.do_something()
            return work.kept

        kept = sum(in_threads(20, work))
        assert pool.fetchval("select count(*) from t where a > 0") == kept
        assert pool.fetchval("select count(*) from t where a < 0") == 0

        def conserved():
            now = pool.snapshot()
            return now["idle"] == now["size"] and not now["cleaning"] + now["connecting"]

        until(conserved)
        now = pool.snapshot()
        check_sums(now, MOST)
        assert now["active"] == now["waiting"] == 0 and 1 <= now["size"]
        if url.startswith("postgresql"):
            until(lambda: server.backends(url) == pool.snapshot()["size"])
        for number in range(50):
            assert pool.fetchval("select $1" + "::bigint" * url.startswith("postgresql"), number) == number
    with pytest.raises(weirpool.PoolClosed):
        pool.fetchval("select 1")


def test_both_kinds_of_pools_in_one_process(url, run):
    async def main():
        echo = "select $1::bigint" if url.startswith("postgresql") else "select $1"
        loop = asyncio.get_running_loop()
        async with weirpool.create_pool(url, max_size=2) as pool:
            with weirpool.create_pool_sync(url, max_size=2) as blocking, ThreadPoolExecutor(8) as threads:

                async def awaited(nonce):
                    async with pool.session(readonly=True) as session:
                        assert await session.fetchval(echo, nonce) == nonce
                    assert await pool.fetchval(echo, -nonce) == -nonce

                def blocked(nonce):
                    with blocking.session(readonly=True) as session:
                        assert session.fetchval(echo, nonce) == nonce
                    assert blocking.fetchval(echo, -nonce) == -nonce

                async def one(nonce):
                    if nonce % 3 == 0:
                        await awaited(nonce)
                    elif nonce % 30 == 1:
                        blocked(nonce)  # in the loop's own thread
                    else:
                        await loop.run_in_executor(threads, blocked, nonce)

                await asyncio.gather(*(one(nonce) for nonce in range(300)))
                for snapshot in (pool.snapshot, blocking.snapshot):
                    await until_async(lambda snapshot=snapshot: snapshot()["idle"] == snapshot()["size"])
                    assert snapshot()["active"] == snapshot()["waiting"] == 0

    with no_warnings():
        run(main)


def test_a_thread_that_ends_with_a_session(url):
    with weirpool.create_pool_sync(url, max_size=1) as pool:
        pool.execute("create table t (a integer)")
        local = threading.local()

        def vanish():
            local.session = pool.session().__enter__()
            local.session.execute("insert into t values (1)")

        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for _ in range(5):
                thread = threading.Thread(target=vanish)
                thread.start()
                thread.join()
            assert pool.fetchval("select count(*) from t") == 0  # rolled back
        assert [warning.category for warning in seen] == [ResourceWarning] * 5
        assert "was not returned to its pool; it is now" in str(seen[0].message)
        assert pool.snapshot()["active"] == 0


def test_closing_while_threads_do_everything(url):
    """Every one of them comes to an end, and nothing but the close is what they see."""
    pool = weirpool.create_pool_sync(url, min_size=1, max_size=4, lock_timeout=60)
    pool.execute("create table t (a bigint)")
    begun = threading.Semaphore(0)

    def work(n):
        work = Work(pool, url, n + 1)
        with pytest.raises((weirpool.PoolClosed, errors.OperationalError)):
            while True:
                begun.release()
                work.ask(pool)
                work.session()

    with ThreadPoolExecutor(16) as threads:
        futures = [threads.submit(work, n) for n in range(16)]
        for _ in range(200):
            assert begun.acquire(timeout=DEADLINE)
        pool.close(grace=0)
        for future in futures:
            future.result(DEADLINE)
    assert pool.closed
