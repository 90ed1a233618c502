"""What tests of the graph share."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def mapped() -> Callable[[int, Any], Any]:
    """``mapped(size, dtype)``: zeros that take no memory until they are touched."""

    def make(size: int, dtype: Any) -> Any:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
        room = mmap.mmap(-1, size * np.dtype(dtype).itemsize, flags=flags)
        return np.frombuffer(room, dtype)

    return make
