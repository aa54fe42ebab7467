"""Servers that are not there, come back, or refuse; passwords that must not be seen."""

import asyncio
import gc
import logging
import os
import signal
import socket
import subprocess
import time
import traceback

import pytest
import weirpool
from support import descriptors, free_port, no_warnings, turns, until, until_async
from weirpool import errors

CANARY = "s3cr3t-canary"


def test_server_down_at_open_and_healing(own_server, run):
    async def main():
        own_server.stop()
        url = own_server.url()
        async with weirpool.create_pool(url, min_size=2, max_size=2, retry_min=0.01, retry_max=0.05) as pool:
            with pytest.raises(weirpool.ConnectError) as caught:
                await pool.fetchval("select 1", timeout=5)
            assert caught.value.retryable
            with pytest.raises(weirpool.ConnectError):
                async with pool.session():
                    pass
            await asyncio.get_running_loop().run_in_executor(None, own_server.start)
            await until_async(lambda: pool.snapshot()["idle"] == 2)
            assert await pool.fetchval("select 1") == 1
        own_server.stop()

    with no_warnings():
        run(main)


def test_server_down_with_default_options(run):
    """The attempts of opening, five, have opened the breaker: what the first call gets is the connect error all the same."""

    def check(caught):
        assert type(caught.value) is weirpool.ConnectCircuitOpen and isinstance(caught.value, weirpool.CircuitOpen)
        assert "breaker connect is open" in caught.value.message
        assert caught.value.detail.startswith("ConnectError: connection to server at ")
        assert "Connection refused" in caught.value.detail
        assert caught.value.retryable and 0 < caught.value.retry_after <= 0.25

    async def main():
        async with weirpool.create_pool(url) as pool:
            with pytest.raises(weirpool.ConnectError) as caught:
                await pool.fetchval("select 1")
            check(caught)
        async with weirpool.create_pool(url, min_size=4, circuit_probe_interval=60) as pool:
            with pytest.raises(weirpool.ConnectError) as caught:
                await pool.fetchval("select 1")
            assert caught.value.retryable and 0 < caught.value.retry_after <= 60

    url = f"postgresql://app@127.0.0.1:{free_port()}/x"
    with no_warnings():
        run(main)
        with weirpool.create_pool_sync(url) as pool, pytest.raises(weirpool.ConnectError) as caught:
            pool.fetchval("select 1")
        check(caught)


def answers(server):
    try:
        return server.sql("select 1", database="template1") == "1"
    except subprocess.CalledProcessError:
        return False


def test_a_crash_is_seen_before_it_is_felt(own_server):
    """Each backend says, as a warning, that another one has crashed, and leaves: behind it the socket has its end."""
    with weirpool.create_pool_sync(own_server.url(), min_size=4, max_size=4) as pool:
        os.kill(pool.fetchval("select pg_backend_pid()"), signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: answers(own_server) and time.monotonic() > killed + 0.2)  # pre_ping looks after 0.1 s
        assert [pool.fetchval("select $1::int", n) for n in range(6)] == list(range(6))


def test_a_blocking_pool_heals_alone(own_server):
    """With the option background_thread nobody need call it: after a restart, and when a connection ages."""
    url = own_server.url("template1")
    options = {"min_size": 3, "retry_min": 0.01, "retry_max": 0.05, "background_thread": True}
    with no_warnings(), weirpool.create_pool_sync(url, **options):
        assert own_server.backends(url) == 3
        own_server.stop()
        own_server.start()
        until(lambda: own_server.backends(url) == 3)
    with no_warnings(), weirpool.create_pool_sync(url, max_lifetime=0.2, **options):
        oldest = "select min(backend_start) from pg_stat_activity where datname = 'template1'"
        at_first = own_server.sql(oldest)
        until(lambda: own_server.sql(oldest) not in ("", at_first) and own_server.backends(url) == 3)
    own_server.stop()


def test_require(run):
    async def main():
        url = f"postgresql://app:{CANARY}@127.0.0.1:{free_port()}/x"
        before = descriptors()
        for _ in range(3):
            with pytest.raises(weirpool.ConnectError) as caught:
                await weirpool.create_pool(url, min_size=1, require=True)
            assert caught.value.retryable and CANARY not in shown(caught.value)
        del caught
        gc.collect()
        await until_async(lambda: descriptors() <= before)

    with no_warnings():
        run(main)


def shown(error):
    return str(error) + repr(error) + repr(error.__dict__) + "".join(traceback.format_exception(error))


def test_retry_after(run):
    async def main():
        url = f"postgresql://app@127.0.0.1:{free_port()}/x"
        async with weirpool.create_pool(url, min_size=1, max_size=1, retry_min=30, retry_max=60) as pool:
            with pytest.raises(weirpool.ConnectError) as caught:
                await pool.fetchval("select 1")
            assert 0 <= caught.value.retry_after <= 60
            begin = time.monotonic()
            for _ in range(100):
                with pytest.raises(weirpool.ConnectError):
                    await pool.fetchval("select 1")
            assert time.monotonic() - begin < 5

    run(main)


