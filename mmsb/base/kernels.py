"""How kernels are compiled: when first called, released from the GIL, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])


@cache
def _sources(folder: Path) -> str:
    """A digest of a folder's kernels: what is compiled holds the functions that it calls, so the
    cache on disk must not outlive a change of any file of them (numba looks at its own)."""
    files = [Path(__file__), *sorted(folder.glob("kernels*.py"))]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def kernel(function: _Function) -> _Function:
    """For a function of a file ``kernels*.py`` that calls kernels of its own folder alone."""
    made: Any = njit(nogil=True, cache=True, boundscheck=False)(function)
    made._cache._cache_file._source_stamp = _sources(Path(function.__code__.co_filename).parent)
    return cast(_Function, made)
