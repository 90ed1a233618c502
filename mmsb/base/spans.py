"""Spans: what mmsb does and how long each takes, told to whoever listens in this process.

``drain`` (what a recorder sent is taken in), ``commit``, ``sync``, reads (``column``, ``cell``,
``cells``, ``gather``), ``keyframe`` and ``compaction``, each with facts as JSON can hold them.
While nobody listens, a span costs one test. The variable ``MMSB_TRACE`` names a file that all spans
of the process are written to (`mmsb.base.trace`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any

VARIABLE = "MMSB_TRACE"

#: Called with a span's name, when it began and ended (`time.perf_counter_ns`), and its facts, in
#: the thread that did it and after it is done. Threads may call at once.
Listener = Callable[[str, int, int, Mapping[str, Any]], None]

#: Who is told, if anybody: of the process, as a profiler is. Set it with `listen`.
listener: Listener | None = None


def listen(new: Listener | None) -> Listener | None:
    """Tells all spans from now on to ``new`` alone; returns who was told before."""
    global listener
    old, listener = listener, new
    return old


def tell(name: str, began: int, ended: int, /, **facts: Any) -> None:
    """One span. What a listener raises is logged and takes it away: the work itself is done."""
    told = listener
    if told is None:
        return
    try:
        told(name, began, ended, facts)
    except Exception:
        listen(None)
        logging.getLogger("mmsb").exception(
            "the listener to mmsb's spans failed and hears no more of them; set another with listen"
        )


@contextmanager
def span(name: str, /, **facts: Any) -> Iterator[dict[str, Any]]:
    """Tells of what is done inside, also where that raises. Facts may be added to what it gives."""
    if listener is None:
        yield facts
        return
    began = perf_counter_ns()
    try:
        yield facts
    finally:
        tell(name, began, perf_counter_ns(), **facts)


def _from_environment() -> None:
    if path := os.environ.get(VARIABLE):
        from mmsb.base.trace import Trace

        listen(Trace(path))


_from_environment()
