"""A machine whose CUDA kernels run on the host: their logic can be tested where there is no GPU.

It says nothing about a device's memory, timing, or which of its threads are slow.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmsb.graph.kernels_gpu import source

HERE = Path(__file__).parent
#: Blocks and threads to a block; an item of a front has a few threads, and pieces are short.
BLOCKS, THREADS = 2, 4


@cache
def library(together: bool) -> Any:
    """The kernels compiled by g++."""
    compiler = shutil.which("g++")
    assert compiler is not None
    with TemporaryDirectory() as folder:
        kernels, out = Path(folder) / "kernels.cu", Path(folder) / "kernels.so"
        kernels.write_text(source())
        options = ["-std=c++17", "-O1", "-shared", "-fPIC", "-w", f'-DKERNELS="{kernels}"']
        options.append(f"-DPIECE={Host.piece}")
        if together:
            options.append("-DTOGETHER")
        subprocess.run([compiler, *options, "-o", out, HERE / "cuda" / "host.cpp"], check=True)
        return ctypes.CDLL(str(out))


class Host:
    """See `mmsb.memory.machine.Machine`. ``limit``: more bytes than that it has not at once."""

    lanes, piece = 4, 3

    def __init__(self, seed: int = 1, peers: int = 1, limit: int | None = None) -> None:
        self.name, self.seed, self.limit = "host", seed, limit
        self.launched: list[str] = []
        self.given = 0
        others = (Host(seed + at, 1, limit) for at in range(1, peers))
        self.peers: tuple[Host, ...] = (self, *others)

    def room(self, count: int, dtype: Any) -> Any:
        item = np.dtype(dtype)
        size = max(16, -(-count * item.itemsize // 16) * 16)
        if self.limit is not None and size > self.limit:
            raise MemoryError("the device is full")
        self.given += 1
        whole = np.full(size, self.given * 37 & 0xFF, np.uint8)  # what it holds must not matter
        return whole[: count * item.itemsize].view(item)

    def put(self, cells: Any) -> Any:
        out = self.room(len(cells), cells.dtype)
        out[:] = cells
        return out

    def get(self, buffer: Any) -> Any:
        return buffer.copy()

    def run(self, kernel: str, work: int, *args: Any) -> None:
        self._launch(False, kernel, BLOCKS if work else 1, args)

    def teams(self, kernel: str, count: int, *args: Any) -> None:
        self._launch(False, kernel, count, args)

    def together(self, kernel: str, *args: Any) -> None:
        self._launch(True, kernel, BLOCKS, args)

    def _launch(self, together: bool, kernel: str, blocks: int, args: Sequence[Any]) -> None:
        self.launched.append(kernel)
        held = library(together)
        words = [each if isinstance(each, int) else each.ctypes.data for each in args]
        given = (ctypes.c_uint64 * len(words))(*words)
        self.seed += 1
        held.launch(getattr(held, kernel), blocks, THREADS, self.seed, given, len(words))

    def wait(self) -> None:
        pass

    def pinned(self, count: int, dtype: Any) -> Any:
        return np.empty(count, dtype)

    def send(self, to: Any, pinned: Any) -> None:
        to.view(np.uint8)[: pinned.nbytes] = pinned.view(np.uint8)

    def fetch(self, pinned: Any, source_: Any) -> None:
        pinned.view(np.uint8)[:] = source_.view(np.uint8)[: pinned.nbytes]

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        work()
        return work

    def reduce(self, parts: Sequence[Any], most: bool) -> None:
        found = (np.maximum if most else np.minimum).reduce(list(parts))
        for part in parts:
            part[:] = found
