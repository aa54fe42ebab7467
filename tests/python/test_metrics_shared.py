"""metrics_shared: processes that tell each other's numbers, as gunicorn's workers, and some that are killed."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
import weirpool
from support import for_python, until
from test_metrics import POOL, read

# A worker does what it is told: "run 5", "fail 2", "metrics"; it answers with a text's length, and the text.
WORKER = """
import sys, weirpool
url, file, name = sys.argv[1:]

def work(pool):
    print("ready", flush=True)
    for line in sys.stdin:
        word, _, count = line.strip().partition(" ")
        for _ in range(int(count or 0)):
            try:
                pool.fetch("select 1" if word == "run" else "select nonsense")
            except weirpool.Error:
                pass
        text = weirpool.metrics() if word == "metrics" else "done"
        print(len(text), flush=True)
        print(text, end="", flush=True)

with weirpool.create_pool_sync(url, name=name, metrics_shared=file, min_size=1, max_size=2) as pool:
    work(pool)
"""


class Worker:
    def __init__(self, url, file, name="shop"):
        command = [sys.executable, "-c", WORKER, url, str(file), name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=for_python(), **pipes)
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.read(int(self.process.stdout.readline()))

    def values(self):
        return read(self.tell("metrics"), "prometheus")[1]

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.end()

    def end(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def workers(url, tmp_path):
    started = []

    def start(name="shop", file=tmp_path / "metrics"):
        started.append(Worker(url, file, name))
        return started[-1]

    yield start
    for worker in started:
        worker.end()


def queries(values, outcome, name="shop"):
    return values[("weir_queries_total", *sorted({POOL: name, "outcome": outcome}.items()))]


def failures(values, name="shop"):
    labels = {POOL: name, "error_type": "ProgrammingError"}
    (count,) = (
        value
        for (metric, *found), value in values.items()
        if metric == "db_client_operation_duration_seconds_count" and labels.items() <= dict(found).items()
    )
    return count


def gauge(values, metric, name="shop"):
    return values[(metric, (POOL, name))]


def test_any_worker_tells_the_numbers_of_all(workers, url):
    one, two, three = (workers() for _ in range(3))
    for worker, count in ((one, 1), (two, 10), (three, 100)):
        worker.tell(f"run {count}")
    three.tell("fail 5")
    for worker in (one, two, three):
        values = worker.values()
        assert queries(values, "succeeded") == 111 and queries(values, "failed") == failures(values) == 5
        assert gauge(values, "db_client_connection_max") == 6
        assert gauge(values, "db_idle_connections") == 3
        assert gauge(values, "db_client_connection_wait_time_seconds_count") >= 116
        assert gauge(values, "db_query_failure_rate") == pytest.approx(5 / 116)

    two.kill()
    values = one.values()
    assert queries(values, "succeeded") == 111 and queries(values, "failed") == 5
    assert gauge(values, "db_client_connection_max") == 4  # a dead one has no connections
    assert gauge(values, "db_idle_connections") == 2

    four = workers()
    four.tell("run 1000")
    for worker in (one, three, four):
        values = worker.values()
        assert queries(values, "succeeded") == 1111
        assert gauge(values, "db_client_connection_max") == 6
    three.end()
    one.kill()
    values = four.values()
    assert queries(values, "succeeded") == 1111 and queries(values, "failed") == failures(values) == 5
    assert gauge(values, "db_idle_connections") == 1


def test_names_that_only_others_have_are_told_too(workers):
    shop, mail = workers("shop"), workers("mail")
    shop.tell("run 3")
    mail.tell("run 4")
    values = shop.values()
    assert queries(values, "succeeded", "shop") == 3 and queries(values, "succeeded", "mail") == 4


def test_forks_and_pools_of_one_process(sqlite_url, tmp_path):
    options = {"name": "shop", "metrics_shared": str(tmp_path / "metrics"), "min_size": 0}
    with weirpool.create_pool_sync(sqlite_url, **options) as parent:
        parent.fetch("select 1")
        read_end, write_end = os.pipe()
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):  # a pool of its own, and no use of what it inherits
                with weirpool.create_pool_sync(sqlite_url, **options) as own:
                    own.fetch("select 1")
                    count = queries(read(own.metrics(), "prometheus")[1], "succeeded")
                    os.write(write_end, str(count).encode())
                    os.kill(os.getpid(), signal.SIGKILL)
            os._exit(1)
        os.close(write_end)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert os.read(read_end, 100) == b"2"
        os.close(read_end)
        with weirpool.create_pool_sync(sqlite_url, **options) as second:
            for _ in range(10):
                second.fetch("select 1")
            both = weirpool.metrics([second, parent])
            for text in (parent.metrics(), second.metrics(), weirpool.metrics(), both):
                assert queries(read(text, "prometheus")[1], "succeeded") == 12
            assert parent.snapshot()["queries_succeeded"] == 1
            assert second.snapshot()["queries_succeeded"] == 10
        assert queries(read(weirpool.metrics(), "prometheus")[1], "succeeded") == 12


def test_pools_of_one_name_in_two_files_are_one(workers, url, tmp_path):
    """Each file counts once, in whatever order its pools stand, and so does what others have there."""
    here, elsewhere = [{"name": "shop", "metrics_shared": str(tmp_path / file), "min_size": 0} for file in "ab"]
    with contextlib.ExitStack() as stack:
        workers("mail", elsewhere["metrics_shared"]).tell("run 1000")
        workers("shop", elsewhere["metrics_shared"]).tell("run 100")
        pools = []
        for options in (here, elsewhere, elsewhere, here, {"name": "shop", "min_size": 0}):
            pools.append(stack.enter_context(weirpool.create_pool_sync(url, **options)))
            pools[-1].fetch("select 1")
        for some in (None, pools, pools[::-1], pools[1:] + pools[:1]):
            values = read(weirpool.metrics(some), "prometheus")[1]
            assert queries(values, "succeeded") == 105
            assert gauge(values, "db_idle_connections") == 6
            assert some or queries(values, "succeeded", "mail") == 1000
        assert queries(read(pools[0].metrics(), "prometheus")[1], "succeeded") == 2
        assert queries(read(pools[1].metrics(), "prometheus")[1], "succeeded") == 102
        assert queries(read(pools[4].metrics(), "prometheus")[1], "succeeded") == 1


def test_each_of_the_pools_of_a_process_has_exemplars(sqlite_url, tmp_path):
    options = {"name": "shop", "metrics_shared": str(tmp_path / "metrics"), "min_size": 0}
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with (
        weirpool.create_pool_sync(sqlite_url, **options),
        weirpool.create_pool_sync(sqlite_url, **options) as second,
    ):
        second.fetch(f"select 1 /*traceparent='00-{trace}-00f067aa0ba902b7-01'*/")
        assert weirpool.metrics(format="openmetrics").count(trace) == 1


def test_files_that_will_not_do(sqlite_url, tmp_path):
    foreign = tmp_path / "notes.txt"
    foreign.write_text("notes")
    for file, words in (
        (foreign, "metrics_shared=.*notes.txt: the file is none of weirpool's: name another"),
        (tmp_path / "no" / "folder", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(weirpool.OptionError, match=words):
            weirpool.create_pool_sync(sqlite_url, metrics_shared=str(file))
    assert foreign.read_text() == "notes"
    weirpool.create_pool_sync(f"{sqlite_url}?metrics_shared={tmp_path}/fine").close()
    assert (tmp_path / "fine").stat().st_mode & 0o777 == 0o600


# Opens pools of ever more names where there is room for some of their places: prints how many, and the error.
CROWD = """
import sys, weirpool
pools = []
try:
    while True:
        options = {"name": f"shop{len(pools)}", "metrics_shared": sys.argv[1], "min_size": 0}
        pools.append(weirpool.create_pool_sync("sqlite://", **options))
        assert weirpool.metrics()
except weirpool.OptionError as error:
    print(len(pools), error)
weirpool.metrics()
"""


@pytest.mark.parametrize("kilobytes, least, most", [(600, 0, 0), (1200, 1, 20)])
def test_a_full_disk_is_an_error(tmp_path, kilobytes, least, most):
    preload = for_python().get("LD_PRELOAD")
    mount = f'mount -t tmpfs -o size={kilobytes}k none "$0" && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, tmp_path, "env"]
    command += [f"LD_PRELOAD={preload}"] if preload else []
    command += [sys.executable, "-c", CROWD, tmp_path / "metrics"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    opened, _, error = result.stdout.partition(" ")
    assert least <= int(opened) <= most and "No space left on device" in error
