"""Graphs of a memory, held to a plain loop over its rows: as of any epoch, and followed."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsb.base import schema
from mmsb.base.errors import UnknownName, UsageError
from mmsb.base.model import Stage
from mmsb.base.schema import Column, Kind
from mmsb.graph.edges import BY_NAME, ROW, SUBJECT, EdgeKind
from mmsb.graph.live import LiveGraph
from mmsb.graph.shadow import ShadowPageGraph
from mmsb.memory.memory import Memory
from mmsb.testing.plain_edges import PlainEdges, graph_edges, plain_edges

NONE = 0xFFFF_FFFF
LINK = Kind(
    40,
    "link",
    (
        Column(0, "alive", "u8", 0),
        Column(1, "to", "u32", NONE, "symbol"),
        Column(2, "cost", "u64", 7),
        Column(3, "other", "f64", 0),
    ),
)
TREE = Kind(
    41,
    "tree",
    (Column(0, "parent", "u32", NONE), Column(1, "who", "u32", NONE, "symbol")),
    append_only=True,
)
CHAIN = Kind(
    42,
    "chain",
    tuple(Column(at, name, "u32", NONE, "symbol") for at, name in enumerate("abc")),
    append_only=True,
)
KINDS = (schema.HEAP, schema.SYMBOL, LINK, TREE, CHAIN)
LINKS = EdgeKind("links", "link", SUBJECT, "to", where=(("alive", 1),))
DEAR = EdgeKind("dear", "link", SUBJECT, "to", where=(("alive", 1),), unless=(("cost", 2),))
BACK = EdgeKind("back", "link", "to", SUBJECT)
TREES = EdgeKind("trees", "tree", "who", "who", parent="parent")
CHAINS = EdgeKind("chains", "chain", "a", "c", via="b")
EDGES = (LINKS, DEAR, BACK, TREES, CHAINS)
TEXTS = [f"f{number}" for number in range(6)]
TOUR = Path(__file__).parents[2] / "mmsb" / "data" / "tour.mmsb"


def cells(kind: Kind, count: int) -> st.SearchStrategy[dict[str, list[Any]]]:
    """Some columns; symbols and parents are small, so that some name nothing."""

    def one(column: Column) -> st.SearchStrategy[int]:
        if column.name == "cost":
            return st.integers(0, 3) | st.just(2**33)
        return st.integers(0, 1) if column.dtype != "u32" else st.integers(0, 7) | st.just(NONE)

    some = st.lists(st.sampled_from(kind.columns), min_size=1, unique=True)
    return some.flatmap(
        lambda chosen: st.fixed_dictionaries(
            {c.name: st.lists(one(c), min_size=count, max_size=count) for c in chosen}
        )
    )


def _write(rows: list[int]) -> st.SearchStrategy[tuple[Any, ...]]:
    subject = st.sampled_from(TEXTS)
    return st.tuples(st.just("write"), subject, st.just(rows), cells(LINK, len(rows)))


ROWS = st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True).map(sorted)
STEPS = st.one_of(
    ROWS.flatmap(_write),
    ROWS.flatmap(_write),
    st.tuples(st.just("delete"), st.sampled_from(TEXTS)),
    st.tuples(st.just("append"), st.just(TREE), cells(TREE, 2)),
    st.tuples(st.just("append"), st.just(CHAIN), cells(CHAIN, 2)),
    st.tuples(st.just("symbol"), st.sampled_from(TEXTS)),
)


def play(memory: Memory, steps: list[tuple[Any, ...]]) -> None:
    changes = memory.changes()
    for step in steps:
        match step:
            case ("write", subject, rows, columns):
                changes.patch_rows(LINK, changes.page(LINK, subject), rows, columns)
            case ("delete", subject):
                changes.delete(changes.page(LINK, subject))
            case ("append", kind, columns):
                changes.append(kind, columns)
            case (_, text):
                changes.symbol(text)
    memory.commit(changes)


def merged(pages: dict[str, PlainEdges]) -> PlainEdges:
    return sum(pages.values(), Counter[Any]())


def assert_same(memory: Memory, epoch: int, followed: list[tuple[LiveGraph, Any]]) -> None:
    shadow, snapshot = ShadowPageGraph(memory), memory.at(epoch)
    both = Counter[Any]()
    for edge in EDGES:
        plain = merged(plain_edges(snapshot, edge))
        graph = shadow.at(epoch, edge)
        assert graph_edges(graph) == plain
        assert graph.epoch == epoch
        both += plain
        if edge.kind == "link":
            subjects = set(snapshot.subjects(snapshot.pages(LINK)))
            ends = {end for s, t, _ in plain for end in (s, t)}
            assert set(graph.nodes.texts(range(graph.count))) == subjects | ends
            for at in range(graph.count):
                assert graph.node(graph.name(at)) == at
    assert graph_edges(shadow.at(epoch, EDGES)) == both
    weighed = merged(plain_edges(snapshot, LINKS, weight="cost"))
    assert graph_edges(shadow.at(epoch, LINKS, weights="cost")) == weighed
    for (live, held), plain in zip(followed, (both, weighed), strict=True):
        changed = live.advance(epoch)
        edges = [
            Counter(
                zip(
                    *(live.graph.nodes.texts(side) for side in (part.sources, part.targets)),
                    [1] * len(part) if part.weights is None else part.weights.tolist(),
                    strict=True,
                )
            )
            for part in (changed.removed, changed.added)
        ]
        held.subtract(edges[0])
        held.update(edges[1])
        assert +held == plain == graph_edges(live.graph)
        assert graph_edges(live.graph.reversed().reversed()) == plain
        assert {(t, s, w): n for (s, t, w), n in plain.items()} == graph_edges(
            live.graph.reversed()
        )
        assert (live.epoch, live.graph.epoch, live.graph.size) == (epoch, epoch, plain.total())


@settings(max_examples=60)
@given(st.lists(st.lists(STEPS, max_size=4), max_size=8), st.data())
def test_any_history_as_of_any_epoch_and_followed(
    history: list[list[tuple[Any, ...]]], data: st.DataObject
) -> None:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    with Memory.create(folder / "a.mmsb", KINDS, durability="none") as memory:
        shadow = ShadowPageGraph(memory)
        lives = (shadow.live(EDGES), shadow.live(LINKS, weights="cost"))
        followed = [(live, Counter[Any]()) for live in lives]
        for steps in history:
            play(memory, steps)
            if data.draw(st.booleans()):  # else with the next
                assert_same(memory, memory.head, followed)
        assert_same(memory, memory.head, followed)
        for epoch in range(memory.head + 1):
            later = [
                (live, graph_edges(live.graph))
                for live in (
                    shadow.live(EDGES, epoch=epoch),
                    shadow.live(LINKS, epoch=epoch, weights="cost"),
                )
            ]
            assert_same(memory, memory.head, later)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tour() -> Memory:
    return Memory.open(TOUR)


def stages_of(edge: EdgeKind) -> list[Stage | None]:
    if edge.rows:
        return [None, Stage.LOWERED, Stage.INFERRED, Stage.REDERIVED]
    return [None, *([Stage.INFERRED, Stage.OPTIMIZED] if edge.stage else [])]


@pytest.mark.parametrize("edge", BY_NAME.values(), ids=lambda edge: edge.name)
def test_a_recording_as_of_every_epoch(tour: Memory, edge: EdgeKind) -> None:
    shadow = ShadowPageGraph(tour)
    for epoch in (0, 3, 4, tour.head):
        snapshot = tour.at(epoch)
        for stage in stages_of(edge):
            plain = plain_edges(snapshot, edge, stage, every=17 if edge.rows else 1)
            if not edge.rows:
                assert graph_edges(shadow.at(epoch, edge, stage=stage)) == merged(plain)
                continue
            for subject in plain:
                if snapshot.page(edge.rows, subject) is not None:
                    graph = shadow.at(epoch, edge, page=subject, stage=stage)
                    assert graph_edges(graph, numbers=True) == plain[subject]
                    assert graph.count == snapshot.row_count(edge.rows, graph.nodes.page)


def test_what_the_tour_says_of_itself(tour: Memory) -> None:
    """The plain loop saw edges of these kinds at all."""
    shadow = ShadowPageGraph(tour)
    assert shadow.at().size > 3000
    assert shadow.at(None, "invalidates").size > 10
    subject = max(
        tour.at().subjects(tour.at().pages("statement")),
        key=lambda each: shadow.at(None, "uses", page=each).size,
    )
    for name in ("uses", "control_flow", "derived_from"):
        assert shadow.at(None, name, page=subject).size > 100, name
    page = tour.at().page("call", subject)
    assert page is not None
    graph = shadow.at(None, "uses", page=page)
    assert graph_edges(graph) == graph_edges(shadow.at(None, "uses", page=subject))


def bad(match: str, shadow: ShadowPageGraph, error: Any = UsageError, **asked: Any) -> None:
    with pytest.raises(error, match=match):
        shadow.at(**asked)


def test_what_is_asked_wrongly_says_so(tour: Memory) -> None:
    shadow = ShadowPageGraph(tour)
    bad("no kind of edges 'call'; there are calls", shadow, UnknownName, kinds="call")
    bad("epoch 99 does not exist", shadow, UnknownName, epoch=99)
    bad("at least one", shadow, kinds=[])
    bad("twice", shadow, kinds=["calls", "calls"])
    bad("different nodes: calls \\(subjects\\), uses", shadow, kinds=["calls", "uses"])
    bad("pass page=", shadow, kinds="uses")
    bad("leave out page=", shadow, page="x")
    bad("'x' has no page of kind", shadow, UnknownName, kinds="uses", page="x")
    bad("leave out stage=", shadow, kinds="infers", stage=Stage.OPTIMIZED)
    bad("has no column 'weight'", shadow, UnknownName, weights="weight")
    bad(
        "weights are unsigned",
        shadow,
        kinds=EdgeKind("a", "method", SUBJECT, "name"),
        weights="line",
    )
    bad("one column for each of calls", shadow, weights={"infers": "depth"})
    bad("has no kind 'nothing'", shadow, UnknownName, kinds=EdgeKind("a", "nothing", SUBJECT, "b"))
    bad("holds no symbols", shadow, kinds=EdgeKind("a", "call", SUBJECT, "statement"))
    bad(
        "has no column .x.; it has alive",
        shadow,
        UnknownName,
        kinds=EdgeKind("a", "call", "x", ROW, rows="call"),
        page="x",
    )
    bad("holds no rows", shadow, kinds=EdgeKind("a", "call", "alive", ROW, rows="call"), page="x")
    bad("nothing was written", shadow, kinds=EdgeKind("a", "call", SUBJECT, SUBJECT))
    none = tour.at().subject(int(tour.at().pages("method")[0]))
    bad("has no page of kind 'statement'", shadow, UnknownName, kinds="uses", page=none)
    with pytest.raises(UsageError, match=r"use at\(page=\)"):
        shadow.live("uses")
    live = shadow.live(epoch=5)
    with pytest.raises(UsageError, match="goes forward only"):
        live.advance(4)
    with pytest.raises(UnknownName, match="epoch 99"):
        live.advance(99)
    assert live.advance().epoch == live.epoch == tour.head
    with pytest.raises(UnknownName, match="nothing is called"):
        live.graph.node("never heard of")


@pytest.mark.parametrize(
    "given",
    [
        ("", "call", SUBJECT, "callee"),
        ("a", "call", ROW, "callee"),
        ("a", "call", SUBJECT, "callee", "", "", (), "call"),
        ("a", "call", SUBJECT, "callee", "", "statement"),
        ("a", "statement", "operands", ROW, "via", "", (), "statement", "", "operand"),
    ],
)
def test_an_edge_kind_that_cannot_be(given: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError):
        EdgeKind(*given)


def test_what_is_not_there_yet_becomes_an_edge_unwritten() -> None:
    """A row names a symbol, or a parent, that only a later epoch brings."""
    folder = Path(tempfile.mkdtemp())
    with Memory.create(folder / "a.mmsb", KINDS) as memory:
        play(memory, [("symbol", "f3")])
        play(memory, [("write", "f0", [0], {"alive": [1], "to": [2]})])
        play(memory, [("append", TREE, {"parent": [2, NONE], "who": [0, 1]})])
        shadow = ShadowPageGraph(memory)
        lives = [shadow.live([LINKS, TREES], epoch=epoch) for epoch in range(memory.head + 1)]
        assert [live.advance().added.sources.tolist() for live in lives] == [[]] * 4
        play(memory, [("symbol", "f5"), ("append", TREE, {"parent": [NONE], "who": [1]})])
        wanted = merged(plain_edges(memory.at(), LINKS)) + merged(plain_edges(memory.at(), TREES))
        assert wanted.total() == 2
        for live in (*lives, shadow.live([LINKS, TREES], epoch=2)):
            live.advance()
            assert graph_edges(live.graph) == wanted
            assert live._waiting[0].tolist() == live._waiting[1].tolist() == []
    shutil.rmtree(folder)


def test_pages_that_are_there() -> None:
    folder = Path(tempfile.mkdtemp())
    with Memory.create(folder / "a.mmsb", KINDS) as memory:
        assert memory.at().lives(np.array([0, 900], np.uint32)).tolist() == [True, False]
    shutil.rmtree(folder)
