"""The exceptions: their tree, what they carry, that they pickle."""

import copy
import inspect
import pickle

import pytest
import weirpool
from weirpool import errors


def test_tree():
    assert issubclass(errors.Error, Exception) and issubclass(errors.Warning, Exception)
    assert errors.InterfaceError.__bases__ == errors.DatabaseError.__bases__ == (errors.Error,)
    for name in ("Data", "Operational", "Integrity", "Internal", "Programming", "NotSupported"):
        assert getattr(errors, name + "Error").__bases__ == (errors.DatabaseError,)
    assert errors.UniqueViolation.__bases__ == (errors.IntegrityError,)
    assert errors.OptionError.__bases__ == (errors.ArgumentError,)
    assert issubclass(errors.CheckoutTimeout, (errors.PoolTimeout,)) and issubclass(
        errors.PoolTimeout, TimeoutError
    )
    assert issubclass(errors.OutOfMemory, MemoryError) and issubclass(errors.ArgumentError, ValueError)
    assert issubclass(errors.LockNotAvailable, errors.LockTimeout)
    assert errors.OutcomeTimeout.__bases__ == (errors.OutcomeUnknown, errors.CommandTimeout)
    assert errors.ConnectTimeout.__bases__ == (errors.PoolTimeout, errors.ConnectError)
    assert errors.ConnectCircuitOpen.__bases__ == (errors.CircuitOpen, errors.ConnectError)


def test_every_row_of_the_table_has_its_class():
    row = 0
    while (entry := weirpool._core.error_table(row)) is not None:
        code, sqlstate, name, parent, second = entry
        cls = getattr(errors, name)
        assert issubclass(cls, getattr(errors, parent)) and name in errors.__all__
        assert second is None or issubclass(cls, getattr(errors, second))
        assert issubclass(errors._class_of(code, sqlstate), cls) or issubclass(
            cls, errors._class_of(code, sqlstate)
        )
        if sqlstate is None:
            assert errors._class_of(code, None) is cls
        row += 1
    assert row > 250
    assert len(set(errors.__all__)) == len(errors.__all__)
    for name in errors.__all__:
        assert (
            getattr(errors, name).__module__ == "weirpool.errors" and getattr(errors, name).__name__ == name
        )


def test_unknown_sqlstates_fall_back():
    assert errors._class_of(20, "23XYZ") is errors.IntegrityError
    assert errors._class_of(20, "ZZZZZ") is errors.DatabaseError
    assert errors._class_of(20, None) is errors.DatabaseError
    assert errors._class_of(15, "57014") is errors.CommandTimeout
    assert errors._class_of(16, "55P03") is errors.LockNotAvailable
    assert errors._class_of(9999, None) is errors.Error


def test_fields_from_postgresql(pg_url):
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool:
        pool.execute("create table t (a integer constraint only_one unique, b text not null)")
        pool.execute("insert into t values (1, 'x')")
        with pytest.raises(errors.UniqueViolation) as caught:
            pool.execute("insert into t values (1, 'x')")
        error = caught.value
        assert (error.sqlstate, error.severity, error.retryable) == ("23505", "ERROR", False)
        assert (error.schema, error.table, error.constraint) == ("public", "t", "only_one")
        assert error.detail == "Key (a)=(1) already exists." and error.hint is None and error.position is None
        assert error.retry_after is None
        assert error.message == 'duplicate key value violates unique constraint "only_one"'
        assert str(error) == error.message + "\nDETAIL: Key (a)=(1) already exists."
        twin = pickle.loads(pickle.dumps(error))
        assert type(twin) is errors.UniqueViolation and twin.__dict__ == error.__dict__
        assert (twin.severity, twin.schema, twin.table, twin.constraint) == ("ERROR", "public", "t", "only_one")
        with pytest.raises(errors.NotNullViolation) as caught:
            pool.execute("insert into t values (2, null)")
        assert caught.value.column == "b"
        with pytest.raises(errors.UndefinedFunction) as caught:
            pool.execute("select nope(1)")
        assert caught.value.position == 8 and "\nHINT: " in str(caught.value)
        with pytest.raises(errors.RaiseException, match="^mine\nCONTEXT: PL/pgSQL function inline"):
            pool.execute("do $$ begin raise 'mine'; end $$")
        with pytest.raises(errors.DatabaseError, match="^mine\nHINT: h\nCONTEXT: ") as caught:
            pool.execute("do $$ begin raise 'mine' using errcode = 'ZZ123', hint = 'h'; end $$")
    # an unknown SQLSTATE of an unknown class is plainly the database's
    assert (
        type(caught.value) is errors.DatabaseError
        and caught.value.sqlstate == "ZZ123"
        and caught.value.hint == "h"
    )


