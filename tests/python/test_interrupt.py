"""Ctrl-C: a SIGINT to a process that waits in a blocking pool, or in asyncio.run."""

import asyncio
import contextlib
import logging
import signal
import socket
import subprocess
import sys
import time

import pytest
import weirpool
from support import DEADLINE, for_python, until

# What the child does; interrupted(wait) is what is interrupted, announce(when) says that it has come so far.
CHILD = """
import logging, sys, threading, time, weirpool
logging.getLogger("weirpool").addHandler(logging.NullHandler())
url = sys.argv[1]

def tell(*words):
    print(*words, flush=True)

def announce(when):
    def watch():
        while not when():
            time.sleep(0.001)
        tell("waiting")
    threading.Thread(target=watch).start()

def conserved(pool, size=1):
    "Everything is back, and works."
    for number in range(20):
        assert pool.fetchval("select $1::int8", number) == number
    while True:
        now = pool.snapshot()
        if now["idle"] == now["size"] == size and not now["cleaning"] and not now["connecting"]:
            break
        time.sleep(0.001)
    assert now["active"] == now["waiting"] == 0, now
    assert now["checkouts_started"] == sum(
        now["checkouts_" + outcome] for outcome in ("granted", "timed_out", "cancelled", "refused")), now

def interrupted(wait, *arguments):
    try:
        wait(*arguments)
    except KeyboardInterrupt:
        tell("interrupted", time.monotonic())
    else:
        tell("not interrupted")

{body}
tell("whole")
"""
POOL = """
with weirpool.create_pool_sync(url, min_size=1, max_size=1) as pool:
    {before}
    def wait():
        {wait}
    {announce}
    interrupted(wait)
    {after}
    conserved(pool)
"""


def in_pool(wait, before="pass", announce="pass", after="pass"):
    return CHILD.replace(
        "{body}",
        POOL.replace("{before}", before)
        .replace("{wait}", wait)
        .replace("{announce}", announce)
        .replace("{after}", after),
    )


SLEEP = "select pg_sleep(600)"
SLOW_COMMIT = """pool.execute("create table t (a integer)")
    pool.execute("create function slow() returns trigger language plpgsql as "
        "$$ begin perform pg_sleep(600); return null; end $$")
    pool.execute("create constraint trigger slow after insert on t deferrable initially deferred "
        "for each row execute function slow()")"""
SLOW_INSERT = """pool.execute("create table t (a integer)")
    pool.execute("create function slow() returns trigger language plpgsql as "
        "$$ begin perform pg_sleep(600); return new; end $$")
    pool.execute("create trigger slow before insert on t for each row execute function slow()")"""
INSERT = """with pool.session() as session:
            session.execute("insert into t values (1)")"""
RUN_PAUSE = """def later(session):
            calls.append(session)
            raise weirpool.ConnectError("later", retry_after=600.0, retryable=True)
        pool.run(later)"""

