"""How kernels are compiled: when first called, released from the GIL, cached on disk.

That takes a minute or so once after an install, and is said on a terminal; from then on what was
compiled is loaded in a fraction of a second.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import event

_Function = TypeVar("_Function", bound=Callable[..., Any])
_LOG = logging.getLogger("mmsb")
#: So many seconds of compiling are nothing to speak of.
PATIENCE = 2.0
_TEXT = "compiling kernels for this machine, once after an install; it takes a minute or so"


class Compiling:
    """Hears of each kernel that is compiled, and says so once when it takes long."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._say, self._clock = say, clock
        self._depth, self._began, self._spent = 0, 0.0, 0.0
        self.said = False

    def began(self) -> None:
        """A kernel, or one that it calls."""
        now = self._clock()
        if not self._depth:
            self._began = now
        self._depth += 1
        if not self.said and self._spent + now - self._began > PATIENCE:
            self.said = True
            self._say(_TEXT)

    def ended(self) -> None:
        """The innermost that began."""
        self._depth -= 1
        if not self._depth:
            self._spent += self._clock() - self._began


def _say(text: str) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"mmsb: {text}\n")
        sys.stderr.flush()
    else:
        _LOG.info(text)


@cache
def announce() -> Compiling:
    """From now on it is said; threads take turns compiling."""
    made = Compiling(_say, time.monotonic)

    class Listener(event.Listener):
        def on_start(self, event: object) -> None:
            if _ours(event):
                made.began()

        def on_end(self, event: object) -> None:
            if _ours(event):
                made.ended()

    register: Any = event.register
    register("numba:compile", Listener())
    return made


def _ours(event: object) -> bool:
    """Is it about a kernel of this package? Others compile too."""
    function = getattr(event, "data", {})["dispatcher"].py_func
    return bool(function.__module__.startswith("mmsb."))


announce()


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