def test_the_context(pg_url):
    """Where the server was: the functions with their lines, and the line and the column of a COPY."""
    with weirpool.create_pool_sync(pg_url, max_size=1) as pool:
        pool.execute("create function inner_one() returns int language plpgsql as 'begin\n return 1 / 0; end'")
        pool.execute("create function outer_one() returns int language plpgsql as 'begin return inner_one(); end'")
        with pytest.raises(errors.DivisionByZero) as caught:
            pool.fetchval("select outer_one()")
        inner, outer = (f"PL/pgSQL function {name}_one() line {line} at RETURN" for name, line in (("inner", 2), ("outer", 1)))
        assert [line for line in caught.value.context.splitlines() if line.startswith("PL/")] == [inner, outer]
        assert str(caught.value) == "division by zero\nCONTEXT: " + caught.value.context
        twin = pickle.loads(pickle.dumps(caught.value))
        assert twin.context == copy.copy(caught.value).context == caught.value.context
        pool.execute("create table c (a int, b text)")
        with pytest.raises(errors.InvalidTextRepresentation) as caught:
            pool.copy_in("copy c from stdin", b"1\tx\nzwei\ty\n")
        assert caught.value.context == 'COPY c, line 2, column a: "zwei"'
        assert str(caught.value).endswith('\nCONTEXT: COPY c, line 2, column a: "zwei"')
        with pytest.raises(errors.UndefinedColumn) as caught:
            pool.execute("select nosuch")
        assert caught.value.context is None and "CONTEXT" not in str(caught.value)


def test_fields_from_sqlite(sqlite_url):
    with weirpool.create_pool_sync(sqlite_url, max_size=1) as pool:
        pool.execute("create table t (a integer unique, b text not null)")
        pool.execute("insert into t values (1, 'x')")
        with pytest.raises(errors.UniqueViolation) as caught:
            pool.execute("insert into t values (1, 'x')")
        assert caught.value.sqlstate == "23505"
        with pytest.raises(errors.NotNullViolation):
            pool.execute("insert into t values (2, null)")
        with pytest.raises(errors.SyntaxError):
            pool.execute("selec 1")


def test_pickles_and_copies():
    fields = inspect.signature(errors.Error).parameters.keys() - {"message"}
    error = errors.UniqueViolation("m", **{name: f"its {name}" for name in fields})
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(error, protocol))
        assert type(twin) is errors.UniqueViolation and twin.__dict__ == error.__dict__
        assert {name: getattr(twin, name) for name in fields} == {name: f"its {name}" for name in fields}
        assert str(twin) == str(error)
        assert twin.args == error.args == ("m",)
    assert copy.copy(error).detail == "its detail"
    for name in errors.__all__:
        cls = getattr(errors, name)
        assert type(pickle.loads(pickle.dumps(cls("x")))) is cls


def test_made_by_hand():
    error = errors.Error("m", detail="d", hint="h", context="c")
    assert str(error) == "m\nDETAIL: d\nHINT: h\nCONTEXT: c" and error.sqlstate is None and error.retryable is False
    assert str(errors.PoolClosed()) == "" and repr(errors.PoolClosed("x")) == "PoolClosed('x')"
    cause = OSError("gone")
    assert str(errors.ConnectError(cause)) == "gone" and errors.ConnectError(cause).args == (cause,)
    with pytest.raises(TypeError):
        errors.Error("m", nope=1)


def test_top_level_names():
    for name in ("Error", "PoolClosed", "CheckoutTimeout", "IntegrityError"):
        assert getattr(weirpool, name) is getattr(errors, name)
