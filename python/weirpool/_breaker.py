"""Circuit breakers: one of one's own, and those of a pool."""

import asyncio
import functools
import inspect
import threading

from . import _core, _options, errors
from ._hooks import logger
from .errors import CircuitOpen, OptionError


class Breaker(_core.Breaker):
    """What a CircuitBreaker and those of a pool have alike. Any thread may call it.

    States: "closed" (calls are let in, and counted), "open" (calls are refused), "half_open" (a few are let in: 1, 2,
    4 … at once; a failure opens it again), "forced_open" (refused until somebody changes that), "disabled" (let in,
    none decides anything), "metrics_only" (let in; what would have opened it is an event).
    """

    __slots__ = ()

    @property
    def name(self):
        """Of a pool's: "connect" or "query"."""
        return _core.breaker_name(self)

    @property
    def state(self):
        """The name of its state, by the clock: one whose time is over is no longer open."""
        return _core.breaker_state_now(self)

    def snapshot(self):
        """Its numbers, a dict: the state, the last failure, what is in the window, and counters."""
        return _core.breaker_take_snapshot(self)

    def force_open(self):
        """Has all calls refused until the state is changed by hand."""
        _core.breaker_force_open(self)

    def force_close(self):
        """Closes it; what was counted is forgotten."""
        _core.breaker_force_close(self)

    def disable(self):
        """Has all calls let in, none of which decides anything."""
        _core.breaker_disable(self)

    def metrics_only(self):
        """Has all calls let in; what would have opened it is an event only."""
        _core.breaker_metrics_only(self)

    def reset(self):
        """As new, but for its counters: permits that are out count nothing, the last failure is forgotten."""
        _core.breaker_reset(self)

    def __repr__(self):
        return f"<{type(self).__name__} {self.name or ''} {self.state}>".replace("  ", " ")


# ---- fallbacks


def _raise_from(failure, refusal):
    """A fallback's own failure says what it was to stand in for."""
    if failure is not refusal and failure.__cause__ is None:
        failure.__cause__ = refusal
    raise failure


def _fall_back(fallback, refusal):
    try:
        answer = fallback(refusal)
    except Exception as failure:
        _raise_from(failure, refusal)
    if not inspect.isawaitable(answer):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
    raise TypeError(f"the fallback {fallback!r} of a plain function gave something to be awaited")


async def _fall_back_async(fallback, refusal):
    try:
        answer = fallback(refusal)
        return await answer if inspect.isawaitable(answer) else answer
    except Exception as failure:
        _raise_from(failure, refusal)


def _check_function(function):
    if not callable(function):
        raise TypeError(f"a function is wanted, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function!r} is a generator: use the breaker as a context manager inside it")


def _check_fallback(fallback, optional=True):
    if not callable(fallback) and not (optional and fallback is None):
        raise TypeError(f"fallback must be a function{' or None' * optional}, not {fallback!r}")


# ---- predicates


def _items(name, given):
    """A list for the core, and predicates."""
    if given is None:
        return None, []
    if isinstance(given, (str, type)) or callable(given) or not hasattr(given, "__iter__"):
        given = (given,)
    texts, predicates = [], []
    for item in given:
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, type) and issubclass(item, BaseException):
            predicates.append(functools.partial(_is_instance, item))
        elif callable(item) and not isinstance(item, type):
            predicates.append(_plain_function(name, item))
        else:
            raise OptionError(f"{name}: {item!r} is no str, no class of exceptions and no function")
    return ",".join(texts) or None, predicates


def _plain_function(name, function):
    if any(map(inspect.iscoroutinefunction, (function, getattr(function, "__call__", None)))):  # noqa: B004
        raise OptionError(f"{name}: {function!r} is a coroutine function; what it says is wanted at once")
    return function


def _is_instance(kind, error):
    return isinstance(error, kind)


def _ask(predicate, error):
    answer = predicate(error)
    if not inspect.isawaitable(answer):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
    raise TypeError(f"{predicate!r} gave something to be awaited")


def _verdict(ignored, recorded, error):
    """What predicates say of an error: False, it is to be ignored; True, to be recorded; None, nothing."""
    if any(_ask(predicate, error) for predicate in ignored):
        return False
    return True if any(_ask(predicate, error) for predicate in recorded) else None


def _verdict_or_log(ignored, recorded, error):
    try:
        return _verdict(ignored, recorded, error)
    except Exception:
        logger.exception("a predicate in circuit_ignore or circuit_record has failed")


