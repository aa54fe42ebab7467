"""A pool's circuit breakers: the server is killed, stopped, or cut off, and comes back."""

import asyncio
import contextlib
import inspect
import os
import pathlib
import signal
import statistics
import sys
import time

import pytest
import weirpool
from support import no_warnings, turns, until, until_async
from weirpool import errors

sys.path.append(str(pathlib.Path(__file__).parents[1] / "faults"))
from proxy import Fault, Network  # noqa: E402

CALLERS = 16
DEADLINE = 0.5
PAST_DEADLINE = 0.1  # seconds, for whatever happens
LAST_ERROR = 0.3  # after the server is ready, not counted what connecting and calls take, nor the machine's own lag
ATTEMPTS = 40 / 5  # to connect, in a second


class Load:
    """Callers who keep asking, with a deadline each, and what became of their calls."""

    def __init__(self, pool):
        self.pool, self.calls, self.over, self.lag = pool, [], False, 0.0

    async def clock(self):
        """How late this process is, at most, in doing what is due."""
        while not self.over:
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            self.lag = max(self.lag, time.monotonic() - begun - 0.01)

    async def caller(self):
        while not self.over:
            begun, error = time.monotonic(), None
            try:
                assert await self.pool.fetchval("select 1", timeout=DEADLINE) == 1
            except weirpool.Error as caught:
                error = caught
            self.calls.append((begun, time.monotonic(), error))
            await asyncio.sleep(0.01)

    async def __aenter__(self):
        self.tasks = [asyncio.ensure_future(self.caller()) for _ in range(CALLERS)]
        self.tasks.append(asyncio.ensure_future(self.clock()))
        await until_async(lambda: len(self.calls) > 100)
        assert not self.errors()
        return self

    async def __aexit__(self, *exception):
        self.over = True
        await asyncio.gather(*self.tasks)

    def errors(self, since=0.0):
        return [call for call in self.calls if call[2] and call[1] >= since]

    def served(self, since):
        return [call for call in self.calls if not call[2] and call[0] >= since]

    async def opened(self):
        """One of the two, whichever meets enough failures first."""
        await until_async(lambda: self.pool.breaker.state == "open")
        return time.monotonic()

    def check_refusals(self, begin, end):
        """Between the two the breaker was open: calls that began then were refused at once, and said why."""
        refused = [call for call in self.calls if begin < call[0] and call[1] < end]
        assert len(refused) > CALLERS and all(isinstance(call[2], weirpool.CircuitOpen) for call in refused)
        assert statistics.median(call[1] - call[0] for call in refused) < 0.001
        for _, _, error in refused:
            assert error.retryable and 0 < error.retry_after <= 0.25
            assert error.detail and "circuit breaker" in error.message

    async def check_recovery(self, ready):
        """Well within a second; the last error comes soon after the server is ready."""
        await until_async(lambda: self.served(ready) and self.pool.breaker.state == "closed")
        assert self.served(ready)[0][1] - ready < 1
        await until_async(lambda: len(self.served(ready)) > 10 * CALLERS)
        last = max([call[1] - ready for call in self.errors(ready)], default=0)
        until_then = [call[1] - call[0] for call in self.served(ready) if call[0] < ready + last]
        slow_start = 3 * max(until_then, default=0)  # 1, 2, then 4 at a time
        assert last <= LAST_ERROR + self.pool.snapshot()["connect"]["max"] + slow_start + self.lag

    def check_deadlines(self):
        assert max(call[1] - call[0] for call in self.calls) <= DEADLINE + PAST_DEADLINE + self.lag


async def in_thread(function):
    await asyncio.get_running_loop().run_in_executor(None, function)


def attempts(pool):
    return pool.snapshot()["connections_started"]


