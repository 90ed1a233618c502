"""Semirings as values: what a propagation adds and multiplies, and which laws that keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import FunctionType
from typing import Any, Literal

import numpy as np

from mmsb.base.errors import UnknownName, UsageError, quote
from mmsb.graph.laws import broken
from mmsb.memory.asked import bounded
from mmsb.memory.cells import Array, cast, frozen

Width = Literal["u1", "u4", "u8"]
WIDTHS: dict[Width, int] = {"u1": 2**8 - 1, "u4": 2**32 - 1, "u8": 2**64 - 1}
Operation = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Semiring:
    """(add, multiply, zero, one) on unsigned integers of ``dtype``; what does not fit saturates.

    ``zero``: not reached; ``one``: a seed's value where none is given; ``unit``: an edge's weight
    where the graph has none. ``idempotent``: a ⊕ a = a. ``selective``: a ⊕ b is a or b.
    ``absorptive``: one ⊕ a = one, so that going round a cycle never helps and a propagation ends
    after at most count - 1 steps on any graph (docs/propagation.md).
    """

    name: str
    dtype: Width
    zero: int
    one: int
    unit: int
    idempotent: bool
    selective: bool
    absorptive: bool
    op: int
    #: A user's own two functions, for which ``op`` is of no matter.
    own: tuple[Operation, Operation] | None = field(default=None, repr=False)

    @property
    def most(self) -> int:
        """The greatest value."""
        return 1 if self.boolean else WIDTHS[self.dtype]

    @property
    def boolean(self) -> bool:
        """Is it lor_land or any_pair, of which the values are 0 and 1?"""
        return self.op <= 1 and self.own is None

    @property
    def weighted(self) -> bool:
        """Do an edge's weights count? Not for any_pair."""
        return self.op != ANY_PAIR.op or self.own is not None

    def add(self, left: int, right: int) -> int:
        """left ⊕ right. UsageError for what does not fit."""
        from mmsb.graph.kernels_semiring import add

        return int(self.compiled(add)(self.numbers, self.fit(left), self.fit(right)))

    def multiply(self, left: int, right: int) -> int:
        """left ⊗ right. UsageError for what does not fit."""
        from mmsb.graph.kernels_semiring import multiply

        return int(self.compiled(multiply)(self.numbers, self.fit(left), self.fit(right)))

    def over(self, dtype: Width) -> Semiring:
        """The same on another width. UsageError."""
        _check_width(dtype)
        if self.own is not None:
            raise UsageError(f"{self.name} was made for {self.dtype}; make another with `user`")
        if self.boolean:
            return replace(self, dtype=dtype)
        most = WIDTHS[dtype]
        zero, one, unit = (
            most if each == self.most else each for each in (self.zero, self.one, self.unit)
        )
        return replace(self, dtype=dtype, zero=zero, one=one, unit=unit)

    def fit(self, value: Any, what: str = "a value") -> Any:
        """The value, checked. UsageError."""
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise UsageError(f"{what} of {self.name} is a whole number, not {quote(value)}")
        if not 0 <= value <= self.most:
            raise UsageError(
                f"{value} is not {what} of {self.name}, which goes from 0 to {self.most}"
            )
        return np.uint64(value)

    @cached_property
    def numbers(self) -> Array:
        """What kernels take as ``ring``, u64[8]."""
        from mmsb.graph.kernels_semiring import USER

        op = USER if self.own is not None else self.op
        laws = (self.idempotent, self.selective, self.absorptive)
        at = (op, self.most, self.zero, self.one, self.unit, *map(int, laws))
        return frozen(np.array(at, np.uint64))

    @cached_property
    def _made(self) -> dict[Any, Any]:
        if self.own is None:
            return {}
        from numba import njit

        from mmsb.graph import kernels_semiring

        mine, take = self.own
        u64 = np.uint64
        add = njit(nogil=True)(lambda _, left, right: u64(mine(left, right)))
        multiply = njit(nogil=True)(lambda _, value, weight: u64(take(value, weight)))
        return {kernels_semiring.add: add, kernels_semiring.multiply: multiply}

    def compiled(self, kernel: Any) -> Any:
        """A kernel with this semiring's operations: itself, or made anew for a user's own."""
        return kernel if self.own is None else self._anew(kernel)

    def _anew(self, kernel: Any) -> Any:
        made = self._made
        if kernel not in made:
            from numba import njit

            plain = kernel.py_func
            held = dict(plain.__globals__)
            for name in plain.__code__.co_names:
                if hasattr(held.get(name), "py_func"):
                    held[name] = self._anew(held[name])
            again = FunctionType(plain.__code__, held, plain.__name__, plain.__defaults__)
            made[kernel] = njit(nogil=True)(again)
        return made[kernel]


