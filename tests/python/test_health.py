"""Health checks, the status and its history, and servers that take no writes any more."""

import asyncio
import logging
import pathlib
import sys
import time

import pytest
import weirpool
from support import LOOPS, no_warnings, until, until_async

sys.path.append(str(pathlib.Path(__file__).parents[1] / "faults"))
from proxy import Fault, Network  # noqa: E402


@pytest.fixture
def network():
    with Network() as network:
        yield network


def test_idle_connections_are_checked(url, run):
    async def main():
        options = {"min_size": 2, "max_size": 4, "health_check_interval": 0.02}
        async with weirpool.create_pool(url, **options) as pool:
            before = pool.snapshot()
            await until_async(lambda: pool.snapshot()["health_checks_passed"] > 5)
            health, now = pool.health(), pool.snapshot()
            assert (health["status"], health["reasons"], health["last_failure"]) == ("healthy", {}, None)
            assert 0 < health["latency"] < 5 and 0 <= health["last_check_age"] < 5
            assert health["passed"] >= 5 and health["failed"] == health["failures_in_a_row"] == 0
            assert now["health_check"]["count"] == now["health_checks_passed"]
            assert now["checkouts_started"] == before["checkouts_started"] and now["size"] == 2
            (event,) = pool.health_history()
            assert event["kind"] == "passed" and 0 < event["duration"] < 5
            assert time.monotonic() - 60 < event["at"] <= time.monotonic()
            assert pool.health_history(after=event["number"]) == []
        assert (pool.health()["status"], list(pool.health()["reasons"])) == ("unhealthy", ["closed"])

    with no_warnings():
        run(main)


def test_a_check_by_a_caller(url, run):
    async def main():
        async with weirpool.create_pool(url, min_size=0, max_size=1) as pool:
            assert (await pool.check_health())["status"] == "healthy"
            async with pool.connection():
                health = await pool.check_health(timeout=0.02)
                assert health["status"] == "healthy" and health["failures_in_a_row"] == 0  # nobody was asked
                assert health["failed"] == 1 and health["last_failure"].startswith("CheckoutTimeout: ")
            kinds = [event["kind"] for event in pool.health_history()]
            assert kinds == ["passed", "failed"]
            pool.breaker.force_open()
            health = await pool.check_health()
            assert health["status"] == "unhealthy" and "circuit_open" in health["reasons"]
            pool.breaker.force_close()
            assert (await pool.check_health(timeout=None))["status"] == "healthy"
            for wrong in (0, -1, "x", True):
                with pytest.raises(weirpool.ArgumentError, match="timeout"):
                    pool.check_health(timeout=wrong).close()
            with pytest.raises(TypeError):
                pool.check_health(3)
        with pytest.raises(weirpool.PoolClosed):
            await pool.check_health()

    with no_warnings():
        run(main)


def test_a_blocking_pool(url):
    with no_warnings(), weirpool.create_pool_sync(url, health_check_query="select 1 as well") as pool:
        assert pool.health()["last_check_age"] is None
        assert pool.check_health(timeout=5)["passed"] == 1
        assert pool.health_history()[0]["status"] == "healthy"
    options = {"min_size": 2, "health_check_interval": 0.02, "background_thread": True}
    with no_warnings(), weirpool.create_pool_sync(url, **options) as pool:
        until(lambda: pool.health()["passed"] > 3)


def test_a_blocking_pool_that_is_only_checked(pg_url, server, network):
    """It finds out that its server is back."""
    proxy = network.proxy(("127.0.0.1", server.port))
    url = pg_url.replace(f":{server.port}/", f":{proxy.port}/")
    options = {"circuit_failure_threshold": 2, "circuit_probe_interval": 0.02, "health_check_timeout": 0.05}
    with no_warnings(), weirpool.create_pool_sync(url, min_size=1, max_size=2, **options) as pool:
        proxy.otherwise = Fault(silent=True)
        proxy.vanish()
        until(lambda: "circuit_open" in pool.check_health()["reasons"])
        proxy.otherwise = Fault()
        until(lambda: pool.check_health()["status"] != "unhealthy")


def test_a_query_that_fails(url, run, caplog):
    async def main():
        options = {"min_size": 1, "max_size": 1, "health_check_interval": 0.02}
        async with weirpool.create_pool(url, health_check_query="select * from nothing", **options) as pool:
            await until_async(lambda: pool.health()["failures_in_a_row"] >= 3)
            health = pool.health()
            assert health["status"] == "unhealthy" and "checks_failing" in health["reasons"]
            assert "nothing" in health["last_failure"]
            assert pool.breaker.query.state == "closed"  # the server has answered
            assert await pool.fetchval("select 7") == 7

    with caplog.at_level(logging.INFO, "weirpool"), no_warnings():
        run(main)
    lines = [record.getMessage() for record in caplog.records]
    assert any("a health check has failed, and its connection is closed" in line for line in lines)
    assert any("it is degraded: the last check has failed" in line for line in lines)


def test_options():
    for name, wrong in (("health_check_interval", 0), ("health_check_query", "begin"), ("validate_after", 0)):
        with pytest.raises(weirpool.OptionError, match=name):
            weirpool.create_pool_sync("sqlite://", **{name: wrong})