def test_what_no_retry_can_cure(server, run, caplog):
    caplog.set_level(logging.DEBUG, "weirpool")

    async def main():
        locked = server.url(user="locked", password="right")
        for url, settings, sqlstate in [
            (server.url("no_such_database"), {}, "3D000"),
            (server.url(user="locked", password=CANARY), {}, "28P01"),
            (server.url(), {"work_mem": "nonsense"}, "22023"),
            (server.url(), {"nosuch_setting": "1"}, "42704"),
            (server.url(), {"max_connections": "3"}, "55P02"),
            (locked, {"log_statement": "all"}, "42501"),
            (server.url() + "?options=-c%20nosuch_setting=1", {}, "42704"),
            (server.url() + "?options=-x", {}, "42601"),
        ]:
            for attempt in (open_async, open_blocking):
                with pytest.raises(errors.DatabaseError) as caught:
                    await attempt(url, settings)
                assert caught.value.sqlstate == sqlstate and not caught.value.retryable
                assert CANARY not in shown(caught.value)
        pool = await weirpool.create_pool(locked, min_size=1, max_size=1)
        assert await pool.fetchval("select current_user") == "locked"
        assert "right" not in pool.url + repr(pool) + pool.name
        await pool.close()

    async def open_async(url, settings):
        async with weirpool.create_pool(url, min_size=1, server_settings=settings):
            pass

    async def open_blocking(url, settings):
        weirpool.create_pool_sync(url, min_size=1, server_settings=settings).close()

    with no_warnings():
        run(main)
    assert CANARY not in caplog.text


async def refusal(pool):
    try:
        await pool.fetchval("select 1")
    except weirpool.OperationalError as error:
        return error
    return None


def test_a_refused_login_is_not_hammered_at(server, run):
    """Attempts back off, by retry_min and retry_max: accounts are locked that fail too often."""
    server.sql("create role barred login")

    async def main():
        async with weirpool.create_pool(
            server.url(user="barred"), min_size=2, max_size=4, retry_min=30, retry_max=60
        ) as pool:
            assert await pool.fetchval("select 1") == 1
            server.sql("alter role barred nologin")
            server.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'barred'")
            before = pool.snapshot()["connections_started"]
            while (error := await refusal(pool)) is None or error.sqlstate != "28000":
                pass  # the connections that were there end by and by
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                await asyncio.sleep(0.02)
                error = await refusal(pool)
            assert error.sqlstate == "28000" and error.retry_after > 0
            assert pool.snapshot()["connections_started"] - before <= 3
            assert pool.breaker.connect.state == "closed"

    try:
        with no_warnings():
            run(main)
    finally:
        server.sql("drop role barred")


def test_sqlite_that_cannot_be_opened(tmp_path, run):
    async def main():
        with pytest.raises(weirpool.OperationalError):
            async with weirpool.create_pool(
                f"sqlite:///{tmp_path}/no/such/folder.db", min_size=1, require=True
            ):
                pass
        broken = tmp_path / "broken.db"
        broken.write_bytes(b"this is no database" * 1000)
        with pytest.raises(weirpool.DatabaseError):
            async with weirpool.create_pool(f"sqlite:///{broken}", min_size=1) as pool:
                await pool.fetch("select * from sqlite_master")

    run(main)


@pytest.fixture
def silent_port():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_connect_timeout(run, silent_port):
    async def main():
        begin = time.monotonic()
        with pytest.raises(weirpool.OperationalError) as caught:
            await weirpool.create_pool(
                f"postgresql://app@127.0.0.1:{silent_port}/x", min_size=1, connect_timeout=0.2, require=True
            )
        assert isinstance(caught.value, (weirpool.ConnectTimeout, weirpool.ConnectError))
        assert 0.2 <= time.monotonic() - begin < 10

    run(main)


def test_while_connecting_hangs(silent_port):
    """That is no pool that is too small, and says so."""
    url = f"postgresql://app@127.0.0.1:{silent_port}/x"
    with weirpool.create_pool_sync(url, min_size=0, max_size=1, circuit_breaker=False) as pool:
        with pytest.raises(weirpool.CheckoutTimeout, match="none is there, and 1 attempt to make one has not ended"):
            pool.fetchval("select 1", timeout=0.05)
        until(lambda: pool.health()["status"] != "healthy")
        assert list(pool.health()["reasons"]) == ["disconnected"]


def test_a_cancelled_open(run, silent_port):
    async def main():
        before = descriptors()
        for steps in range(5):
            pool = weirpool.create_pool(f"postgresql://app@127.0.0.1:{silent_port}/x", min_size=1)
            task = asyncio.ensure_future(pool)
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pool.closed or steps < 2
            await pool.close()
            assert pool.closed
            del pool, task
        await until_async(lambda: descriptors() <= before)

    with no_warnings():
        run(main)


