"""Pods for test_fleet.py: each a process of its own, forked off this one, which has the package loaded.

Reads lines: "N {options}" starts so many, and answers with their process ids. Each works as hard as its pool lets
it, until it is told to leave by SIGTERM.
"""

import asyncio
import gc
import json
import os
import signal
import sys

import weirpool


async def work(url, options):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with weirpool.create_pool(url, **options) as pool:

        async def caller(seconds):
            while not stop.is_set():
                try:
                    await pool.fetchval("select 1", timeout=30)
                    async with pool.connection() as connection:
                        await connection.fetchval("select pg_sleep($1)", seconds)
                except weirpool.Error:
                    await asyncio.sleep(0.01)

        await asyncio.gather(*(caller(seconds) for seconds in [0.02] * 9 + [0.4]))


def main():
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        count, url, options = json.loads(line)
        pids = []
        for _ in range(count):
            pid = os.fork()
            if not pid:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                asyncio.run(work(url, options))
                os._exit(0)
            pids.append(pid)
        print(json.dumps(pids), flush=True)


main()
