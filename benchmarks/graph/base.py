"""Who calls whom in a recording of Base: small, as what one asks about is, and with few cycles."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

import mmsb
from benchmarks.graph.rmat import Edges
from benchmarks.harness import ROOT, Bench, Result
from benchmarks.memory.recording import NO_JULIA, REACHED, modern_julia, recorded
from mmsb.session.recording import write

TOUR = ROOT / "mmsb" / "data" / "tour.mmsb"


def base(bench: Bench, result: Result) -> Edges | None:
    """The distinct edges of ``memory.graph().at(kinds=("calls",))``; the result says what of.

    None, which the result says, where there is no Julia to record. ``quick``: of the tour.
    """
    if bench.quick:
        return _calls(TOUR, "calls of the tour")
    julia = modern_julia()
    if julia is None:
        result.say(f"The call graph of Base is left out: {NO_JULIA}.")
        return None
    with bench.room("base") as room:
        edges, instances = _recorded(room / "base.mmsb")
    result.say(
        f"“{edges.name}” is who calls whom among the {instances:,} method instances that the "
        f"memory's benchmark records (Julia {julia.version}), as "
        '`memory.graph().at(kinds=("calls",))` has it, each edge once since peers that hold '
        "matrices know no parallel ones: a graph so small that what a call costs before it looks "
        "at the first edge counts."
    )
    return edges


@cache
def _recorded(path: Path) -> tuple[Edges, int]:
    """And of how many method instances. One recording for all claims of a run."""
    julia = modern_julia()
    assert julia is not None
    told = write(recorded(julia, "recording_base.jl", REACHED), path)
    return _calls(path, "calls of Base"), told.instances


def _calls(path: Path, name: str) -> Edges:
    with mmsb.open(path) as memory:
        graph = memory.graph().at(kinds=("calls",))
        sources, targets, _ = graph.edges()
    keys = np.unique(sources.astype(np.uint64) << np.uint64(32) | targets)
    sources = (keys >> np.uint64(32)).astype(np.uint32)
    return Edges(name, graph.count, sources, keys.astype(np.uint32))
