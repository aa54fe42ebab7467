"""Pools on the benchmark's database, each with ten connections that are open before the measurement."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import psycopg_pool
import weirpool

CONNECTIONS = 10
HOST, PORT = os.environ.get("PGHOST", ""), int(os.environ.get("PGPORT", "0"))


def url(host: str = HOST) -> str:
    return f"postgresql://postgres@/bench?host={host}&port={PORT}"


def ours(host: str = HOST, size: int = CONNECTIONS, **options: Any) -> weirpool.Pool:
    return weirpool.create_pool(url(host), min_size=size, max_size=size, **options)


def ours_sync() -> weirpool.SyncPool:
    return weirpool.create_pool_sync(url(), min_size=CONNECTIONS, max_size=CONNECTIONS)


def asyncpg_pool() -> Any:
    return asyncpg.create_pool(host=HOST, port=PORT, user="postgres", database="bench", min_size=CONNECTIONS,
                               max_size=CONNECTIONS)  # fmt: skip


# In autocommit and prepared from the first execution on, as the others are: psycopg at its best.
_PSYCOPG: Any = {
    "conninfo": f"host={HOST} port={PORT} user=postgres dbname=bench",
    "kwargs": {"autocommit": True, "prepare_threshold": 0},
    "min_size": CONNECTIONS, "max_size": CONNECTIONS, "open": False,
}  # fmt: skip


@asynccontextmanager
async def psycopg_async():  # type: ignore[no-untyped-def]
    pool = psycopg_pool.AsyncConnectionPool(**_PSYCOPG)
    await pool.open(wait=True)
    try:
        yield pool
    finally:
        await pool.close()


def psycopg_sync() -> Any:
    pool = psycopg_pool.ConnectionPool(**_PSYCOPG)
    pool.open(wait=True)
    return pool