# name: the child, what the statement that runs on the server meanwhile is LIKE
WAITS = {
    "execute": (in_pool(f"pool.execute('{SLEEP}')"), SLEEP),
    "fetch without a deadline": (in_pool(f"pool.fetch('{SLEEP}', timeout=None)"), SLEEP),
    "executemany": (
        in_pool("pool.executemany('select pg_sleep($1)', [(600.0,)] * 2)"),
        "select pg_sleep($1)",
    ),
    "session": (
        in_pool(f"with pool.session() as session:\n            session.fetchval('{SLEEP}')"),
        SLEEP,
    ),
    "connection": (
        in_pool(
            f"with pool.connection() as connection, connection.transaction():\n"
            f"            connection.fetch('{SLEEP}')"
        ),
        SLEEP,
    ),
    "run": (in_pool(f"pool.run(lambda session: session.fetchval('{SLEEP}'))"), SLEEP),
    "commit": (in_pool(INSERT, before=SLOW_COMMIT), "COMMIT"),
    "checkout": (
        in_pool(
            "pool.connection().__enter__()",
            before="holder = pool.connection().__enter__()",
            announce="announce(lambda: pool.snapshot()['waiting'] == 1)",
            after="assert pool.snapshot()['waiting'] == 0; holder.release()",
        ),
        None,
    ),
    "a statement's checkout": (
        in_pool(
            "pool.fetchval('select 1')",
            before="holder = pool.connection().__enter__()",
            announce="announce(lambda: pool.snapshot()['waiting'] == 1)",
            after="assert pool.snapshot()['waiting'] == 0; holder.release()",
        ),
        None,
    ),
    "the pause of run": (
        in_pool(
            RUN_PAUSE,
            before="calls = []",
            announce="announce(lambda: calls and pool.snapshot()['active'] == 0)",
            after="assert len(calls) == 1",
        ),
        None,
    ),
    "copy_in": (
        in_pool("pool.copy_in('copy t from stdin', b'1\\n')", before=SLOW_INSERT),
        "copy t from stdin",
    ),
    "copy_out": (
        in_pool(f"list(pool.copy_out('copy ({SLEEP}) to stdout'))"),
        f"copy ({SLEEP}) to stdout",
    ),
    "copy_records": (
        in_pool("pool.copy_records('t', [(1,)])", before=SLOW_INSERT),
        'copy "t" from stdin (format binary)',
    ),
    "script": (in_pool(f"pool.execute_script('select 1; {SLEEP}')"), f"select 1; {SLEEP}"),
    "stream": (
        in_pool(f"with pool.connection() as connection:\n            list(connection.stream('{SLEEP}'))"),
        "FETCH FORWARD 1000 FROM weir%",
    ),
    "transaction": (in_pool(f"pool.transaction(['{SLEEP}'])"), SLEEP),
    "a source of copy_in": (
        in_pool(
            "pool.copy_in('copy t from stdin', source())",
            before="""pool.execute("create table t (a integer)")
    entered = []
    def source():
        yield b'1\\n'
        entered.append(True)
        while True: time.sleep(0.01)  # a signal right before a sleep does not end it""",
            announce="announce(lambda: entered)",
            after="assert pool.fetchval('select count(*) from t') == 0",
        ),
        None,
    ),
    "a listener": (
        in_pool(
            "entered.append(True)\n        listener.get()",
            before="entered = []; listener = pool.listen('a').__enter__()",
            announce="announce(lambda: entered)",
            after="pool.execute('notify a'); assert listener.get(timeout=60).channel == 'a'; listener.close()",
        ),
        None,
    ),
    "a loop over a listener": (
        in_pool(
            "with pool.listen('a') as listener:\n            for _ in listener:\n                entered.append(True)",
            before="entered = []\n    def notify():\n        while not entered:\n            pool.execute('notify a')",
            announce="threading.Thread(target=notify).start(); announce(lambda: entered)",
            after="assert pool.snapshot()['listeners'] == 0",
        ),
        None,
    ),
    "another thread drives": (
        CHILD.replace(
            "{body}",
            """
with weirpool.create_pool_sync(url, min_size=2, max_size=2) as pool:
    stop = []
    def drive():
        while not stop:
            pool.fetchval("select 7 from pg_sleep(0.02)")
    threads = [threading.Thread(target=drive)]
    for thread in threads:
        thread.start()
    interrupted(pool.fetchval, "select pg_sleep(600)")
    stop.append(True)
    for thread in threads:
        thread.join()
    conserved(pool, 2)
""",
        ),
        SLEEP,
    ),
    "setup": (
        CHILD.replace(
            "{body}",
            """
first = [True]
def setup(session):
    if first and not first.clear():
        session.fetchval("select pg_sleep(600)")
with weirpool.create_pool_sync(url, min_size=1, max_size=1, setup=setup) as pool:
    interrupted(pool.fetchval, "select 1")
    conserved(pool)
""",
        ),
        SLEEP,
    ),
    "init": (
        CHILD.replace(
            "{body}",
            """
first = [True]
def init(connection):
    if first and not first.clear():
        connection.fetchval("select pg_sleep(600)")
with weirpool.create_pool_sync(url, min_size=0, max_size=1, init=init, retry_min=0.001) as pool:
    interrupted(pool.fetchval, "select 1")
    assert pool.run(lambda session: session.fetchval("select 1"), retries=20) == 1  # another connection
    conserved(pool)
""",
        ),
        SLEEP,
    ),
    "close": (
        CHILD.replace(
            "{body}",
            """
pool = weirpool.create_pool_sync(url, min_size=1, max_size=1)
holder = pool.connection().__enter__()
announce(lambda: pool.closed)
interrupted(lambda: pool.close(grace=None))
assert holder.fetchval("select 1") == 1  # its grace is not over
holder.release()
pool.close()
""",
        ),
        None,
    ),
}


