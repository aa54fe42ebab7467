"""What a borrower leaves behind in a connection: it reaches nobody, nor stays on an idle connection."""

import asyncio
import contextlib

import pytest
import weirpool
from support import LOOPS, until, until_async
from weirpool import errors

FUNCTIONS = """
create schema app;
create schema other;
create function app.set_tenant(text) returns text language plpgsql as
  $$ begin return set_config('app.tenant', $1, false); end $$;
create function app.hold(int) returns void language plpgsql as
  $$ begin perform pg_advisory_lock($1); end $$;
create table other.t (n int);
create table t (n serial);
"""
TENANT = "select coalesce(current_setting('app.tenant', true), '')"

# what a borrower does; what another one asks; what is to come of it
LEFT = {
    "set": (["set work_mem = '9MB'"], "show work_mem", "4MB"),
    "set_config": (["select set_config('work_mem', '9MB', false)"], "show work_mem", "4MB"),
    "escaped": (["select U&\"set\\005fconfig\"('work_mem', '9MB', false)"], "show work_mem", "4MB"),
    "pieces": (
        ["select query_to_xml('select set_' || 'config(''work_mem'', ''9MB'', false)', true, true, '')"],
        "show work_mem",
        "4MB",
    ),
    "set_config_local": (["select set_config('work_mem', '9MB', true)"], "show work_mem", "4MB"),
    "set_local": (["set local work_mem = '9MB'"], "show work_mem", "4MB"),
    "search_path": (["set search_path = other"], "select 't'::regclass::text", "t"),
    "role": (["set role somebody"], "select current_user::text", "app"),
    "authorization": (["set session authorization somebody"], "select session_user::text", "app"),
    "temporary": (
        ["create temporary table left_behind (n int)", "insert into left_behind values (1)"],
        "select to_regclass('left_behind') is null",
        True,
    ),
    "select_into": (["select 1 as n into temp left_behind"], "select to_regclass('left_behind') is null", True),
    "shadow": (["create temp table t as select 'x' as s"], "select count(*) from t", 0),
    "listen": (["listen here"], "select count(*) from pg_listening_channels()", 0),
    "lock": (["select pg_advisory_lock(1)"], "select pg_try_advisory_xact_lock(1)", True),
    "try_lock": (["select pg_try_advisory_lock(1, 2)"], "select pg_try_advisory_xact_lock(1, 2)", True),
    "prepare": (["prepare mine as select 1"], "select count(*) from pg_prepared_statements where name = 'mine'", 0),
    "cursor": (["declare c cursor with hold for select 1"], "select count(*) from pg_cursors where name = 'c'", 0),
    "do": (["do $$ begin perform set_config('work_mem', '9MB', false); end $$"], "show work_mem", "4MB"),
    "timeout": (["set statement_timeout = '1h'"], "show statement_timeout", "30500ms"),
    "isolation": (
        ["set session characteristics as transaction isolation level serializable"],
        "show default_transaction_isolation",
        "read committed",
    ),
}
# These end with their statement's own transaction, so that nothing needs to be discarded.
LOCAL = {"set_local", "set_config_local"}
# What an idle connection may not hold, as another one sees it. Its advisory lock, its table …
OUTSIDE = """
select (select count(*) from pg_locks where locktype = 'advisory')
     + (select count(*) from pg_class where relpersistence = 't')
     + (select count(*) from pg_replication_slots)
"""


@pytest.fixture(scope="module")
def database(server):
    url = server.new_database()
    server.sql(FUNCTIONS, url.rsplit("/", 1)[1])
    with contextlib.suppress(Exception):
        server.sql("create role somebody")
    return url


def run(main, *arguments):
    return LOOPS["asyncio"](main, *arguments)


async def idle(pool):
    """Every connection is back, and its reset over."""
    await until_async(lambda: (s := pool.snapshot())["idle"] == s["size"] > 0)


@contextlib.asynccontextmanager
async def one(url, **options):
    """A pool of one connection, so that the next borrower has the last one's."""
    async with weirpool.create_pool(url, min_size=1, max_size=1, **options) as pool:
        yield pool


async def leave(pool, how, statements, **options):
    if how == "pool":
        for statement in statements:
            try:
                await pool.execute(statement)
            except errors.ArgumentError as refused:
                expected = "pool.listen()" if "listen" in statement else "would change the state of a connection"
                assert expected in str(refused)
    elif how == "session":
        async with pool.session(**options) as session:
            for statement in statements:
                await session.execute(statement)
    elif how == "error":
        with contextlib.suppress(ZeroDivisionError):
            async with pool.connection(**options) as connection:
                for statement in statements:
                    await connection.execute(statement)
                raise ZeroDivisionError
    else:
        async with pool.connection(**options) as connection:
            for statement in statements:
                await connection.execute(statement)


