"""Components and order in the language of GraphBLAS, as well as SuiteSparse takes it from Python.

LAGraph has no Python package, so its algorithms are said here in python-graphblas: FastSV for weak
components; for strong ones the core by searches that push and pull, then what can be trimmed, then
colours; order by peeling levels. Numbers are i32: its wheel has quick kernels for them, and none
for u32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import Array


def weak(near: Any) -> Array:
    """A label a node: FastSV (Zhang, Azad and Buluç 2020). ``near``: a symmetric BOOL matrix."""
    from graphblas import Vector, binary, semiring

    first = np.arange(near.nrows, dtype=np.int32)
    parent, above = Vector.from_dense(first), Vector.from_dense(first)
    while True:
        least = above.dup()
        least(binary.min) << semiring.min_second(near @ above)
        found = least.to_dense()
        hooked = Vector.from_coo(parent.to_dense(), found, size=near.nrows, dup_op=binary.min)
        parent(binary.min) << hooked
        parent(binary.min) << least
        values = parent.to_dense()
        parent = Vector.from_dense(values[values])
        if parent.isequal(above):
            return values[values]
        above = parent.dup()


def _reach(out: Any, into: Any, seed: int) -> Any:
    """What the node reaches: pushed from few, pulled by the many that are left."""
    from graphblas import Vector, semiring

    seen = Vector(bool, out.nrows)
    seen[seed] = True
    front = seen.dup()
    while front.nvals:
        ahead = Vector(bool, out.nrows)
        if front.nvals < out.nrows // 64:
            ahead(~seen.S) << semiring.any_pair(front @ out)
        else:
            ahead(~seen.S) << semiring.any_pair(into @ front)
        seen(ahead.S) << True
        front = ahead
    return seen


def strong(out: Any, into: Any) -> Array:
    """A label a node: the least of its component. ``into``: ``out`` transposed."""
    count = out.nrows
    labels = np.arange(count)
    leaving = out.reduce_rowwise("count").new().to_dense(fill_value=0)
    coming = into.reduce_rowwise("count").new().to_dense(fill_value=0)
    node = int(np.argmax(leaving.astype(float) * coming))
    reached, reaching = _reach(out, into, node), _reach(into, out, node)
    inside = np.zeros(count, bool)
    core = np.intersect1d(reached.to_coo()[0], reaching.to_coo()[0], assume_unique=True)
    labels[core] = core.min()
    inside[core] = True
    rest = np.flatnonzero(~inside & (leaving > 0) & (coming > 0))
    while True:  # what has no edge in or none out among the rest is a component of its own
        part = out[rest, rest].new()
        leaving = part.reduce_rowwise("count").new().to_dense(fill_value=0)
        coming = part.reduce_columnwise("count").new().to_dense(fill_value=0)
        own = np.zeros(len(rest), leaving.dtype)
        own[part.diag().to_coo()[0]] = 1
        kept = (leaving > own) & (coming > own)
        if kept.all():
            break
        rest = rest[kept]
    _coloured(part, rest, labels)
    return labels


def _coloured(part: Any, rest: Array, labels: Array) -> None:
    """Each node takes the least that reaches it; whoever reaches that one within its colour, is of
    its component; the others go on."""
    from graphblas import Matrix, Vector, binary, semiring

    while len(rest):
        colour = Vector.from_dense(np.arange(len(rest), dtype=np.int32))
        while True:
            least = colour.dup()
            least(binary.min) << semiring.min_first(colour @ part)
            if least.isequal(colour):
                break
            colour = least
        colours = colour.to_dense()
        rows, columns, _ = part.to_coo()
        alike = colours[rows] == colours[columns]
        size = len(rest)
        within = Matrix.from_coo(rows[alike], columns[alike], True, nrows=size, ncols=size)
        front = Vector.from_coo(np.unique(colours), True, size=size)
        inside = front.dup()
        while front.nvals:
            ahead = Vector(bool, size)
            ahead(~inside.S) << semiring.any_pair(within @ front)
            inside(ahead.S) << True
            front = ahead
        done = inside.to_coo()[0]
        labels[rest[done]] = rest[colours[done]]
        left = np.setdiff1d(np.arange(size), done, assume_unique=True)
        part, rest = part[left, left].new(), rest[left]


def order(out: Any) -> Array:
    """Nodes by level."""
    from graphblas import Vector, binary, semiring

    waiting = out.reduce_columnwise("count").new()
    left = Vector.from_dense(waiting.to_dense(fill_value=0).astype(np.int32))
    front = left.select("==", 0).new()
    parts = []
    while front.nvals:
        parts.append(front.to_coo()[0])
        left(front.S) << -1
        less = semiring.plus_pair(front @ out).new()
        left(less.S, binary.minus) << less
        front = Vector(left.dtype, left.size)
        front(less.S) << left
        front = front.select("==", 0).new()
    return np.concatenate(parts)
