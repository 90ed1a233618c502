"""Propagation by its definition, in plain Python: slow, exact, of no use but to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import floor

NONE = 2**32 - 1
Edge = tuple[int, int, int | None]


@dataclass(frozen=True)
class Ring:
    """A semiring on Python's own integers."""

    add: Callable[[int, int], int]
    multiply: Callable[[int, int], int]
    zero: int
    one: int
    unit: int
    selective: bool
    absorptive: bool
    weighted: bool = True


def ring(name: str, most: int) -> Ring:
    """A built-in one that ends at ``most``."""

    def greatest(left: int, right: int) -> int:
        return max((each for each in (left, right) if each != most), default=most)

    def longer(left: int, right: int) -> int:
        return most if most in (left, right) else min(left + right, most - 1)

    def both(left: int, right: int) -> int:
        return int(left > 0 and right > 0)

    return {
        "lor_land": Ring(max, both, 0, 1, 1, True, True),
        "any_pair": Ring(max, both, 0, 1, 1, True, True, weighted=False),
        "min_plus": Ring(min, lambda a, b: min(a + b, most), most, 0, 1, True, True),
        "max_plus": Ring(greatest, longer, most, 0, 1, True, False),
        "plus_times": Ring(
            lambda a, b: min(a + b, most), lambda a, b: min(a * b, most), 0, 1, 1, False, False
        ),
        "max_min": Ring(max, min, 0, most, most, True, True),
    }[name]


@dataclass(frozen=True)
class Answer:
    """``cycle``: there is one that the seeds reach, and no sum over ways that go round it."""

    values: list[int]
    hops: list[int]
    parent: list[int]
    waves: list[dict[int, int]]
    cycle: bool = False


def propagated(
    count: int,
    edges: list[Edge],
    seeds: dict[int, int],
    of: Ring,
    limit: int | None = None,
    rounds: int | None = None,
    damping: Fraction | None = None,
) -> Answer:
    """What `propagate` must say of these edges, taken in the direction they are given in."""
    weighed = [(s, t, w if w is not None and of.weighted else of.unit) for s, t, w in edges]
    if damping is not None:
        return _damped(count, weighed, seeds, of, rounds or 0, damping)
    if not of.absorptive and rounds is None and _goes_round(count, weighed, seeds):
        return Answer([], [], [], [], cycle=True)
    bound = limit if rounds is None else rounds
    start = [seeds.get(node, of.zero) for node in range(count)]
    states, final = [start], None
    while bound is None or len(states) <= bound:
        last = states[-1]
        new = list(start)
        for source, target, weight in weighed:
            new[target] = of.add(new[target], of.multiply(last[source], weight))
        if new == last and (bound is None or of.selective):
            break
        states.append(new)
        assert bound is not None or not of.absorptive or len(states) <= max(1, count), "too long"
    final = states[-1]
    if bound is not None and (not of.absorptive or bound < count - 1):
        hops, parent = _layered(states, weighed, of)
    else:
        hops, parent = _tight(final, start, weighed, of)
    waves = [
        {node: new[node] for node in range(count) if new[node] != old[node]}
        for old, new in pairwise(states)
    ]
    return Answer(final, hops, parent, waves)


def _damped(
    count: int,
    edges: list[tuple[int, int, int]],
    seeds: dict[int, int],
    of: Ring,
    rounds: int,
    damping: Fraction,
) -> Answer:
    """What ways of 0, 1, … ``rounds`` edges bring, each rounded down, put together."""
    walks = [seeds.get(node, of.zero) for node in range(count)]
    values = list(walks)
    for _ in range(rounds):
        came = [of.zero] * count
        for source, target, weight in edges:
            came[target] = of.add(came[target], of.multiply(walks[source], weight))
        walks = [floor(each * damping) for each in came]
        values = [of.add(held, more) for held, more in zip(values, walks, strict=True)]
    return Answer(values, [], [], [])


def _goes_round(count: int, edges: list[tuple[int, int, int]], seeds: dict[int, int]) -> bool:
    reached = set(seeds)
    for _ in range(count):
        reached |= {target for source, target, _ in edges if source in reached}
    alive = set(reached)
    for _ in range(count):  # take away what nothing that is left leads to
        alive &= {target for source, target, _ in edges if source in alive}
    return bool(alive)


def _tight(
    values: list[int], start: list[int], edges: list[tuple[int, int, int]], of: Ring
) -> tuple[list[int], list[int]]:
    """Hops are the distance over edges that hand on the value; the parent is the least before."""
    count = len(values)
    own = [
        start[node] != of.zero and (not of.selective or start[node] == values[node])
        for node in range(count)
    ]
    hops = [0 if own[node] else NONE for node in range(count)]
    parent = [NONE] * count
    led = [
        (source, target)
        for source, target, weight in edges
        if (given := of.multiply(values[source], weight)) != of.zero
        and (not of.selective or given == values[target])
    ]
    for step in range(1, count + 1):
        new = {target for source, target in led if hops[source] == step - 1}
        for node in new:
            if hops[node] == NONE:
                hops[node] = step
    for node in range(count):
        if 0 < hops[node] < NONE:
            parent[node] = min(s for s, t in led if t == node and hops[s] == hops[node] - 1)
    return hops, parent


def _layered(
    states: list[list[int]], edges: list[tuple[int, int, int]], of: Ring
) -> tuple[list[int], list[int]]:
    """The witness of the last wave that changed the value, or that first brought one."""
    count = len(states[0])
    hops = [0 if value != of.zero else NONE for value in states[0]]
    parent = [NONE] * count
    walks = states[0]
    for number, (old, new) in enumerate(pairwise(states), 1):
        before = old if of.selective else walks
        step = [of.zero] * count
        for source, target, weight in edges:
            step[target] = of.add(step[target], of.multiply(before[source], weight))
        for node in range(count):
            changed = new[node] != old[node] if of.selective else step[node] != of.zero
            if not changed or not (of.selective or hops[node] == NONE):
                continue
            ways = [
                source
                for source, target, weight in edges
                if target == node
                and (given := of.multiply(before[source], weight)) != of.zero
                and (not of.selective or given == new[node])
            ]
            hops[node], parent[node] = number, min(ways)
        walks = step
    return hops, parent
