"""What up to 64 seed sets reach, a bit a set.

``seen``, ``fresh``, ``coming`` u64[count]: what reached each node, what did so in the last step,
and in this one. A sparse step goes along the edges of the frontier, a dense one against all edges.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.kernels import kernel


@kernel
def along(
    starts: Any,
    stops: Any,
    targets: Any,
    seen: Any,
    fresh: Any,
    coming: Any,
    front: Any,
    held: int,
    level: int,
    last: int,
    most: int,
) -> Any:
    """Sparse steps from the ``held`` nodes of ``front``; ``coming`` holds zeros. (held, level).

    Until nothing is new, or at level ``last``, or where the frontier has more than ``most`` edges.
    ``front`` u32[2 × count].
    """
    count = len(seen)
    while held > 0 and level < last:
        size = 0
        for i in range(held):
            size += stops[front[i]] - starts[front[i]]
        if size > most:
            break
        found = 0
        for i in range(held):
            node = front[i]
            bits = fresh[node]
            for edge in range(starts[node], stops[node]):
                to = targets[edge]
                if bits & ~(seen[to] | coming[to]):
                    if coming[to] == 0:
                        front[count + found] = to
                        found += 1
                    coming[to] |= bits
        for i in range(held):
            fresh[front[i]] = 0
        for i in range(found):
            node = front[count + i]
            fresh[node] = coming[node] & ~seen[node]
            seen[node] |= coming[node]
            coming[node] = 0
            front[i] = node
        held = found
        level += found > 0
    return held, level


@kernel
def against(
    starts: Any,
    stops: Any,
    sources: Any,
    every: Any,
    seen: Any,
    fresh: Any,
    coming: Any,
    low: int,
    high: int,
) -> int:
    """A dense step for nodes ``low`` … ``high``; ``every`` has the bits of all sets. How many got
    something new."""
    found = 0
    for node in range(low, high):
        want = every & ~seen[node]
        came = np.uint64(0)
        if want:
            for edge in range(starts[node], stops[node]):
                came |= fresh[sources[edge]]
                if came & want == want:
                    break
            came &= want
        coming[node] = came
        found += came != 0
    return found


@kernel
def taken(seen: Any, fresh: Any, coming: Any, front: Any) -> int:
    """After a dense step: what came is fresh, ``coming`` is empty; the frontier's nodes."""
    held = 0
    for node in range(len(seen)):
        bits = coming[node]
        fresh[node] = bits
        seen[node] |= bits
        coming[node] = 0
        front[held] = node
        held += bits != 0
    return held
