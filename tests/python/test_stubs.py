"""The type stubs say what the code and the core's tables say."""

import ast
import pathlib
import subprocess
import sys

import pytest
import weirpool
from support import for_python

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = pathlib.Path(weirpool.__file__).parent

USE = """
import asyncio
from typing import Any

import weirpool
from typing_extensions import assert_type


async def main() -> None:
    async with weirpool.create_pool("sqlite:///x", max_size=3, sqlite_begin="deferred") as pool:
        assert_type(pool, weirpool.Pool)
        assert_type(await pool.fetch("select $1", 1), list[weirpool.Record])
        row = await pool.fetchrow("x")
        if row is not None:
            assert_type(row["a"], Any)
            assert_type(row[1:], tuple[Any, ...])
            print(dict(row), dict(row.items()), row.get("x", 3))
        async with pool.session(isolation="serializable") as session:
            assert_type(session, weirpool.Session)
            await session.commit()
            async with session.transaction():
                pass
        async with pool.connection() as connection:
            assert_type(connection, weirpool.Connection)
        assert_type(pool.metrics(format="openmetrics", names="seed"), str)
        assert_type(weirpool.metrics([pool]), str)
        assert_type(await pool.run(insert, retries=2, timeout=3, isolation="serializable"), int)
        assert_type(await pool.run(lambda session: session.execute("x")), str)
        task = asyncio.create_task(pool.execute("x"))
        assert_type(await task, str)
        assert_type(await pool.session(), weirpool.Session)
        one, two = await asyncio.gather(pool.execute("x"), pool.executemany("y", [(1,)]))
        assert_type(one, str)
        assert_type(two, int)
        async with pool.listen("a", "b", heartbeat=None) as listener:
            assert_type(listener, weirpool.Listener)
            await listener.add("c")
            async for note in listener:
                assert_type(note, weirpool.Notification | weirpool.Gap)
                if isinstance(note, weirpool.Gap):
                    assert_type(note.dropped, int)
                else:
                    assert_type(note.payload, str)
            assert_type(await pool.listen("a"), weirpool.Listener)
        assert_type(pool.snapshot()["wait"]["p50"], float)
        assert_type(session.info["backend"], int | None)
    breaker = weirpool.CircuitBreaker("x", failure_threshold=3, ignore=[ValueError, "08", lambda error: error.args])
    async with breaker:
        pass
    with breaker:
        assert_type(breaker(len, fallback=lambda error: error.retry_after)("x"), int)
    assert_type(await breaker(insert)(session), int)
    assert_type(await decorated(1), str)
    assert_type(await pool.breaker(pool.execute, fallback=print)("x"), str)
    assert_type(pool.breaker.query.snapshot()["retry_after"], float | None)
    assert_type(pool.breaker.connect.events(after=3)[0]["reason"], str)
    if breaker.state == "opened":  # type: ignore[comparison-overlap]
        pass
    opened = await weirpool.create_pool("x", setup=hook, init=hook)
    assert_type(opened, weirpool.Pool)
    await asyncio.wait_for(opened.close(grace=1), 3)
    try:
        pass
    except weirpool.errors.UniqueViolation as error:
        assert_type(error.constraint, str | None)


async def insert(session: weirpool.Session) -> int:
    return 3


@weirpool.CircuitBreaker(fallback=print)
async def plain(n: int) -> str:
    return "x"


@weirpool.CircuitBreaker()(fallback=print)
async def decorated(n: int) -> str:
    return "x"


async def hook(connection: weirpool.Connection) -> None: ...


def on_notice(notice: weirpool.Notice) -> None:
    assert_type(notice.hint, str | None)


def blocking() -> None:
    with weirpool.create_pool_sync("x", on_notice=on_notice) as pool:
        assert_type(pool, weirpool.SyncPool)
        with pool.session() as session:
            assert_type(session, weirpool.SyncSession)
            assert_type(session.execute("x"), str)
        assert_type(pool.run(lambda session: session.execute("x"), checkout_timeout=None), str)
        with pool.listen("a", max_queued=3) as listener:
            assert_type(listener.get(timeout=3), weirpool.Notification | weirpool.Gap)
        with pool.connection() as connection, connection.transaction():
            assert_type(connection.executemany("x", [(1,)]), int)
        assert_type(pool.transaction(["x", ("y $1", 7), ["z $1", b"x"]]), list[list[weirpool.Record] | str])
    weirpool.create_pool_sync("x", codecs={"a": weirpool.Codec(lambda text: text.upper(), repr, set), 7: raw})
    value: weirpool.Value = 3
    parameter: weirpool.Parameter = memoryview(b"")
    print(value, parameter)


def from_bytes(data: bytes) -> int:
    return data[0]


raw = weirpool.Codec(from_bytes, format="binary")
weirpool.Codec(from_bytes)  # type: ignore[arg-type]
weirpool.create_pool("x", max_sise=3)  # type: ignore[call-arg]
weirpool.create_pool("x", sqlite_begin="never")  # type: ignore[arg-type]
"""


