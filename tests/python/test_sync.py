"""Blocking pools: many threads, signals, no lost update."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import weirpool
from support import for_python, no_warnings, until


def in_threads(count, function):
    """Runs function(n) in that many threads at once; the first exception is raised."""
    gate = threading.Barrier(count)

    def body(n):
        gate.wait()
        return function(n)

    with ThreadPoolExecutor(count) as executor:
        return [future.result(120) for future in [executor.submit(body, n) for n in range(count)]]


@contextlib.contextmanager
def switching_often():
    """Threads take turns at every chance, as on a busy machine."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def check_sums(snapshot, most):
    assert snapshot["checkouts_started"] == snapshot["waiting"] + sum(
        snapshot["checkouts_" + outcome] for outcome in ("granted", "timed_out", "cancelled", "refused")
    )
    assert 0 <= snapshot["idle"] <= snapshot["size"] <= most


def test_eight_threads_on_one_pool(url):
    with no_warnings(), weirpool.create_pool_sync(url, min_size=1, max_size=3) as pool:
        pool.execute("create table t (a integer)")

        def work(n):
            dice = random.Random(n)
            for i in range(150):
                nonce = n * 1000 + i
                cast = "::bigint" if url.startswith("postgresql") else ""
                kind = dice.randrange(4)
                if kind == 0:
                    assert pool.fetchval(f"select $1{cast}", nonce) == nonce
                elif kind == 1:
                    with pool.connection() as connection:
                        assert connection.fetchval(f"select $1{cast}", nonce) == nonce
                elif kind == 2:
                    with pool.session() as session:
                        session.execute("insert into t values ($1)", nonce)
                        assert session.fetchval("select a from t where a = $1", nonce) == nonce
                else:
                    with contextlib.suppress(KeyError), pool.session() as session:
                        session.execute("insert into t values ($1)", -1)
                        raise KeyError
                check_sums(pool.snapshot(), 3)

        in_threads(8, work)
        assert pool.fetchval("select count(*) from t where a < 0") == 0
        snapshot = pool.snapshot()
        check_sums(snapshot, 3)
        assert snapshot["active"] == snapshot["waiting"] == 0


def test_snapshots_while_eight_threads_work(url):
    with weirpool.create_pool_sync(url, min_size=1, max_size=3, max_waiting=4) as pool:
        stop = threading.Event()

        def work(n):
            if n == 0:
                try:
                    for _ in range(500):
                        check_sums(pool.snapshot(), 3)  # made smaller, it keeps what is lent
                finally:
                    stop.set()
                return
            while not stop.is_set():
                with contextlib.suppress(weirpool.TooManyWaiting, weirpool.CheckoutTimeout):
                    with pool.connection(checkout_timeout=0.005):
                        pool.resize(max_size=1 + n % 3)
                        pool.resize(max_size=3)

        with switching_often():
            in_threads(8, work)


def test_a_bound_that_is_omitted_stays_as_another_thread_sets_it(url):
    with weirpool.create_pool_sync(url, min_size=0, max_size=1) as pool:
        stop = threading.Event()

        def work(n):
            if n == 0:
                while not stop.is_set():
                    pool.resize(min_size=0)
                return
            try:
                for bound in range(2, 500):
                    pool.resize(max_size=bound)
                    assert pool.max_size == bound
            finally:
                stop.set()

        with switching_often():
            in_threads(2, work)


def test_a_session_goes_from_thread_to_thread(url):
    with no_warnings(), weirpool.create_pool_sync(url, max_size=1) as pool:
        pool.execute("create table t (a integer)")
        checkout = pool.session()
        (session,) = in_threads(1, lambda n: checkout.__enter__())
        assert in_threads(1, lambda n: session.execute("insert into t values (1)")) == ["INSERT 0 1"]
        in_threads(1, lambda n: checkout.__exit__(None, None, None))
        assert session.closed and pool.fetchval("select count(*) from t") == 1


def test_threads_wait_for_each_other(url):
    with weirpool.create_pool_sync(url, max_size=1) as pool:
        inside = []

        def work(n):
            for _ in range(100):
                with pool.connection() as connection:
                    inside.append(n)
                    assert len(inside) == 1
                    connection.fetchval("select 1")
                    inside.pop()

        in_threads(8, work)


def test_a_session_is_for_one_thread_at_a_time(pg_url):
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool, pool.connection() as connection:
        thread = threading.Thread(target=connection.fetchval, args=("select pg_sleep(0.3)",))
        thread.start()
        until(lambda: connection.info["busy"])
        with pytest.raises(weirpool.SessionBusy):
            connection.fetchval("select 1")
        thread.join()
        assert connection.fetchval("select 1") == 1


def test_other_threads_run_while_one_waits(pg_url):
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool:
        counted = 0
        thread = threading.Thread(target=pool.fetchval, args=("select pg_sleep(0.2)",))
        thread.start()
        while thread.is_alive():
            counted += 1
        assert counted > 1000


def test_timeouts(pg_url):
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool:
        begin = time.monotonic()
        with pytest.raises(weirpool.CommandTimeout):
            pool.fetch("select pg_sleep(60)", timeout=0.1)
        with pool.connection():
            with pytest.raises(weirpool.CheckoutTimeout):
                with pool.connection(checkout_timeout=0.1):
                    pass
        assert 0.2 <= time.monotonic() - begin < 10
        assert pool.fetchval("select 1") == 1


def test_a_signal_handler_that_returns(pg_url):
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool:
        seen = []
        before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
        try:
            timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            assert pool.fetchval("select 7 from pg_sleep(0.3)") == 7
            timer.join()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert seen == [1]


@pytest.mark.parametrize("where", ["file", "memory"])
def test_sqlite_read_then_write_without_busy(sqlite_url, where):
    """Eight sessions at a time read, then write, 1,000 times: no "database is locked", no lost update."""
    url = sqlite_url if where == "file" else "sqlite://"
    with no_warnings(), weirpool.create_pool_sync(url, max_size=8) as pool:
        pool.execute("create table counter (n integer)")
        pool.execute("insert into counter values (0)")

        def work(_):
            for _ in range(125):
                with pool.session() as session:
                    n = session.fetchval("select n from counter")
                    session.execute("update counter set n = $1", n + 1)

        in_threads(8, work)
        assert pool.fetchval("select n from counter") == 1000
        assert pool.snapshot()["queries_failed"] == 0


def test_closing_while_threads_wait(url):
    pool = weirpool.create_pool_sync(url, max_size=1)
    holder = pool.connection().__enter__()
    outcomes = []

    def wait():
        try:
            pool.fetchval("select 1")
        except weirpool.PoolClosed as error:
            outcomes.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: pool.snapshot()["waiting"] == 3)
    pool.close(grace=0)
    for thread in threads:
        thread.join(30)
    assert len(outcomes) == 3 and holder.closed
    pool.close()
    with pytest.raises(weirpool.PoolClosed):
        pool.fetchval("select 1")


def test_one_thread_is_enough_on_postgresql(pg_url):
    """A thousand queries of a script, by address: no thread was started, or none is left."""
    program = """
import os, sys, weirpool
with weirpool.create_pool_sync(sys.argv[1], max_size=2) as pool:
    for number in range(1000):
        assert pool.fetchval("select $1::int8", number) == number
    print(len(os.listdir("/proc/self/task")))
"""
    said = subprocess.run([sys.executable, "-c", program, pg_url], env=for_python(), stdout=subprocess.PIPE, text=True, check=True)
    assert said.stdout == "1\n"
