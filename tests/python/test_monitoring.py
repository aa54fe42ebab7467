"""Alerts, slow statements, history: what the package adds to the core's (tests/core/test_monitor.c, test_history.c)."""

import asyncio
import logging
import threading
import time

import pytest
import weirpool
from support import DEADLINE, PRELOAD, until, until_async

QUICK = {
    "monitoring_interval": 0.01,
    "alert_window": 0.1,
    "alert_after": 1,
    "alert_minimum_calls": 1,
    "alert_cooldown": 3600,
}
NUMBERS = {"value", "threshold", "count", "total", "window"}


def check(heard):
    fired, resolved = heard
    assert fired.keys() == {"number", "type", "severity", "message", "at", "resolved_at", "resolved"} | NUMBERS
    assert (fired["number"], fired["type"], fired["severity"]) == (1, "high_query_failure_rate", "critical")
    assert not fired["resolved"] and fired["resolved_at"] is None and fired["at"] <= time.monotonic()
    assert fired["value"] == 1 and fired["threshold"] == 0.05 and fired["count"] == fired["total"] >= 1
    assert 0 < fired["window"] < DEADLINE and "statements failed in" in fired["message"]
    assert resolved["resolved"] and fired["at"] < resolved["resolved_at"] <= time.monotonic()
    assert {**resolved, "resolved": False, "resolved_at": None} == fired


def test_callbacks_of_an_event_loop(run, caplog):
    caplog.set_level(logging.INFO, "weirpool")

    async def main():
        loop, plain, later = asyncio.get_running_loop(), [], []
        pool = weirpool.create_pool("sqlite://", **QUICK)

        @pool.on_alert
        def hear(alert):
            assert asyncio.get_running_loop() is loop and threading.current_thread() is threading.main_thread()
            plain.append(dict(alert))
            alert.clear()
            raise ValueError("mine")

        @pool.on_alert
        async def hear_later(alert):
            await asyncio.sleep(0)
            later.append(alert)
            raise ValueError("mine, too")

        assert callable(hear) and asyncio.iscoroutinefunction(hear_later)
        async with pool:
            with pytest.raises(weirpool.Error):
                await pool.execute("select nonsense")
            await until_async(lambda: plain)
            (active,) = pool.alerts()
            assert active == plain[0]
            await until_async(lambda: len(later) == 2)
            assert pool.alerts() == [] and pool.alerts(active=False) == pool.alert_history() == [plain[1]]
        check(plain)
        assert later == plain

    run(main)
    assert [record.getMessage() for record in caplog.records].count("a callback for alerts has failed") == 4
    alerts = [(record.levelname, record.getMessage()) for record in caplog.records if " alert " in record.getMessage()]
    (level, fired), (other, resolved) = alerts
    assert (level, other) == ("ERROR", "INFO")
    assert "alert high_query_failure_rate: 1 of 1 statements failed" in fired
    assert "alert high_query_failure_rate is resolved" in resolved
    caplog.clear()  # tracebacks, and with them the pool


def test_callbacks_of_a_blocking_pool(caplog):
    heard, thread = [], threading.get_ident()

    async def asynchronous(alert):
        raise AssertionError

    with weirpool.create_pool_sync("sqlite://", **QUICK) as pool:

        def hear(alert):
            assert threading.get_ident() == thread
            pool.fetchval("select 1")  # which brings no other one in between
            heard.append(alert)

        assert pool.on_alert(hear) is hear
        pool.on_alert(lambda alert: asynchronous(alert))
        for wrong in (asynchronous, "hear", None):
            with pytest.raises(TypeError):
                pool.on_alert(wrong)
        with pytest.raises(weirpool.Error):
            pool.execute("select nonsense")
        until(lambda: pool.snapshot() and len(heard) == 2)
    check(heard)
    assert "gave something to be awaited" in caplog.text
    caplog.clear()  # tracebacks, and with them the pool