# Where a public signature may say Any: what stands in a row, and what is in such a value.
ANY = {
    "Connection.fetchval",
    "Parameter",
    "Pool.fetchval",
    "Range.__contains__",
    "Range.__init__",
    "Range.lower",
    "Range.upper",
    "Record.__getitem__",
    "Record.__iter__",
    "Record.get",
    "Record.items",
    "Record.values",
    "SyncConnection.fetchval",
    "SyncPool.fetchval",
    "Value",
}


def annotations(node):
    """The parts of a definition's types."""
    whole = []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        every = node.args
        arguments = [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]
        whole = [argument.annotation for argument in arguments if argument] + [node.returns]
    elif isinstance(node, ast.AnnAssign):
        whole = [node.annotation, node.value]
    elif isinstance(node, ast.ClassDef):
        whole = node.bases
    return {part.id for one in whole if one for part in ast.walk(one) if isinstance(part, ast.Name)}


def definitions(body):
    names = [(getattr(node, "target", node), node) for node in body]
    return [(getattr(named, "name", getattr(named, "id", "_")), node) for named, node in names]


def with_any(body, is_public, prefix=""):
    """The names of a module, and of its classes, whose types say Any."""
    for name, node in definitions(body):
        if is_public(name):
            if annotations(node) & {"Any", "_Any"}:
                yield prefix + name
            if isinstance(node, ast.ClassDef):
                yield from with_any(node.body, lambda name: name[:1] != "_" or name[:2] == "__", prefix + name + ".")


def test_only_row_values_are_any():
    stubs = [ast.parse(path.read_text()).body for path in PACKAGE.glob("*.pyi")]
    imports = [node.names for body in stubs for node in body if isinstance(node, ast.ImportFrom)]
    public = set(weirpool.__all__).union(alias.name for names in imports for alias in names)
    sources = [path for path in PACKAGE.glob("*.py") if not path.with_suffix(".pyi").exists()]
    modules = [ast.parse(path.read_text()).body for path in sources]
    for _ in range(3):  # and what their types are made of
        for name, node in (pair for body in modules for pair in definitions(body)):
            if name in public:
                public |= annotations(node)
    found = {name for body in modules for name in with_any(body, public.__contains__)}
    found.update(name for body in stubs for name in with_any(body, lambda name: name[:1] != "_"))
    assert found == ANY


@pytest.fixture(autouse=True)
def found_by_mypy(monkeypatch):
    """An installed package is found by itself, and must not be on MYPYPATH."""
    if "site-packages" not in PACKAGE.parts:
        monkeypatch.setenv("MYPYPATH", str(PACKAGE.parent))


def python(*arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=for_python(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_generated_files_are_up_to_date():
    python(ROOT / "bindings" / "python" / "stubs.py", "--check")


def test_mypy_accepts_the_package():
    python("-m", "mypy", "--strict", "--cache-dir", "/dev/null", "-p", "weirpool")


def test_mypy_accepts_its_use(tmp_path):
    (tmp_path / "use.py").write_text(USE)
    python("-m", "mypy", "--strict", "--warn-unused-ignores", "--cache-dir", "/dev/null", tmp_path / "use.py")


def test_stubs_match_the_runtime():
    python("-m", "mypy.stubtest", "weirpool")
