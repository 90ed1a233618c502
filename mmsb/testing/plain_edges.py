"""The edges of a memory by a plain loop over its rows: what a graph of it is held to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from mmsb.base.model import NONE_U32, STAGES, Stage, Tag
from mmsb.base.schema import staged
from mmsb.graph.adjacency import Graph
from mmsb.graph.edges import ROW, SUBJECT, EdgeKind
from mmsb.memory.snapshot import Snapshot

#: (source, target, weight): subjects by their text, rows by their number; weight 1 without weights.
PlainEdges = Counter[tuple[Any, Any, int]]


def plain_edges(
    snapshot: Snapshot,
    edge: EdgeKind,
    stage: Stage | None = None,
    weight: str | None = None,
    every: int = 1,
) -> dict[str, PlainEdges]:
    """The edges of each page of the kind, or of every so many, by subject."""
    found: dict[str, PlainEdges] = {}
    for page in snapshot.pages(edge.kind).tolist()[::every]:
        subject = snapshot.subject(page)
        own = found.setdefault(subject, Counter())
        columns = snapshot.columns(edge.kind, page)
        lists, most = _beside(snapshot, edge, subject)
        for row in range(snapshot.row_count(edge.kind, page)):
            for source, target in _ends(
                snapshot, edge, columns, row, subject=subject, stage=stage, lists=lists, most=most
            ):
                cell = 1 if weight is None else _cell(snapshot, edge, columns, weight, row, stage)
                own[source, target, cell] += 1
    return found


def graph_edges(graph: Graph, *, numbers: bool = False) -> PlainEdges:
    """The edges of a graph, nodes by name or by number."""
    sources, targets, weights = graph.edges()
    named = (
        zip(sources.tolist(), targets.tolist(), strict=True)
        if numbers
        else zip(graph.nodes.texts(sources), graph.nodes.texts(targets), strict=True)
    )
    weigh = [1] * len(sources) if weights is None else weights.tolist()
    return Counter((s, t, w) for (s, t), w in zip(named, weigh, strict=True))


def _cell(
    snapshot: Snapshot, edge: EdgeKind, columns: Any, name: str, row: int, stage: Stage | None
) -> int:
    """A cell, of a staged column the last that is set up to the stage."""
    if name in columns:
        return int(columns[name][row])
    upto = STAGES[: STAGES.index(Stage.OPTIMIZED if stage is None else stage) + 1]
    for each in reversed(upto):
        cell = int(columns[staged(name, each)][row])
        if cell != snapshot.kind(edge.kind).column(staged(name, each)).fill:
            return cell
    return cell


def _beside(snapshot: Snapshot, edge: EdgeKind, subject: str) -> tuple[Any, int]:
    """Where ends are rows: the page of operands, and how many rows there are."""
    if not edge.rows:
        return None, 0
    page = snapshot.page(edge.rows, subject)
    lists = snapshot.page(edge.operands, subject) if edge.operands else None
    return (
        None if lists is None else snapshot.columns(edge.operands, lists),
        0 if page is None else snapshot.row_count(edge.rows, page),
    )


def _ends(
    snapshot: Snapshot,
    edge: EdgeKind,
    columns: Any,
    row: int,
    *,
    subject: str,
    stage: Stage | None,
    lists: Any,
    most: int,
) -> Iterator[tuple[Any, Any]]:
    def cell(name: str, at: int = row) -> int:
        return _cell(snapshot, edge, columns, name, at, stage)

    def end(name: str, at: int = row) -> Any:
        if name in (SUBJECT, ROW):
            return subject if name == SUBJECT else row
        id = cell(name, at)
        if not edge.rows:
            return snapshot.symbol(id) if id < snapshot.symbol_count else None
        return id if id < most else None

    if any(cell(name) != wanted for name, wanted in edge.where):
        return
    if stage is None and any(cell(name) == unwanted for name, unwanted in edge.unless):
        return
    if edge.stage and stage is not None and cell(edge.stage) != stage:
        return
    if edge.operands:
        start, count = cell(edge.source), cell("operand_count")
        if lists is not None and start != NONE_U32 and count != 0xFFFF:
            yield from ((source, row) for source in _values(lists, start, count))
        return
    at = row
    if edge.parent:
        at = cell(edge.parent)
        if at >= len(columns[edge.parent]):
            return
    steps = [end(edge.source, at), *([end(edge.via)] if edge.via else []), end(edge.target)]
    if edge.via and steps[1] is None:
        del steps[1]
    for low, high in pairwise(steps):
        if low is not None and high is not None:
            yield low, high


def _values(lists: Any, start: int, count: int) -> Iterator[int]:
    """The statements whose values a list of operands names, also those nested in it."""
    for at in range(start, start + count):
        if int(lists["tag"][at]) == Tag.SSA:
            yield int(lists["value"][at])
        yield from _values(lists, int(lists["start"][at]), int(lists["count"][at]))