def test_killed_server(own_server, run):
    async def main():
        url = own_server.url()
        async with weirpool.create_pool(url, min_size=2, max_size=2, retry_min=0.01, retry_max=0.05) as pool:
            assert await pool.fetchval("select 1") == 1
            session = await pool.session()
            await session.execute("create table t (a integer)")
            running = asyncio.ensure_future(pool.fetchval("select pg_sleep(60)"))
            await until_async(lambda: pool.snapshot()["active"] == 2)
            own_server.kill()
            with pytest.raises(weirpool.OperationalError):
                await running
            with pytest.raises((weirpool.OperationalError, weirpool.InterfaceError)):
                await session.execute("select 1")
            session.release()
            await asyncio.get_running_loop().run_in_executor(None, own_server.start)
            await until_async(lambda: pool.snapshot()["idle"] == 2)
            assert await pool.fetchval("select to_regclass('t')::text") is None

    with no_warnings():
        run(main)


def test_close_gives_holders_their_time(url, run):
    async def main():
        pool = await weirpool.create_pool(url, max_size=2)
        holder = await pool.session()
        await holder.execute("create table t (a integer)")
        closing = asyncio.ensure_future(pool.close(grace=30))
        await turns()
        assert not closing.done() and pool.closed
        with pytest.raises(weirpool.PoolClosed):
            await pool.fetchval("select 1")
        await holder.execute("insert into t values (1)")
        await holder.commit()
        holder.release()
        await closing
        async with weirpool.create_pool(url, max_size=1) as again:
            assert await again.fetchval("select count(*) from t") == 1

    with no_warnings():
        run(main)


def test_close_cuts_holders_off(url, run, caplog):
    async def main():
        pool = await weirpool.create_pool(url, max_size=2, name="cut")
        holder = await pool.session()
        waiters = [asyncio.ensure_future(pool.session()) for _ in range(3)]
        await asyncio.sleep(0)
        begin = time.monotonic()
        closing = asyncio.ensure_future(pool.close(grace=None))
        await turns()
        assert not closing.done()
        await pool.close(grace=0.05)  # hastens the first
        await closing
        assert time.monotonic() - begin < 10 and holder.closed
        outcomes = await asyncio.gather(*waiters, return_exceptions=True)
        assert sum(isinstance(outcome, weirpool.PoolClosed) for outcome in outcomes) >= 2
        with pytest.raises(weirpool.InterfaceError):
            await holder.execute("select 1")

    run(main)
    named = [r.getMessage() for r in caplog.records if r.name == "weirpool" and r.levelno == logging.WARNING]
    assert any(f"main ({__file__}:" in line for line in named), (
        named
    )  # who holds it, and where it was asked for


def test_closing_is_cancelled(url, run):
    async def main():
        pool = await weirpool.create_pool(url, max_size=1)
        holder = await pool.connection()
        closing = asyncio.ensure_future(pool.close())
        await turns()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert pool.closed
        holder.release()
        await pool.close()

    with no_warnings():
        run(main)


def test_debug_may_be_asked_for_later(pg_url, run, caplog):
    async def main():
        async with weirpool.create_pool(pg_url, min_size=1, max_size=1) as pool:
            notice = "do $$ begin raise notice 'now or never'; end $$"
            await pool.execute(notice)
            assert "now or never" not in caplog.text
            caplog.set_level(logging.DEBUG, "weirpool")
            await pool.execute(notice)
            await until_async(lambda: "NOTICE: now or never" in caplog.text)

    run(main)


def test_log_lines(run, caplog):
    caplog.set_level(logging.DEBUG, "weirpool")
    port = free_port()

    async def main():
        url = f"postgresql://app:{CANARY}@127.0.0.1:{port}/x"
        async with weirpool.create_pool(url, min_size=1, retry_min=0.01, name="logged"):
            await until_async(lambda: caplog.records)

    run(main)
    assert {record.name for record in caplog.records} <= {"weirpool", "asyncio"}
    lines = [record for record in caplog.records if record.name == "weirpool"]
    assert any("logged" in line.getMessage() and line.levelno >= logging.WARNING for line in lines)
    assert CANARY not in caplog.text


def test_a_log_handler_that_uses_the_pool(sqlite_url, run):
    """Lines are handed over outside the core: a handler may do what it likes."""

    class Handler(logging.Handler):
        def emit(self, record):
            seen.append((record.getMessage(), [pool.snapshot()["size"] for pool in pools]))

    seen, pools, handler = [], [], Handler()
    logger = logging.getLogger("weirpool")

    async def main():
        async with weirpool.create_pool(sqlite_url, max_size=1) as pool:
            pools.append(pool)
            held = await pool.connection()
            await pool.close(grace=0)
            assert held.closed
        pools.clear()

    logger.addHandler(handler)
    try:
        run(main)
    finally:
        logger.removeHandler(handler)
    assert seen
