"""Sizing that follows the pods: the table of live pods, and a service's addresses."""

import collections
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import weirpool
from conftest import PostgresServer, roomy_memory
from support import for_python, until

HERE = pathlib.Path(__file__).parent
BUDGET, PODS = 40, 20
QUICK = {"pod_source": "database", "pod_refresh": 0.3, "pod_dead_after": 0.9}
# All of the budget is given away when all are there, and connections are replaced all the time.
OPTIONS = {
    **QUICK,
    "connection_budget": BUDGET,
    "pod_count": PODS,
    "pod_surge": 0,
    "max_lifetime": 1,
    "checkout_timeout": 5,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server with 60 connections, and a user of it that is no superuser."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="weirpool-", dir=roomy_memory()) as folder:
        server = PostgresServer(pathlib.Path(folder))
        with (server.data / "postgresql.conf").open("a") as settings:
            settings.write("max_connections = 60\nsuperuser_reserved_connections = 3\n")
        server.start()
        try:
            server.sql("create role pod login")
            yield server
        finally:
            server.stop()


class Sampler:
    """What the server has of the pods' connections, seen over one that is none of theirs, again and again."""

    def __init__(self, server):
        self.server = server
        self.most = self.samples = 0
        self.last = collections.deque()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def look(self):
        # By the user, not by the mark: whatever the name says, it counts.
        text = self.server.sql(
            "select application_name, count(*) from pg_stat_activity where usename = 'pod' group by 1"
        )
        return collections.Counter(
            {name: int(count) for name, count in (line.split("|") for line in text.splitlines())}
        )

    def run(self):
        while not self.over.is_set():
            counts = self.look()
            self.samples += 1
            self.most = max(self.most, sum(counts.values()))
            self.last.append((time.monotonic(), counts))
            while self.last[0][0] < time.monotonic() - 0.3:
                self.last.popleft()

    def pods(self):
        """The most that each pod has had of late: some of its connections are being replaced at any time."""
        most = collections.Counter()
        for _, counts in list(self.last):
            most |= counts
        return sorted(most.values())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@contextlib.contextmanager
def zygote():
    process = subprocess.Popen(
        [sys.executable, HERE / "fleet_pods.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=for_python(),
    )
    pids = []

    def start(count, url):
        process.stdin.write(json.dumps([count, url, OPTIONS]) + "\n")
        process.stdin.flush()
        new = json.loads(process.stdout.readline())
        pids.extend(new)
        return new

    try:
        yield start
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.stdin.close()
        process.wait()
        process.stdout.close()


def test_twenty_processes_hold_at_most_the_budget_together(small):
    url = small.new_database()
    small.sql("grant create on schema public to pod", url.rpartition("/")[2])
    url = url.replace("//app@", "//pod@")
    with zygote() as start, Sampler(small) as sampler:

        def have(*connections, silent=0):
            def so():
                assert sampler.most <= BUDGET, sampler.most
                return sampler.pods()[silent:] == sorted(connections)

            until(so)

        pids = start(PODS, url)
        have(*[2] * PODS)  # 40 over 20
        for pid in pids[:12]:
            os.kill(pid, signal.SIGKILL)
        have(*[3] * 8)  # 40, less the twelve that are missing, over 8
        pids = pids[12:] + start(12, url)
        have(*[2] * PODS)
        for pid in pids[:10]:
            os.kill(pid, signal.SIGTERM)  # these say that they leave
        os.kill(pids[10], signal.SIGSTOP)  # and this one is only silent
        have(*[3] * 9, silent=1)  # it keeps what it has …
        start(1, url)
        have(*[2] * 10, silent=1)  # … whoever else looks
        assert small.sql("select count(*) from weirpool_pods", url.rpartition("/")[2]) == "11"
        os.kill(pids[10], signal.SIGCONT)
        have(*[2] * 11)
    assert PODS < sampler.most <= BUDGET, sampler.most
    assert sampler.samples > 100


def test_a_service_s_addresses_are_counted():
    preload = for_python().get("LD_PRELOAD")
    subprocess.run(
        ["unshare", "--map-root-user", "--net", "--mount", "env", *([f"LD_PRELOAD={preload}"] if preload else [])]
        + [sys.executable, HERE / "fleet_names.py"],
        check=True,
        timeout=60,
    )


def test_what_a_pod_cannot_do_is_told(small, caplog):
    """A user that may not make the table has one connection, and the log says what is to be done."""
    url = small.new_database().replace("//app@", "//pod@")
    database = url.rpartition("/")[2]
    with weirpool.create_pool_sync(url, connection_budget=9, max_size=4, **QUICK) as pool:
        until(lambda: pool.fetchval("select 1") and "CREATE TABLE IF NOT EXISTS weirpool_pods" in caplog.text)
        assert pool.snapshot()["share"] == 1
        (line,) = [record.getMessage() for record in caplog.records if "CREATE TABLE" in record.getMessage()]
        assert "permission denied" in line
        small.sql(line[line.index("CREATE TABLE") :], database)
        small.sql("grant select, insert, update, delete on weirpool_pods to pod", database)
        until(lambda: pool.snapshot()["share"] == 4)


def test_more_pods_than_connections(small, tmp_path):
    url = small.new_database()
    options = {"connection_budget": 2, "max_size": 4, "checkout_timeout": 0.5, **QUICK}
    with contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(weirpool.create_pool_sync(url, fleet="a", **options)) for _ in range(2)
        )
        until(lambda: all(pool.snapshot()["pods"] == 2 for pool in (first, second)))
        with weirpool.create_pool_sync(url, fleet="b", **options) as other:
            until(lambda: other.snapshot()["pods"] == 1)
        with weirpool.create_pool_sync(url, fleet="a", **options) as third:
            until(lambda: third.snapshot()["share"] == 0)
            with pytest.raises(weirpool.CheckoutTimeout, match="all places of connection_budget are taken"):
                third.fetchval("select 1")
            first.close()
            until(lambda: third.snapshot()["share"] == 1)
            assert third.fetchval("select 1") == 1


def test_a_closed_connection_counts_until_the_server_has_let_go_of_it(small):
    url = small.new_database()
    options = {"connection_budget": 2, "pod_surge": 0, "checkout_timeout": 0.2, **QUICK}
    with weirpool.create_pool_sync(url, **options) as pool:
        until(lambda: pool.snapshot()["share"] == 2)
        with pool.connection() as first, pool.connection() as second:
            backend = first.fetchval("select pg_backend_pid()")
            assert second.fetchval("select 1") == 1
        os.kill(backend, signal.SIGSTOP)
        try:
            pool.expire()
            with pool.connection() as only:
                assert only.fetchval("select 1") == 1
                with pytest.raises(weirpool.CheckoutTimeout), pool.connection():
                    pass
                assert small.backends(url) == 2
        finally:
            os.kill(backend, signal.SIGCONT)
        with pool.connection(), pool.connection():
            pass


def test_an_attempt_that_is_cut_off_is_over_for_the_server_too():
    """Its socket stays open for the server's end: it is told, so that this comes at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://127.0.0.1:{server.getsockname()[1]}/silent?sslmode=disable"
        pool = weirpool.create_pool_sync(url, connection_budget=2, connect_timeout=0.2, require=False, **QUICK)
        with pool, server.accept()[0] as attempt:
            attempt.settimeout(2)
            while attempt.recv(4096):
                pass
