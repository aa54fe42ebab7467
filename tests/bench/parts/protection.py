"""What protects costs: a point query with everything on, and with everything off."""

from __future__ import annotations

import asyncio
import pathlib
import tempfile
from typing import Any

import peers
from harness import Bench, Row
from loads import Closed

from parts.lending import session_caller
from parts.point import caller

# What is on by default and has a switch, and what is not and may be switched on.
OFF: dict[str, Any] = {
    "circuit_breaker": False,
    "leak_threshold": None,
    "leak_stacks": 0,
    "health_check_interval": None,
    "validate_after": None,
    "monitoring": False,
    "slow_query_threshold": None,
}
ON: dict[str, Any] = {
    "idle_in_transaction_timeout": 60,
    "queue_target": 1,
    "adaptive_size": True,
    "pod_source": "database",
    "connection_budget": 2 * peers.CONNECTIONS,
    "pod_refresh": 1,
}


async def measure(bench: Bench) -> None:
    """User and system CPU of a point query, breakers, leaks, health, monitor, shared metrics, the pods' table, adaptive
    size, CoDel … all on, against all off."""
    with tempfile.TemporaryDirectory() as folder:
        await measure_with(bench, str(pathlib.Path(folder, "metrics")))


async def measure_with(bench: Bench, shared: str) -> None:
    async with peers.ours(**ON, metrics_shared=shared) as on, peers.ours(**OFF) as off:
        while on.snapshot()["idle"] < peers.CONNECTIONS:  # a pod begins with one
            await asyncio.sleep(0.1)
        for name, calls, callers in (
            ("fetchval, 1 caller", caller, 1),
            ("fetchval, 64 callers", caller, 64),
            ("session, 16 callers", session_caller, 16),
        ):
            row = Row("protection", name, "all off", measure="cpu_us", unit="us", lower=True, asked=1.05)
            await bench.compare(
                row, Closed(calls(on), callers, bench.seconds), Closed(calls(off), callers, bench.seconds)
            )