@pytest.mark.parametrize("reset", ["auto", "always"])
@pytest.mark.parametrize("what", LEFT)
def test_nothing_reaches_another_borrower(server, database, what, reset):
    statements, look, clean = LEFT[what]

    async def main():
        async with one(database, reset=reset) as pool:
            backend = await pool.fetchval("select pg_backend_pid()")
            for how in ("connection", "session", "error", "pool"):
                done = statements[:1] if how == "pool" else statements  # each statement is a borrower there
                await leave(pool, how, done)
                assert await pool.fetchval(look) == clean, how
                await leave(pool, how, done)
                async with pool.session() as session:
                    assert await session.fetchval(look) == clean, how
            # Nobody needs to ask for it: an idle connection holds nothing, of what others cannot see either.
            await leave(pool, "connection", statements)
            await idle(pool)
            assert server.sql(OUTSIDE, database.rsplit("/", 1)[1]) == "0"
            kept = statements[-1] if what in LOCAL and reset == "auto" else "DISCARD ALL"
            assert server.sql(f"select query from pg_stat_activity where pid = {backend}") == kept
            assert pool.snapshot()["connections_created"] == 1

    run(main)


def test_nothing_reaches_another_connection(server, database):
    """Four borrowers at once leave all that there is; eight look at all four connections."""
    other = ("role", "authorization", "search_path", "select_into")  # somebody else could not do the rest
    everything = [statement for what in LEFT if what not in other for statement in LEFT[what][0]]

    async def main():
        async with weirpool.create_pool(database, min_size=4, max_size=4) as pool:
            async with contextlib.AsyncExitStack() as stack:
                borrowers = [await stack.enter_async_context(pool.connection()) for _ in range(4)]
                for number, borrower in enumerate(borrowers):
                    for statement in everything:
                        await borrower.execute(statement.replace("pg_advisory_lock(1)", f"pg_advisory_lock({number})"))
            for _ in range(2):
                async with contextlib.AsyncExitStack() as stack:
                    borrowers = [await stack.enter_async_context(pool.connection()) for _ in range(4)]
                    for borrower in borrowers:
                        for _statements, look, clean in LEFT.values():
                            assert await borrower.fetchval(look) == clean, look

    run(main)


def test_temporary_replication_slots(server, database):
    """DISCARD ALL leaves them: the connection goes. Until its server process has ended all the others see them."""
    slots = "select count(*) from pg_replication_slots"
    make = "select pg_create_physical_replication_slot('left_behind', true, true)"

    async def main():
        async with weirpool.create_pool(database, min_size=2, max_size=2) as pool:
            for how in ("connection", "session", "pool", "error"):
                before = pool.snapshot()["connections_created"]
                await leave(pool, how, [make])
                await until_async(lambda: server.sql(slots) == "0")
                await until_async(lambda before=before: pool.snapshot()["connections_created"] == before + 1)

    run(main)


CALL = "select app.set_tenant('left')"


@pytest.mark.parametrize(
    ("options", "loan", "seen"),
    [
        ({}, {}, "left"),  # the limit: nobody sees what a function does
        ({"reset_functions": "set_tenant"}, {}, ""),
        ({"reset_functions": "hold , app.SET_TENANT"}, {}, ""),
        ({"reset_functions": "other.set_tenant"}, {}, "left"),
        ({"reset": "always"}, {}, ""),
        ({"reset": "always"}, {"reset": "auto"}, "left"),
        ({"reset": "always"}, {"reset": "never"}, "left"),
        ({}, {"reset": "always"}, ""),
        ({"reset": "never"}, {}, "left"),
        ({"reset": "never"}, {"reset": "always"}, ""),
        ({"reset": "never", "reset_functions": "set_tenant"}, {"reset": "auto"}, ""),
        ({"reset": "reset app.tenant"}, {}, ""),
        ({"reset": "reset app.tenant"}, {"reset": "never"}, "left"),
        ({"reset": "select 'a;b', \"c;\" from (select 1 as \"c;\") x; -- ; \n reset all;"}, {}, ""),
    ],
)
@pytest.mark.parametrize("how", ["connection", "session", "error"])
def test_what_a_function_sets(database, options, loan, seen, how):
    async def main():
        async with one(database, **options) as pool:
            await leave(pool, how, [CALL], **loan)
            assert await pool.fetchval(TENANT) == seen

    run(main)


