"""Our own threads for the kernels, which release the GIL (numba's do not survive a fork)."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from threading import local

from mmsb.memory.quiet import hold_signals

#: As many as the process may use.
THREADS = len(os.sched_getaffinity(0))
_pool: tuple[int, ThreadPoolExecutor] | None = None
_here = local()


def spread(work: Callable[[int, int], int], count: int, *, smallest: int) -> int:
    """``work(low, high)`` over the parts of ``range(count)``, one a thread; the results or-ed.

    At least ``smallest`` to a part; one part runs here. Parts must not write to the same place.
    Called inside another's part, all of it runs here: that thread must not wait for its own pool.
    """
    parts = max(1, min(THREADS, count // smallest))
    if parts == 1 or getattr(_here, "ours", False):
        return work(0, count)
    edges = [count * part // parts for part in range(parts + 1)]
    others = [_threads().submit(work, *pair) for pair in pairwise(edges[1:])]
    try:
        found = work(edges[0], edges[1])
    finally:
        wait(others)  # also when interrupted: they write to what the caller then lets go of
    for other in others:
        found |= other.result()
    return found


def _threads() -> ThreadPoolExecutor:
    """The pool of this process: a fork starts its own."""
    global _pool
    held = _pool
    if held is None or held[0] != os.getpid():
        _pool = held = (os.getpid(), ThreadPoolExecutor(max(1, THREADS - 1), "mmsb", _begin))
    return held[1]


def _begin() -> None:
    hold_signals()
    _here.ours = True
