"""What a wheel must do on a machine: check.py URL CA OTHER_CA, on a PostgreSQL with TLS whose certificate CA signed."""

import asyncio
import contextlib
import importlib.metadata
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

import asyncpg
import psycopg
import weirpool

URL, CA, OTHER_CA = sys.argv[1:]
PORT = urlsplit(URL).port
SSL = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()"


def bundled():
    """Versions by name, of the libraries that the wheel says it carries."""
    [bill] = [
        path for path in importlib.metadata.files("weirpool") if str(path).endswith("sboms/weirpool.cdx.json")
    ]
    parts = json.loads(bill.locate().read_text())["components"]
    return {part["name"]: part["version"] for part in parts}


def check_versions():
    libpq = weirpool.libpq_version()
    assert libpq >= 170000, libpq
    assert f"{libpq // 10000}.{libpq % 10000}" == bundled()["libpq"], (libpq, bundled())
    assert weirpool.sqlite_version() == sqlite3.sqlite_version, "not the process's own SQLite"
    print("libpq", libpq, "SQLite of the process", sqlite3.sqlite_version, "bundled", bundled())


def check_own_sqlite():
    """Where Python has no sqlite3 module, the wheel's own copy serves."""
    program = (
        "import sys; sys.modules['_sqlite3'] = None\n"
        "import weirpool\n"
        "with weirpool.create_pool_sync('sqlite://') as pool:\n"
        "    print(weirpool.sqlite_version(), pool.fetchval('select sqlite_version()'))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == [bundled()["sqlite"]] * 2, printed


def check_locks():
    """Closing a handle of Python's own copy must not drop the locks of the pool's: another process must not get in."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "locks.db")
        intruder = (
            "import sqlite3, sys\n"
            "with sqlite3.connect(sys.argv[1], timeout=0) as c: c.execute('insert into t values (2)')\n"
        )
        with weirpool.create_pool_sync(f"sqlite:///{path}") as pool:
            pool.execute("create table t (id integer)")
            with pool.session() as session:
                session.execute("insert into t values (1)")
                with contextlib.closing(sqlite3.connect(path)) as own:
                    own.execute("select count(*) from t").fetchall()
                other = subprocess.run(
                    [sys.executable, "-c", intruder, path], check=False, capture_output=True, text=True
                )
                assert "database is locked" in other.stderr, other
            assert pool.fetchval("select group_concat(id) from t") == "1"


def tls(user="postgres:unused", host="localhost", ca=CA, more=""):
    return f"postgresql://{user}@{host}:{PORT}/postgres?sslmode=verify-full&sslrootcert={ca}{more}"


async def check_tls():
    """A verified connection, beside those of two packages with a libpq or an OpenSSL of their own."""
    theirs = await asyncpg.connect(URL)
    with psycopg.connect(tls()) as beside:
        async with weirpool.create_pool(tls(), max_size=2) as pool:
            row = await pool.fetchrow(SSL)
            assert row["ssl"] is True and row["version"] == "TLSv1.3", row
            print("verify-full:", row["version"])
            assert beside.execute(SSL).fetchone() == (True, "TLSv1.3")
            assert await theirs.fetchval("select 1") == 1
            rows = await asyncio.gather(*(pool.fetchval("select $1::int8 + 1", i) for i in range(100)))
            assert rows == list(range(1, 101))
        await theirs.close()
        async with weirpool.create_pool(tls("scram:secret", more="&channel_binding=require")) as pool:
            assert await pool.fetchval("select current_user::text") == "scram"


async def refused(url, *words):
    """Opening a connection fails, and the message has the words."""
    async with weirpool.create_pool(url, checkout_timeout=10) as pool:
        try:
            await pool.fetchval("select 1")
        except weirpool.OperationalError as error:
            text = f"{error} {error.__cause__ or ''}"
            assert all(word in text for word in words), text
        else:
            raise AssertionError(f"connected: {words}")


async def check_refusals():
    await refused(tls(ca=OTHER_CA), "certificate verify failed")
    await refused(tls(host="127.0.0.1"), "localhost", "does not match host name")
    await refused("postgresql:///postgres?port=1", "/var/run/postgresql/.s.PGSQL.1")
    # the system's certificates are found, and this server's is not among them
    await refused(tls(ca="system"), "certificate verify failed")


assert not [path for path in os.environ["PATH"].split(":") if pathlib.Path(path, "cc").exists()]
check_versions()
check_own_sqlite()
check_locks()
asyncio.run(check_tls())
asyncio.run(check_refusals())
