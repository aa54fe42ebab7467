"""What the fault tests share: the servers and loops of the Python tests, and a proxy before the server."""

import importlib.util
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
PYTHON = HERE.parent / "python"
sys.path[:0] = [str(HERE), str(PYTHON)]
pytest.register_assert_rewrite("harness")
_spec = importlib.util.spec_from_file_location("python_fixtures", PYTHON / "conftest.py")
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
for _name in ("server", "own_server", "database", "pg_url", "sqlite_url", "run", "warm", "nothing_left"):
    globals()[_name] = getattr(_fixtures, _name)

from harness import Observer, Through  # noqa: E402
from proxy import Network  # noqa: E402


@pytest.fixture
def network():
    with Network() as network:
        yield network


@pytest.fixture
def through(network, server, pg_url):
    """Makes proxies before an empty database."""
    return Through(network, server, pg_url)


@pytest.fixture
def observer(server, pg_url):
    """Looks at the empty database past all proxies."""
    with Observer(server, pg_url) as observer:
        yield observer