def test_killed(own_server, run):
    async def main():
        async with weirpool.create_pool(own_server.url(), min_size=10, max_size=10) as pool:
            async with Load(pool) as load:
                before, killed = attempts(pool), time.monotonic()
                await in_thread(own_server.kill)
                opened = await load.opened()
                await until_async(lambda: time.monotonic() > opened + 1.5)
                assert attempts(pool) - before <= ATTEMPTS * (time.monotonic() - killed)
                load.check_refusals(opened, time.monotonic())
                assert pool.breaker.connect.state == "open"  # at the latest by now
                await in_thread(own_server.start)
                await load.check_recovery(time.monotonic())
            load.check_deadlines()
            numbers = pool.snapshot()
            assert numbers["circuit_refused"] >= 50 and numbers["probes_started"] >= 5
            assert numbers["checkouts_refused"] >= numbers["circuit_refused"]  # before it opened: ConnectError

    with no_warnings():
        run(main)


@contextlib.contextmanager
def stopped(server):
    processes = server.processes()
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(processes):
            os.kill(process, signal.SIGCONT)


def test_stopped(own_server, run):
    """It takes connections, and says nothing."""

    async def main():
        async with weirpool.create_pool(own_server.url(), min_size=10, max_size=10) as pool:
            async with Load(pool) as load:
                with stopped(own_server):
                    before, begin = attempts(pool), time.monotonic()
                    opened = await load.opened()
                    await until_async(lambda: time.monotonic() > opened + 1.5)
                    assert attempts(pool) - before <= ATTEMPTS * (time.monotonic() - begin)
                    assert 1 <= pool.snapshot()["probing"] <= 4
                    load.check_refusals(opened, time.monotonic())
                await load.check_recovery(time.monotonic())
            load.check_deadlines()

    with no_warnings():
        run(main)


def test_packets_dropped(server, pg_url, run):
    """Nothing that the server says arrives; what was sent then is lost for good."""

    async def main(proxy):
        url = pg_url.replace(f":{server.port}/", f":{proxy.port}/")
        async with weirpool.create_pool(url, min_size=10, max_size=10) as pool:
            async with Load(pool) as load:
                proxy.otherwise = Fault(silent=True)
                proxy.vanish()
                before, begin = attempts(pool), time.monotonic()
                opened = await load.opened()
                await until_async(lambda: time.monotonic() > opened + 1.5)
                assert attempts(pool) - before <= ATTEMPTS * (time.monotonic() - begin)
                load.check_refusals(opened, time.monotonic())
                proxy.otherwise = Fault()  # and those that were begun in the silence stay silent
                await load.check_recovery(time.monotonic())
            load.check_deadlines()

    with Network() as network, no_warnings():
        run(main, network.proxy(("127.0.0.1", server.port)))


