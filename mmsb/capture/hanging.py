"""Whether a Julia that a signal ends still gets anywhere.

Julia runs its exit hooks where the signal stopped it. Julia 1.12 that is interrupted while it wakes
a sleeper holds a lock then that its own way out wants, and stands or spins for ever.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

#: Seconds in which it must say something, or have ended.
GRACE = 300.0  # an exit hook may have much to do


class Watch:
    """On a process. It never hangs but by what a signal began; nor where there is no ``/proc``."""

    def __init__(self, process: int) -> None:
        self._status = Path(f"/proc/{process}/status")
        self.signal = 0  # the last that it was sent; 0: none
        self._silent: float | None = None  # since when it is known to end, and said nothing

    def heard(self) -> None:
        """It said something."""
        self._silent = None

    def hangs(self) -> bool:
        """Asked every now and then while nothing is heard: is the grace over?"""
        if not (self.signal and self._is_ending()):
            self._silent = None
            return False
        if self._silent is None:
            self._silent = time.monotonic()
        return time.monotonic() - self._silent > GRACE

    def _is_ending(self) -> bool:
        """Julia's first thread holds SIGTERM back, from its start until it dies of a signal, and
        Julia 1.5 even then."""
        try:
            lines = self._status.read_text().splitlines()
        except OSError:
            return False
        held = next((int(line[7:], 16) for line in lines if line.startswith("SigBlk:")), -1)
        return not held >> (signal.SIGTERM - 1) & 1