@pytest.mark.parametrize("options", [{"reset_functions": "set_tenant"}, {"reset": "always"}, {"reset": "reset all"}])
def test_what_a_function_sets_beside_others(database, options):
    """Statements of the pool share connections, but not with one that may leave something behind."""

    async def main():
        async with weirpool.create_pool(database, min_size=2, max_size=2, **options) as pool:
            for _ in range(5):  # their times are known: they share from then on
                assert await asyncio.gather(*(pool.fetchval(TENANT) for _ in range(10))) == [""] * 10
            statements = [CALL, TENANT, TENANT, "select 1"] * 50
            answers = await asyncio.gather(*(pool.fetchval(statement) for statement in statements))
            assert answers == ["left", "", "", 1] * 50

    run(main)


def test_a_function_called_by_a_name_of_its_own(database):
    """However the call is written."""
    calls = [
        'select "app" . "set_tenant"($1)',
        "select n from (values (1)) as v (n) where app.set_tenant($1) is not null",
        "select App.Set_Tenant ($1)",
    ]

    async def main():
        async with one(database, reset_functions="app.set_tenant") as pool:
            for call in calls:
                assert await pool.fetchval(call, "left") in ("left", 1)
                assert await pool.fetchval(TENANT) == "", call

    run(main)


def test_always_spares_those_who_did_nothing(server, database):
    async def main():
        async with one(database, reset="always") as pool:
            async with pool.connection() as connection:
                backend = await connection.fetchval("select pg_backend_pid()")
            last = f"select query from pg_stat_activity where pid = {backend}"
            await idle(pool)
            assert server.sql(last) == "DISCARD ALL"
            async with pool.connection(reset="never") as connection:
                await connection.execute("select 'kept'")
            await idle(pool)
            assert server.sql(last) == "select 'kept'"
            async with pool.session():
                pass
            # what is there of the borrower before is this one's to take away
            await idle(pool)
            assert server.sql(last) == "DISCARD ALL"
            async with one(database) as clean:
                async with clean.session() as session:
                    backend = await session.fetchval("select pg_backend_pid()")
                    await session.execute("set local work_mem = '9MB'")
                    await session.execute("insert into t default values")
                await idle(clean)
                assert server.sql(f"select query from pg_stat_activity where pid = {backend}") == "COMMIT"

    run(main)


def test_never_ends_transactions_all_the_same(server, database):
    async def main():
        async with one(database, reset="never") as pool:
            async with pool.connection() as connection:
                await connection.execute("begin")
                await connection.execute("set local work_mem = '9MB'")
                await connection.execute("select pg_advisory_lock(7)")
                await connection.execute("set work_mem = '8MB'")
            async with pool.connection() as connection:
                assert await connection.fetchval("show work_mem") == "4MB"
                await connection.execute("set work_mem = '8MB'")
            assert await pool.fetchval("show work_mem") == "8MB"
            assert server.sql("select count(*) from pg_locks where locktype = 'advisory'") == "1"
            # the next one who wants it gets rid of all that
            async with pool.connection(reset="auto"):
                pass
            assert await pool.fetchval("show work_mem") == "4MB"
            await idle(pool)
            assert server.sql("select count(*) from pg_locks where locktype = 'advisory'") == "0"

    run(main)


def test_a_text_of_ones_own(database):
    """It is run instead of DISCARD ALL, and leaves alone what it leaves alone: the prepared statements."""
    text = "select pg_advisory_unlock_all(); close all; unlisten *; reset all; discard temp"
    prepared = "select count(*) from pg_prepared_statements where statement = $1"

    async def main():
        async with one(database, reset=text) as pool:
            for what in ("set", "lock", "listen", "cursor", "temporary", "timeout"):
                statements, look, clean = LEFT[what]
                await leave(pool, "connection", statements)
                assert await pool.fetchval(look) == clean, what
            for _ in range(3):
                assert await pool.fetchval("select 41 + 1") == 42
            assert await pool.fetchval(prepared, "select 41 + 1") == 1
            assert pool.snapshot()["connections_created"] == 1
            # a time limit of the pool's own is there again
            assert await pool.fetchval("show statement_timeout", timeout=60) == "60500ms"
            assert await pool.fetchval("show statement_timeout") == "30500ms"
        async with one(database, reset="deallocate all") as pool:
            for _ in range(3):
                assert await pool.fetchval("select 41 + 1") == 42
            assert await pool.fetchval(prepared, "select 41 + 1") == 0
            await leave(pool, "connection", ["set statement_timeout = '1h'", "set search_path = other"])
            assert await pool.fetchval("show statement_timeout") == "30500ms"
            assert await pool.fetchval("show search_path") == "other"
        async with one(database, reset="set statement_timeout = '1h'") as pool:
            await pool.fetchval("select 1")
            assert await pool.fetchval("show statement_timeout") == "1h"

    run(main)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("reset nothing_of_that_name", "unrecognized configuration parameter"),
        ("begin isolation level serializable", "left a transaction open"),
        ("reset all; discard all", "DISCARD ALL"),
    ],
)
def test_a_text_that_fails(database, caplog, text, why):
    """The connection is replaced, and the log says why."""

    async def main():
        async with one(database, reset=text) as pool:
            first = await pool.fetchval("select pg_backend_pid()")
            assert await pool.fetchval("select pg_backend_pid()") != first
            await until_async(lambda: pool.snapshot()["connections_created"] >= 3)

    run(main)
    assert any(why in record.getMessage() for record in caplog.records), caplog.text


