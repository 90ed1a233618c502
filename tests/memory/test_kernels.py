"""The compiled loops, called from many threads and after forks, and what they compile to."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsb.memory import frame, kernels, pool
from mmsb.memory.cells import address_of
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL

PAGES, ROWS, EPOCHS = 60, 700, 8


@pytest.fixture
def known(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Memory, np.ndarray]]:
    """A memory and what its head holds, by page and row. Work is shared out to four threads."""
    monkeypatch.setattr(pool, "THREADS", 4)
    truth = np.zeros((PAGES, ROWS), "<u4")
    draws = np.random.default_rng(0)
    with Memory.create(path, KINDS, segment_bytes=64 * 1024) as memory:
        changes = memory.changes()
        pages = changes.pages(SMALL, [f"p{n}" for n in range(PAGES)])
        changes.patch_many(SMALL, pages, {"value": truth.reshape(-1)})
        memory.commit(changes)
        for _ in range(EPOCHS):
            changes = memory.changes()
            for at in draws.permutation(PAGES)[:40].tolist():
                rows = np.unique(draws.integers(0, ROWS, 30)).astype("<u4")
                truth[at, rows] = draws.integers(0, 2**32, len(rows))
                changes.patch_rows(SMALL, int(pages[at]), rows, {"value": truth[at, rows]})
            memory.commit(changes)
        memory._index.compiled = True
        yield memory, truth


def read(memory: Memory, truth: np.ndarray, seed: int) -> None:
    """All reads that use the kernels; the larger ones on several threads."""
    draws = np.random.default_rng(seed)
    snapshot = memory.at()
    pages = snapshot.pages(SMALL)
    for _ in range(5):
        values, _ = snapshot.gather(SMALL, "value")
        assert np.array_equal(values.reshape(PAGES, ROWS), truth)
        at, rows = draws.integers(0, PAGES, 20_000), draws.integers(0, ROWS, 20_000)
        assert np.array_equal(snapshot.cells(SMALL, "value", pages[at], rows), truth[at, rows])
        one = int(draws.integers(0, PAGES))
        assert np.array_equal(snapshot.column(SMALL, int(pages[one]), "value"), truth[one])


def ended(run: Callable[[], object]) -> int:
    """How a fork of this process ends that runs it; killed after a minute."""
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.alarm(60)
            run()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_four_threads_at_once(known: tuple[Memory, np.ndarray]) -> None:
    with ThreadPoolExecutor(4) as threads:
        for each in [threads.submit(read, *known, seed) for seed in range(4)]:
            each.result()


def test_forks_while_threads_are_inside_the_kernels(known: tuple[Memory, np.ndarray]) -> None:
    over = threading.Event()

    def again(seed: int) -> None:
        while not over.is_set():
            read(*known, seed)

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(again, seed) for seed in range(3)]
        try:
            for seed in range(6):
                assert ended(lambda seed=seed: read(*known, seed)) == 0  # type: ignore[misc]
        finally:
            over.set()
        for each in running:
            each.result()


def test_a_fork_that_opens_anew_and_forks_again(known: tuple[Memory, np.ndarray]) -> None:
    memory, truth = known
    read(memory, truth, 0)

    def reopened() -> None:
        with Memory.open(memory.path, kinds=KINDS) as other:
            other._index.compiled = True
            read(other, truth, 1)
            assert ended(lambda: read(other, truth, 2)) == 0

    assert ended(reopened) == 0
    read(memory, truth, 3)


def assembly(kernel: Any, numbers: int) -> str:
    """What a kernel of so many numbers compiles to; caches keep no assembly."""
    from numba import int64, njit

    made = njit(nogil=True, boundscheck=False)(kernel.py_func)
    made.compile((int64,) * numbers)
    (code,) = made.inspect_asm().values()
    return str(code)


def test_cells_are_filled_and_laid_over_by_memcpy() -> None:
    # A loop of stores by address becomes scatters, a twentieth as fast.
    from mmsb.memory import kernels_load, kernels_page

    kinds = {kernels_load.fill_with: 4, kernels_load.put_cells: 6, kernels_page.lay: 8}
    codes = [assembly(kernel, numbers) for kernel, numbers in kinds.items()]
    assert all("memcpy" in code for code in codes)
    # Those of the first cells that are filled, and no more.
    assert len({code.count("scatter") for code in codes}) == 1


@pytest.mark.parametrize("width", [2, 4, 8])
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 63, 1000])
def test_narrow_cells_are_widened(width: int, size: int, count: int) -> None:
    from mmsb.memory.kernels_load import put_cells
    from mmsb.memory.shapes import widened

    if size < width:
        held = np.arange(2 ** (8 * size) - count, 2 ** (8 * size)).astype(f"<u{size}")
        out = np.zeros(count + 2, f"<u{width}")
        wanted = out.copy()
        wanted[1:-1] = widened(held, out.dtype)
        put_cells(address_of(out) + width, address_of(held), count, size, 0, width)
        assert np.array_equal(out, wanted)


@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4", "<u8"])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000, 100_003])
def test_filling_fills_so_many_cells(dtype: str, count: int) -> None:
    from mmsb.memory.kernels_load import fill_with

    value = np.array(0xDEAD_BEEF_1234_5678, "<u8")
    out, wanted = np.zeros(count + 2, dtype), np.zeros(count + 2, dtype)
    wanted[1:-1] = value.astype(dtype)
    fill_with(address_of(out) + out.itemsize, count, out.itemsize, int(value.view("<i8")))
    assert np.array_equal(out, wanted)


def test_the_kernels_know_the_flags_and_the_blocks_of_a_frame() -> None:
    """Kernels import nothing of ours, so these numbers are written there a second time."""
    assert kernels.TOMBSTONE == frame.TOMBSTONE
    assert 1 << kernels._BLOCK_BITS == frame.BLOCK
