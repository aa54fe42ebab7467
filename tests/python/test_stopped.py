"""A server that has stopped, and answers nobody, keeps no other server's statements from being cancelled."""

import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest
import weirpool
from support import for_python, until_async
from weirpool import errors

SLEEP = "select pg_sleep(600)"
SLEEPERS = (
    "select count(*) from pg_stat_activity where state = 'active' and datname = '{}'"
    " and query like '%pg_sleep(600)%' and pid <> pg_backend_pid()"
)


def sleepers(server, url):
    return int(server.sql(SLEEPERS.format(url.rsplit("/", 1)[1])))


@contextlib.contextmanager
def stopped(server):
    processes = server.processes()

    def signalled(number):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # psql's backend was about to end
                os.kill(process, number)

    try:
        signalled(signal.SIGSTOP)
        yield
    finally:
        signalled(signal.SIGCONT)


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


def newer_libpq():
    """The libpq that psycopg's wheel carries."""
    site = pathlib.Path(__import__("uvloop").__file__).parents[1]
    (found,) = (site / "psycopg_binary.libs").glob("libpq-*")
    return str(found)


def test_with_a_libpq_that_does_not_block():
    """The same with a libpq of 17 or later in the system's place."""
    environment = for_python()
    environment["LD_PRELOAD"] = " ".join(filter(None, [environment.get("LD_PRELOAD"), newer_libpq()]))
    code = "import weirpool._core as c; assert c.libpq_version() >= 170000, c.libpq_version()"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    test = f"{__file__}::test_a_stopped_server_does_not_delay_other_cancels[asyncio]"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
