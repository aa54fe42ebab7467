"""All eight alerts of a pool, provoked on a real PostgreSQL, one after the other, as an operator would meet them.

A load runs all the time. A session is leaked, the pool fills, statements are slow and fail, checkouts are slow and
fail, and the server is killed and comes back. Each alert fires once, with the numbers that caused it, and is resolved
when its cause is gone. Then all of that happens again, within the cooldown: nothing is heard. The program exits with 1
when it was otherwise.

    python examples/alerts.py
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import weirpool

SERVER = Path(__file__).parents[1] / "tests" / "support" / "pg.sh"
PATIENCE = 20.0  # seconds for what takes a fraction of one
WINDOW = 0.5
CONNECTIONS = 10


class Demo:
    def __init__(self, pool: weirpool.Pool) -> None:
        self.pool = pool
        self.news = asyncio.Condition()
        self.heard: list[weirpool.Alert] = []
        self.plain: list[weirpool.Alert] = []
        pool.on_alert(self.plain.append)  # a plain function will do …
        pool.on_alert(self.hear)  # … and so will a coroutine function

    async def hear(self, alert: weirpool.Alert) -> None:
        kind = "resolved" if alert["resolved"] else alert["severity"]
        print(f"  {kind:<9} {alert['type']}: {alert['message']}")
        async with self.news:
            self.heard.append(alert)
            self.news.notify_all()

    async def until(self, types: tuple[str, ...], resolved: bool) -> None:
        wanted = {(name, resolved) for name in types}

        async def wait() -> None:
            async with self.news:
                await self.news.wait_for(lambda: wanted <= {(a["type"], a["resolved"]) for a in self.heard})

        await asyncio.wait_for(wait(), PATIENCE)

    # ---- causes

    async def load(self) -> None:
        """What goes on all the time; it takes things as they come."""
        while True:
            with contextlib.suppress(weirpool.Error):
                await self.pool.fetchval("select $1 + 1", 1)
            await asyncio.sleep(0.02)

    async def leak(self) -> None:
        async with self.pool.connection():
            await asyncio.sleep(PATIENCE)

    async def fill(self, connections: int = CONNECTIONS - 1, seconds: float = PATIENCE) -> None:
        async with contextlib.AsyncExitStack() as held:
            for _ in range(connections):
                await held.enter_async_context(self.pool.connection())
            await asyncio.sleep(seconds)

    async def slow(self) -> None:
        while True:
            await asyncio.gather(*(self.pool.fetchval("select pg_sleep(0.3)") for _ in range(4)))

    async def fail(self) -> None:
        while True:
            with contextlib.suppress(weirpool.Error):
                await self.pool.fetchval("select 1 / 0")
            await asyncio.sleep(0.02)

    async def wait_long(self) -> None:
        while True:
            await self.fill(CONNECTIONS, 0.3)

    async def wait_in_vain(self) -> None:
        filler = asyncio.ensure_future(self.fill(CONNECTIONS))
        try:
            while True:
                with contextlib.suppress(weirpool.CheckoutTimeout):
                    async with self.pool.connection(checkout_timeout=0.02):
                        await asyncio.sleep(0.01)
        finally:
            filler.cancel()

    # ---- what is shown

    async def provoke(self, what: str, cause: Callable[[], Awaitable[None]], *types: str) -> None:
        print(what)
        begun = time.perf_counter()
        task = asyncio.ensure_future(cause())
        await self.until(types, resolved=False)
        print(f"  after {time.perf_counter() - begun:.2f} s")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.until(types, resolved=True)

    async def outage(self, server: Server) -> None:
        print("the server is killed")
        await server.do("kill")
        await self.until(("database_unhealthy", "circuit_breaker_open"), resolved=False)
        print("the server comes back")
        await server.do("again")
        await self.until(("database_unhealthy", "circuit_breaker_open"), resolved=True)

    async def again(self, server: Server) -> None:
        """All of it once more, each for longer than a window."""
        for causes in (self.leak, self.slow, self.fail), (self.wait_long,), (self.wait_in_vain,):
            tasks = [asyncio.ensure_future(cause()) for cause in causes]
            await asyncio.sleep(2 * WINDOW)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await server.do("kill")
        await asyncio.sleep(WINDOW)
        await server.do("again")

    async def silence(self, server: Server) -> None:
        print("all of it once more, within the cooldown")
        heard, before = len(self.heard), self.pool.snapshot()
        await self.again(server)
        now = self.pool.snapshot()
        print(
            f"  {len(self.heard) - heard} alerts, though {now['queries_failed'] - before['queries_failed']} statements"
            f" failed, {now['checkouts_timed_out'] - before['checkouts_timed_out']} checkouts timed out,"
            f" {now['leaks'] - before['leaks']} connections leaked, {now['connections_lost'] - before['connections_lost']}"
            " were lost"
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


async def show(url: str, server: Server) -> list[str]:
    """What was otherwise than it should be."""
    async with weirpool.create_pool(
        url,
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        monitoring_interval=WINDOW / 10,
        alert_window=WINDOW,
        alert_after=2,
        alert_cooldown=300,
        alert_minimum_calls=4,
        alert_query_time=0.2,
        alert_checkout_time=0.2,
        alert_leaks=1,
        leak_threshold=0.2,
        slow_query_threshold=0.2,
    ) as pool:
        demo = Demo(pool)
        loads = [asyncio.ensure_future(demo.load()) for _ in range(4)]
        await demo.provoke("a session is leaked", demo.leak, "connection_leaks")
        await demo.provoke("the pool fills", demo.fill, "high_pool_usage")
        await demo.provoke("statements are slow", demo.slow, "slow_queries")
        await demo.provoke("statements fail", demo.fail, "high_query_failure_rate")
        await demo.provoke("checkouts are slow", demo.wait_long, "slow_checkouts")
        await demo.provoke("checkouts fail", demo.wait_in_vain, "high_checkout_failure_rate")
        await demo.outage(server)
        await demo.silence(server)
        for load in loads:
            load.cancel()
        return judge(demo, pool)


def judge(demo: Demo, pool: weirpool.Pool) -> list[str]:
    wrong: list[str] = []
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
