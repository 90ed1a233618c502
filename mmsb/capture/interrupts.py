"""Ctrl-C while Julia runs inside this process.

Julia, told to handle signals, keeps a thread that waits for them, and takes SIGINT away from
Python: one that comes while Python runs would end the process at Julia's next safepoint, where no
handler stands. So the two share it: SIGINT is Python's (KeyboardInterrupt, as always) but for the
time in which Julia runs code for us; then Julia's thread gets it and interrupts the code.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

#: What Julia's thread would otherwise take away from Python's own handlers.
_SHARED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """How SIGINT gets to Julia, in a process whose Julia was started inside ``starting``."""

    def __init__(self) -> None:
        self._waiting: int | None = None  # Julia's thread that waits for signals
        self._handler: int | None = None  # Julia's own; without it that thread ignores SIGINT

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Julia starts inside; afterwards signals are Python's again."""
        before = set(_threads())
        held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        handlers = {one: signal.getsignal(one) for one in _SHARED}
        yield
        if not in_main_thread():
            return
        self._handler = _set_handler(signal.SIGINT, 0)
        for one, handler in handlers.items():
            if handler is not None:
                signal.signal(one, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [one for one in _SHARED if one not in held])
        new = [thread for thread in _threads() if thread not in before and _takes_sigint(thread)]
        self._waiting = new[0] if len(new) == 1 else None

    @property
    def obstacle(self) -> str | None:
        """Why SIGINT cannot reach Julia, if it cannot: it is then Python's, when Julia returns."""
        if not in_main_thread():
            return "Python handles signals in another thread"
        if self._waiting is None or self._handler is None:
            return "Julia's thread for signals was not found"
        if not callable(signal.getsignal(signal.SIGINT)):
            return "this process ignores SIGINT"
        here = threading.main_thread().native_id
        if any(t not in (here, self._waiting) and _takes_sigint(t) for t in _threads()):
            return "another thread of this process can take SIGINT before Julia's"
        return None

    @contextlib.contextmanager
    def to_julia(self) -> Iterator[None]:
        """SIGINT interrupts the Julia code that runs inside, if there is no obstacle."""
        if self.obstacle is not None:
            yield
            return
        handler = signal.getsignal(signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        _set_handler(signal.SIGINT, self._handler or 0)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def in_main_thread() -> bool:
    """Is this the thread in which Python handles signals?"""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """A Ctrl-C that comes inside takes effect at the end: what was begun is done whole."""
    before = signal.getsignal(signal.SIGINT)
    if not in_main_thread() or not callable(before):
        yield
        return
    came: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: came.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        before(signal.SIGINT, came[0])


def _set_handler(number: int, handler: int) -> int | None:
    """The C library's ``signal``: puts a C function in place (0: the default), returns the last."""
    put: Callable[[int, ctypes.c_void_p], int | None] = ctypes.CDLL(None).signal
    put.argtypes, put.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p  # type: ignore[attr-defined]
    return put(number, ctypes.c_void_p(handler))


def _threads() -> list[int]:
    with contextlib.suppress(OSError):
        return sorted(int(name) for name in os.listdir("/proc/self/task"))
    return []


def _takes_sigint(thread: int) -> bool:
    """Would the system give this thread a SIGINT? A thread that waits for one counts."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/self/task/{thread}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "SigBlk":
                return not int(value, 16) >> (signal.SIGINT - 1) & 1
    return False