def test_what_opens_nothing(pg_url, run):
    """Violations, bad SQL, cancelled tasks: the users' own."""

    async def main():
        async with weirpool.create_pool(pg_url, min_size=2, max_size=4) as pool:
            await pool.execute("create table t (a integer primary key)")
            await pool.execute("insert into t values (1)")
            for _ in range(8):
                with pytest.raises(errors.UniqueViolation):
                    await pool.execute("insert into t values (1)")
                with pytest.raises(errors.UndefinedTable):
                    await pool.fetch("select * from nowhere")
                with pytest.raises(weirpool.DataError):
                    await pool.fetch("select 1 / 0")
                with pytest.raises(weirpool.ArgumentError):
                    await pool.fetch("select $1::int", object())
            for _ in range(8):
                task = asyncio.ensure_future(pool.fetch("select pg_sleep(60)"))
                await until_async(lambda: pool.snapshot()["active"] == 1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert pool.breaker.state == "closed"
            numbers = pool.breaker.query.snapshot()
            assert numbers["consecutive_failures"] == 0 and numbers["calls_cancelled"] == 8

    with no_warnings():
        run(main)


def test_terminated_backends(server, pg_url, run):
    """An administrator ends all connections: the server is well, which the probe finds out at once."""

    async def main():
        async with weirpool.create_pool(pg_url, min_size=10, max_size=10) as pool:
            async with Load(pool) as load:
                name = pg_url.rpartition("/")[2]
                kill = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
                await in_thread(lambda: server.sql(kill))
                await load.check_recovery(time.monotonic())
            load.check_deadlines()

    run(main)


# ---- by hand


def test_a_transaction_of_ones_own_goes_on(pg_url, run):
    async def main():
        async with weirpool.create_pool(pg_url, max_size=2) as pool, pool.connection() as connection:
            await connection.execute("create table t (a integer)")
            await connection.execute("begin")
            await connection.execute("insert into t values (1)")
            pool.breaker.query.force_open()
            await connection.execute("insert into t values (2)")
            await connection.execute("commit")
            with pytest.raises(weirpool.CircuitOpen):
                await connection.fetchval("select 1")
            pool.breaker.query.force_close()
            assert await connection.fetchval("select count(*) from t") == 2

    run(main)


def test_by_hand(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=2) as pool:
            breaker = pool.breaker
            assert breaker.state == "closed" and repr(breaker) == "<PoolBreaker connect=closed query=closed>"
            assert await pool.fetchval("select 1") == 1
            assert breaker.query.snapshot()["calls_succeeded"] == 1
            assert breaker.connect.snapshot()["calls_succeeded"] >= 1
            async with pool.session() as inside:
                await inside.execute("create table t (a integer)")
                breaker.query.force_open()
                await inside.execute("insert into t values (1)")  # what has begun goes on, to its end
            with pytest.raises(weirpool.CircuitOpen) as caught:
                await pool.fetchval("select 1")
            assert caught.value.retry_after is None and "by hand" in caught.value.message
            with pytest.raises(weirpool.CircuitOpen):
                async with pool.session():
                    pass
            with pytest.raises(weirpool.CircuitOpen):
                await pool.transaction(["select 1"])
            assert breaker.state == "forced_open" and breaker.connect.state == "closed"
            assert pool.snapshot()["circuit_refused"] == 3 and pool.snapshot()["circuit_query"] == 3
            breaker.metrics_only()
            assert breaker.state == "metrics_only"
            assert await pool.fetchval("select count(*) from t") == 1
            breaker.disable()
            assert await pool.fetchval("select 1") == 1
            breaker.force_close()
            breaker.reset()
            assert breaker.snapshot()["query"]["state"] == "closed"
            states = [event["state"] for event in breaker.query.events()]
            assert states == ["forced_open", "metrics_only", "disabled", "closed", "closed"]
        pool = weirpool.create_pool(url)
        with pytest.raises(weirpool.PoolClosed):
            pool.breaker.force_open()  # it has not been opened
        await pool.close()

    with no_warnings():
        run(main)


def test_those_in_line_are_refused(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=1) as pool:
            async with pool.connection():
                waiting = [asyncio.ensure_future(pool.fetchval("select 1")) for _ in range(3)]
                await turns()
                pool.breaker.query.force_open()
                outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {weirpool.CircuitOpen}

    with no_warnings():
        run(main)


def test_options(url, run):
    async def main():
        separator = "&" if "?" in url else "?"
        async with weirpool.create_pool(
            url + f"{separator}circuit_failure_threshold=1", circuit_ignore="23", circuit_probe_interval=60
        ) as pool:
            await pool.execute("create table t (a integer primary key)")
            await pool.execute("insert into t values (1)")
            with pytest.raises(errors.IntegrityError):
                await pool.execute("insert into t values (1)")
            assert pool.breaker.query.snapshot()["calls_ignored"] == 1
        async with weirpool.create_pool(url, circuit_breaker=False) as pool:
            assert pool.breaker.state == "disabled"
            assert pool.snapshot()["circuit_connect"] == 4

    with no_warnings():
        run(main)


# ---- fallbacks, repetition


def test_fallback(url, run):
    async def main():
        async with weirpool.create_pool(url, max_size=2) as pool:
            seen = []

            async def cached(error):
                await asyncio.sleep(0)
                seen.append(error)
                return "cached"

            @pool.breaker(fallback=cached)
            async def work():
                return await pool.fetchval("select 'fresh'")

            assert await work() == "fresh" and seen == []
            assert inspect.iscoroutinefunction(work) and not inspect.iscoroutinefunction(
                pool.breaker(pool.fetchval, fallback=cached)
            )
            for wrong in (None, 3):
                with pytest.raises(TypeError, match="fallback must be a function, not"):
                    pool.breaker(fallback=wrong)
            with pytest.raises(weirpool.ProgrammingError):  # no other error goes there
                await pool.breaker(pool.fetchval, fallback=cached)("select * from nowhere")
            assert seen == []
            pool.breaker.query.force_open()
            assert await work() == "cached" and isinstance(seen[0], weirpool.CircuitOpen)
            assert await pool.breaker(pool.fetchval, fallback=lambda error: 7)("select 1") == 7

            def broken(error):
                raise LookupError

            with pytest.raises(LookupError) as caught:
                await pool.breaker(pool.fetchval, fallback=broken)("select 1")
            assert isinstance(caught.value.__cause__, weirpool.CircuitOpen)

    with no_warnings():
        run(main)


def test_fallback_of_a_blocking_pool(url):
    with weirpool.create_pool_sync(url, max_size=2) as pool:
        value = pool.breaker(pool.fetchval, fallback=lambda error: "cached")
        assert value("select 1") == 1
        pool.breaker.force_open()
        assert value("select 1") == "cached"
        with pytest.raises(weirpool.CircuitOpen):
            pool.fetchval("select 1")
        with pytest.raises(TypeError, match="decorate the function that does so"):  # no fallback would be asked there
            pool.breaker(pool.session, fallback=print)()


def test_run_goes_on_behind_an_outage(own_server, run):
    """What was refused has changed nothing: run() repeats it, after the pause that it is told."""

    async def main():
        async with weirpool.create_pool(own_server.url(), min_size=1, max_size=2) as pool:
            await pool.execute("create table t (a integer)")
            await in_thread(own_server.kill)
            starting = asyncio.ensure_future(in_thread(own_server.start))

            async def work(session):
                await session.execute("insert into t values (1)")

            async def recreate(session):
                await session.execute("create table if not exists t (a integer)")

            await pool.run(recreate, retries=200, timeout=60)
            await pool.run(work, retries=200, timeout=60)
            await starting
            assert await pool.fetchval("select count(*) from t") == 1

    run(main)


# ---- blocking pools, which nobody drives while nobody calls


def test_a_blocking_pool(own_server):
    url = own_server.url()
    with weirpool.create_pool_sync(url, min_size=2, max_size=4, circuit_failure_threshold=2) as pool:
        assert pool.fetchval("select 1") == 1
        own_server.kill()

        def refused():
            with pytest.raises(weirpool.OperationalError) as caught:
                pool.fetchval("select 1", timeout=5)
            return isinstance(caught.value, weirpool.CircuitOpen)

        until(refused)
        times = []
        end = time.monotonic() + 1
        while time.monotonic() < end:
            begin = time.monotonic()
            assert refused()
            times.append(time.monotonic() - begin)
        assert statistics.median(times) < 0.001
        own_server.start()
        ready = time.monotonic()

        def served():
            with contextlib.suppress(weirpool.CircuitOpen):
                return pool.fetchval("select 1", timeout=5) == 1

        until(served)
        assert time.monotonic() - ready < 1


def test_a_blocking_pool_that_is_seldom_called(own_server):
    """Its callers are no more than one call behind: the first one after the server is back waits for the probe."""
    url = own_server.url()
    with weirpool.create_pool_sync(url, min_size=1, max_size=2, circuit_failure_threshold=1) as pool:
        assert pool.fetchval("select 1") == 1
        own_server.kill()
        with pytest.raises(weirpool.OperationalError):
            pool.fetchval("select 1", timeout=5)
        with pytest.raises(weirpool.OperationalError):
            pool.fetchval("select 1", timeout=5)
        assert pool.breaker.state == "open"
        own_server.start()
        time.sleep(1)  # nobody calls: that is what is tested
        assert pool.fetchval("select 1", timeout=5) == 1
