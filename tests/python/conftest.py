"""What the tests share: databases, event loops, and ways to wait for a condition without sleeping."""

import contextlib
import gc
import os
import pathlib
import signal
import sys
import tempfile

import hypothesis
import pytest

pytest.register_assert_rewrite("support")
from support import LOOPS, PostgresServer, descriptors, until  # noqa: E402

# A shell has its background jobs ignore Ctrl-C, which they and their children would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, so that a failure belongs to the change; WEIR_RANDOM=1 looks for new ones, and
# WEIR_EXAMPLES says how many a test has.
hypothesis.settings.register_profile(
    "weirpool",
    derandomize=not os.environ.get("WEIR_RANDOM"),
    max_examples=int(os.environ.get("WEIR_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.too_slow,
    ],
)
hypothesis.settings.load_profile("weirpool")


def roomy_memory():
    """A folder in memory, if there is one with room: a new database takes a quarter of the time there."""
    folder = "/dev/shm"
    with contextlib.suppress(OSError):
        room = os.statvfs(folder)
        if room.f_bavail * room.f_frsize > 2 << 30 and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return None


@contextlib.contextmanager
def running_server(primary=None):
    # not pytest's own folder: each run of pytest closes that to others, and the server has a user of its own
    with tempfile.TemporaryDirectory(prefix="weirpool-", dir=roomy_memory()) as folder:
        server = PostgresServer(pathlib.Path(folder), primary)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL of our own, on a Unix socket and 127.0.0.1."""
    with running_server() as server:
        yield server


@pytest.fixture
def own_server():
    """A PostgreSQL that the test may kill."""
    with running_server() as server:
        yield server


@pytest.fixture
def pair():
    """A primary and its standby, which the test may stop and promote."""
    with running_server() as primary, running_server(primary) as standby:
        yield primary, standby


@pytest.fixture(scope="session")
def database(server):
    return server.new_database()


@pytest.fixture
def pg_url(server, database):
    """The URL of an empty database; always the same, for making one takes longer than many a test."""
    server.empty(database)
    return database


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """The URL of an empty database, of each kind in turn."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "pg_url")


@pytest.fixture(params=[kind for kind in LOOPS if kind in os.environ.get("WEIR_LOOPS", kind)])
def run(request):
    """Runs a coroutine in a new loop, of each kind in turn, or of those that WEIR_LOOPS names."""
    return LOOPS[request.param]


@pytest.fixture(scope="session")
def warm():
    """What loops and libraries open once a process."""

    async def nothing():
        pass

    for run in LOOPS.values():
        run(nothing)
    # What has been imported by now stays: each test's collection need not look at it, which takes most of a short test.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left(request, warm):
    """No test leaves a descriptor behind."""
    if "server" in request.fixturenames or "url" in request.fixturenames:
        request.getfixturevalue("server")
    before = descriptors()
    yield
    # Pytest keeps a failed test's traceback here until the next one, and with it every pool in its frames.
    sys.last_exc = sys.last_value = sys.last_traceback = None
    until(lambda: descriptors() <= before, deadline=10)
