"""A recording that comes in parts; code without bodies; the compiler's own trees."""

from __future__ import annotations

from pathlib import Path

import pytest
from telling import SELF, Recording, Shim, Statement, Told, read, seen

from mmsb.base import schema
from mmsb.base.model import (
    NONE_U32,
    OPEN_WORLD,
    Cause,
    CodeState,
    Decision,
    Dependency,
    EventKind,
    Rederived,
    Stage,
    TreeNode,
)

LOWERED = [
    Statement("call", operands=("1",)),
    Statement("return", operands=(("ssa", 0),), origin=1),
]
FINAL = [Statement("return", operands=("2",), origin=1)]
OUT_OF_SCOPE = NONE_U32


def told(literal: str) -> dict[Stage, Told]:
    first = Statement("call", operands=(literal,))
    return {Stage.LOWERED: [first, LOWERED[1]], Stage.INFERRED: [first, LOWERED[1]]}


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording(tmp_path / "m.mmsb", origin="debuginfo", tier="native")


def pick(rows: list[dict[str, object]], *names: str) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


# Order.


def test_the_compilers_queue_opens_windows_and_places_code(recording: Recording) -> None:
    shim = recording.shim
    for name, order in (("f", 0), ("g", 0), ("h", 2)):
        shim.method(name, {"f": 11, "g": 12, "h": 13}[name], order=order)
        shim.instance(name)
    shim.code("f", 11, told("1"), order=0)
    shim.code("g", 12, told("1"), order=1)
    shim.code("h", 13, told("1"), order=2)
    recording.all()
    placed = pick(recording.table(schema.EVENT), "window", "kind", "subject")
    assert placed == [
        (0, EventKind.DEFINED, "m.f"),
        (0, EventKind.DEFINED, "m.g"),
        (0, EventKind.LOWERED, "f"),
        (0, EventKind.LOWERED, "g"),
        (0, EventKind.INFERRED, "f"),
        (0, EventKind.INFERRED, "g"),
        (1, EventKind.DEFINED, "m.h"),
        (1, EventKind.LOWERED, "h"),
        (1, EventKind.INFERRED, "h"),
    ]


def test_code_out_of_scope_opens_no_window(recording: Recording) -> None:
    shim = recording.shim
    shim.method("f", 11, order=0)
    shim.method("h", 13, order=1)
    shim.instance("f", depth=OUT_OF_SCOPE)
    shim.code("f", 11, order=0)
    recording.all()
    assert len(recording.translator.schedule.windows) == 1


# Parts.


def first_part(shim: Shim) -> None:
    shim.method("f", 11, order=0)
    shim.method("g", 12, order=0)
    for name in ("f", "g"):
        shim.instance(name)
    g = shim.code("g", 12, told("1"), order=0)
    f = shim.code("f", 11, told("1"), order=1)
    shim.depends(f, Dependency.CODE, "g")
    shim.inferred("f", f, shim.inferred("g", g))


def second_part(shim: Shim) -> None:
    shim.method("h", 20, order=2)
    shim.instance("h")
    h = shim.code("h", 20, told("2"), order=2)
    shim.decided(h, Decision.INLINED, 0)
    shim.inferred("h", h, order=2)


def third_part(shim: Shim) -> None:
    shim.method("g", 25, order=3)
    shim.code("f", 11, order=1, high=24)
    root = shim.logged(TreeNode.ROOT, Cause.INSERTED, "m.g", world=25)
    shim.logged(TreeNode.CALLER, Cause.INSERTED, "f", root, depth=1, code=1, world=25)
    shim.code("f", 11, told("3"), order=3, low=25)


