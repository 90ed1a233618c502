"""Following a memory: each new epoch, in order, as it comes in.

The header file is the doorbell: every commit and every sync changes it. A follower in another
process compares its bytes, one ``pread`` each time it looks; in the writer's own process it looks
at the counters. It looks again after ``SHORTEST`` seconds, and after twice as long each time in
which nothing came, up to ``LONGEST``: so long an epoch may be there unseen.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mmsb.memory.files import HEADER_BYTES
from mmsb.memory.opening import open_file
from mmsb.memory.snapshot import Snapshot

SHORTEST = 0.0001
LONGEST = 0.01


class Bell:
    """Says whether the header was written since it was last asked."""

    __slots__ = ("_handle", "_heard")

    def __init__(self, folder: Path) -> None:
        self._heard = b""
        self._handle = open_file(folder / "header")

    def rang(self) -> bool:
        """True also the first time. One system call."""
        now = os.pread(self._handle, HEADER_BYTES, 0)
        rang, self._heard = now != self._heard, now
        return rang

    def close(self) -> None:
        """Lets go of the file."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        self.close()


class Follower:
    """Iterates over snapshots of new epochs, each once, in order, without a gap.

    Ends when the memory is closed (after what was there by then), when `stop` is called, and when
    nothing came for ``timeout`` seconds. ``next_epoch`` is where another one would go on.
    """

    def __init__(
        self,
        newest: Callable[[], int],
        read: Callable[[int], Snapshot],
        closed: Callable[[], bool],
        first: int,
        timeout: float | None,
    ) -> None:
        """Get one from ``memory.follow()``."""
        self._newest, self._read, self._closed = newest, read, closed
        self._timeout = timeout
        self._stopped = threading.Event()
        self.next_epoch = first

    def __iter__(self) -> Follower:
        return self

    def __next__(self) -> Snapshot:
        """Waits for the next epoch. CorruptData if what came does not hold."""
        if self._stopped.is_set() or not self._wait():
            self._stopped.set()
            raise StopIteration
        snapshot = self._read(self.next_epoch)
        self.next_epoch += 1
        return snapshot

    def stop(self) -> None:
        """Ends the iteration, also one that waits in another thread."""
        self._stopped.set()

    def _wait(self) -> bool:
        """Until the next epoch is there, or will not come: False."""
        end = None if self._timeout is None else time.monotonic() + self._timeout
        pause = SHORTEST
        while True:
            closed = self._closed()  # asked first: what came before the end is still given
            if self._newest() >= self.next_epoch:
                return True
            left = LONGEST if end is None else end - time.monotonic()
            if closed or left <= 0 or self._stopped.wait(min(pause, left)):
                return False
            pause = min(2 * pause, LONGEST)
