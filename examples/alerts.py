"""All eight alerts of a pool, provoked on a real PostgreSQL, one after the other, as an operator would meet them.

A load runs all the time. A session is leaked, the pool fills, statements are slow and fail, checkouts are slow and
fail, and the server is killed and comes back. Each alert fires once, within its window and with the numbers that
caused it, and is resolved when its cause is gone; the metrics say the same as the alerts, and as the callers have
counted themselves. Then all of that happens again, within the cooldown: nothing is heard, though a second pool, new
then, gives all eight alerts. The program exits with 1 when it was otherwise.

    python examples/alerts.py
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import weirpool

SERVER = Path(__file__).parents[1] / "tests" / "support" / "pg.sh"
PATIENCE = 20.0  # seconds for what takes a fraction of one
WINDOW, INTERVAL, AFTER = 0.5, 0.05, 2
SLOW = 0.3  # seconds that it takes until there is anything to be found
CONNECTIONS = 10
TYPES = (
    "connection_leaks",
    "high_pool_usage",
    "slow_queries",
    "high_query_failure_rate",
    "slow_checkouts",
    "high_checkout_failure_rate",
    "database_unhealthy",
    "circuit_breaker_open",
)


class Metrics:
    """What a scrape finds: metrics("weir_queries_total", outcome="failed")."""

    def __init__(self, pool: weirpool.Pool) -> None:
        self.name = pool.name
        lines = [line for line in pool.metrics().splitlines() if not line.startswith("#")]
        self.values = {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}

    def __call__(self, metric: str, **labels: str) -> float:
        labels = {"db_client_connection_pool_name": self.name, **labels}
        pairs = ",".join(f'{label}="{value}"' for label, value in labels.items())
        return self.values.get(f"{metric}{{{pairs}}}", 0.0)

    def longer(self, metric: str) -> float:
        """Those above a tenth of a second."""
        labels = {"db_system_name": "postgresql"} if metric == DURATION else {}
        return self(f"{metric}_count", **labels) - self(f"{metric}_bucket", **labels, le="0.1")

    def failed_with(self, error: str) -> float:
        return self(f"{DURATION}_count", db_system_name="postgresql", error_type=error)

    def failed(self, what: str) -> float:
        outcomes = ("failed", "timed_out", "refused")
        return sum(self(f"weir_{what}_total", outcome=outcome) for outcome in outcomes)


DURATION = "db_client_operation_duration_seconds"
WAIT = "db_client_connection_wait_time_seconds"
LOST, FAILED = "weir_connections_lost_total", "weir_connections_failed_total"
OPEN = {"weir_circuit_breaker_state": "open"}


def agree(alert: weirpool.Alert, before: Metrics, now: Metrics) -> bool:
    """Whether an alert's numbers are those of the metrics, before its cause and now."""
    kind, count = alert["type"], alert["count"]
    if kind == "connection_leaks":
        return count == now("weir_leaks_total") - before("weir_leaks_total") == 1
    if kind == "high_pool_usage":
        used = now("db_client_connection_count", db_client_connection_state="used")
        return min(count, used) >= CONNECTIONS - 1 and alert["total"] == now("db_client_connection_max")
    if kind == "slow_queries":
        return alert["value"] > 0.1 and now.longer(DURATION) > before.longer(DURATION)
    if kind == "slow_checkouts":
        return alert["value"] > 0.1 and now.longer(WAIT) > before.longer(WAIT)
    if kind == "high_query_failure_rate":
        return 0 < count <= now.failed("queries") - before.failed("queries")
    if kind == "high_checkout_failure_rate":
        return 0 < count <= now.failed("checkouts") - before.failed("checkouts")
    if kind == "database_unhealthy":
        return now("weir_health_status", weir_health_status="unhealthy") == 1
    breakers = [now("weir_circuit_breaker_state", breaker=which, **OPEN) for which in ("connect", "query")]
    return sum(breakers) >= alert["value"] >= 1


