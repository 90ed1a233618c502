"""Threads of ours take no signals: those are the program's, or a Julia's beside us."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def signals_held() -> Iterator[None]:
    """A thread that is started inside never gets a signal: the system gives it to another."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hold_signals() -> None:
    """The calling thread gets no signal from now on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
