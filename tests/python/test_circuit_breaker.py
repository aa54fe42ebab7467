"""CircuitBreaker, alone: what counts, who is let in, fallbacks, in tasks and in threads."""

import asyncio
import inspect
import threading

import pytest
import weirpool
from support import no_warnings
from weirpool import errors


class Refused(Exception):
    """What a guarded call raises."""


def fail(breaker, error, times=1):
    for _ in range(times):
        with pytest.raises(type(error)), breaker:
            raise error


def counts(breaker):
    numbers = breaker.snapshot()
    names = ("succeeded", "failed", "ignored", "cancelled")
    return {name: numbers[f"calls_{name}"] for name in names if numbers[f"calls_{name}"]}


def test_opens_refuses_and_recovers():
    breaker = weirpool.CircuitBreaker("mail", failure_threshold=2, recovery_timeout=0.05, recovery_jitter=0)
    with breaker:
        pass
    fail(breaker, OSError("a secret"), 2)
    assert breaker.state == "open" and breaker.name == "mail" and "mail open" in repr(breaker)
    with pytest.raises(weirpool.CircuitOpen) as caught, breaker:
        raise AssertionError("nobody is let in")
    error = caught.value
    assert isinstance(error, weirpool.OperationalError) and error.retryable
    assert error.message == "the circuit breaker mail is open after 2 failures in a row"
    assert error.detail == "OSError"  # its kind, and not its text
    assert 0 < error.retry_after <= 0.05
    while breaker.state == "open":
        pass
    for _ in range(7):
        with breaker:
            pass
    assert breaker.state == "closed"
    reasons = [(event["state"], event["reason"]) for event in breaker.events()]
    assert reasons == [("open", "failures"), ("half_open", "timeout"), ("closed", "recovered")]
    assert [event["number"] for event in breaker.events(after=2)] == [3]
    assert breaker.events(3) == []


def test_states_by_hand():
    breaker = weirpool.CircuitBreaker(failure_threshold=1)
    breaker.force_open()
    with pytest.raises(weirpool.CircuitOpen) as caught, breaker:
        pass
    assert caught.value.retry_after is None
    breaker.disable()
    fail(breaker, Refused(), 3)
    breaker.metrics_only()
    fail(breaker, Refused(), 3)
    assert "exceeded" in [event["kind"] for event in breaker.events()]
    breaker.force_close()
    fail(breaker, Refused())
    assert breaker.state == "open" and breaker.snapshot()["last_failure"] == "Refused"
    breaker.reset()
    assert breaker.state == "closed" and breaker.snapshot()["last_failure"] is None


def test_what_counts():
    """Weirpool's own errors by the core's table; any other exception; not what cancels."""
    breaker = weirpool.CircuitBreaker()
    violation = errors._make(20, "duplicate", "23505", *[None] * 12)
    shutdown = errors._make(20, "bye", "57P01", *[None] * 12)
    for error in (violation, weirpool.LockTimeout("…"), shutdown, weirpool.ConnectionLost("…"), ValueError()):
        fail(breaker, error)
    for refusal in (weirpool.CircuitOpen("another's"), weirpool.ConnectCircuitOpen("a pool's")):
        fail(breaker, refusal)
    for error in (asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(), GeneratorExit()):
        fail(breaker, error)
    assert counts(breaker) == {"succeeded": 2, "failed": 3, "ignored": 2, "cancelled": 4}
    assert breaker.snapshot()["last_failure"] == "ValueError"


