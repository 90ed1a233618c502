"""The laws of a semiring, tried on values."""

from __future__ import annotations

from collections.abc import Callable, Iterator

Operation = Callable[[int, int], int]


def broken(
    add: Operation,
    multiply: Operation,
    zero: int,
    one: int,
    values: list[int],
    *,
    idempotent: bool,
    selective: bool,
    absorptive: bool,
) -> str | None:
    """The first law that does not hold and what for, or None. O(values³) calls of both."""

    def each() -> Iterator[tuple[bool, str, tuple[int, ...]]]:
        for a in values:
            yield add(a, zero) == add(zero, a) == a, "zero ⊕ a = a", (a,)
            yield multiply(a, one) == multiply(one, a) == a, "one ⊗ a = a", (a,)
            yield multiply(a, zero) == multiply(zero, a) == zero, "zero ⊗ a = zero", (a,)
            yield not idempotent or add(a, a) == a, "a ⊕ a = a (idempotent)", (a,)
            yield not absorptive or add(one, a) == one, "one ⊕ a = one (absorptive)", (a,)
        for a in values:
            for b in values:
                both = add(a, b)
                yield both == add(b, a), "a ⊕ b = b ⊕ a", (a, b)
                yield not selective or both in (a, b), "a ⊕ b is a or b (selective)", (a, b)
        for a in values:
            for b in values:
                both, way = add(a, b), multiply(a, b)
                for c in values:
                    at = (a, b, c)
                    yield add(both, c) == add(a, add(b, c)), "(a ⊕ b) ⊕ c = a ⊕ (b ⊕ c)", at
                    right = multiply(a, multiply(b, c))
                    yield multiply(way, c) == right, "(a ⊗ b) ⊗ c = a ⊗ (b ⊗ c)", at
                    right = add(multiply(a, c), multiply(b, c))
                    yield multiply(both, c) == right, "(a ⊕ b) ⊗ c = a ⊗ c ⊕ b ⊗ c", at
                    right = add(multiply(c, a), multiply(c, b))
                    yield multiply(c, both) == right, "c ⊗ (a ⊕ b) = c ⊗ a ⊕ c ⊗ b", at

    for holds, law, at in each():
        if not holds:
            where = ", ".join(f"{name} = {value}" for name, value in zip("abc", at, strict=False))
            return f"{law} does not hold for {where}"
    return None
