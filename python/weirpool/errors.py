"""The exceptions of Weirpool, made from the core's own table.

The tree is that of PEP 249 (`Warning`; `Error` > `InterfaceError`, `DatabaseError` > `DataError`,
`OperationalError`, `IntegrityError`, `InternalError`, `ProgrammingError`, `NotSupportedError`). Below it
stand Weirpool's own classes (`CheckoutTimeout`, `PoolClosed` …) and one for each SQLSTATE of PostgreSQL
(`UniqueViolation` …), which SQLite's errors use, too. A SQLSTATE without a class of its own is raised as the
class of PEP 249 that its first two characters stand for.
"""

from . import _core

__all__ = ["Error", "Warning"]


class Warning(Exception):  # noqa: A001 - PEP 249 names it so
    """Of PEP 249. Weirpool raises none."""


class Error(Exception):
    """The base of all exceptions of Weirpool.

    What the database did not give is None.
    """

    message = ""
    """What went wrong, without the details."""
    sqlstate = None
    """Five characters, such as "23505"."""
    retryable = False
    """Nothing has been changed: the same call may safely be made again."""
    severity = None
    """ERROR, FATAL or PANIC: the server's."""
    detail = None
    """The server's second line; of CircuitOpen, the last failure."""
    hint = None
    """What may help."""
    position = None
    """Where in the statement's text, in characters from 1."""
    schema = None
    """Of the table, or of the type, that it is about."""
    table = None
    """The table that it is about."""
    column = None
    """The column of that table."""
    constraint = None
    """The constraint that was violated."""
    context = None
    """Where the server was: the functions and their lines, innermost first; in COPY the line and the column."""
    retry_after = None
    """The pool tries again by itself in so many seconds."""
    xid = None
    """Of an OutcomeUnknown: the transaction's number, for PostgreSQL's pg_xact_status(); None unknown."""
    _code = 0  # the core's
    _sqlstate = None  # what an error of this class that is raised by hand is judged by

    def __init__(
        self,
        message="",
        *,
        sqlstate=None,
        retryable=None,
        severity=None,
        detail=None,
        hint=None,
        position=None,
        schema=None,
        table=None,
        column=None,
        constraint=None,
        context=None,
        retry_after=None,
        xid=None,
    ):
        super().__init__(message)
        fields = dict(locals(), message=str(message))
        for name in ("self", "__class__"):
            del fields[name]
        for name, value in fields.items():
            if value is not None:
                setattr(self, name, value)

    @property
    def _is_plain(self):
        """It has neither a code of the core's nor a SQLSTATE: to a breaker it is what any other exception is."""
        return self._code in (0, DatabaseError._code) and not (self.sqlstate or self._sqlstate)  # noqa: F821

    def __str__(self):
        text = self.message
        if self.detail is not None:
            text += "\nDETAIL: " + self.detail
        if self.hint is not None:
            text += "\nHINT: " + self.hint
        if self.context is not None:
            text += "\nCONTEXT: " + self.context
        return text


# Python's own classes, for those who catch these.
_ALSO = {"OutOfMemory": MemoryError, "ArgumentError": ValueError, "PoolTimeout": TimeoutError}
_PEP249 = {
    "InterfaceError": ("Error", "Wrong use of Weirpool, rather than something about the database."),
    "DatabaseError": ("Error", "The database reported an error."),
    "DataError": ("DatabaseError", "A value cannot be processed: out of range, division by zero …"),
    "OperationalError": (
        "DatabaseError",
        "Something about the database's operation: lost connections, limits …",
    ),
    "IntegrityError": ("DatabaseError", "A constraint was violated."),
    "InternalError": ("DatabaseError", "The database, or Weirpool itself, is in an unexpected state."),
    "ProgrammingError": ("DatabaseError", "The statement is wrong: its syntax, names that do not exist …"),
    "NotSupportedError": ("DatabaseError", "The database does not support this."),
}


def _rows():
    row = 0
    while (entry := _core.error_table(row)) is not None:
        yield entry
        row += 1


def _make_class(name, parent, doc, second=None):
    bases = (globals()[parent],)
    if second:
        bases += (globals()[second],)
    if name in _ALSO:
        bases += (_ALSO[name],)
    made = globals()[name] = type(name, bases, {"__module__": __name__, "__doc__": doc})
    __all__.append(name)
    return made


def _make_classes():
    for name, (parent, doc) in _PEP249.items():
        _make_class(name, parent, doc)
    by_code, by_sqlstate = {}, {}
    for code, sqlstate, name, parent, second in _rows():
        if sqlstate is None:
            text = _core.error_text(code)
            made = globals().get(name) or _make_class(name, parent, text[0].upper() + text[1:] + ".", second)
            by_code[code], made._code = made, code
        else:
            made = globals().get(name)
            if made is None:
                made = _make_class(name, parent, f"SQLSTATE {sqlstate}.")
                made._code, made._sqlstate = code, sqlstate
            by_sqlstate[sqlstate] = made
    return by_code, by_sqlstate


_BY_CODE, _BY_SQLSTATE = _make_classes()
for _name, _general in {"IntegrityError": "23000", "ProgrammingError": "42000"}.items():
    globals()[_name]._sqlstate = _general


def _class_of(code, sqlstate):
    general = _BY_CODE.get(code, Error)
    if sqlstate is None:
        return general
    exact = _BY_SQLSTATE.get(sqlstate)
    if exact is None:
        exact = globals()[_core.sqlstate_class(sqlstate)]
    return exact if issubclass(exact, general) else general


def _make(
    code,
    message,
    sqlstate,
    retryable,
    severity,
    detail,
    hint,
    position,
    schema,
    table,
    column,
    constraint,
    context,
    retry_after,
    xid,
):
    """The exception of an error of the core, which calls this."""
    made = _class_of(code, sqlstate)(
        message,
        sqlstate=sqlstate,
        retryable=retryable,
        severity=severity,
        detail=detail,
        hint=hint,
        position=position,
        schema=schema,
        table=table,
        column=column,
        constraint=constraint,
        context=context,
        retry_after=retry_after,
        xid=xid,
    )
    made._code = code  # the class may stand for another one, too
    return made