def _take_predicates(options):
    """Leaves the core's lists in a pool's options, and gives who speaks for the predicates; None: there are none."""
    predicates = {"circuit_ignore": [], "circuit_record": []}
    for name in predicates.keys() & options.keys():
        options[name], predicates[name] = _items(name, options[name])
    return functools.partial(_verdict_or_log, *predicates.values()) if any(predicates.values()) else None


# ---- one of one's own


def _plain(text):
    """Predicates for what the core cannot tell: the class is all that there is to an error raised by hand."""
    kinds = [getattr(errors, name.strip(), None) for name in (text or "").split(",")]
    return [functools.partial(_is_plain, kind) for kind in kinds if isinstance(kind, type)]


def _is_plain(kind, error):
    return isinstance(error, kind) and error._is_plain


def _whose():
    """Who enters and leaves: the task that runs, or else the thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident() if task is None else task


class CircuitBreaker(Breaker):
    """Refuses calls at once while what they call is down, and lets them in again step by step.

    breaker = weirpool.CircuitBreaker("payments", failure_threshold=3, ignore=ValueError)
    with breaker: ...                     # or `async with`
    @breaker                              # or @breaker(fallback=...), on a plain or a coroutine function
    def pay(): ...

    CircuitOpen, with its retry_after, is raised in the place of a call that is refused; its detail is the last
    failure. A call that ends with an exception has failed, unless that is one of Weirpool's that says nothing against
    the database (a unique violation, a syntax error; one that you raise yourself counts by its class). A cancelled
    task, Ctrl-C and the like count neither way: put a time-out inside of the breaker.

    name: for errors and metrics.
    record: what counts as failure besides; ignore: what does not count at all, and beats record, whatever form either
        has. Each is a str of how SQLSTATEs begin and of errors' names ("08,ConnectionLost"), a class of exceptions, a
        plain function that gets the exception and gives True or False, or an iterable of these. What a function
        raises is raised; then the strs judge alone.
    fallback: a function, or for coroutine functions also a coroutine function, that gets the CircuitOpen, and whose
        answer is the decorated function's; it is called for nothing else. What it raises has the CircuitOpen as its
        cause.

    Options; times are in seconds, and None switches a rule off:

    {options}
    """

    __slots__ = ("_fallback", "_ignored", "_inside", "_lock", "_recorded", "__weakref__")

    def __new__(cls, name=None, *, record=None, ignore=None, fallback=None, **options):
        _check_fallback(fallback)
        options["name"] = name
        options["record"], recorded = _items("record", record)
        options["ignore"], ignored = _items("ignore", ignore)
        self = super().__new__(cls, options)
        self._recorded, self._ignored = recorded + _plain(options["record"]), ignored + _plain(options["ignore"])
        self._fallback = fallback
        self._inside, self._lock = {}, threading.Lock()
        return self

    def _end(self, permit, error):
        verdict = None
        if isinstance(error, Exception):
            try:
                verdict = _verdict(self._ignored, self._recorded, error)
            except BaseException:
                self._record(permit, error, None)
                raise
        self._record(permit, error, verdict)

    def __enter__(self):
        permit = self._acquire()
        with self._lock:
            self._inside.setdefault(_whose(), []).append(permit)

    def __exit__(self, kind, error, traceback):
        with self._lock:
            # A generator may be left by another task than the one that entered: any permit will do then.
            whose = _whose()
            if whose not in self._inside:
                whose = next(iter(self._inside))
            permits = self._inside[whose]
            permit = permits.pop()
            if not permits:
                del self._inside[whose]
        self._end(permit, error)

    async def __aenter__(self):
        self.__enter__()

    async def __aexit__(self, kind, error, traceback):
        self.__exit__(kind, error, traceback)

    def __call__(self, function=None, /, *, fallback=None):
        """Decorates a function: with breaker(fn), @breaker, or @breaker(fallback=...)."""
        _check_fallback(fallback)
        if function is None:
            return functools.partial(self, fallback=fallback)
        _check_function(function)
        wrap = _guarded_async if inspect.iscoroutinefunction(function) else _guarded
        return wrap(self, function, fallback or self._fallback)


def _guarded(breaker, function, fallback):
    if inspect.iscoroutinefunction(fallback):
        raise TypeError(f"the fallback {fallback!r} of a plain function must be a plain one")

    @functools.wraps(function)
    def guarded(*args, **kwargs):
        try:
            permit = breaker._acquire()
        except CircuitOpen as refusal:
            if fallback is None:
                raise
            return _fall_back(fallback, refusal)
        try:
            answer = function(*args, **kwargs)
            if inspect.isawaitable(answer):
                raise TypeError(f"{function!r} gave something to be awaited: decorate a coroutine function")
        except BaseException as error:
            breaker._end(permit, error)
            raise
        breaker._end(permit, None)
        return answer

    return guarded


def _guarded_async(breaker, function, fallback):
    @functools.wraps(function)
    async def guarded(*args, **kwargs):
        try:
            permit = breaker._acquire()
        except CircuitOpen as refusal:
            if fallback is None:
                raise
            return await _fall_back_async(fallback, refusal)
        try:
            answer = await function(*args, **kwargs)
        except BaseException as error:
            breaker._end(permit, error)
            raise
        breaker._end(permit, None)
        return answer

    return guarded


def _describe():
    """The class has the signature and the docstring that the core's table of options makes."""
    parameter, only = inspect.Parameter, inspect.Parameter.KEYWORD_ONLY
    own = [parameter(name, parameter.POSITIONAL_OR_KEYWORD) for name in ("cls", "name")]
    own[1] = own[1].replace(default=None)
    own += [parameter(name, only, default=None) for name in ("record", "ignore", "fallback")]
    rows = [row for row in _options.rows(_core.breaker_option_table) if row[0] not in ("name", "record", "ignore")]
    signature = inspect.Signature(own + [_options.parameter(row) for row in rows])
    CircuitBreaker.__new__.__signature__ = signature
    lines = "\n    ".join(map(_options.line, rows))
    CircuitBreaker.__doc__ = CircuitBreaker.__doc__.replace("{options}", lines)


