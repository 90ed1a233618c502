"""R-MAT graphs: the recursive matrix of Chakrabarti, Zhan and Faloutsos (2004), as in Graph500.

The same numbers give the same graph on any machine: each edge is drawn from its own number by
SplitMix64, and nodes are then renamed by a permutation that is drawn the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from mmsb.graph.adjacency import Graph

Array = npt.NDArray[Any]
#: The chance of the four quarters, in 1 / 2^16: 0.57, 0.19, 0.19, 0.05.
A, B, C = 37356, 37356 + 12452, 37356 + 2 * 12452


@dataclass(frozen=True)
class Edges:
    """An edge list over the nodes 0 … ``count`` - 1, by source, then target; u32 each."""

    name: str
    count: int
    sources: Array
    targets: Array

    @property
    def size(self) -> int:
        return len(self.sources)

    def weights(self, most: int = 255, seed: int = 7) -> Array:
        """u32 weights 1 … ``most``, the same each time."""
        return 1 + (_hashed(self.size, seed) % np.uint64(most)).astype(np.uint32)

    def graph(self, weights: Array | None = None) -> Graph:
        """As a graph of mmsb."""
        return Graph.from_edges(self.sources, self.targets, weights, count=self.count)


@lru_cache(maxsize=2)
def rmat(scale: int, degree: int = 16, *, seed: int = 1, distinct: bool = True) -> Edges:
    """2^scale nodes and degree × 2^scale edges are drawn; ``distinct``: each is kept once.

    Peers that hold matrices know no parallel edges, so they are compared on distinct ones.
    Loops stay. Some 2 s for 16 million edges.
    """
    count, size = 1 << scale, degree << scale
    keys = np.empty(size, np.uint64)
    _draw(keys, scale, np.uint64(seed))
    names = np.argsort(_hashed(count, seed + 1), kind="stable").astype(np.uint64)
    keys = names[keys >> np.uint64(32)] << np.uint64(32) | names[keys & np.uint64(0xFFFFFFFF)]
    keys = np.unique(keys) if distinct else np.sort(keys)
    sources = (keys >> np.uint64(32)).astype(np.uint32)
    return Edges(f"R-MAT 2^{scale} × {degree}", count, sources, keys.astype(np.uint32))


def _hashed(count: int, seed: int) -> Array:
    out = np.empty(count, np.uint64)
    _hash_all(out, np.uint64(seed))
    return out


@njit(inline="always")  # type: ignore[untyped-decorator]
def _mixed(value: Any) -> Any:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _hash_all(out: Any, seed: Any) -> None:
    for at in range(len(out)):
        out[at] = _mixed(_mixed(seed) + np.uint64(at + 1) * np.uint64(0x9E3779B97F4A7C15))


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _draw(keys: Any, scale: int, seed: Any) -> None:
    """One hash serves four levels, 16 bits each."""
    step = np.uint64(0x9E3779B97F4A7C15)
    state = _mixed(seed)
    for at in range(len(keys)):
        source = target = np.uint64(0)
        bits = np.uint64(0)
        for level in range(scale):
            if level % 4 == 0:
                state += step
                bits = _mixed(state)
            chance = bits & np.uint64(0xFFFF)
            bits >>= np.uint64(16)
            low = chance >= B
            source = source << np.uint64(1) | np.uint64(low)
            target = target << np.uint64(1) | np.uint64(chance >= C if low else chance >= A)
        keys[at] = source << np.uint64(32) | target