@contextlib.contextmanager
def child(program, url):
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", program, url],
        env=for_python(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def interrupt(process):
    begin = time.monotonic()
    process.send_signal(2)
    words = process.stdout.readline().split()
    assert words[:1] == ["interrupted"], [words, process.stdout.read()]
    return float(words[1]) - begin  # the clock is the system's


def sleeps(process):
    """Its main thread waits in the kernel. Until it does, a SIGINT may end a task in the midst of its first steps, which
    asyncio.run of Python 3.10, with no handler of its own, reports as an exception that nobody has retrieved."""
    with open(f"/proc/{process.pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def end(process):
    assert process.stdout.read() == "whole\n"
    assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize("wait", list(WAITS))
def test_a_wait_is_interrupted(server, pg_url, wait):
    program, statement = WAITS[wait]
    database = pg_url.rpartition("/")[2]
    active = (
        f"select count(*) from pg_stat_activity where datname = '{database}' and state = 'active' "
        f"and query like '{statement}'"
    )
    with child(program, pg_url) as process:
        if statement:
            until(lambda: server.sql(active) == "1")
        else:
            assert process.stdout.readline() == "waiting\n"
        assert interrupt(process) < 10  # in fact within milliseconds
        if statement and statement != "COMMIT":  # a COMMIT on its way is let finish
            until(lambda: server.sql(active) == "0")
        if statement == "COMMIT":
            server.sql(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'")
        end(process)
    until(lambda: server.backends(pg_url) == 0)


def test_opening_is_interrupted():
    body = """
interrupted(weirpool.create_pool_sync, url)
import gc, os
gc.collect()
while len(os.listdir("/proc/self/fd")) > before:
    time.sleep(0.001)
"""
    program = CHILD.replace("{body}", body).replace(
        "url = sys.argv[1]", "url = sys.argv[1]\nimport os\nbefore = len(os.listdir('/proc/self/fd'))"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://app@127.0.0.1:{server.getsockname()[1]}/x"
        with child(program, url) as process:
            server.settimeout(DEADLINE)
            connection, _ = server.accept()
            with connection:
                assert interrupt(process) < 10
                end(process)


ASYNC = """
import asyncio

async def main():
    global pool
    asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine's is not what is to be told
    async with weirpool.create_pool(url, min_size=1, max_size=1) as pool:
        {wait}

try:
    {run}
except KeyboardInterrupt:
    tell("interrupted", time.monotonic())
assert pool.closed
"""
ASYNC_WAITS = {
    "fetch": "await pool.fetch('select pg_sleep(600)')",
    "session": """async with pool.session() as session:
            await session.fetchval('select pg_sleep(600)')""",
    "run": "await pool.run(lambda session: session.fetchval('select pg_sleep(600)'))",
    "a listener": """async with pool.listen('a') as listener:
            await asyncio.gather(pool.fetchval('select pg_sleep(600)'), listener.get())""",
    "in a group": """await asyncio.gather(pool.fetchval('select pg_sleep(600)'),
            *[pool.fetchval('select 1') for _ in range(20)])""",
}
LOOPS = {"asyncio": "asyncio.run(main())", "uvloop": "import uvloop; uvloop.run(main())"}
PAIRS = [*((wait, "asyncio") for wait in ASYNC_WAITS), ("fetch", "uvloop")]


@pytest.mark.parametrize(("wait", "loop"), PAIRS)
def test_asyncio_is_interrupted(server, pg_url, wait, loop):
    """The runner cancels its task (in Python 3.10 all of them at the end): the pool closes."""
    body = ASYNC.replace("{wait}", ASYNC_WAITS[wait]).replace("{run}", LOOPS[loop])
    active = f"select count(*) from pg_stat_activity where state = 'active' and query = '{SLEEP}'"
    with child(CHILD.replace("{body}", body), pg_url) as process:
        until(lambda: server.sql(active) == "1" and sleeps(process))
        assert interrupt(process) < 10
        end(process)
    until(lambda: server.backends(pg_url) == 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
@pytest.mark.parametrize("where", ["a log line", "a notice", "a loop"])
def test_a_signal_that_comes_into_other_code_is_heard(pg_url, number, where):
    """Its handler's exception is neither the hook's, which would be logged, nor nobody's."""

    class Handler(logging.Handler):
        def emit(self, record):
            signal.raise_signal(number)

    class Loop(asyncio.SelectorEventLoop):
        def call_soon(self, *arguments, **keywords):
            if getattr(arguments[0], "__name__", "") == "flush" and not told:
                told.append(True)
                signal.raise_signal(number)
            return super().call_soon(*arguments, **keywords)

    async def crowd():
        async with weirpool.create_pool(pg_url, max_size=1) as pool:
            await asyncio.gather(*(pool.fetchval("select 1") for _ in range(16)))

    def leave(*_):
        raise SystemExit(3)

    told = []
    before = signal.signal(signal.SIGTERM, leave)
    handler, loop = Handler(), Loop()
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            if where == "a loop":
                loop.run_until_complete(crowd())
            elif where == "a notice":
                with weirpool.create_pool_sync(
                    pg_url, max_size=1, on_notice=lambda notice: signal.raise_signal(number)
                ) as pool:
                    pool.execute("do 'begin raise notice $$x$$; end'")
                    raise AssertionError
            else:
                with weirpool.create_pool_sync(pg_url, max_size=1, echo=True) as pool:
                    weirpool._hooks.logger.addHandler(handler)
                    weirpool._hooks.logger.setLevel(logging.INFO)
                    pool.execute("select 1")
                    raise AssertionError
    finally:
        weirpool._hooks.logger.removeHandler(handler)
        weirpool._hooks.logger.setLevel(logging.NOTSET)
        signal.signal(signal.SIGTERM, before)
        while rest := asyncio.all_tasks(loop):  # who awaits the task that it came into hears of it, too
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        loop.close()
    assert where != "a loop" or told
