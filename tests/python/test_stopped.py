"""A server that has stopped, and answers nobody, keeps no other server's statements from being cancelled."""

import asyncio
import contextlib

import pytest
import weirpool
from support import stopped, until_async, with_newer_libpq
from weirpool import errors

SLEEP = "select pg_sleep(600)"
SLEEPERS = (
    "select count(*) from pg_stat_activity where state = 'active' and datname = '{}'"
    " and query like '%pg_sleep(600)%' and pid <> pg_backend_pid()"
)


def sleepers(server, url):
    return int(server.sql(SLEEPERS.format(url.rsplit("/", 1)[1])))


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_stopped_server_does_not_delay_other_cancels(run, server, pg_url, own_server):
    """Twenty cancellations get no answer; one at another server gets through while they wait."""

    async def main():
        stuck_url = own_server.new_database()
        async with (
            weirpool.create_pool(stuck_url, min_size=20, max_size=20) as stuck,
            weirpool.create_pool(pg_url, max_size=1) as live,
        ):
            doomed = [asyncio.ensure_future(stuck.execute(SLEEP)) for _ in range(20)]
            await until_async(lambda: sleepers(own_server, stuck_url) == 20)
            with stopped(own_server):
                for task in doomed:
                    await cancelled(task)
                for _ in range(3):
                    task = asyncio.ensure_future(live.execute(SLEEP))
                    await until_async(lambda: sleepers(server, pg_url) == 1)
                    await cancelled(task)
                    await until_async(lambda: sleepers(server, pg_url) == 0)
                assert await live.fetchval("select 1") == 1
                assert live.snapshot()["connections_created"] == 1
            # What was on its way to the stopped server hits nobody when it goes on.
            answers = 0
            while answers < 200:
                with contextlib.suppress(errors.ConnectError, errors.ConnectionLost):
                    answers += await stuck.fetchval("select 1")

    run(main)


def test_with_a_libpq_that_does_not_block():
    with_newer_libpq([f"{__file__}::test_a_stopped_server_does_not_delay_other_cancels[asyncio]"])