PARTS = (first_part, second_part, third_part)


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 2)])
def test_parts_make_the_memory_that_the_whole_makes(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    digests = []
    for folder, drains in (("whole.mmsb", {3}), ("parts.mmsb", {*cuts, 3})):
        recording = Recording(tmp_path / folder, origin="debuginfo", tier="native")
        for number, part in enumerate(PARTS, 1):
            part(recording.shim)
            recording.shim.send()
            if number in drains:
                list(recording.drain(send=False))
        digests.append(recording.end())
    assert digests[0] == digests[1]


def replaced(shim: Shim) -> None:
    """f's old code stays; nothing caps it."""
    shim.method("f", 11, order=0, last=19)
    shim.method("f", 20, order=2)
    shim.code("f", 20, told("2"), order=2, low=20)


def capped(shim: Shim) -> None:
    """What f's old code calls is replaced."""
    shim.method("g", 25, order=3)
    shim.code("f", 11, order=1, high=24)


@pytest.mark.parametrize("together", [True, False])
def test_replaced_code_that_is_capped_later_was_superseded_then(
    recording: Recording, together: bool
) -> None:
    for number, part in enumerate((first_part, replaced, capped)):
        part(recording.shim)
        recording.shim.send()
        if number == 2 or not together:
            list(recording.drain(send=False))
    ends = recording.table(schema.INVALIDATION)
    assert pick(ends, "victim", "version", "state", "cause", "world") == [
        ("f", 0, CodeState.SUPERSEDED, "m.f", 20)
    ]
    code = recording.page(schema.CODE, "f")
    assert pick(code, "state", "max_world") == [
        (CodeState.SUPERSEDED, 24),
        (CodeState.VALID, OPEN_WORLD),
    ]


def test_nothing_new_makes_no_commit(recording: Recording) -> None:
    first_part(recording.shim)
    assert recording.all()
    assert recording.all() == []


def test_known_code_that_comes_with_an_end_is_invalidated(recording: Recording) -> None:
    first_part(recording.shim)
    recording.all()
    recording.shim.method("k", 30, order=2)
    recording.shim.code("f", 11, order=1, high=29)
    recording.all()
    [code] = recording.page(schema.CODE, "f")
    assert (code["state"], code["max_world"]) == (CodeState.INVALIDATED, 29)
    found = recording.table(schema.INVALIDATION)
    assert pick(found, "victim", "version", "cause", "window") == [("f", 0, "m.k", 1)]
    assert read(recording.memory.at(), "f", Stage.INFERRED) == seen(told("1")[Stage.INFERRED])


def test_what_ended_is_told_once(recording: Recording) -> None:
    first_part(recording.shim)
    recording.shim.code("f", 11, order=1, high=29)
    recording.all()
    recording.shim.code("f", 11, order=1, high=29)
    recording.all()
    assert len(recording.table(schema.INVALIDATION)) == 1


def test_what_a_later_look_finds_is_added_to_the_header(recording: Recording) -> None:
    first_part(recording.shim)
    recording.all()
    recording.shim.code("f", 11, {Stage.OPTIMIZED: FINAL}, order=1, rederived=Rederived.ALONE)
    recording.all()
    [code] = recording.page(schema.CODE, "f")
    assert code["rederived"] == Rederived.ALONE
    assert read(recording.memory.at(), "f", Stage.OPTIMIZED) == seen(FINAL)


def test_bodies_are_let_go_when_they_are_written(recording: Recording) -> None:
    first_part(recording.shim)
    recording.all()
    assert all(not code.bodies for code in recording.stream.codes)


# Code without bodies.


def test_code_without_bodies_has_its_header_and_no_statements(recording: Recording) -> None:
    shim = recording.shim
    shim.method("f", 11)
    shim.instance("f", depth=OUT_OF_SCOPE)
    shim.depends(shim.code("f", 11, order=0, effects=5), Dependency.BINDING, "Main.x")
    recording.all()
    [code] = recording.page(schema.CODE, "f")
    assert (code["effects"], code["max_world"]) == (5, OPEN_WORLD)
    [instance] = recording.page(schema.INSTANCE, "f")
    assert instance["depth"] == OUT_OF_SCOPE
    assert pick(recording.page(schema.DEPENDENCY, "f"), "version", "kind", "target") == [
        (0, Dependency.BINDING, "Main.x")
    ]
    now = recording.memory.at()
    for kind in ("statement", "operand", "block", "edge", "call", "slot", "decision"):
        assert now.page(kind, "f") is None
    assert pick(recording.table(schema.EVENT), "kind") == [(EventKind.DEFINED,)]


def test_dependencies_have_an_order_of_their_own(recording: Recording) -> None:
    shim = recording.shim
    shim.method("f", 11)
    shim.instance("f")
    code = shim.code("f", 11, order=0)
    for target in ("z", "a", "z"):
        shim.depends(code, Dependency.CODE, target)
    shim.depends(code, Dependency.DISPATCH, "b")
    recording.all()
    rows = pick(recording.page(schema.DEPENDENCY, "f"), "kind", "target")
    assert rows == [(Dependency.CODE, "a"), (Dependency.CODE, "z"), (Dependency.DISPATCH, "b")]


# Trees.


def test_inference_is_ordered_by_what_it_is_and_keeps_its_shape(recording: Recording) -> None:
    shim = recording.shim
    shim.method("f", 11)
    codes = {}
    for at, name in enumerate(("z", "b", "a", "f")):
        shim.instance(name)
        codes[name] = shim.code(name, 11, order=at)
    z = shim.inferred("z", codes["z"])
    shim.inferred("b", codes["b"], z)
    shim.inferred("unknown", parent=z)
    shim.inferred("a", codes["a"], z)
    shim.inferred("f", codes["f"], order=3)
    recording.all()
    rows = recording.table(schema.INFERENCE)
    assert pick(rows, "instance", "parent", "version") == [
        ("a", 4, 0),
        ("b", 4, 0),
        ("f", NONE_U32, 0),
        ("unknown", 4, NONE_U32),
        ("z", NONE_U32, 0),
    ]


def test_a_later_parts_frames_point_behind_the_earlier_ones(recording: Recording) -> None:
    first_part(recording.shim)
    recording.all()
    shim = recording.shim
    shim.inferred("k", parent=shim.inferred("h"))
    recording.all()
    rows = pick(recording.table(schema.INFERENCE), "instance", "parent", "window")
    assert rows == [("f", 1, 0), ("g", NONE_U32, 0), ("h", NONE_U32, 1), ("k", 2, 1)]


def test_the_log_says_cause_way_and_depth(recording: Recording) -> None:
    shim = recording.shim
    first_part(shim)
    shim.instance("k")
    shim.code("k", 12, order=2, high=29)
    shim.code("f", 11, order=1, high=29)
    shim.method("other", 30, order=3)
    shim.method("m", 30, order=3)
    root = shim.logged(TreeNode.ROOT, Cause.INSERTED, "m.m", world=30)
    callee = shim.logged(TreeNode.CALLEE, Cause.INSERTED, "q", root, world=30)
    f = shim.logged(TreeNode.CALLER, Cause.INSERTED, "f", callee, depth=1, code=1, world=30)
    shim.logged(TreeNode.CALLER, Cause.INSERTED, "k", f, depth=2, world=30)
    recording.all()
    tree = recording.table(schema.INVALIDATION_TREE)
    assert pick(tree, "node", "parent", "subject", "depth", "version", "lost_ns", "window") == [
        (TreeNode.ROOT, NONE_U32, "m.m", 0, NONE_U32, 7, 1),
        (TreeNode.CALLEE, 0, "q", 0, NONE_U32, 7, 1),
        (TreeNode.CALLER, 1, "f", 1, 0, 7, 1),
        (TreeNode.CALLER, 2, "k", 2, NONE_U32, 7, 1),
    ]
    ended = recording.table(schema.INVALIDATION)
    assert pick(ended, "victim", "cause", "via", "depth", "tree", "lost_ns", "window") == [
        ("f", "m.m", None, 1, 2, 7, 1),
        ("k", "m.m", "f", 2, 3, 7, 1),
    ]


def test_a_replaced_binding_is_a_cause(recording: Recording) -> None:
    shim = recording.shim
    first_part(shim)
    shim.code("f", 11, order=1, high=29)
    root = shim.logged(TreeNode.ROOT, Cause.BINDING, "Main.x", world=30)
    shim.logged(TreeNode.CALLER, Cause.BINDING, "f", root, depth=1, code=1, world=30)
    recording.all()
    [row] = recording.table(schema.INVALIDATION)
    assert (row["cause"], row["depth"], row["tree"]) == ("Main.x", 1, 1)


def test_what_the_log_does_not_name_is_worked_out(recording: Recording) -> None:
    shim = recording.shim
    first_part(shim)
    shim.code("f", 11, order=1, high=29)
    shim.method("k", 30, order=2)
    recording.all()
    [row] = recording.table(schema.INVALIDATION)
    assert (row["cause"], row["depth"], row["tree"]) == ("m.k", 0, NONE_U32)


# Decisions.


def test_a_decision_stands_at_its_statement(recording: Recording) -> None:
    shim = recording.shim
    shim.method("f", 11)
    shim.instance("f")
    scope = shim.scope("g", 0)
    inlined = Statement("add", operands=("3",), origin=4, scope=scope)
    final = [inlined, Statement("return", operands=(("ssa", 0),), origin=1)]
    code = shim.code("f", 11, {Stage.LOWERED: LOWERED, Stage.OPTIMIZED: final}, order=0)
    reason = shim.symbol("too costly")
    shim.decided(code, Decision.NOT_INLINED, 1, SELF, cost=120, threshold=100, reason=reason)
    shim.decided(code, Decision.INLINED, 4, scope)
    shim.decided(code, Decision.CONSTANT, 9, scope)
    shim.decided(code, Decision.REMARK, 99)
    recording.all()
    rows = pick(recording.page(schema.DECISION, "f"), "kind", "statement", "cost", "reason")
    assert rows == [
        (Decision.NOT_INLINED, 1, 120, "too costly"),
        (Decision.INLINED, 2, NONE_U32, None),
        (Decision.CONSTANT, 0, NONE_U32, None),
        (Decision.REMARK, NONE_U32, NONE_U32, None),
    ]
    assert pick(recording.table(schema.EVENT), "kind")[-1] == (EventKind.DECIDED,)
