"""While the process forks no thread loads or compiles kernels: the fork waits for it.

The child would not have that thread, and would wait for ever for the locks that it held: Python's
on the module, numba's on its compiler.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

#: Held while modules with kernels are imported by a thread that others may not know of.
lock = threading.RLock()
_held: list[Any] = []


def _before() -> None:
    lock.acquire()
    numbas = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    if numbas is not None:
        numbas.acquire()
    _held.append(numbas)


def _after() -> None:
    numbas = _held.pop()
    if numbas is not None:
        numbas.release()
    lock.release()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
