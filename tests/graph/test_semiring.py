"""Semirings keep the laws they claim; a wrong claim is caught; chance is a cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsb.base.errors import UnknownName, UsageError
from mmsb.graph.adjacency import Graph
from mmsb.graph.propagate import propagate
from mmsb.graph.semiring import (
    BUILT_IN,
    HALF,
    MAX_PLUS,
    MIN_PLUS,
    PLUS_TIMES,
    Semiring,
    chance_of_cost,
    cost_of_chance,
    samples,
    semiring,
    user,
)
from mmsb.testing.oracle_graph import ring

ALL = [
    each.over(width)
    for each in BUILT_IN.values()
    for width in (("u1",) if each.boolean else ("u1", "u4", "u8"))
]


def greater(a: int, b: int) -> int:
    return max(a, b)


def less(a: int, b: int) -> int:
    return min(a, b)


def values(of: Semiring) -> st.SearchStrategy[int]:
    """Small ones, those near the end, where it saturates, and any."""
    return (
        st.sampled_from([each for each in samples(of).tolist() if each <= of.most])
        | st.integers(0, of.most)
        | st.integers(0, 40).map(lambda each: max(0, of.most - each))
    )


@pytest.mark.parametrize("of", ALL, ids=lambda of: f"{of.name}-{of.dtype}")
@given(data=st.data())
def test_laws(of: Semiring, data: st.DataObject) -> None:
    a, b, c = (data.draw(values(of)) for _ in range(3))
    add, multiply = of.add, of.multiply
    assert add(add(a, b), c) == add(a, add(b, c))
    assert add(a, b) == add(b, a)
    assert multiply(multiply(a, b), c) == multiply(a, multiply(b, c))
    assert multiply(add(a, b), c) == add(multiply(a, c), multiply(b, c))
    assert multiply(c, add(a, b)) == add(multiply(c, a), multiply(c, b))
    assert add(a, of.zero) == add(of.zero, a) == a
    assert multiply(a, of.one) == multiply(of.one, a) == a
    assert multiply(a, of.zero) == multiply(of.zero, a) == of.zero
    assert not of.idempotent or add(a, a) == a
    assert not of.selective or add(a, b) in (a, b)
    assert not of.absorptive or add(of.one, a) == of.one
    exact = ring(of.name, of.most)
    assert add(a, b) == exact.add(a, b)
    assert multiply(a, b) == exact.multiply(a, b)


def test_what_is_not_claimed_does_not_hold() -> None:
    """So that a claim that is left out is no oversight."""
    assert PLUS_TIMES.add(1, 1) != 1
    assert PLUS_TIMES.add(1, 2) not in (1, 2)
    assert PLUS_TIMES.add(1, 3) != 1
    assert MAX_PLUS.add(MAX_PLUS.one, 3) != MAX_PLUS.one


@pytest.mark.parametrize(
    ("add", "multiply", "zero", "one", "claims", "said"),
    [
        (greater, less, 0, 255, {}, None),
        (lambda a, b: a | b, lambda a, b: a & b, 0, 255, {"absorptive": True}, None),
        (lambda a, b: a | b, lambda a, b: a & b, 0, 255, {"selective": True}, "selective"),
        (lambda a, b: a ^ b, lambda a, b: a & b, 0, 255, {}, None),
        (lambda a, b: a ^ b, lambda a, b: a & b, 0, 255, {"idempotent": True}, "idempotent"),
        (lambda a, b: a ^ b, lambda a, b: a & b, 0, 255, {"absorptive": True}, "idempotent"),
        (greater, less, 0, 3, {}, "one ⊗ a = a"),
        (greater, less, 1, 255, {}, "zero ⊕ a = a"),
        (lambda a, b: a | b, lambda a, b: a | b, 0, 0, {}, "zero ⊗ a = zero"),
        (greater, lambda a, b: a * b, 0, 1, {}, "does not fit u1"),
        (lambda a, b: a if b == 0 else b, less, 0, 255, {}, "b ⊕ a"),
        (greater, lambda a, b: a + b, 0, 1, {}, "one ⊗ a = a"),
    ],
)
def test_a_wrong_claim_is_caught(
    add: object, multiply: object, zero: int, one: int, claims: dict[str, bool], said: str | None
) -> None:
    def make() -> Semiring:
        return user("mine", add, multiply, zero, one, dtype="u1", **claims)  # type: ignore[arg-type]

    if said is None:
        assert make().name == "mine"
        return
    with pytest.raises(UsageError, match="semiring 'mine'") as error:
        make()
    assert said in str(error.value)


def test_the_functions_of_a_user_are_those_that_run() -> None:
    bits = user("bits", lambda a, b: a | b, lambda a, b: a & b, 0, 255, dtype="u1", absorptive=True)
    graph = Graph.from_edges(
        [0, 0, 1, 2, 3], [1, 2, 3, 3, 0], [0b1100, 0b0110, 0b0100, 0b0011, 255]
    )
    found = propagate(graph, {0: 0b1110}, bits)
    assert found.values.tolist() == [0b1110, 0b1100, 0b0110, 0b0110]
    assert found.path(3) == [0, 1, 3]
    assert bits.add(0b1, 0b10) == 0b11


def test_functions_numba_cannot_take() -> None:
    with pytest.raises(UsageError, match="numba cannot compile it"):
        user("mine", lambda a, b: globals()[a], lambda a, b: a, 0, 1)
    with pytest.raises(UsageError, match="gives"):
        user("mine", lambda a, b: a / b, lambda a, b: a, 0, 1)
    with pytest.raises(UsageError, match="no function that numba can compile"):
        user("mine", min, max, 0, 1)


def test_names_and_widths() -> None:
    assert semiring("min_plus") is semiring(MIN_PLUS) is MIN_PLUS
    narrow = MIN_PLUS.over("u4")
    assert (narrow.zero, narrow.most) == (2**32 - 1, 2**32 - 1)
    assert narrow.multiply(2**32 - 2, 5) == narrow.zero
    with pytest.raises(UnknownName, match="min_plus"):
        semiring("min_pluss")
    with pytest.raises(UsageError, match="not 3"):
        semiring(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="width"):
        MIN_PLUS.over("u2")  # type: ignore[arg-type]
    for value in (-1, 2**32, 1.5, True, "1"):
        with pytest.raises(UsageError):
            narrow.add(value, 1)  # type: ignore[arg-type]


@given(st.floats(0, 1))
def test_chance(chance: float) -> None:
    cost = cost_of_chance(chance)
    assert 0 <= cost <= MIN_PLUS.most
    assert abs(chance_of_cost(cost) - chance) <= chance * 2**-16 + 1e-300


def test_chances_multiply() -> None:
    assert cost_of_chance(0.5) == HALF
    assert cost_of_chance(0.0) == MIN_PLUS.zero
    assert chance_of_cost(MIN_PLUS.zero) == 0.0
    graph = Graph.from_edges([0, 1, 0], [1, 2, 2], cost_of_chance([0.5, 0.5, 0.2]))
    found = propagate(graph, 0)
    assert found.path(2) == [0, 1, 2]
    assert chance_of_cost(found.values).tolist() == [1.0, 0.5, 0.25]
    assert cost_of_chance(np.array([1.0])).dtype == np.uint64
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="chance"):
            cost_of_chance(wrong)
