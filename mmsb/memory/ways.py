"""Which way a read goes: by numpy until the kernels are worth loading, then by those.

Both give the same bits.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from mmsb.base import loading
from mmsb.memory.index import Index

_KERNELS = "mmsb.memory.kernels"
#: Nanoseconds, about: loading the kernels; numpy for a delta's cells of a column, a cell, a count.
_LOADING, OF_DELTA, OF_CELL, OF_COUNT = 300_000_000, 10_000, 10, 50
_LONG = _LOADING // 60


@cache
def page() -> Any:
    with loading.lock:
        from mmsb.memory import kernels_page

    return kernels_page


@cache
def cells() -> Any:
    with loading.lock:
        from mmsb.memory import kernels_cells

    return kernels_cells


@cache
def many() -> Any:
    with loading.lock:
        from mmsb.memory import kernels_many

    return kernels_many


def loaded(index: Index) -> bool:
    return _KERNELS in sys.modules if index.compiled is None else index.compiled


def worth(index: Index, taking: int) -> bool:
    """Are kernels that are not loaded worth it for what takes numpy so many nanoseconds more?

    Once it took as long as loading in all, so never twice what was best (Karlin et al., 1988), or
    once a single read is long: then others like it will come.
    """
    index.by_numpy += taking
    return index.compiled is None and (index.by_numpy > _LOADING or taking > _LONG)