def test_what_is_raised_by_hand():
    """An error of Weirpool's class without code and SQLSTATE is judged by its class, or as any exception."""

    class Mine(weirpool.OperationalError):
        pass

    class Double(errors.UniqueViolation):
        pass

    for error, expected in [
        (weirpool.Error("down"), "failed"),
        (weirpool.DatabaseError("down"), "failed"),
        (weirpool.OperationalError("down"), "failed"),
        (Mine("down"), "failed"),
        (weirpool.DatabaseError("down", sqlstate="08006"), "failed"),
        (weirpool.Error("down", sqlstate="57P01"), "failed"),
        (errors.AdminShutdown("down"), "failed"),
        (weirpool.Error("twice", sqlstate="23505"), "succeeded"),
        (errors.UniqueViolation("twice"), "succeeded"),
        (Double("twice"), "succeeded"),
        (weirpool.IntegrityError("twice"), "succeeded"),
        (weirpool.ProgrammingError("what?"), "succeeded"),
        (errors.DivisionByZero("1/0"), "succeeded"),
        # of the core, with a SQLSTATE whose class stands for a code, too
        (errors._make(20, "1/0", "22012", *[None] * 12), "succeeded"),
        (errors._make(20, "broken", "XX001", *[None] * 12), "failed"),
    ]:
        breaker = weirpool.CircuitBreaker()
        fail(breaker, error)
        assert counts(breaker) == {expected: 1}, error
    fail(breaker, Mine("a secret"))
    assert breaker.snapshot()["last_failure"] == "Mine"
    for option, given, expected in [("record", "UniqueViolation", "failed"), ("ignore", "OperationalError", "ignored")]:
        breaker = weirpool.CircuitBreaker(**{option: f"53, {given}"})
        for error in (Mine("down"), Double("twice")):
            fail(breaker, error)
        assert counts(breaker)[expected] == 1 + (given == "UniqueViolation")
    breaker = weirpool.CircuitBreaker(record="DatabaseError", ignore="OperationalError")
    for error in (Mine("down"), weirpool.DatabaseError("down")):
        fail(breaker, error)
    assert counts(breaker) == {"failed": 1, "ignored": 1}


@pytest.mark.parametrize("message", [OSError("gone"), "\udcff", "a\0b", 3, None], ids=repr)
def test_messages_that_are_no_plain_text(message):
    """What is raised by hand in a guarded block is what comes out of it."""
    breaker = weirpool.CircuitBreaker(failure_threshold=1)
    fail(breaker, weirpool.ConnectError(message))
    assert breaker.state == "open"
    with pytest.raises(weirpool.CircuitOpen), breaker:
        pass


def test_record_and_ignore():
    """By the beginnings of SQLSTATEs, by names, by classes, and by predicates."""
    violation = errors._make(20, "duplicate", "23505", *[None] * 12)

    def is_quota(error):
        return "quota" in str(error)

    for record, ignore, error, expected in [
        ("23", None, violation, "failed"),
        ("IntegrityError,08", None, violation, "failed"),
        (["UniqueViolation"], None, violation, "failed"),
        (weirpool.IntegrityError, None, violation, "failed"),
        (lambda error: error.sqlstate == "23505", None, violation, "failed"),
        (None, None, violation, "succeeded"),
        ("23", "23505", violation, "ignored"),
        ("23", weirpool.DatabaseError, violation, "ignored"),
        (None, "ConnectionLost", weirpool.ConnectionLost("…"), "ignored"),
        (None, (KeyError, ValueError), ValueError(), "ignored"),
        (None, [is_quota, "08"], OSError("quota"), "ignored"),
        (None, [is_quota, "08"], OSError("disk"), "failed"),
        (is_quota, is_quota, OSError("quota"), "ignored"),
    ]:
        breaker = weirpool.CircuitBreaker(record=record, ignore=ignore)
        fail(breaker, error)
        assert counts(breaker) == {expected: 1}, (record, ignore, error)


def test_a_predicate_that_fails():
    def broken(error):
        raise LookupError("in the predicate")

    breaker = weirpool.CircuitBreaker(ignore=broken, failure_threshold=1)
    with pytest.raises(LookupError) as caught, breaker:
        raise OSError
    assert isinstance(caught.value.__context__, OSError)
    assert breaker.state == "open"  # the call has failed all the same