def test_init_is_run_again(database):
    """Whatever undoes what it has set up."""

    async def init(connection):
        await connection.execute(CALL)

    async def main():
        async with one(database, reset="always", init=init) as pool:
            for _ in range(3):
                assert await pool.fetchval(TENANT) == "left"
        async with one(database, reset="reset all", reset_functions="app.set_tenant", init=init) as pool:
            for _ in range(3):
                assert await pool.fetchval(TENANT) == "left"

    run(main)


def test_values_of_sequences(database):
    """The last value of a sequence is no secret and no state to rely on: auto leaves it, always does not."""

    async def main():
        async with one(database) as pool:
            await pool.execute("insert into t default values")
            assert await pool.fetchval("select lastval()") > 0
        async with one(database, reset="always") as pool:
            await pool.execute("insert into t default values")
            with pytest.raises(errors.ObjectNotInPrerequisiteState):
                await pool.fetchval("select lastval()")

    run(main)


BAD = [
    ({"reset": "allways"}, "reset=allways is none of its choices: give auto, always, never, or the SQL text"),
    ({"reset": "Always"}, "reset=Always is none of its choices"),
    ({"reset": " rollback "}, "is none of its choices"),
    ({"reset": ""}, "reset is 0 bytes long"),
    ({"reset": "x " * 2100}, "reset is 4200 bytes long"),
    ({"reset": None}, "reset cannot be none"),
    ({"reset": True}, "reset takes text"),
    ({"reset_functions": "f, "}, 'reset_functions: "" is no function\'s name'),
    ({"reset_functions": "a.b.c"}, 'reset_functions: "a.b.c" is no function\'s name'),
    ({"reset_functions": "f()"}, 'reset_functions: "f()" is no function\'s name'),
    ({"reset_functions": "1f"}, "is no function's name: give names of letters, digits and underscores"),
    ({"reset_functions": ["f"]}, "reset_functions"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(options)[:40] for options, _ in BAD])
def test_options_that_are_refused(options, message):
    with pytest.raises((errors.OptionError, TypeError)) as caught:
        weirpool.create_pool_sync("sqlite://", **options)
    assert message in str(caught.value)


def test_by_session(url):
    with weirpool.create_pool_sync(url) as pool:
        for lend in (pool.session, pool.connection):
            for wrong in ("discard all", "ALWAYS", ""):
                with pytest.raises(errors.ArgumentError, match="give auto, always or never here"), lend(reset=wrong):
                    pass
            with pytest.raises(errors.ArgumentError, match="reset must be a str or None, not bool"):
                lend(reset=True)
            with lend(reset="always") as connection:
                assert connection.fetchval("select 1") == 1
            with lend(reset=None) as connection:
                assert connection.fetchval("select 1") == 1
    with weirpool.create_pool_sync(url + "?reset=never&reset_functions=f,app.g") as pool:
        assert pool.fetchval("select 1") == 1


@pytest.mark.parametrize(
    ("reset", "kept", "seen"),
    [
        ("auto", False, 0),
        ("always", False, 0),
        ("never", True, 1),
        ("drop table if exists temp.left_behind; pragma cache_size = 77", True, 0),
    ],
)
def test_sqlite(sqlite_url, reset, kept, seen):
    with weirpool.create_pool_sync(sqlite_url, min_size=1, max_size=1, reset=reset) as pool:
        with pool.connection() as connection:
            connection.execute("create temp table left_behind (n)")
            connection.execute("begin")
            connection.execute("insert into left_behind values (1)")
        count = "select count(*) from sqlite_temp_master where name = 'left_behind'"
        assert pool.fetchval(count) == seen
        if seen:
            assert pool.fetchval("select count(*) from left_behind") == 0  # rolled back
        if "pragma" in reset:
            assert pool.fetchval("pragma cache_size") == 77
        assert (pool.snapshot()["connections_created"] == 1) == kept


def test_sqlite_text_that_fails(sqlite_url, caplog):
    with weirpool.create_pool_sync(sqlite_url, min_size=1, max_size=1, reset="DISCARD ALL") as pool:
        until(lambda: pool.fetchval("select 1") == 1 and pool.snapshot()["connections_created"] >= 3)
    assert any('near "DISCARD"' in record.getMessage() for record in caplog.records)
