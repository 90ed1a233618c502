"""How the kernels of the graph are compiled: once, released from the GIL, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _sources() -> str:
    """A digest of all kernels of the graph: what is compiled holds the functions that it calls, so
    the cache on disk must not outlive a change of any file of them."""
    files = sorted(Path(__file__).parent.glob("kernels*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


_SOURCES = _sources()


def kernel(function: _Function) -> _Function:
    """Compiled when first called, kept in the cache on disk."""
    made: Any = njit(nogil=True, cache=True, boundscheck=False)(function)
    made._cache._cache_file._source_stamp = _SOURCES
    return cast(_Function, made)
