"""Sizing that follows the pods: the table of live pods, and a service's addresses."""

import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
import weirpool
from conftest import PostgresServer, roomy_memory
from support import for_python, until

HERE = pathlib.Path(__file__).parent
BUDGET, PODS = 50, 20
QUICK = {"pod_source": "database", "pod_refresh": 0.3, "pod_dead_after": 0.9}
OPTIONS = {**QUICK, "connection_budget": BUDGET, "pod_count": PODS, "checkout_timeout": 5}


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
        self.now = collections.Counter()
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
            self.now = self.look()
            self.samples += 1
            self.most = max(self.most, sum(self.now.values()))

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

        def have(*connections):
            until(lambda: sorted(sampler.now.values()) == sorted(connections))

        pids = start(PODS, url)
        have(*[2] * PODS)  # 50 less a place for one in four, over 20
        for pid in pids[:12]:
            os.kill(pid, signal.SIGKILL)
        have(*[4] * 8)  # 50 less the twelve that are missing, over 8
        pids = pids[12:] + start(12, url)
        have(*[2] * PODS)
        for pid in pids[:5]:
            os.kill(pid, signal.SIGTERM)  # these say that they leave
        os.kill(pids[5], signal.SIGSTOP)  # and this one is only silent
        have(2, *[3] * 14)
        os.kill(pids[5], signal.SIGCONT)
        have(*[3] * 15)
    assert sampler.most <= BUDGET, sampler.most
    assert sampler.samples > 100