def test_history(run):
    async def main():
        async with weirpool.create_pool("sqlite://", min_size=2, max_size=4) as pool:
            assert pool.history("size") == []
            await pool.execute("select 1")
            await until_async(lambda: pool.history("queries_succeeded"))
            snapshot = pool.snapshot()
            point = pool.history("queries_succeeded")[0]
            assert point["value"] == snapshot["queries_succeeded"] == 1
            assert point["at"] <= time.monotonic() < point["at"] + DEADLINE
            first = pool.history("query", since=None, step=1)[0]
            assert first["count"] == 1
            assert first["sum"] == pytest.approx(snapshot["query"]["sum"])
            assert first["p50"] == pytest.approx(snapshot["query"]["p50"], rel=0.004)
            assert pool.history("size", since=0) == [] and pool.history("size", step=60) == []
            assert pool.history("size", step=1.0)[0]["value"] == 2
            with pytest.raises(weirpool.ArgumentError, match="no metric sise: did you mean size?"):
                pool.history("sise")
            with pytest.raises(weirpool.ArgumentError, match="step=5000 ms: 1, 10 or 60 s are kept"):
                pool.history("size", step=5)
            for wrong in (-1, "1", True, float("nan"), float("inf")):
                with pytest.raises(weirpool.ArgumentError, match="since="):
                    pool.history("size", since=wrong)

    run(main)


def test_slow_queries(pg_url, caplog):
    caplog.set_level(logging.INFO, "weirpool")
    with weirpool.create_pool_sync(pg_url, slow_query_threshold=0.02, echo=True) as pool:
        assert pool.slow_queries() == []
        for _ in range(2):
            pool.fetchval("select pg_sleep(0.03),  'sesame', $1", "tahini")
        with pytest.raises(weirpool.CommandTimeout):
            pool.fetchval("select pg_sleep(10)", timeout=0.2)
        with pool.session() as session:
            for _ in session.stream("select pg_sleep(0.04) from generate_series(1, 2)"):
                pass
            session.execute_script("select pg_sleep(0.03); select 1")
        slow = pool.slow_queries()
        assert [query["total"] for query in slow] == sorted((query["total"] for query in slow), reverse=True)
        counts = {query["statement"]: query["count"] for query in slow}
        assert counts["select pg_sleep(?), ?"] == 2
        assert counts[weirpool.fingerprint("select pg_sleep(7) -- seconds\n, 'cumin', $1")] == 2
        assert counts["select pg_sleep(?)"] == 1 and slow[0]["max"] >= 0.2
        assert counts["select pg_sleep(?) from generate_series(?)"] in (1, 2)  # opening it may be slow, too
        assert counts["select pg_sleep(?); select ?"] == 1
        assert slow[0].keys() == {"statement", "count", "total", "max", "last", "at"}
        assert slow[0]["last"] <= slow[0]["max"] <= slow[0]["total"] and slow[0]["at"] <= time.monotonic()
        pool.transaction(["select 41", ("select 42 + $1", 7654321)])
    lines = [line for record in caplog.records if " select " in (line := record.getMessage())]
    assert any(line.endswith("select pg_sleep(0.03),  'sesame', $1") for line in lines)  # echo keeps literals
    assert any(line.endswith(": select 42 + $1") for line in lines)
    slow_lines = [line for line in lines if ": a slow statement: " in line]
    assert sum(line.endswith(" s: select pg_sleep(?), ?") for line in slow_lines) == 2
    assert "tahini" not in caplog.text and "7654321" not in caplog.text


def resident():
    """Bytes of its own in memory, page by page: statm's are estimated, and of files there are 64 KB at a time."""
    with open("/proc/self/smaps_rollup") as numbers:
        return next(int(line.split()[1]) << 10 for line in numbers if line.startswith("Anonymous:"))


def test_different_statements_leave_memory_flat(url):
    """What the drivers know of statements is bounded; test_history.c has a million of them."""
    batch, most = (500, 64 << 20) if PRELOAD else (2000, 128 << 10)  # a sanitizer keeps what was freed
    with weirpool.create_pool_sync(url, max_size=1, slow_query_threshold=0.001) as pool:

        def work(begin):
            for n in range(begin, begin + batch):
                assert pool.fetchval(f"select {n} as column_{n}") == n

        work(0)
        before = resident()
        work(batch)
        assert resident() - before < most
        assert pool.snapshot()["queries_succeeded"] == 2 * batch


def test_monitoring_is_off(run):
    async def main():
        async with weirpool.create_pool("sqlite://", monitoring=False) as pool:
            pool.on_alert(print)
            calls = (pool.alerts, pool.alert_history, pool.slow_queries, lambda: pool.history("size"))
            for call in calls:
                with pytest.raises(weirpool.NotSupportedError, match="open it with monitoring=true"):
                    call()

    run(main)