class Demo:
    def __init__(self, pool: weirpool.Pool, prints: bool = True) -> None:
        self.pool, self.prints = pool, prints
        self.news = asyncio.Condition()
        self.heard: list[weirpool.Alert] = []
        self.plain: list[weirpool.Alert] = []
        self.wrong: list[str] = []
        self.counts: collections.Counter[str] = collections.Counter()  # what became of calls, by the callers
        self.gate, self.enough = asyncio.Event(), asyncio.Event()
        self.asking, self.lag = 0, 0.0
        pool.on_alert(self.plain.append)  # a plain function will do …
        pool.on_alert(self.hear)  # … and so will a coroutine function

    async def hear(self, alert: weirpool.Alert) -> None:
        if self.prints:
            kind = "resolved" if alert["resolved"] else alert["severity"]
            print(f"  {kind:<9} {alert['type']}: {alert['message']}")
        async with self.news:
            self.heard.append(alert)
            self.news.notify_all()

    def count(self, name: str, resolved: bool) -> int:
        return sum((alert["type"], alert["resolved"]) == (name, resolved) for alert in self.heard)

    def active(self) -> int:
        return sum(self.count(name, resolved=False) - self.count(name, resolved=True) for name in TYPES)

    async def until(self, types: tuple[str, ...], resolved: bool) -> None:
        async def wait() -> None:
            async with self.news:
                await self.news.wait_for(lambda: all(self.count(name, resolved) for name in types))

        await asyncio.wait_for(wait(), PATIENCE)

    # ---- causes, until there is enough of them

    async def ask(self, sql: str, *arguments: int) -> None:
        await self.gate.wait()
        self.asking += 1
        try:
            await self.pool.fetchval(sql, *arguments)
            self.counts["well"] += 1
        except weirpool.Error as error:
            self.counts["DataError" if isinstance(error, weirpool.DataError) else type(error).__name__] += 1
        finally:
            self.asking -= 1

    async def load(self) -> None:
        """What goes on all the time; it takes things as they come."""
        while True:
            await self.ask("select $1 + 1", 1)
            begun = time.monotonic()
            await asyncio.sleep(0.02)
            self.lag = max(self.lag, time.monotonic() - begun - 0.02)

    async def leak(self) -> None:
        await self.fill(1)

    async def fill(self, connections: int = CONNECTIONS - 1, seconds: float = PATIENCE) -> None:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(connections):
                await held.enter_async_context(self.pool.connection())
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.enough.wait(), seconds)

    async def slow(self) -> None:
        while not self.enough.is_set():
            await asyncio.gather(*(self.ask(f"select pg_sleep({SLOW})") for _ in range(4)))

    async def fail(self) -> None:
        while not self.enough.is_set():
            await self.ask("select 1 / 0")
            await asyncio.sleep(0.02)

    async def wait_long(self) -> None:
        while not self.enough.is_set():
            await self.fill(CONNECTIONS, SLOW)

    async def wait_in_vain(self) -> None:
        filler = asyncio.ensure_future(self.fill(CONNECTIONS))
        while not self.enough.is_set():
            try:
                async with self.pool.connection(checkout_timeout=0.02):
                        await asyncio.sleep(0.01)
            except weirpool.CheckoutTimeout:
                self.counts["CheckoutTimeout"] += 1
        await filler

    @contextlib.asynccontextmanager
    async def loads(self) -> AsyncIterator[None]:
        self.gate.set()
        tasks = [asyncio.ensure_future(self.load()) for _ in range(4)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    # ---- what is shown

    async def provoke(self, what: str, cause: Callable[[], Awaitable[None]], *types: str) -> None:
        print(what)
        self.enough.clear()
        before, begun = Metrics(self.pool), time.monotonic()
        task = asyncio.ensure_future(cause())
        await self.until(types, resolved=False)
        self.look(types, before, begun)
        self.enough.set()
        await task
        await self.until(types, resolved=True)
        await self.compare()

    async def outage(self, server: Server) -> None:
        types = ("database_unhealthy", "circuit_breaker_open")
        print("the server is killed")
        before, begun = Metrics(self.pool), time.monotonic()
        await server.do("kill")
        await self.until(types, resolved=False)
        self.look(types, before, begun)
        print("the server comes back")
        await server.do("again")
        await self.until(types, resolved=True)
        now = Metrics(self.pool)
        lost, failed = (now(name) - before(name) for name in (LOST, FAILED))
        print(f"  {lost:.0f} connections were lost, {failed:.0f} attempts to connect have failed")
        if lost != CONNECTIONS or failed < 1:
            self.wrong.append("the metrics do not have each connection that the outage has cost")
        await self.compare()

    def look(self, types: tuple[str, ...], before: Metrics, begun: float) -> None:
        """At alerts that have just fired: when, and with which numbers."""
        now = Metrics(self.pool)
        for alert in self.heard[-len(types) :]:
            cause = begun
            if alert["type"] == "circuit_breaker_open":  # to open takes it five failures
                events = self.pool.breaker.connect.events() + self.pool.breaker.query.events()
                cause = min(event["at"] for event in events if event["at"] > begun)
            after = alert["at"] - cause
            print(f"  after {after:.2f} s")
            if after > SLOW + WINDOW + (AFTER + 1) * INTERVAL + self.lag:
                self.wrong.append(f"{alert['type']} has fired late")
            if alert["window"] > WINDOW * 13 / 12 + INTERVAL + self.lag:
                self.wrong.append(f"{alert['type']} is of {alert['window']:.2f} s")
            if not agree(alert, before, now):
                self.wrong.append(f"the metrics tell another story of {alert['type']}: {alert}")

    async def compare(self) -> None:
        """The metrics beside what was heard, and what the callers have counted, in a moment without calls."""
        self.gate.clear()
        while self.asking:
            await asyncio.sleep(0.01)
        now, own = Metrics(self.pool), self.counts
        pairs = {
            "alerts that last": (self.active(), now("weir_alerts_active")),
            "statements that succeeded": (own["well"], now("weir_queries_total", outcome="succeeded")),
            "that failed for their data": (own["DataError"], now.failed_with("DataError")),
            "for a lost connection": (own["ConnectionLost"], now.failed_with("ConnectionLost")),
            "checkouts that timed out": (own["CheckoutTimeout"], now("weir_checkouts_total", outcome="timed_out")),
            "that were refused": (
                own["CircuitOpen"] + own["ConnectCircuitOpen"] + own["ConnectError"],
                now("weir_checkouts_total", outcome="refused"),
            ),
        }
        self.gate.set()
        if self.prints:
            print("  the metrics:", ", ".join(f"{what} {told:.0f}" for what, (_, told) in pairs.items()))
        for name in TYPES:
            pairs[name] = (self.count(name, resolved=False), now("weir_alerts_total", alert=name))
        self.wrong += [
            f"{what}: the callers have counted {counted}, the metrics have {told}"
            for what, (counted, told) in pairs.items()
            if counted != told
        ]

    async def again(self, server: Server, other: Demo) -> None:
        """All of it once more, here and on another pool, each cause until the other one has given its alerts."""
        for causes, types in (
            (("leak", "slow", "fail"), ("connection_leaks", "slow_queries", "high_query_failure_rate")),
            (("wait_long",), ("high_pool_usage", "slow_checkouts")),
            (("wait_in_vain",), ("high_checkout_failure_rate",)),
        ):
            tasks = []
            for demo in (self, other):
                demo.enough.clear()
                tasks += [asyncio.ensure_future(getattr(demo, cause)()) for cause in causes]
            await other.until(types, resolved=False)
            for demo in (self, other):
                demo.enough.set()
            await asyncio.gather(*tasks)
        await server.do("kill")
        await other.until(("database_unhealthy", "circuit_breaker_open"), resolved=False)
        await server.do("again")
        await other.until(TYPES, resolved=True)

    async def silence(self, server: Server, other: Demo) -> None:
        print("all of it once more, within the cooldown")
        heard, before = len(self.heard), self.pool.snapshot()
        async with other.loads():
            await self.again(server, other)
            await other.compare()
        await self.compare()
        now = self.pool.snapshot()
        print(
            f"  {len(self.heard) - heard} alerts, though {now['queries_failed'] - before['queries_failed']} statements"
            f" failed, {now['checkouts_timed_out'] - before['checkouts_timed_out']} checkouts timed out,"
            f" {now['leaks'] - before['leaks']} connections leaked,"
            f" {now['connections_lost'] - before['connections_lost']} were lost;"
            f" a second pool beside it gave {len(other.heard) // 2}"
        )


class Server:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    async def do(self, action: str) -> str:
        command = (str(SERVER), action, self.folder)
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        said, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} has failed")
        return said.decode().strip()


