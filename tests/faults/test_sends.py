"""
How often the client sends. What one turn of the event loop asks for leaves in one system call a connection, with a
libpq of 17 or later: test_newer_libpq.py runs this with one. Older ones send at each Sync.

The bound, for one connection:
- CROWD (4) more while fewer operations than that wait for an answer: each of these is sent when it is asked for, since
  the server would stand idle until the end of the turn;
- 1 for all the others that the turn has asked for, which are held until it is over;
- 1 for those that waited because the connection was full, and are let through by the answers that came in the turn.

A system call that sends is one TCP segment here: libpq switches Nagle's algorithm off, and none has more than a segment
takes. Only behind ten that are not acknowledged the kernel puts several into one, which is more than the bound.
"""

import asyncio
import os
import socket
import struct
import time
import urllib.parse

import pytest
import weirpool
from support import until_async

ECHO = "select $1::int"
BLOCKED = "select pg_advisory_xact_lock_shared(7)"
CROWD = 4
DEPTH = 64  # statements on a connection
NEWER = weirpool.libpq_version() >= 170000
TOTAL_RETRANSMITTED = 100  # which is the network's doing, where an acknowledgement is late
DATA_SEGMENTS_OUT = 156  # where tcp_info of linux/tcp.h has tcpi_data_segs_out, since Linux 4.6


def sends(url):
    """How many there were so far, for each connection of ours to the server."""
    port, counts = urllib.parse.urlsplit(url).port, {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(fd))) as one:
                if one.family == socket.AF_INET and one.getpeername()[1] == port:
                    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                    places = DATA_SEGMENTS_OUT, TOTAL_RETRANSMITTED
                    sent, again = (struct.unpack_from("@I", info, place)[0] for place in places)
                    counts[fd] = sent - again
        except OSError:
            continue  # it is no connection, or closed by now
    return counts


def most_since(url, before):
    return max(count - before[fd] for fd, count in sends(url).items())


async def known(pool, readonly):
    """Until the pool knows that it is short, and each connection has it prepared."""
    for _ in range(20):
        await asyncio.gather(*(pool.fetchval(ECHO, n, readonly=readonly) for n in range(32)))


def options(size):
    return {"min_size": size, "max_size": size, "pipeline_max_wait": 1}


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("count", [1, CROWD, 32, DEPTH])
def test_what_a_turn_asks_for(pg_url, run, count, readonly):
    async def body():
        async with weirpool.create_pool(pg_url, **options(1)) as pool:
            await known(pool, readonly)
            before = sends(pg_url)
            calls = [pool.fetchval(ECHO, n, readonly=readonly) for n in range(count)]
            assert await asyncio.gather(*calls) == list(range(count))
            assert most_since(pg_url, before) <= (min(count, CROWD + 1) if NEWER else count)

    run(body)


@pytest.mark.parametrize("readonly", [False, True])
def test_when_others_wait_already(pg_url, run, readonly):
    """Then none is sent before the turn is over."""
    count = 32

    async def body():
        async with weirpool.create_pool(pg_url, **options(CROWD + 2)) as pool:
            await known(pool, readonly)
            async with pool.session() as session:
                await session.execute("select pg_advisory_xact_lock(7)")
                await known(pool, readonly)
                waiting = [asyncio.ensure_future(pool.execute(BLOCKED)) for _ in range(CROWD)]
                await until_async(lambda: pool.snapshot()["active"] == CROWD + 1)
                before = sends(pg_url)
                calls = [pool.fetchval(ECHO, n, readonly=readonly) for n in range(count)]
                assert await asyncio.gather(*calls) == list(range(count))
                assert most_since(pg_url, before) <= (1 if NEWER else count)
            await asyncio.gather(*waiting)

    run(body)


@pytest.mark.parametrize("readonly", [False, True])
def test_what_waited_for_a_connection(pg_url, run, readonly):
    """More than it takes at a time. All answers to what was sent are there when the next turn begins."""
    count, turns = 4 * DEPTH, 0

    async def body():
        loop = asyncio.get_running_loop()

        def turn():
            nonlocal turns, next_turn
            turns += 1
            time.sleep(0.01)
            next_turn = loop.call_soon(turn)

        async with weirpool.create_pool(pg_url, **options(1)) as pool:
            await known(pool, readonly)
            before = sends(pg_url)
            calls = [pool.fetchval(ECHO, n, readonly=readonly) for n in range(count)]
            next_turn = loop.call_soon(turn)
            assert await asyncio.gather(*calls) == list(range(count))
            next_turn.cancel()
            assert most_since(pg_url, before) <= (CROWD + turns if NEWER else count)

    next_turn = None
    run(body)
