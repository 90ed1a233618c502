"""Committed recordings, read where there need be no Julia: the frames are decoded, translated, and
compared with what the Julia that sent them said of its code, and with the facts written by hand."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import live
import pytest
import rebuild
import recordings
from fidelity import in_scope, mismatches, read_answers
from test_twelve_programs import FACTS, Twelve

from mmsb.base.model import PASSES, CodeState, Stage
from mmsb.graph.edges import BY_NAME
from mmsb.graph.shadow import ShadowPageGraph
from mmsb.memory.snapshot import Snapshot
from mmsb.query.deps import deps
from mmsb.query.facts import Facts
from mmsb.query.invalidations import invalidations
from mmsb.query.tree import tree
from mmsb.testing.plain_edges import graph_edges


@pytest.fixture(scope="module", params=recordings.committed(), ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture(scope="module")
def recorded(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> live.Recorded:
    return recordings.memory_of(folder, tmp_path_factory.mktemp("recording") / "twelve.mmsb")


@pytest.fixture(scope="module")
def twelve(folder: Path, recorded: live.Recorded) -> Twelve:
    return Twelve(recordings.julia_of(folder), recorded.head)


def test_there_are_some() -> None:
    versions = {live.version(recordings.julia_of(folder)) for folder in recordings.committed()}
    assert {(1, 10), (1, 12)} <= versions


def test_it_is_the_compilers_own_record(recorded: live.Recorded) -> None:
    notes = recorded.notes()
    assert notes["tier"] == "native"
    assert notes["capture"] == "passes"
    assert notes["state"] == "complete"


def test_it_equals_what_julia_said(folder: Path, recorded: live.Recorded, tmp_path: Path) -> None:
    path = tmp_path / "answers"
    path.write_text(recordings.answers_of(folder))
    answers, keys = read_answers(path), in_scope(recorded)
    assert set(answers) == {rebuild.escape(key) for key in keys}
    assert len(keys) >= len(FACTS)
    head = recorded.head
    # where a method was replaced Julia has two instances of one name, of which it is asked one
    replaced = {key for key in keys if CodeState.SUPERSEDED in states(head, key)}
    assert len(replaced) == 1
    asked = [key for key in keys if key not in replaced]
    assert not list(mismatches(asked, answers, rebuild.Names(head)))


def states(head: Snapshot, key: str) -> list[int]:
    page = head.page("code", key)
    assert page is not None
    return list(head.column("code", page, "state"))


def test_every_pass_is_there(recorded: live.Recorded) -> None:
    names = rebuild.Names(recorded.head)
    key = next(key for key in in_scope(recorded) if key.startswith("Main.tic "))
    bodies = [rebuild.body(names, key, Stage(stage)) for stage in PASSES]
    assert all(bodies)
    assert len({tuple(body) for body in bodies}) >= 3


@pytest.mark.parametrize("name", list(FACTS))
def test_what_the_compiler_made(twelve: Twelve, name: str) -> None:
    twelve.check(name)


def test_what_became_invalid(twelve: Twelve) -> None:
    twelve.check_trees()


def test_no_path_of_a_machine_is_in_it(folder: Path) -> None:
    """The folders of files are underlines; the names of files stay."""
    stream = recordings.told(folder).stream
    folders = {str(Path(stream.symbols[path]).parent) for *_, path in stream.files} - {"."}
    assert folders
    assert all(re.fullmatch("(/_+)+", one) for one in folders), folders


def test_its_graph_says_what_the_questions_say(folder: Path, recorded: live.Recorded) -> None:
    """Dependents, invalidation trees and the inference tree, read row by row elsewhere."""
    memory = recorded.memory
    shadow = ShadowPageGraph(memory)
    graph, told = shadow.at(None, "backedges"), 0
    for key in Facts(memory).by_key:
        dependents = {edge.target for edge in deps(memory, key).dependents}
        near = graph.out.neighbours(graph.node(key)) if dependents else []
        assert set(graph.nodes.texts(near)) == dependents
        told += len(dependents)
    assert bool(told) == folder.name.startswith("julia-1.12")
    trees = Counter(
        (tree.nodes[node.parent - tree.nodes[0].row].subject, node.subject, 1)
        for tree in invalidations(memory).trees
        for node in tree.nodes
        if node.parent is not None
    )
    assert trees == graph_edges(shadow.at(None, "invalidation_tree"))
    assert trees
    frames = {frame.row: frame for frame in tree(memory, depth=10**6, most=10**6).frames}
    inferred = Counter(
        (frames[frame.parent].key, frame.key, 1)
        for frame in frames.values()
        if frame.parent is not None
    )
    assert inferred == graph_edges(shadow.at(None, "infers"))
    assert len(inferred) > 10


def test_its_graph_followed_from_the_start(recorded: live.Recorded) -> None:
    memory = recorded.memory
    kinds = [name for name, kind in BY_NAME.items() if not kind.rows]
    shadow = ShadowPageGraph(memory)
    followed = shadow.live(kinds, epoch=0)
    for epoch in range(1, memory.head + 1):
        followed.advance(epoch)
        assert graph_edges(followed.graph) == graph_edges(shadow.at(epoch, kinds))
