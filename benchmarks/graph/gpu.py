"""``python -m benchmarks.graph.gpu [--quick] [--no-write]``: propagation and device pages on a GPU.

Some minutes, most of them to draw R-MAT 2^24 × 16 on the host. Answers are checked against the
CPU's before anything is timed. ``--quick``: 2^12, and nothing is written.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.command import publish
from benchmarks.graph.rmat import Edges, rmat
from benchmarks.harness import Goal, Result, number, same, seconds
from benchmarks.harness import machine as host
from mmsb.base.schema import Column
from mmsb.graph.adjacency import Graph
from mmsb.graph.launch import Launch
from mmsb.graph.propagate import propagate
from mmsb.graph.semiring import Semiring, semiring
from mmsb.memory.device_cells import Cells
from mmsb.memory.machine import Machine, machine

#: Gunrock's own outputs (github.com/gunrock/io at e43de5d), on a Tesla V100-PCIE-32GB: v1-0-0/bfs/
#: V100/rmat_n24_e16 "Wed Oct 23 122446 24 2019" (263 M edges, direction-optimised, the quickest of
#: its settings), 5Apps.ubuntu16.04_v100x1_dev/SSSP_rmat_n24_e16 "Fri Jun 29 014011 2018" (521 M).
PUBLISHED = {"BFS": (4.93e-3, 52.8), "SSSP": (201e-3, 2.59)}
CITED = (
    "Gunrock on a Tesla V100 (PCIe, 32 GB), from its own published outputs, "
    "[gunrock/io](https://github.com/gunrock/io) at e43de5d: `v1-0-0/bfs/V100/rmat_n24_e16` (the "
    "quickest of its settings) and `5Apps.ubuntu16.04_v100x1_dev/SSSP_rmat_n24_e16`, both on "
    "undirected graphs that were drawn with other seeds. No rate of cuGraph for it was found."
)


def timed(run: Callable[[], object], times: int) -> float:
    """Seconds of a call, the median of some after one that is not counted."""
    run()
    found = []
    for _ in range(times):
        began = perf_counter()
        run()
        found.append(perf_counter() - began)
    return median(found)


def copied(device: Machine, to: Cells, source: Cells) -> float:
    """Bytes a second, read and written, of the quicker of CUDA's own device copy and ours."""
    repeated, size = 10, to.bytes

    def ours() -> None:
        for _ in range(repeated):
            device.run("copy", size // 64 + 1, to.buffer, source.buffer, size)
        device.wait()

    ways = [timed(ours, 5)]
    if hasattr(to.buffer.data, "copy_from_device"):
        import cupy

        def cuda() -> None:
            for _ in range(repeated):
                to.buffer.data.copy_from_device(source.buffer.data, size)
            cupy.cuda.runtime.deviceSynchronize()

        ways.append(timed(cuda, 5))
    return 2 * size * repeated / min(ways)


def merging(device: Machine, result: Result, size: int) -> float:
    """The merge of two patches of u32 cells against a copy on the device: bytes a second of it."""
    random, column = np.random.default_rng(1), Column(0, "x", "u32", 0)
    cells = [random.integers(0, 2**32, size, np.uint32) for _ in range(2)]
    bits = random.integers(0, 2**32, size // 32, np.uint32)
    earlier, later = (Cells.put(device, column, each) for each in cells)
    touched = device.put(bits)
    chosen = np.unpackbits(bits.view(np.uint8), bitorder="little").astype(bool)
    out = earlier.merged(later, touched)
    same("merge", np.where(chosen, cells[1], cells[0]), out.get())
    copy, repeated = copied(device, out, earlier), 10

    def merge() -> None:
        args = (out.buffer, earlier.buffer, later.buffer, touched, size, 4)
        for _ in range(repeated):
            device.run("merge", size * 4 // 64 + 1, *args)
        device.wait()

    merge_rate = repeated * (3 * out.bytes + size / 8) / timed(merge, 5)
    result.goals.append(
        Goal("merge, of the device's copy bandwidth", merge_rate / copy, 0.8, "×", at_least=True)
    )
    result.table(
        [f"{size:,} u32 cells", "GB/s"],
        [["copy, read and written", number(copy / 1e9)], ["merge", number(merge_rate / 1e9)]],
    )
    return copy


def traversed(
    device: Machine, edges: Edges, graph: Graph, ring: Semiring, copy: float
) -> tuple[float, float, float]:
    """Seconds of a propagation with its witnesses, edges of what it reached a second, the floor."""
    degrees = graph.out.stops - graph.out.starts
    sources = np.flatnonzero(degrees)[:: max(1, graph.count // 5)][:5]
    times, rates = [], []
    for source in sources.tolist():
        found = propagate(graph, source, ring, device="gpu")
        assert found.device == "gpu"
        if not times:  # the CPU takes its time
            want = propagate(graph, source, ring)
            for name in ("values", "hops", "parent"):
                same(f"{ring.name} {name}", getattr(want, name), getattr(found, name))
        weights = None if ring.boolean else graph.out.weights
        launch = Launch.of(device, graph, "forward", weights, ring)
        seeds = (np.array([source], np.uint32), np.array([ring.one], np.uint64))
        times.append(timed(launch.prepared(seeds), 3))
        rates.append(int(degrees[found.reached].sum()) / times[-1])
    # Each target, each weight, and each node's place, value and witness once at the least.
    least = 4 * edges.size * (1 if ring.boolean else 2) + graph.count * (32 if ring.boolean else 48)
    return median(times), median(rates), least / copy


def small(device: Machine, result: Result) -> None:
    """A propagation over 1,024 nodes of degree 4, captured: the whole call in Python."""
    random = np.random.default_rng(4)
    graph = Graph.from_edges(np.repeat(np.arange(1024), 4), random.integers(0, 1024, 4096))
    rows = []
    for name, what in (("any_pair", "reach"), ("min_plus", "least cost")):
        want, found = (propagate(graph, 0, name, device=at) for at in ("cpu", "gpu"))
        same(name, want.parent, found.parent)

        def ask(name: str = name) -> object:
            return propagate(graph, 0, name, device="gpu")

        ask()  # the second call captures
        took = timed(ask, 300)
        alone = timed(lambda name=name: propagate(graph, 0, name), 300)
        rows.append([what, seconds(took), seconds(alone)])
        goal = f"{what} over 1,024 nodes, the whole call"
        result.goals.append(Goal(goal, took, 40e-6, "s"))
    result.table(["1,024 nodes, 4,096 edges", "GPU", "CPU"], rows)


def run(device: Machine, scale: int, size: int) -> Result:
    """All of it, as one section."""
    result = Result(f"Propagation and merge on a GPU: {device.name}")
    copy = merging(device, result, size)
    small(device, result)
    edges = rmat(scale)
    graph = edges.graph(edges.weights())
    rows = []
    for what, name in (("BFS", "any_pair"), ("SSSP", "min_plus")):
        took, rate, floor = traversed(device, edges, graph, semiring(name), copy)
        theirs, theirs_rate = PUBLISHED[what]
        cells = (seconds(took), number(rate / 1e9), seconds(floor), seconds(theirs))
        rows.append([what, *cells, number(theirs_rate)])
    heads = [f"{edges.name}: {edges.size:,} edges", "median", "G edges/s", "floor"]
    result.table([*heads, "Gunrock, V100", "G edges/s"], rows)
    result.say(
        "With hops and predecessors, the graph on the device, the answer left there; the median of "
        "five seeds, of which the first was checked against the CPU. G edges/s: the edges of the "
        "nodes that were reached. Floor: targets, weights and nodes moved once at the bandwidth of "
        f"a copy. {CITED}"
    )
    return result


def main() -> None:
    """Prints, and writes docs/benchmarks.md."""
    parser = argparse.ArgumentParser("benchmarks.graph.gpu")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-write", action="store_true")
    asked = parser.parse_args()
    began = perf_counter()
    result = run(machine(), *((12, 1 << 16) if asked.quick else (24, 1 << 28)))
    text = f"{result.text()}\n\n{host(Path.cwd())}"
    print(text, f"\n{perf_counter() - began:.0f} s")
    if not asked.quick and not asked.no_write:
        publish("bench-graph", "gpu", text)


if __name__ == "__main__":
    main()
