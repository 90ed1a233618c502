"""A graph that follows its memory: what was written since is read, as it was and as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmsb.base.errors import UnknownName, UsageError, quote
from mmsb.graph.adjacency import Graph
from mmsb.graph.ends import Leg, Reading
from mmsb.graph.growing import Changed, Edges, Growing
from mmsb.graph.nodes import Nodes
from mmsb.graph.rows import early, joined, keys, some, whole
from mmsb.memory.cells import Array
from mmsb.memory.diff import Written
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot

_PAGE = np.uint64(32)


class SymbolNodes(Nodes):
    """Node n is symbol n: what is called so, a subject or not. It never changes its number."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.count, self._snapshot = snapshot.symbol_count, snapshot

    def texts(self, nodes: object) -> list[str]:
        return self._snapshot.symbols(np.asarray(nodes, np.int64))

    def number(self, name: str) -> int:
        symbol = self._snapshot.symbol_id(name)
        if symbol is None:
            raise UnknownName(f"nothing is called {name!r:.200} as of epoch {self._snapshot.epoch}")
        return symbol


class LiveGraph:
    """The graph of some kinds of edges as of ``epoch``; `advance` takes it to a later one.

    Its nodes are the memory's symbols, so they keep their numbers, and those that nothing is tied
    to are there too. One thread at a time. ``graph`` holds until the next `advance`.
    """

    def __init__(self, memory: Memory, snapshot: Snapshot, readings: list[Reading]) -> None:
        """Use `ShadowPageGraph.live`. O(rows of those kinds)."""
        for reading in readings:
            _check(reading)
        self._memory, self._readings = memory, readings
        self.epoch = snapshot.epoch
        #: Rows with an end or a parent that was not there yet, by reading.
        self._waiting = [early(snapshot, reading) for reading in readings]
        legs = [leg for reading in readings for leg in whole(snapshot, reading)[0]]
        nodes = SymbolNodes(snapshot)
        graph = Graph.from_edges(*joined(legs), nodes=nodes, epoch=snapshot.epoch)
        self.growing = Growing(graph)

    @property
    def graph(self) -> Graph:
        """The graph as of ``epoch``."""
        return self.growing.graph

    def advance(self, to: int | None = None) -> Changed:
        """Goes on to an epoch (default: the head); what came and went, each edge once.

        Cost follows the rows of these kinds that were written since. UsageError for an epoch
        before this one, UnknownName for one that is not there, or where this one was forgotten.
        """
        now = self._memory.at(to)
        if now.epoch < self.epoch:
            raise UsageError(
                f"this graph is at epoch {self.epoch} and goes forward only; ask at({now.epoch})"
            )
        before = self._memory.at(self.epoch)
        kinds = {reading.kind.name for reading in self._readings}
        written = self._memory.diff(before.epoch, now.epoch, kinds)
        gone: list[Leg] = []
        new: list[Leg] = []
        waiting = list(self._waiting)
        for at, reading in enumerate(self._readings):
            maybe = np.union1d(_rows(before, reading, written), waiting[at])
            if len(maybe):
                pages, rows = (maybe >> _PAGE).astype(np.uint32), maybe.astype(np.uint32)
                old, _ = some(before, reading, pages, rows)
                later, waiting[at] = some(now, reading, pages, rows)
                for left, right in zip(old, later, strict=True):
                    differs = ~_same(left, right)
                    gone.append(replace(left, valid=left.valid & differs))
                    new.append(replace(right, valid=right.valid & differs))
        nodes = SymbolNodes(now)
        changed = self.growing.change(_edges(gone), _edges(new), nodes=nodes, epoch=now.epoch)
        self.epoch, self._waiting = now.epoch, waiting
        return changed


def _check(reading: Reading) -> None:
    edge = reading.edge
    if edge.rows:
        raise UsageError(
            f"edges {quote(edge.name)} lie within a page, which is read anew in no time; "
            "use at(page=)"
        )
    if edge.parent and not reading.kind.append_only:
        raise UsageError(
            f"edges {quote(edge.name)}: a parent's row may change under its children; only "
            "append-only kinds are followed with parent="
        )


def _edges(legs: list[Leg]) -> Edges | None:
    return Edges(*joined(legs)) if legs else None


def _same(old: Leg, new: Leg) -> Array:
    """Which rows say the same before and after."""
    equal = (old.sources == new.sources) & (old.targets == new.targets)
    if old.weights is not None and new.weights is not None:
        equal &= old.weights == new.weights
    found: Array = (old.valid == new.valid) & (equal | ~new.valid)
    return found


def _rows(before: Snapshot, reading: Reading, written: tuple[Written, ...]) -> Array:
    """The rows whose edges may differ, as page << 32 | row, increasing."""
    found, names = [np.zeros(0, np.uint64)], set(reading.columns)
    for each in written:
        if each.kind.id != reading.kind.id:
            continue
        rows = each.rows
        if each.deleted:
            page = np.array([each.page], np.uint32)
            if not before.lives(page)[0]:
                continue
            rows = np.arange(before.row_count(reading.kind, each.page), dtype=np.uint32)
        elif names.isdisjoint(each.columns):
            continue
        found.append(keys(np.full(len(rows), each.page), rows))
    return np.unique(np.concatenate(found))
