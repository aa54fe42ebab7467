"""Ways to the server, an observer, and what is asked after each fault."""

import asyncio
import os
import re

import weirpool
from support import until_async
from weirpool import errors

LONG = os.environ.get("WEIR_FAULTS") == "long"
"""Sweep over everything; otherwise over a share that takes seconds."""
NONCES = iter(range(1_000_000, 1 << 60))


class Through:
    """Makes proxies before an empty database."""

    def __init__(self, network, server, url):
        self.network, self.server, self.direct = network, server, url

    def proxy(self, *arguments):
        return self.network.proxy(("127.0.0.1", self.server.port), *arguments)

    def url(self, proxy, **query):
        url = self.direct.replace(f":{self.server.port}/", f":{proxy.port}/")
        return url + "".join(f"{'&' if n else '?'}{k}={v}" for n, (k, v) in enumerate(query.items()))


class Observer:
    """Looks at the database from another one, and past all proxies."""

    def __init__(self, server, url):
        self.server = server
        self.database = re.search(r"/(\w+)(\?|$)", url).group(1)
        self.pool = weirpool.create_pool_sync(server.url(), min_size=0, max_size=1)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.pool.close()
        del self.pool  # its reactor lives as long

    def backends(self):
        return self.pool.fetchval(
            "select count(*) from pg_stat_activity where datname = $1 and backend_type = 'client backend'",
            self.database,
        )

    def terminate(self, backend):
        self.pool.fetchval("select pg_terminate_backend($1)", backend)

    def has_committed(self, xid):
        return self.pool.fetchval("select pg_xact_status($1::text::xid8)", str(xid)) == "committed"

    def keys(self):
        """The column a of the table t."""
        return set(map(int, self.server.sql("select a from t", self.database).split()))

    async def nobody(self):
        await until_async(lambda: self.backends() == 0)


def sample(numbers, every, always=()):
    """All of them in the long run; else each n-th, and those that must not be missed."""
    return [n for n in numbers if LONG or n % every == 0 or n in always]


async def quiet(pool):
    """Every connection is back, and none is being made."""
    await until_async(
        lambda: (s := pool.snapshot())["active"] + s["cleaning"] + s["connecting"] + s["waiting"] == 0
    )


async def echo(pool, timeout=20.0):
    """The pool answers, and nobody gets another's answer. After a fault it may need some attempts."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 20
    while True:
        nonce = next(NONCES)
        try:
            assert await pool.fetchval("select $1::bigint", nonce, timeout=timeout) == nonce
            return
        except (
            weirpool.CircuitOpen,
            weirpool.ConnectError,
            weirpool.ConnectionLost,
            weirpool.PoolTimeout,
        ) as error:
            assert loop.time() < end, error
            await asyncio.sleep(min(max(error.retry_after or 0, 0.001), 0.05))


async def no_poison(pool):
    """Each idle connection answers its own question."""
    await quiet(pool)
    numbers = pool.snapshot()
    assert numbers["idle"] == numbers["size"], numbers
    held = [await pool.connection() for _ in range(numbers["size"])]
    try:
        for connection in held:
            nonce = next(NONCES)
            assert await connection.fetchval("select $1::bigint", nonce) == nonce
            assert not connection.info["in_transaction"]
    finally:
        for connection in held:
            connection.release()
    return len(held)


async def all_of(work, items, concurrency=4):
    """Runs work(item) for each, some at a time; the first failure ends it and names its item."""
    queue = iter(items)

    async def worker():
        for item in queue:
            try:
                await asyncio.wait_for(work(item), 60)
            except BaseException as error:
                if hasattr(error, "add_note"):
                    error.add_note(f"at {item!r}")
                raise

    workers = [asyncio.ensure_future(worker()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


ABSENT, THERE, EITHER = "absent", "there", "either"


class Claims(dict):
    """What became of each row, as its writer was told."""

    def __init__(self):
        self.numbers = {}
        """The transactions of those who were told that it is unknown, where they were told the number."""


def claim(error):
    """What an error says of the write that it ended."""
    assert isinstance(error, weirpool.Error), error
    if isinstance(error, weirpool.OutcomeUnknown):
        assert not error.retryable
        return EITHER
    if isinstance(error, weirpool.CommandTimeout):
        assert not error.retryable
        return ABSENT  # of a write that may be done it would be an OutcomeTimeout
    assert error.retryable or isinstance(error, errors.SessionClosed), repr(error)
    return ABSENT


async def write(claims, key, coroutine):
    """Notes what the caller is told of his row."""
    claims[key] = EITHER
    try:
        await coroutine
        claims[key] = THERE
    except weirpool.Error as error:
        claims[key] = claim(error)
        if error.xid is not None:
            assert isinstance(error, weirpool.OutcomeUnknown)
            claims.numbers[key] = error.xid


def agree(observer, claims):
    """What is in the table is what was said."""
    rows = observer.keys()
    wrong = {
        key: (said, key in rows)
        for key, said in claims.items()
        if said != EITHER and (key in rows) != (said == THERE)
    }
    assert wrong == {}
    for key, number in claims.numbers.items():
        assert observer.has_committed(number) == (key in rows), (key, number)