_describe()


# ---- those of a pool


class PoolBreaker:
    """The circuit breakers of a pool: `connect` counts its attempts to connect, `query` its statements.

    In the calls_refused of each are the requests and statements that it refused.

    As a decorator, @pool.breaker(fallback=...), or as pool.breaker(pool.fetch, fallback=...)("select ..."), it gives
    a function that is refused by them another answer.
    """

    __slots__ = ("_pool", "connect", "query")

    def __init__(self, pool):
        self._pool = pool
        self.connect = Breaker({}, pool, 0)
        self.query = Breaker({}, pool, 1)

    @property
    def state(self):
        """The state of the one that lets less in."""
        return _core.pool_breaker_state(self._pool)

    def snapshot(self):
        """The numbers of both, by their names."""
        return {"connect": self.connect.snapshot(), "query": self.query.snapshot()}

    def _both(self, method):
        getattr(self.connect, method)()
        getattr(self.query, method)()

    def force_open(self):
        """Has all calls refused, and no connection made, until the state is changed by hand."""
        self._both("force_open")

    def force_close(self):
        """Closes both; what was counted is forgotten."""
        self._both("force_close")

    def disable(self):
        """Switches both off, as circuit_breaker=False does."""
        self._both("disable")

    def metrics_only(self):
        """Has both refuse nothing; what would have opened them is an event only."""
        self._both("metrics_only")

    def reset(self):
        """Both as new, but for their counters."""
        self._both("reset")

    def __call__(self, function=None, /, *, fallback):
        """Decorates a function that uses the pool: its CircuitOpen goes to the fallback, whose answer is given.

        Nothing else goes there; what the fallback raises has the CircuitOpen as its cause. pool.session() and
        pool.connection() are refused only when they are entered: decorate the function that does so.
        """
        _check_fallback(fallback, optional=False)
        if function is None:
            return functools.partial(self, fallback=fallback)
        _check_function(function)

        async def awaited(awaitable):
            try:
                return await awaitable
            except CircuitOpen as refusal:
                return await _fall_back_async(fallback, refusal)

        @functools.wraps(function)
        def guarded(*args, **kwargs):
            try:
                answer = function(*args, **kwargs)
            except CircuitOpen as refusal:
                return _fall_back(fallback, refusal)
            if isinstance(answer, _core.SyncCheckout):
                raise TypeError(f"{function!r} gave what is to be entered: decorate the function that does so")
            return awaited(answer) if inspect.isawaitable(answer) else answer

        @functools.wraps(function)
        async def guarded_async(*args, **kwargs):
            return await awaited(function(*args, **kwargs))

        return guarded_async if inspect.iscoroutinefunction(function) else guarded

    def __repr__(self):
        return f"<PoolBreaker connect={self.connect.state} query={self.query.state}>"