def test_bad_options():
    for given, words in [
        ({"failure_treshold": 3}, "failure_threshold"),
        ({"failure_threshold": 0}, "from 1"),
        ({"failure_rate": 2.0}, "failure_rate=2"),
        ({"window": "calls"}, "count|time"),
        ({"record": "UniqeViolation"}, "UniqueViolation"),
        ({"ignore": 3}, None),
        ({"ignore": [int]}, "no class of exceptions"),
        ({"fallback": 3}, None),
        ({"name": ""}, "name"),
    ]:
        with pytest.raises((weirpool.OptionError, TypeError)) as caught:
            weirpool.CircuitBreaker(**given)
        assert words is None or words in str(caught.value), given
    breaker = weirpool.CircuitBreaker()
    with pytest.raises(TypeError):
        breaker(3)

    def numbers():
        yield 1

    async def more():
        yield 1

    for generator in (numbers, more):
        with pytest.raises(TypeError, match="context manager"):
            breaker(generator)


def test_signature_and_documentation():
    signature = inspect.signature(weirpool.CircuitBreaker)
    assert signature.parameters["failure_threshold"].default == 5
    assert signature.parameters["recovery_timeout"].default == 60.0
    assert list(signature.parameters)[:4] == ["name", "record", "ignore", "fallback"]
    assert "failures in a row that open it (1 to 1e+06, or None); default 5" in weirpool.CircuitBreaker.__doc__


# ---- decorated functions


def test_decorator():
    breaker = weirpool.CircuitBreaker(failure_threshold=2)

    @breaker
    def divide(a, b=1):
        """Divides."""
        return a / b

    assert divide(6, b=3) == 2 and divide.__name__ == "divide" and divide.__doc__ == "Divides."
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            divide(1, b=0)
    with pytest.raises(weirpool.CircuitOpen):
        divide(1)
    assert counts(breaker) == {"succeeded": 1, "failed": 2}


def test_a_plain_function_that_is_to_be_awaited():
    breaker = weirpool.CircuitBreaker()

    async def later():
        raise AssertionError

    guarded = breaker(lambda: later())
    with no_warnings_of_coroutines(), pytest.raises(TypeError, match="coroutine function"):
        guarded()


def no_warnings_of_coroutines():
    return pytest.warns(RuntimeWarning, match="never awaited")


def test_fallback():
    breaker = weirpool.CircuitBreaker(failure_threshold=1)
    seen = []

    def cached(error):
        seen.append(error)
        return "cached"

    @breaker(fallback=cached)
    def work(fails):
        if fails:
            raise Refused
        return "fresh"

    assert work(False) == "fresh"
    with pytest.raises(Refused):  # never called when closed, not even for the failure that opens it
        work(True)
    assert seen == []
    assert work(False) == "cached"
    assert isinstance(seen[0], weirpool.CircuitOpen) and seen[0].retry_after > 0


def test_a_fallback_of_the_breaker():
    breaker = weirpool.CircuitBreaker(fallback=lambda error: "of the breaker")
    breaker.force_open()
    assert breaker(lambda: 1)() == "of the breaker"
    assert breaker(lambda: 1, fallback=lambda error: "of the call")() == "of the call"
    with pytest.raises(weirpool.CircuitOpen), breaker:  # a block has no answer to be replaced
        pass


def test_a_fallback_that_fails():
    breaker = weirpool.CircuitBreaker()
    breaker.force_open()

    def broken(error):
        raise LookupError("no cache")

    with pytest.raises(LookupError) as caught:
        breaker(lambda: 1, fallback=broken)()
    assert isinstance(caught.value.__cause__, weirpool.CircuitOpen)

    def caused(error):
        raise LookupError from KeyError()

    with pytest.raises(LookupError) as caught:
        breaker(lambda: 1, fallback=caused)()
    assert isinstance(caught.value.__cause__, KeyError)

    def declined(error):
        raise error

    with pytest.raises(weirpool.CircuitOpen) as caught:
        breaker(lambda: 1, fallback=declined)()
    assert caught.value.__cause__ is None

    async def later(error):
        return 1

    with pytest.raises(TypeError, match="plain"):
        breaker(lambda: 1, fallback=later)
    with pytest.raises(TypeError, match="plain function"):
        breaker(lambda: 1, fallback=lambda error: later(error))()


# ---- tasks