def _check_width(given: Any) -> None:
    if not isinstance(given, str) or given not in WIDTHS:
        raise UsageError(f"there is no width {quote(given)}; use 'u1', 'u4' or 'u8'")


def _simple(name: str, op: int, zero: int, one: int, unit: int, **laws: bool) -> Semiring:
    dtype: Width = "u1" if op <= 1 else "u8"
    said: dict[str, Any] = {"idempotent": True, "selective": True, "absorptive": True, **laws}
    return Semiring(name, dtype, zero, one, unit, op=op, **said)


_MOST = WIDTHS["u8"]
#: Is there a way: 1 or 0. A weight of 0 is no edge.
LOR_LAND = _simple("lor_land", 0, 0, 1, 1)
#: Is there a way, whatever the weights.
ANY_PAIR = _simple("any_pair", 1, 0, 1, 1)
#: The least cost; all ones is infinity. Without weights: how many edges.
MIN_PLUS = _simple("min_plus", 2, _MOST, 0, 1)
#: The greatest cost; all ones is minus infinity, the greatest number is all ones - 1.
MAX_PLUS = _simple("max_plus", 3, _MOST, 0, 1, absorptive=False)
#: How many ways; with weights the sum over ways of their product.
PLUS_TIMES = _simple("plus_times", 4, 0, 1, 1, idempotent=False, selective=False, absorptive=False)
#: The widest way: the greatest least weight.
MAX_MIN = _simple("max_min", 5, 0, _MOST, _MOST)
BUILT_IN = {
    each.name: each for each in (LOR_LAND, ANY_PAIR, MIN_PLUS, MAX_PLUS, PLUS_TIMES, MAX_MIN)
}


def semiring(given: str | Semiring) -> Semiring:
    """A semiring by its name, or itself. UnknownName, UsageError."""
    if isinstance(given, Semiring):
        return given
    if not isinstance(given, str):
        raise UsageError(f"a semiring is a name or a Semiring, not {quote(given)}")
    if given not in BUILT_IN:
        raise UnknownName(f"there is no semiring {quote(given)}; there are {', '.join(BUILT_IN)}")
    return BUILT_IN[given]


def user(
    name: str,
    add: Operation,
    multiply: Operation,
    zero: int,
    one: int,
    *,
    unit: int | None = None,
    dtype: Width = "u8",
    idempotent: bool = False,
    selective: bool = False,
    absorptive: bool = False,
) -> Semiring:
    """A semiring of one's own, of two functions numba compiles: (u64, u64) → u64.

    Only what is claimed is used: without ``absorptive`` cycles are refused. All laws are tried on
    some values, and UsageError names one that does not hold. The kernels are compiled for it
    when first used, a second or so each, and not kept on disk.
    """
    _check_width(dtype)
    own = (_compiled(add, name), _compiled(multiply, name))
    laws = {"idempotent": idempotent or absorptive or selective, "selective": selective}
    laws["absorptive"] = absorptive
    made = Semiring(name, dtype, zero, one, one if unit is None else unit, op=-1, own=own, **laws)
    for what in ("zero", "one", "unit"):
        made.fit(getattr(made, what), what)
    plus, times = _checked(made, own[0]), _checked(made, own[1])
    wrong = broken(plus, times, zero, one, samples(made).tolist(), **laws)
    if wrong is not None:
        raise UsageError(f"semiring {quote(name)}: {wrong}; mend its functions, or claim less")
    return made


