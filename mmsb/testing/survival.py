"""Reading all of a memory whose bytes anybody may have written, in a child process that may die."""

from __future__ import annotations

import faulthandler
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsb.base.errors import MmsbError
from mmsb.base.rect import Rows
from mmsb.memory.check import check
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot
from mmsb.testing.strategies import KINDS

#: A child may take so much more address space, so many seconds of a core (a page may say that it
#: has 2**27 rows, and all of its columns are read), and so many by the clock of a busy machine.
ROOM, SECONDS, WAIT = 8 * 2**30, 120, 1200


def fuzz(examples: int, body: Callable[..., None], *given_: st.SearchStrategy[Any]) -> None:
    """Runs the body on so many examples."""
    run = given(*given_)(body)
    settings(max_examples=examples, suppress_health_check=list(HealthCheck), deadline=None)(run)()


def anew(base: Path, copy: Path) -> None:
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(base, copy)


def attempt(read: Callable[[], Any]) -> None:
    with suppress(MmsbError):
        read()


def reads(memory: Memory, snapshot: Snapshot) -> Iterator[Callable[[], Any]]:
    """Every read there is, of every page."""
    for kind in snapshot.kinds:
        names = [column.name for column in kind.columns]
        pages = snapshot.pages(kind).tolist()
        yield partial(snapshot.gather_columns, kind)
        yield partial(snapshot.page, kind, "gone")
        for page in pages[:4]:
            yield partial(snapshot.subject, page)
            yield partial(snapshot.written, page)
            yield partial(snapshot.row_count, kind, page)
            yield partial(snapshot.columns, kind, page)
            yield partial(snapshot.blame, kind, page, names)
            for name in names[:3]:
                yield partial(snapshot.column, kind, page, name, Rows(1, 9))
        rows = np.tile([0, 2, 2**32 - 2], len(pages))
        for name in names[:3]:
            yield partial(snapshot.cells, kind, name, np.repeat(pages, 3), rows)
    yield snapshot.symbol_bytes
    yield partial(snapshot.symbols, range(4))
    yield partial(memory.digest, snapshot.epoch)
    yield partial(memory.diff, memory._index.base, snapshot.epoch)


def read_everything(path: Path) -> None:
    """All of a memory, with the kernels and without; errors have names."""
    attempt(lambda: check(path))
    for kinds, compiled in ((KINDS, True), ((), False)):
        try:
            memory = Memory.open(path, kinds=kinds)
        except MmsbError:
            continue
        with memory:
            memory._index.compiled = compiled
            for epoch in sorted({memory.head, max(memory.head // 2, memory._index.base)}):
                for read in reads(memory, memory.at(epoch)):
                    attempt(read)
            attempt(memory.stats)


def _spent() -> int:
    return int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 1


def survives(path: Path, read: Callable[[Path], None] = read_everything) -> None:
    """Reads in a fork and fails with what the fork died of."""
    sys.stdout.flush()  # else both would write it
    out, into = os.pipe()
    child = os.fork()
    if not child:
        os.close(out)
        code = 1
        try:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
            resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            faulthandler.enable(into)
            resource.setrlimit(resource.RLIMIT_CPU, (_spent() + SECONDS,) * 2)
            signal.alarm(WAIT)
            read(path)
            code = 0
        except BaseException:
            os.write(into, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(code)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"ended with {status}: {said}"