def open_pool(url: str, name: str) -> weirpool.Pool:
    return weirpool.create_pool(
        url,
        name=name,
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        monitoring_interval=INTERVAL,
        alert_window=WINDOW,
        alert_after=AFTER,
        alert_cooldown=300,
        alert_minimum_calls=4,
        alert_query_time=0.2,
        alert_checkout_time=0.2,
        alert_leaks=1,
        leak_threshold=0.2,
        slow_query_threshold=0.2,
    )


async def show(url: str, server: Server) -> list[str]:
    """What was otherwise than it should be."""
    async with open_pool(url, "shop") as pool:
        demo = Demo(pool)
        async with demo.loads():
            await demo.provoke("a session is leaked", demo.leak, "connection_leaks")
            await demo.provoke("the pool fills", demo.fill, "high_pool_usage")
            await demo.provoke("statements are slow", demo.slow, "slow_queries")
            await demo.provoke("statements fail", demo.fail, "high_query_failure_rate")
            await demo.provoke("checkouts are slow", demo.wait_long, "slow_checkouts")
            await demo.provoke("checkouts fail", demo.wait_in_vain, "high_checkout_failure_rate")
            await demo.outage(server)
            async with open_pool(url, "other") as second:
                other = Demo(second, prints=False)
                await demo.silence(server, other)
                return judge(demo, pool) + judge(other, second)


