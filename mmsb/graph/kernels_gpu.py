"""A GPU through CuPy: its memory, transfers, streams, launches, captured graphs, its peers.

The only file that imports CuPy. The kernels are the CUDA C++ in the ``.cu`` files beside this one;
NVRTC compiles them once a GPU's architecture, and CuPy keeps the result on disk. `machine` answers
what `mmsb.memory.machine.Machine` asks for; a launch is on the machine's own stream, in order, and
only `get`, `wait` and a captured graph's launch wait for it. Nobody but the caller holds a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

#: Threads of a block of a page kernel, and of one that propagates.
_THREADS, _TEAM = 256, 512
#: A block of page kernels has a few waves of work, so that the tail of the last is short.
_BLOCKS_A_PROCESSOR = 16
#: Bytes of each of the two pinned buffers through which large arrays pass.
_STAGE = 16 << 20
_TYPES = {4: "NCCL_UINT32", 8: "NCCL_UINT64"}


def source() -> str:
    """The CUDA C++ of all kernels."""
    files = sorted(Path(__file__).parent.glob("kernels_*.cu"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@cache
def machine(number: int = 0, *, unified: bool = False) -> Gpu:
    """The GPU of that number; ImportError without CuPy, RuntimeError without a GPU or driver.

    ``unified``: its arrays lie in unified memory and are prefetched to the GPU, so that they may be
    larger than what it has.
    """
    import cupy

    if number >= cupy.cuda.runtime.getDeviceCount():
        raise RuntimeError(f"there is no GPU {number}")
    return Gpu(cupy, number, unified)


class Gpu:
    """One GPU. MemoryError (CuPy's) when its memory is exhausted: nothing is changed then."""

    #: A warp; and what the kernels call PIECE.
    lanes, piece = 32, 512

    def __init__(self, cupy: Any, number: int, unified: bool) -> None:
        """Get one from `machine`."""
        self._cupy, self._unified, self._device = cupy, unified, cupy.cuda.Device(number)
        with self._device:
            found = cupy.cuda.runtime.getDeviceProperties(number)
            self._stream = cupy.cuda.Stream(non_blocking=True)
        self.name = found["name"].decode()
        self.processors = int(found["multiProcessorCount"])
        pool = cupy.get_default_memory_pool()
        self._pool = cupy.cuda.MemoryPool(cupy.cuda.malloc_managed) if unified else pool
        self._comms: list[Any] = []

    @cached_property
    def peers(self) -> tuple[Gpu, ...]:
        """All GPUs of this machine, itself the first."""
        count = self._cupy.cuda.runtime.getDeviceCount()
        others = (
            machine(at, unified=self._unified) for at in range(count) if at != self._device.id
        )
        return (self, *others)

    # Memory.

    def room(self, count: int, dtype: Any) -> Any:
        """An array of so many items that hold anything; its bytes are a multiple of 16."""
        item = np.dtype(dtype)
        size = max(16, -(-count * item.itemsize // 16) * 16)
        with self._device, self._stream:
            memory = self._pool.malloc(size)
            if self._unified:
                runtime = self._cupy.cuda.runtime
                runtime.memPrefetchAsync(memory.ptr, size, self._device.id, self._stream.ptr)
            return self._cupy.ndarray((count,), item, memory)

    def put(self, cells: Any) -> Any:
        """The array on this GPU, through pinned memory."""
        given = np.ascontiguousarray(cells).reshape(-1)
        out = self.room(len(given), given.dtype)
        bytes_ = given.view(np.uint8)
        with self._device, self._stream:
            for at, stage, done in self._staged(len(bytes_)):
                part = bytes_[at : at + _STAGE]
                stage[: len(part)] = part
                (out.data + at).copy_from_host_async(stage.ctypes.data, len(part), self._stream)
                done.record(self._stream)
            self._stream.synchronize()
        return out

    def get(self, buffer: Any) -> Any:
        """A copy on the host, once all that was launched is done."""
        out = np.empty(len(buffer), buffer.dtype)
        bytes_ = out.view(np.uint8)
        with self._device, self._stream:
            for at, stage, _ in self._staged(len(bytes_)):
                part = bytes_[at : at + _STAGE]
                (buffer.data + at).copy_to_host_async(stage.ctypes.data, len(part), self._stream)
                self._stream.synchronize()
                part[:] = stage[: len(part)]
        return out

    def _staged(self, size: int) -> Any:
        """(offset, pinned buffer, event) a part; a buffer comes again once its event is done."""
        stages: list[tuple[Any, Any]] = []
        for turn, at in enumerate(range(0, size, _STAGE)):
            if turn < 2:
                stages.append((self.pinned(min(size, _STAGE), np.uint8), self._cupy.cuda.Event()))
            stage, done = stages[turn % 2]
            done.synchronize()
            yield at, stage, done

    # Work.

    def run(self, kernel: str, work: int, *args: Any) -> None:
        """A kernel of the pages, on as many threads as it has work for."""
        blocks = min(-(-work // _THREADS), self.processors * _BLOCKS_A_PROCESSOR)
        self._launch(self._alone, kernel, max(1, blocks), _THREADS, args)

    def teams(self, kernel: str, count: int, *args: Any) -> None:
        """A kernel that propagates: ``count`` blocks, each a team of its own."""
        self._launch(self._alone, kernel, count, _TEAM, args)

    def together(self, kernel: str, *args: Any) -> None:
        """The same by the whole GPU as one team, whose threads may wait for each other."""
        with self._device:
            function = self._together.get_function(kernel)
            driver = self._cupy.cuda.driver
            resident = driver.occupancyMaxActiveBlocksPerMultiprocessor(
                function.kernel.ptr, _TEAM, 0
            )
        self._launch(self._together, kernel, resident * self.processors, _TEAM, args)

    def wait(self) -> None:
        """Until all that was launched is done."""
        self._stream.synchronize()

    def _launch(self, module: Any, kernel: str, blocks: int, threads: int, args: Any) -> None:
        words = tuple(
            np.uint64(given if isinstance(given, int) else given.data.ptr) for given in args
        )
        with self._device, self._stream:
            module.get_function(kernel)((blocks,), (threads,), words)

    @property
    def _options(self) -> tuple[str, ...]:
        return ("-std=c++17", f"-DPIECE={self.piece}")

    @cached_property
    def _alone(self) -> Any:
        return self._cupy.RawModule(code=source(), options=self._options)

    @cached_property
    def _together(self) -> Any:
        code, options = source(), (*self._options, "-DTOGETHER")
        return self._cupy.RawModule(code=code, options=options, enable_cooperative_groups=True)

    # Captured graphs.

    def pinned(self, count: int, dtype: Any) -> Any:
        """A host array that the GPU reads and writes by itself."""
        import cupyx

        return cupyx.empty_pinned((count,), dtype)

    def send(self, to: Any, pinned: Any) -> None:
        """Launches a copy of a pinned array to the beginning of ``to``."""
        to.data.copy_from_host_async(pinned.ctypes.data, pinned.nbytes, self._stream)

    def fetch(self, pinned: Any, source_: Any) -> None:
        """Launches a copy of the beginning of an array to a pinned one."""
        source_.data.copy_to_host_async(pinned.ctypes.data, pinned.nbytes, self._stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """What ``work`` launches, as a graph: to be called again, each time until it is done.

        ``work`` is called once before, so that all is compiled. The arrays stay where they are.
        """
        with self._device, self._stream:
            work()
            self._stream.synchronize()
            self._stream.begin_capture()
            work()
            graph = self._stream.end_capture()

        def launch() -> None:
            with self._device:
                graph.launch(self._stream)
                self._stream.synchronize()

        return launch

    # Peers.

    def reduce(self, parts: Sequence[Any], most: bool) -> None:
        """Sets an array of each peer to the least (or ``most``) of all, item by item, by NCCL."""
        from cupy.cuda import nccl

        if not self._comms:
            self._comms = nccl.NcclCommunicator.initAll([peer._device.id for peer in self.peers])
        kind = getattr(nccl, _TYPES[parts[0].dtype.itemsize])
        op = nccl.NCCL_MAX if most else nccl.NCCL_MIN
        nccl.groupStart()
        for peer, comm, part in zip(self.peers, self._comms, parts, strict=True):
            with peer._device:
                at = part.data.ptr
                comm.allReduce(at, at, len(part), kind, op, peer._stream.ptr)
        nccl.groupEnd()
