"""The graph of a memory: what its rows say of who is tied to whom, as of any epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from mmsb.base.errors import UnknownName, UsageError
from mmsb.base.model import Stage
from mmsb.graph.adjacency import Graph
from mmsb.graph.edges import CALLS, EdgeKind, edge_kinds
from mmsb.graph.ends import Leg, Reading
from mmsb.graph.live import LiveGraph
from mmsb.graph.nodes import PageRows, Subjects
from mmsb.graph.rows import in_page, joined, whole
from mmsb.memory.asked import of_type, text
from mmsb.memory.cells import frozen
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot

#: Edge kinds by name or as they are; one or several.
Kinds = EdgeKind | str | Iterable[EdgeKind | str]
#: A column that weighs the edges; of each kind, or by the edge kind's name.
Weights = str | Mapping[str, str] | None


class ShadowPageGraph:
    """Graphs of a memory, by kinds of edges and epoch. Free to make; each call reads anew."""

    def __init__(self, memory: Memory) -> None:
        """UsageError for what is no memory."""
        of_type(memory, Memory, "pass an open memory")
        self._memory = memory

    def at(
        self,
        epoch: int | None = None,
        kinds: Kinds = CALLS,
        *,
        page: int | str | None = None,
        stage: Stage | None = None,
        weights: Weights = None,
    ) -> Graph:
        """The graph as of an epoch (default: the head), with the edges of all those kinds.

        Nodes are subjects: every end, and all that have a page of the kinds. Of kinds whose nodes
        are rows, ``page`` is the subject, or any page of it. ``stage``: of kinds that have stages;
        by default the final IR, and call sites of all stages. ``weights``: an unsigned column of
        the row that is the edge. O(rows of those kinds). UnknownName for an epoch, a kind, a
        column, a subject that is not there; UsageError for kinds whose nodes are not the same.
        """
        snapshot = self._memory.at(epoch)
        readings = readings_of(snapshot, kinds, stage, weights)
        if readings[0].edge.rows:
            return _of_rows(snapshot, readings, page)
        if page is not None:
            names = ", ".join(reading.edge.name for reading in readings)
            raise UsageError(f"{names}: nodes are subjects of all pages; leave out page=")
        return _of_subjects(snapshot, readings)

    def live(
        self,
        kinds: Kinds = CALLS,
        *,
        epoch: int | None = None,
        stage: Stage | None = None,
        weights: Weights = None,
    ) -> LiveGraph:
        """The same graph, of kinds whose nodes are subjects, that `LiveGraph.advance` takes from
        ``epoch`` (default: the head) to later ones. Raises as `at` does."""
        snapshot = self._memory.at(epoch)
        readings = readings_of(snapshot, kinds, stage, weights)
        return LiveGraph(self._memory, snapshot, readings)


def readings_of(
    snapshot: Snapshot, kinds: Kinds, stage: Stage | None, weights: Weights
) -> list[Reading]:
    """How each kind is read; UsageError where the stage or a weight is of none of them."""
    edges = edge_kinds(kinds)
    if stage is not None:
        of_type(stage, Stage, "a stage is a mmsb.base.model.Stage")
    for name in weights.values() if isinstance(weights, Mapping) else (weights,):
        if name is not None and not text(name, "the column of the weights"):
            raise UsageError("the column of the weights has a name; leave out weights= for none")
    if isinstance(weights, Mapping):
        unknown = sorted(set(weights) - {edge.name for edge in edges})
        if unknown or len(weights) != len(edges):
            named = ", ".join(edge.name for edge in edges)
            raise UsageError(f"weights: name one column for each of {named}, not {dict(weights)}")
    readings = [
        Reading(
            snapshot, edge, stage, weights[edge.name] if isinstance(weights, Mapping) else weights
        )
        for edge in edges
    ]
    if stage is not None and not any(reading.has_stages for reading in readings):
        names = ", ".join(edge.name for edge in edges)
        raise UsageError(f"{names}: these rows have no stages; leave out stage=")
    return readings


def _of_subjects(snapshot: Snapshot, readings: list[Reading]) -> Graph:
    marks = np.zeros(snapshot.symbol_count, bool)
    legs: list[Leg] = []
    for reading in readings:
        found, subjects = whole(snapshot, reading)
        legs += found
        marks[subjects] = True
    sources, targets, weights = joined(legs)
    marks[sources] = True
    marks[targets] = True
    places = np.cumsum(marks, dtype=np.uint32) - np.uint32(1)
    symbols = frozen(np.flatnonzero(marks).astype(np.uint32))
    return Graph.from_edges(
        places[sources],
        places[targets],
        weights,
        nodes=Subjects(snapshot, symbols),
        epoch=snapshot.epoch,
    )


def _of_rows(snapshot: Snapshot, readings: list[Reading], page: int | str | None) -> Graph:
    names = ", ".join(reading.edge.name for reading in readings)
    if page is None:
        raise UsageError(f"{names}: nodes are rows of one page; pass page=, a subject or its page")
    subject = page if isinstance(page, str) else snapshot.subject(page)
    nodes = readings[0].edge.rows
    own = snapshot.page(nodes, subject)
    if own is None:
        raise UnknownName(
            f"{subject!r:.200} has no page of kind {nodes!r} as of epoch {snapshot.epoch}; see "
            f"snapshot.pages({nodes!r})"
        )
    count = snapshot.row_count(nodes, own)
    legs = [leg for reading in readings for leg in in_page(snapshot, reading, subject, count)]
    sources, targets, weights = joined(legs)
    named = PageRows(own, count)
    return Graph.from_edges(sources, targets, weights, nodes=named, epoch=snapshot.epoch)