def test_async(run):
    breaker = weirpool.CircuitBreaker(failure_threshold=2, call_events=True)

    @breaker
    async def work(error=None):
        await asyncio.sleep(0)
        if error:
            raise error
        return 1

    async def main():
        async with breaker:
            pass
        assert await work() == 1 and inspect.iscoroutinefunction(work)
        for _ in range(2):
            with pytest.raises(OSError):
                await work(OSError())
        with pytest.raises(weirpool.CircuitOpen):
            await work()
        with pytest.raises(weirpool.CircuitOpen):
            async with breaker:
                pass

    with no_warnings():
        run(main)
    kinds = [event["kind"] for event in breaker.events()]
    assert kinds == ["success", "success", "failure", "failure", "state", "refused", "refused"]


def test_async_fallbacks(run):
    breaker = weirpool.CircuitBreaker()
    breaker.force_open()

    async def work():
        raise AssertionError

    async def later(error):
        await asyncio.sleep(0)
        return "later"

    async def broken(error):
        await asyncio.sleep(0)
        raise LookupError

    async def main():
        assert await breaker(work, fallback=later)() == "later"
        assert await breaker(work, fallback=lambda error: "at once")() == "at once"
        with pytest.raises(LookupError) as caught:
            await breaker(work, fallback=broken)()
        assert isinstance(caught.value.__cause__, weirpool.CircuitOpen)

    with no_warnings():
        run(main)


def test_a_cancelled_task(run):
    """It counts as cancelled, and gives its half-open place back."""
    breaker = weirpool.CircuitBreaker(failure_threshold=1, recovery_timeout=0.001, slow_start=1)

    async def main():
        for _ in range(3):
            task = asyncio.ensure_future(guarded())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert counts(breaker) == {"cancelled": 3} and breaker.state == "closed"
        with pytest.raises(Refused):
            async with breaker:
                raise Refused
        while breaker.state == "open":
            await asyncio.sleep(0.001)
        task = asyncio.ensure_future(guarded())
        await asyncio.sleep(0)
        with pytest.raises(weirpool.CircuitOpen):
            async with breaker:
                pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with breaker:
            pass
        assert breaker.state == "closed"

    async def guarded():
        async with breaker:
            await asyncio.sleep(60)

    with no_warnings():
        run(main)


def test_permits_belong_to_their_tasks(run):
    """Blocks of several tasks overlap: each measures itself."""
    breaker = weirpool.CircuitBreaker(slow_call_duration=0.05, slow_call_rate=1.0, call_events=True)

    async def main():
        async def block(entered, leave):
            async with breaker:
                entered.set()
                await leave.wait()

        slow, quick = [(asyncio.Event(), asyncio.Event()) for _ in range(2)]
        first = asyncio.ensure_future(block(*slow))
        await slow[0].wait()
        await asyncio.sleep(0.06)
        second = asyncio.ensure_future(block(*quick))
        await quick[0].wait()
        quick[1].set()
        await second
        slow[1].set()
        await first

    with no_warnings():
        run(main)
    durations = [event["duration"] for event in breaker.events()]
    assert durations[0] < 0.05 < durations[1]
    assert breaker.snapshot()["calls_slow"] == 1 and not breaker._inside


def test_nested_blocks_and_a_generator_left_elsewhere(run):
    breaker = weirpool.CircuitBreaker()

    async def numbers():
        async with breaker:
            yield 1
            yield 2

    async def main():
        async with breaker, breaker:
            with breaker:
                pass
        generator = numbers()
        assert await generator.__anext__() == 1
        await asyncio.ensure_future(generator.aclose())  # in another task
        assert breaker.snapshot()["running"] == 0 and not breaker._inside

    with no_warnings():
        run(main)


def test_threads():
    breaker = weirpool.CircuitBreaker(failure_threshold=None, failure_rate=None)
    ready = threading.Barrier(4)

    def work():
        ready.wait()
        for i in range(500):
            try:
                with breaker:
                    if i % 5 == 0:
                        raise Refused
            except Refused:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(breaker) == {"succeeded": 1600, "failed": 400}
    assert breaker.snapshot()["running"] == 0 and not breaker._inside
