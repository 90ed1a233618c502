"""Kernels are compiled once: a fresh process loads them from the disk and compiles nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Each family by its own, so that what fails has a name; on arrays that may be written and on such
# that may not, which numba compiles apart. ``eager``: as if the smallest graph were worth the
# kernels of large ones.
PROGRAM = r"""
import gc, json, sys
import numpy as np
from numba.core import event
from numba.core.dispatcher import Dispatcher

compiled = []
class Listener(event.Listener):
    def on_start(self, event):
        function = event.data["dispatcher"].py_func
        compiled.append(f"{function.__module__}.{function.__name__}")
    def on_end(self, event):
        pass
event.register("numba:compile", Listener())

from mmsb.base import schema
from mmsb.graph import structure
from mmsb.graph.adjacency import Graph
from mmsb.graph.growing import Edges, Growing
from mmsb.graph.incremental import Kept
from mmsb.graph.propagate import propagate, propagate_many
from mmsb.memory.memory import Memory
from mmsb.testing.contracts_graph import eager, threads

def given(cells, dtype, writable):
    made = np.array(cells, dtype)
    made.flags.writeable = writable
    return made

SOURCES, TARGETS = [0, 0, 1, 2, 3], [1, 2, 3, 3, 4]

def graph(writable, weights=True, more=()):
    ends = [given([*cells, *more], np.uint32, writable) for cells in (SOURCES, TARGETS)]
    weights = given([1] * len(ends[0]), np.uint32, writable) if weights else None
    return Graph.from_edges(*ends, weights, count=6)

def propagation(writable):
    heavy, round_ = graph(writable), graph(writable, more=[4])
    for held in (heavy, graph(writable, weights=False)):
        for seeds in (0, given([0, 1], np.int64, writable), {0: 1, 2: 1}):
            for name in ("min_plus", "max_min", "lor_land", "any_pair", "max_plus", "plus_times"):
                propagate(held, seeds, name)
                propagate(held, seeds, name, "backward", limit=2)
    propagate(round_, 0, "plus_times", rounds=3)

def breadth_first(writable):
    held = graph(writable, weights=False)
    propagate(held, given([0], np.int64, writable), "any_pair")
    propagate(held, 0)
    propagate_many(held, [0, [1, 2], given([3], np.int64, writable)], "any_pair")

def components(writable):
    held = graph(writable, more=[4])
    structure.strong_components(held)
    structure.weak_components(held)
    structure.topological_order(graph(writable))
    structure.depth(held)

def incremental(writable):
    growing = Growing(graph(writable))
    kept = Kept(growing, 0)
    more = Edges(*(given([each], np.uint32, writable) for each in (4, 5, 1)))
    kept.update(growing.change(None, more))

def memory(writable):
    with Memory.create(sys.argv[1] + ("w" if writable else "r"), schema.KINDS) as held:
        for _ in range(3):
            changes = held.changes()
            page = changes.page("call", "f")
            ids = given([changes.symbol("g")] * 3, np.uint32, writable)
            alive = given([1, 0, 1], np.uint8, writable)
            changes.patch("call", page, {"alive": alive, "callee": ids})
            rows = given([0, 2], np.int64, writable)
            changes.patch_rows("call", page, rows, {"kind": given([1, 2], np.uint8, writable)})
            held.commit(changes)
        now = held.at()
        now.column("call", page, "callee")
        now.gather("call", "alive")
        pages, rows = (given([each], np.int64, writable) for each in (page, 1))
        now.cells("call", "alive", pages, rows)
        now.blame("call", page, "alive")
        list(held.diff(0, held.head))
        held.digest()
    with Memory.open(sys.argv[1] + ("w" if writable else "r")) as held:
        held.at().columns("call", page, ("alive", "kind"))

told = {}
for family in (memory, propagation, breadth_first, components, incremental):
    for writable in (True, False):
        del compiled[:]
        family(writable)
        for number in (1, 2):
            structure._MANY = structure._SMALLEST = 1
            with threads(number), eager():
                if family is not memory:
                    family(writable)
            structure._MANY, structure._SMALLEST = 1 << 18, 1 << 14
        told[f"{family.__name__}, {'writable' if writable else 'read-only'}"] = list(compiled)
kernels = [each for each in gc.get_objects() if isinstance(each, Dispatcher)]
ours = [each for each in kernels if each.py_func.__module__.startswith("mmsb.")]
loaded = {f"{one.py_func.__module__}.{one.py_func.__name__}": sum(one.stats.cache_hits.values())
          for one in ours if one.overloads}
missed = [name.py_func.__name__ for name in ours if name.stats.cache_misses]
print(json.dumps({"compiled": told, "loaded": loaded, "missed": missed}))
"""


def ran(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    words = [sys.executable, "-c", PROGRAM, str(folder / "memory")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process tells that comes after one that did the same."""
    folder = tmp_path_factory.mktemp("kernels")
    ran(folder / "warm")
    return ran(folder / "fresh")


def test_a_fresh_process_compiles_nothing(fresh: dict[str, Any]) -> None:
    assert {family: names for family, names in fresh["compiled"].items() if names} == {}
    assert len(fresh["compiled"]) == 10
    assert fresh["missed"] == []


def test_its_kernels_came_from_the_disk(fresh: dict[str, Any]) -> None:
    loaded = fresh["loaded"]
    assert [name for name, hits in loaded.items() if not hits] == []
    files = {name.rpartition(".")[0] for name in loaded}
    assert files >= {
        "mmsb.graph.kernels_breadth",
        "mmsb.graph.kernels_build",
        "mmsb.graph.kernels_cheapest",
        "mmsb.graph.kernels_components",
        "mmsb.graph.kernels_keep",
        "mmsb.graph.kernels_reach",
        "mmsb.graph.kernels_waves",
        "mmsb.graph.kernels_weak",
        "mmsb.memory.kernels_cells",
        "mmsb.memory.kernels_many",
        "mmsb.memory.kernels_page",
    }
