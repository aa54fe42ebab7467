"""Servers and loops for the tests."""

import asyncio
import contextlib
import gc
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

import uvloop

# Children must not inherit a preloaded sanitizer (sh dies under TSan, postgres hangs under either), but for
# those that load the package.
PRELOAD = os.environ.pop("LD_PRELOAD", None)
DEADLINE = 60  # seconds: for what must happen, but need not be quick on a busy machine


EMPTY = """
select pg_terminate_backend(pid) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid();
do $$ declare name text; begin
    for name in select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' loop
        execute format('drop schema %I cascade', name);
    end loop;
    create schema public;
    grant usage, create on schema public to public;
    execute format('alter database %I reset all', current_database());
end $$
"""


def find_postgres(program):
    """The newest server's program; Debian keeps them off PATH."""
    found = sorted(
        pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4])
    )
    return str(found[-1]) if found else shutil.which(program)


def for_python():
    """The environment of a child that loads the package."""
    return {**os.environ, **({"LD_PRELOAD": PRELOAD} if PRELOAD else {})}


def with_newer_libpq(tests):
    """Runs tests in a process of their own with a libpq of 17 or later in the system's place, psycopg's."""
    (libpq,) = (pathlib.Path(uvloop.__file__).parents[1] / "psycopg_binary.libs").glob("libpq-*")
    environment = for_python()
    # LeakSanitizer's tracer crashes beside that libpq now and then.
    environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    environment["LD_PRELOAD"] = " ".join(filter(None, [environment.get("LD_PRELOAD"), str(libpq)]))
    code = "import weirpool._core as c; assert c.libpq_version() >= 170000, c.libpq_version()"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def free_port():
    """Below the range that the kernel hands out by itself: no client's end takes it before its server does."""
    while True:
        port = secrets.choice(range(20000, 32000))  # random's seed may be a test's
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Psql:
    """A psql that stays, for statements on the database postgres: starting one costs more than most of them."""

    END = "=== the end:"

    def __init__(self, command):
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def __call__(self, text):
        with self.lock:
            self.process.stdin.write(f"{text}\n;\n\\echo '{self.END}' :ERROR\n")
            self.process.stdin.flush()
            lines = []
            for line in self.process.stdout:
                if line.startswith(self.END):
                    answer = "".join(lines).strip()
                    assert line.split()[-1] == "false", answer
                    return answer
                lines.append(line)
        raise AssertionError("".join(lines))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class PostgresServer:
    """A PostgreSQL server with its own data. User "app" is trusted; "locked" needs the password "right".

    primary: it becomes that server's standby, and streams from it once it is started.
    """

    def __init__(self, folder, primary=None):
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.databases = 0
        self.psql = None
        # PostgreSQL refuses root, and its user must be able to reach the folder.
        self.as_user = []
        if os.geteuid() == 0:
            self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            for parent in [folder, *folder.parents]:
                if parent.stat().st_uid == 0 and parent != parent.parent:
                    parent.chmod(parent.stat().st_mode | 0o755)
            shutil.chown(folder, "postgres", "postgres")
        if primary:
            source = ["-h", primary.folder, "-p", primary.port, "-U", "app"]
            self._call("pg_basebackup", "-D", self.data, *source, "--checkpoint=fast", "--no-sync", "--no-manifest")
            self._stream_from(primary)
        else:
            self._call("initdb", "-D", self.data, "-A", "trust", "-U", "app", "-E", "UTF8", "--locale=C", "--no-sync")
            (self.data / "pg_hba.conf").write_text(
                "local all,replication all trust\nhost all locked 127.0.0.1/32 scram-sha-256\n"
                "host all all 127.0.0.1/32 trust\n"
            )
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\n"
                "fsync = off\nmax_connections = 100\nlogging_collector = off\n"
            )

    def _call(self, program, *arguments):
        with (self.folder / "calls").open("a+") as log:  # a pipe would be inherited by the server
            done = subprocess.run(
                [*self.as_user, find_postgres(program), *map(str, arguments)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            log.seek(0)
            assert done.returncode == 0, log.read()

    def _stream_from(self, primary):
        (self.data / "standby.signal").touch()
        if self.as_user:
            shutil.chown(self.data / "standby.signal", "postgres", "postgres")
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(f"primary_conninfo = 'host={primary.folder} port={primary.port} user=app'\n")

    def promote(self):
        """A standby becomes a primary, at once."""
        self.sql("select pg_promote()")

    def follow(self, primary):
        """The primary that this one was, and that was stopped by stop("fast"), becomes a standby of its heir."""
        self._stream_from(primary)
        self.start()

    def start(self):
        self._call("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-t", DEADLINE, "start")
        self.sql(
            "do $$ begin create role locked login password 'right'; exception when others then null; end $$"
        )

    def stop(self, mode="immediate"):
        self._leave()
        if (self.data / "postmaster.pid").exists():
            self._call("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", DEADLINE, "stop")

    def kill(self):
        """As the machine's power going."""
        self._leave()
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        until(lambda: not any(pathlib.Path(f"/proc/{process}").exists() for process in processes))
        (self.data / "postmaster.pid").unlink()

    def processes(self):
        """The process ids of the postmaster, which comes first, and of its children."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        return [pid, *map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def sql(self, text, database="postgres"):
        """What psql prints for a statement."""
        psql = shutil.which("psql") or find_postgres("psql")
        command = [psql, "-XqAt", "-h", str(self.folder), "-p", str(self.port), "-U", "app", "-d", database]
        if database == "postgres":
            self.psql = self.psql or Psql(command)
            return self.psql(text)
        command += ["-v", "ON_ERROR_STOP=1", "-c", text]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _leave(self):
        if self.psql:
            self.psql.close()
            self.psql = None

    def new_database(self):
        self.databases += 1
        name = f"test_{os.getpid()}_{self.databases}"
        self.sql(f"create database {name}")
        return self.url(name)

    def empty(self, url):
        """Ends all who use the database, and drops what they have made in it."""
        self.sql(EMPTY, url.rpartition("/")[2])

    def url(self, database="postgres", user="app", password=None, socket_too=False):
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def backends(self, url):
        """Connections to the URL's database, as the server counts them."""
        database = re.search(r"/(\w+)(\?|$)", url).group(1)
        return int(self.sql(f"select count(*) from pg_stat_activity where datname = '{database}'"))


@contextlib.contextmanager
def stopped(server):
    """It answers nobody meanwhile."""
    processes = server.processes()

    def signalled(number):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # psql's backend was about to end
                os.kill(process, number)

    try:
        signalled(signal.SIGSTOP)
        yield
    finally:
        signalled(signal.SIGCONT)


def until(condition, deadline=DEADLINE):
    """Waits for a condition that another process or thread brings about."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, "it has not come about in time"
        time.sleep(0.001)


async def until_async(condition, deadline=DEADLINE):
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, "it has not come about in time"
        await asyncio.sleep(0.001)


async def turns(count=20):
    """So many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


def run_in(new_loop, main, *arguments):
    loop = new_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(asyncio.wait_for(main(*arguments), 5 * DEADLINE))
    finally:
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


LOOPS = {
    "asyncio": lambda main, *arguments: run_in(asyncio.new_event_loop, main, *arguments),
    "uvloop": lambda main, *arguments: run_in(uvloop.new_event_loop, main, *arguments),
}


def descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def no_warnings():
    """Every warning is an error, those of finalizers too."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in seen] == []