def test_silent_connections_are_found(pg_url, server, run, network):
    """A firewall has forgotten them: the socket is well, and nothing comes back."""

    async def main(proxy):
        url = pg_url.replace(f":{server.port}/", f":{proxy.port}/")
        options = {"min_size": 4, "max_size": 4, "health_check_interval": 0.1, "health_check_timeout": 0.1}
        async with weirpool.create_pool(url, circuit_breaker=False, **options) as pool:
            proxy.vanish()
            await until_async(lambda: pool.snapshot()["health_checks_failed"] == 4)
            await until_async(lambda: pool.snapshot()["idle"] == 4)
            assert await pool.fetchval("select 7", timeout=5) == 7
            assert pool.snapshot()["queries_failed"] == 0  # no caller has met one of them
            assert list(pool.health()["reasons"]) == ["connections_lost"]

    with no_warnings():
        run(main, network.proxy(("127.0.0.1", server.port)))


def test_validation_before_lending(pg_url, server, run, network):
    async def main(proxy):
        url = pg_url.replace(f":{server.port}/", f":{proxy.port}/")
        options = {"health_check_interval": None, "health_check_timeout": 0.2, "validate_after": 0.05}
        async with weirpool.create_pool(url, min_size=1, max_size=2, **options) as pool:
            await asyncio.sleep(0.06)
            proxy.vanish()
            begun = time.monotonic()
            assert await pool.fetchval("select 7") == 7  # on a new one, after a moment
            assert time.monotonic() - begun < 5
            await until_async(lambda: pool.snapshot()["health_checks_failed"] == 1)
            assert pool.snapshot()["queries_failed"] == 0

    with no_warnings():
        run(main, network.proxy(("127.0.0.1", server.port)))


# ---- servers that take no writes


async def written(pool):
    """So many writes were refused by a server that takes none, before one has succeeded."""
    refused = 0
    for _ in range(1000):
        try:
            await pool.execute("insert into t values (1)")
            return refused
        except weirpool.errors.ReadOnlySqlTransaction:
            refused += 1
        except weirpool.OperationalError:  # no server takes writes now
            pass
        await asyncio.sleep(0.01)
    raise AssertionError("no write succeeds")


def events(pool):
    return [event["kind"] for event in pool.health_history()]


def test_a_pool_leaves_servers_that_take_no_writes(pair, network):
    primary, standby = pair
    primary.sql("create table t (a integer)")
    until(lambda: standby.sql("select to_regclass('t')") == "t")

    async def moved_address(proxy):
        """It was the standby's, and is the primary's; the connections that there are stay where they were."""
        url = f"postgresql://app@127.0.0.1:{proxy.port}/postgres"
        async with weirpool.create_pool(url, min_size=2, max_size=2) as pool:
            assert await pool.fetchval("select pg_is_in_recovery()")
            with pytest.raises(weirpool.errors.ReadOnlySqlTransaction):
                async with pool.session(readonly=True) as session:
                    await session.execute("insert into t values (1)")
            assert pool.health()["status"] == "healthy" and events(pool) == []  # nobody has wanted to write
            proxy.upstream = ("127.0.0.1", primary.port)
            assert await written(pool) == 1
            assert not await pool.fetchval("select pg_is_in_recovery()")
            await until_async(lambda: "standby" not in pool.health()["reasons"])
            assert "expired" in events(pool)

    async def switched_over(pools):
        """The two change their parts: connections are lost, and made where writes are taken."""
        primary.stop("fast")
        standby.promote()
        primary.follow(standby)
        assert primary.sql("select pg_is_in_recovery()") == "t"
        for pool in pools:
            assert await written(pool) == 0
            assert await pool.fetchval("select inet_server_port()") == standby.port

    async def demoted(pools):
        """The other one is promoted; the primary takes no writes any more, and drops nobody."""
        primary.promote()  # first, so that who leaves finds a server that does
        standby.sql("alter system set default_transaction_read_only = on")
        standby.sql("select pg_reload_conf()")
        until(lambda: standby.sql("show default_transaction_read_only") == "on")
        writer, idler = pools
        assert await written(writer) == 1
        for pool in (writer, idler):  # the second has found it out by a check
            await until_async(lambda pool=pool: "expired" in events(pool))
            assert await written(pool) == 0
            assert await pool.fetchval("select inet_server_port()") == primary.port
            await until_async(lambda pool=pool: "standby" not in pool.health()["reasons"])

    async def main(proxy):
        await moved_address(proxy)
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in pair)
        url = f"postgresql://app@{hosts}/postgres?target_session_attrs=read-write"
        async with (
            weirpool.create_pool(url, min_size=2, max_size=2, health_check_interval=None) as writer,
            weirpool.create_pool(url, min_size=2, max_size=2, health_check_interval=0.05) as idler,
        ):
            for phase in (switched_over, demoted):
                await phase([writer, idler])

    with no_warnings():
        LOOPS["uvloop"](main, network.proxy(("127.0.0.1", standby.port)))
