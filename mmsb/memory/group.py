"""The thread behind the policy ``group``: what is committed is durable a few milliseconds later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from weakref import WeakMethod

from mmsb.memory.quiet import signals_held

#: How long after a commit that is not durable a sync begins, in seconds.
DELAY = 0.005


class Group:
    """Calls ``sync`` a little after each `ring`, again while that says that more is behind.

    It sleeps without waking while nothing is behind, keeps no writer alive, and is of the process
    that started it: a fork has none.
    """

    __slots__ = ("_bell", "_thread")

    def __init__(self, sync: Callable[[], bool]) -> None:
        """``sync`` is a bound method. RuntimeError if the process can have no further thread."""
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(
            target=_run, args=(self._bell, WeakMethod(sync)), name="mmsb-sync", daemon=True
        )
        with signals_held():
            self._thread.start()

    def ring(self) -> None:
        """Something is behind. Called once after each time that ``sync`` said that nothing is."""
        self._bell.put(True)

    def stop(self, *, wait: bool) -> None:
        """Ends the thread, after the sync it is in; with ``wait`` returns when it has ended."""
        self._bell.put(False)
        if wait:
            self._thread.join()


def _run(bell: SimpleQueue[bool], method: WeakMethod[Callable[[], bool]]) -> None:
    while bell.get():
        behind = True
        while behind:
            try:
                bell.get(timeout=DELAY)
                return  # stopped: nobody rings while something is behind
            except Empty:
                sync = method()
            if sync is None:
                return
            behind = sync()
            del sync  # a writer that is dropped now ends at once