def _checked(ring: Semiring, operation: Operation) -> Operation:
    def checked(left: int, right: int) -> int:
        found = int(operation(np.uint64(left), np.uint64(right)))
        if found > ring.most:
            raise UsageError(
                f"semiring {quote(ring.name)}: of {left} and {right} it makes {found}, which does "
                f"not fit {ring.dtype}; saturate at {ring.most}"
            )
        return found

    return checked


def samples(ring: Semiring) -> Array:
    """Values that laws are tried on: the ends, the middles, small ones. u64, ascending."""
    most = ring.most
    near = (0, 1, 2, 3, 6, 12, 97)
    far = (most, most - 1, most - 2, most // 2, most // 2 + 1, most // 3)
    held = {each for each in (*near, *far, ring.zero, ring.one, ring.unit) if 0 <= each <= most}
    return np.array(sorted(held), np.uint64)


def _compiled(function: Operation, name: str) -> Operation:
    from numba import njit, types
    from numba.core.errors import NumbaError

    if not hasattr(function, "py_func") and not isinstance(function, FunctionType):
        raise UsageError(
            f"semiring {quote(name)}: {quote(function)} is no function that numba can "
            "compile; pass a def or a lambda of two numbers"
        )
    made: Any = function if hasattr(function, "py_func") else njit(nogil=True)(function)
    try:
        made.compile((types.uint64, types.uint64))
    except NumbaError as error:
        why = str(error).strip().splitlines()[-1]
        raise UsageError(f"semiring {quote(name)}: numba cannot compile it: {why:.200}") from error
    gives: Any = made.overloads[(types.uint64, types.uint64)].signature.return_type
    if str(gives) not in ("uint8", "uint16", "uint32", "uint64"):
        raise UsageError(
            f"semiring {quote(name)}: {made.py_func.__name__} of two np.uint64 gives {gives}, not "
            "uint64; write its numbers as np.uint64(1)"
        )
    operation: Operation = made
    return operation


# Chance as cost.

#: A cost of so much is a chance of one half.
HALF = 1 << 16


def cost_of_chance(chance: Any) -> Any:
    """-log₂ of a chance in 0 … 1, with 16 fraction bits, u64; none is all ones, zero of min_plus.

    Costs add where chances multiply, so that the likeliest way is the least under `MIN_PLUS`.
    One number or an array. UsageError.
    """
    given = _numbers(chance, np.float64, "a chance is in 0 … 1")
    if given.size and not bool(((given >= 0) & (given <= 1)).all()):
        raise UsageError("a chance is in 0 … 1")
    some = given > 0
    cost = np.rint(-np.log2(np.where(some, given, 1.0)) * HALF).astype(np.uint64)
    cost = np.where(some, cost, np.uint64(_MOST))
    return cost if given.ndim else int(cost)


def chance_of_cost(cost: Any) -> Any:
    """The chance that a cost of `cost_of_chance` stands for. One number or an array. UsageError."""
    given = _numbers(cost, np.uint64, "a cost is a whole number in 0 … 2**64 - 1")
    chance = np.exp2(-(given / HALF))
    return chance if given.ndim else float(chance)


def _numbers(given: Any, dtype: Any, wanted: str) -> Array:
    """One number or an array, in the dtype."""
    bounded(given, "numbers")
    try:
        held = np.asarray(given)
        if held.dtype.kind in "iufO":
            one = np.ravel(held)
            return cast(one, np.dtype(dtype), wanted).reshape(held.shape)
    except ValueError:
        pass
    raise UsageError(f"{wanted}, not {quote(given)}")
