"""Values that Python has no type for, and how types get other ones."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, NoReturn

_T = TypeVar("_T")
dumps = functools.partial(json.dumps, ensure_ascii=False)


class _Frozen:
    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a {type(self).__name__} does not change")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} does not change")


class Range(_Frozen):
    """A range of PostgreSQL; a list of them is a multirange.

    lower, upper: the bounds; None is none.
    lower_inc, upper_inc: whether the bound itself is in the range; never of a bound that is None.
    empty: there is nothing in the range, and it has no bounds.

    Ranges are compared as in PostgreSQL: an empty one comes first, then by their lower, then by their upper
    bounds. They are equal when all five fields are, so Range(1, 3, True, True) is not Range(1, 4), although
    PostgreSQL makes the latter of both when they are int4range.
    """

    __slots__ = ("empty", "lower", "lower_inc", "upper", "upper_inc")
    __match_args__ = ("lower", "upper", "lower_inc", "upper_inc", "empty")
    lower: Any
    upper: Any
    lower_inc: bool
    upper_inc: bool
    empty: bool

    def __init__(
        self,
        lower: Any = None,
        upper: Any = None,
        lower_inc: bool = True,
        upper_inc: bool = False,
        empty: bool = False,
    ) -> None:
        set_ = object.__setattr__
        set_(self, "lower", None if empty else lower)
        set_(self, "upper", None if empty else upper)
        set_(self, "lower_inc", lower is not None and not empty and bool(lower_inc))
        set_(self, "upper_inc", upper is not None and not empty and bool(upper_inc))
        set_(self, "empty", bool(empty))

    def __reduce__(self) -> tuple[object, ...]:
        return Range, self._fields()

    def _fields(self) -> tuple[Any, Any, bool, bool, bool]:
        return self.lower, self.upper, self.lower_inc, self.upper_inc, self.empty

    def __repr__(self) -> str:
        if self.empty:
            return "<Range empty>"
        left, right = "[" if self.lower_inc else "(", "]" if self.upper_inc else ")"
        lower = "" if self.lower is None else repr(self.lower)
        upper = "" if self.upper is None else repr(self.upper)
        return f"<Range {left}{lower}, {upper}{right}>"

    def __contains__(self, value: Any) -> bool:
        if self.empty:
            return False
        above = self.lower is None or value > self.lower or (self.lower_inc and value == self.lower)
        below = self.upper is None or value < self.upper or (self.upper_inc and value == self.upper)
        return bool(above and below)

    def __bool__(self) -> bool:
        return not self.empty

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Range):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def _order(self, other: Range) -> int:
        """Below, at or above 0 as this one comes before, with or after the other."""
        if self.empty or other.empty:
            return other.empty - self.empty
        below = _compare_bounds(self.lower, other.lower, -1, other.lower_inc - self.lower_inc)
        return below or _compare_bounds(self.upper, other.upper, 1, self.upper_inc - other.upper_inc)

    def __lt__(self, other: object) -> bool:
        return self._order(other) < 0 if isinstance(other, Range) else NotImplemented

    def __le__(self, other: object) -> bool:
        return self._order(other) <= 0 if isinstance(other, Range) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return self._order(other) > 0 if isinstance(other, Range) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return self._order(other) >= 0 if isinstance(other, Range) else NotImplemented


def _compare_bounds(one: Any, other: Any, none: int, equal: int) -> int:
    if one is None or other is None:
        return none * ((one is None) - (other is None))
    if one == other:
        return equal
    return -1 if one < other else 1


class Json(_Frozen):
    """A parameter that is to be written as JSON, whatever it is: Json("text"), Json(None), Json([]).

    Without it a dict and a list are JSON where the server wants JSON, a str is taken as JSON text, and None
    is NULL. With statement_cache_size=0 the pool does not know what the server wants, and a list is an array.
    """

    __slots__ = ("value",)
    value: object
    """As it was given."""

    def __init__(self, value: object) -> None:
        object.__setattr__(self, "value", value)

    def __reduce__(self) -> tuple[object, ...]:
        return Json, (self.value,)

    def __repr__(self) -> str:
        return f"Json({self.value!r})"


class Codec(_Frozen):
    """How the values of a type are read and written, for create_pool(codecs={"schema.type": Codec(…)}).

    decoder: gets the text (a str), or with format="binary" the server's binary form (bytes), and gives the
        value that is to be in the row; without one the text or the bytes are. NULL stays None. What it raises
        is raised by the call whose rows were read; the connection is not harmed.
    encoder: gets a parameter that is an instance of python_type, and gives a str, with format="binary" bytes.
        The parameter's type must be the codec's (or a domain over it). Values of other classes are written as
        without the codec.
    format: "text" or "binary". The results of a statement have one format: a text codec has all the columns of
        its statements come as text. With statement_cache_size=0 nothing is decoded by codecs.
    """

    __slots__ = ("binary", "decoder", "encoder", "python_type")
    decoder: Callable[[NoReturn], object] | None
    encoder: Callable[[NoReturn], str | bytes | None] | None
    python_type: type | None
    binary: bool
    """The format is binary, not text."""

    @overload
    def __init__(
        self,
        decoder: Callable[[str], object] | None = None,
        encoder: Callable[[_T], str | None] | None = None,
        python_type: type[_T] | None = None,
        format: Literal["text"] = "text",
    ) -> None: ...
    @overload
    def __init__(
        self,
        decoder: Callable[[bytes], object] | None = None,
        encoder: Callable[[_T], bytes | None] | None = None,
        python_type: type[_T] | None = None,
        *,
        format: Literal["binary"],
    ) -> None: ...
    def __init__(
        self,
        decoder: Callable[[NoReturn], object] | None = None,
        encoder: Callable[[NoReturn], str | bytes | None] | None = None,
        python_type: type | None = None,
        format: str = "text",
    ) -> None:
        if format not in ("text", "binary"):
            raise ValueError(f'format must be "text" or "binary", not {format!r}')
        for name, function in (("decoder", decoder), ("encoder", encoder)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function or None, not {type(function).__name__}")
        if (encoder is None) != (python_type is None):
            raise ValueError("encoder and python_type go together: the one writes the instances of the other")
        if python_type is not None and not isinstance(python_type, type):
            raise TypeError(f"python_type must be a class, not {type(python_type).__name__}")
        set_ = object.__setattr__
        set_(self, "decoder", decoder)
        set_(self, "encoder", encoder)
        set_(self, "python_type", python_type)
        set_(self, "binary", format == "binary")

    def __reduce__(self) -> tuple[object, ...]:
        form = "binary" if self.binary else "text"
        return Codec, (self.decoder, self.encoder, self.python_type, form)

    def __repr__(self) -> str:
        return f"<Codec {'binary' if self.binary else 'text'}>"