def judge(demo: Demo, pool: weirpool.Pool) -> list[str]:
    wrong = list(demo.wrong)
    alerts = pool.alert_history()
    types = [alert["type"] for alert in alerts]
    if len(types) != 8 or len(set(types)) != 8:
        wrong.append(f"each of eight types was to fire once: {types}")
    if not all(alert["resolved"] for alert in alerts) or pool.alerts():
        wrong.append("an alert is not resolved")
    if not all(alert["value"] >= alert["threshold"] > 0 for alert in alerts):
        wrong.append("an alert has other numbers than such as cause it")
    if len(demo.heard) != 16 or demo.heard != demo.plain:
        wrong.append(f"{len(demo.plain)} and {len(demo.heard)} calls of the callbacks, where 16 each were to be")
    if not demo.prints:
        return wrong
    slowest = pool.slow_queries()[0]
    print(f"the slowest: {slowest['statement']}, {slowest['count']} times, {slowest['total']:.1f} s together")
    used = [f"{point['value']:.0f}" for point in pool.history("active", since=10) if "value" in point]
    print(f"connections in use, second by second: {' '.join(used)}")
    if slowest["statement"] != "select pg_sleep(?)" or not used:
        wrong.append("the slow statements, or the history, are not what they should be")
    return wrong


async def main() -> int:
    logging.getLogger("weirpool").setLevel(logging.CRITICAL)  # the pool says all that by itself, too
    with tempfile.TemporaryDirectory() as folder:
        server = Server(str(Path(folder, "server")))
        Path(folder).chmod(0o755)
        url = await server.do("start")
        try:
            wrong = await show(url, server)
        finally:
            await server.do("stop")
    for what in wrong:
        print(what, file=sys.stderr)
    print("all eight alerts have fired once, and are resolved" if not wrong else "failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
