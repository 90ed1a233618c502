"""Work that nobody waits for, done in turn by a thread that ends when there is none left."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from mmsb.memory.forked import locks
from mmsb.memory.quiet import signals_held

_LOG = logging.getLogger("mmsb.memory")


class Behind:
    """What is put here is done soon. It raises nothing that it is not told of itself."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._lock: threading.Lock
        locks(self, "_lock")

    def put(self, work: Callable[[], None]) -> None:
        """After all that was put before; here and now if the process can have no more threads."""
        with self._lock:
            self._waiting.append(work)
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="mmsb-behind", daemon=True)
            try:
                with signals_held():
                    thread.start()
                self._thread = thread
                return
            except (RuntimeError, MemoryError):
                pass
        self._run()

    def wait(self) -> None:
        """Returns when all is done. A fork has nothing to wait for."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                work = self._waiting.popleft()
            try:
                work()
            except Exception:  # what was put after is done all the same
                _LOG.exception("work behind a commit failed")
