"""Weak components: one forest of nodes that several threads join trees in, by Afforest (2018).

``parent`` u32: a node's parent is never greater than the node, so a root is the least of its tree
and the outcome does not depend on who joins what first. Threads read parents that others change:
each read gives an ancestor, old or new, and a root gets a parent by compare and swap alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mmsb.base.kernels import kernel

_intrinsic: Callable[[Callable[..., Any]], Any] = intrinsic


@_intrinsic
def _swap(_context: Any, _address: Any, _old: Any, _new: Any) -> Any:
    """Puts the u32 ``new`` at an address if ``old`` lies there; whether it did."""

    def make(_: Any, builder: Any, __: Any, args: Any) -> Any:
        u32 = ir.IntType(32)
        pointer = builder.inttoptr(args[0], u32.as_pointer())
        old, new = (builder.trunc(value, u32) for value in args[1:])
        met = builder.cmpxchg(pointer, old, new, "monotonic", "monotonic")
        return builder.extract_value(met, 1)

    return types.boolean(types.int64, types.int64, types.int64), make


@kernel
def _join(parent: Any, address: int, a: int, b: int) -> None:
    """One tree of the two that hold ``a`` and ``b``. ``address``: where ``parent`` lies."""
    while True:
        up = np.int64(parent[a])
        while up != a:  # to the root; each node passed is hung one higher
            next_up = np.int64(parent[up])
            if next_up != up:
                parent[a] = next_up
            a, up = up, next_up
        up = np.int64(parent[b])
        while up != b:
            next_up = np.int64(parent[up])
            if next_up != up:
                parent[b] = next_up
            b, up = up, next_up
        if a == b:
            return
        if a < b:
            a, b = b, a
        if _swap(address + 4 * a, a, b):
            return


@kernel
def join_first(
    starts: Any, stops: Any, targets: Any, low: int, high: int, parent: Any, address: int, most: int
) -> None:
    """Joins nodes [low, high) with the first ``most`` of their neighbours."""
    for node in range(low, high):
        for at in range(starts[node], min(stops[node], starts[node] + most)):
            _join(parent, address, node, np.int64(targets[at]))


@kernel
def flatten(low: int, high: int, parent: Any) -> None:
    """Makes the root the parent of each node in [low, high)."""
    for node in range(low, high):
        up = parent[node]
        while parent[up] != up:
            up = parent[up]
        parent[node] = up


@kernel
def mark(parent: Any, root: int, low: int, high: int, seen: Any) -> None:
    """The nodes of ``root``'s tree as bits, of the words [low, high)."""
    for word in range(low, high):
        bits = np.int64(0)
        for node in range(word * 64, min(word * 64 + 64, len(parent))):
            bits |= np.int64(parent[node] == root) << (node & 63)
        seen[word] = bits


@kernel
def join_rest(
    starts: Any,
    stops: Any,
    targets: Any,
    low: int,
    high: int,
    parent: Any,
    address: int,
    done: int,
    seen: Any,
    outside: bool,
) -> None:
    """Joins nodes [low, high) with the neighbours after the first ``done``, where ``seen`` does not
    say that both are in the largest tree already. ``outside``: only nodes that are not in it."""
    for node in range(low, high):
        inside = (seen[node >> 6] >> (node & 63)) & 1
        if inside and outside:
            continue
        for at in range(starts[node] + done, stops[node]):
            there = np.int64(targets[at])
            if not inside & (seen[there >> 6] >> (there & 63)):
                _join(parent, address, node, there)


@kernel
def number(parent: Any, labels: Any) -> int:
    """``labels`` u32: flat trees numbered by their root. Returns how many."""
    count = 0
    for node in range(len(parent)):
        if parent[node] == node:
            labels[node] = count
            count += 1
        else:
            labels[node] = labels[parent[node]]
    return count


@kernel
def weak(starts: Any, stops: Any, targets: Any, labels: Any) -> int:
    """All of it, where a graph is small."""
    n = len(starts)
    parent = np.arange(n).astype(np.uint32)
    address = parent.ctypes.data
    for node in range(n):
        for at in range(starts[node], stops[node]):
            _join(parent, address, node, np.int64(targets[at]))
    flatten(0, n, parent)
    return number(parent, labels)
