"""What reaches what: a small program whose answers are known by heart, and plain searches."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from building import Builder, instance_key, method_key
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsb.base import schema
from mmsb.base.errors import AmbiguousName, UnknownName, UsageError
from mmsb.base.model import NONE_U32, CallKind, CodeState, Dependency, Provenance, Stage
from mmsb.query.reader import Reader

INT = "Core.Int64"
LEAF, MID, TOP, DYN, FRESH = (instance_key(n, INT) for n in ("leaf", "mid", "top", "dyn", "fresh"))
MANY = [instance_key("many", type_, method=(type_,)) for type_ in (INT, "Core.Float64")]
TIMES = {LEAF: 1000, MID: 2000, TOP: 4000, DYN: 8000, MANY[0]: 500}


def call(
    b: Builder, key: str, row: int, kind: CallKind, stage: Stage, callee: str, signature: str = ""
) -> None:
    if kind is CallKind.RESOLVED:
        callee, _, signature = callee.partition(" @ ")
    cells = {"alive": 1, "statement": row, "kind": kind, "stage": stage, "callee": callee}
    b.row(schema.CALL, key, row, **cells, **({"signature": signature} if signature else {}))


def program(b: Builder, *, dependencies: bool = True, inference: bool = True) -> Reader:
    """top calls mid, mid calls leaf (inlined); dyn dispatches to many; then leaf is replaced, and
    mid is compiled anew, without leaf but with fresh."""
    with b.epoch():
        b.note(julia="1.12.5", tier="native", capture="final")
        for name in ("leaf", "mid", "top", "dyn"):
            b.method(name, "Core.Any", world=100)
        for type_ in (INT, "Core.Float64"):
            b.method("many", type_, world=100)
        b.method("unused", "Core.Any", world=100)
    with b.epoch():
        for key, took in TIMES.items():
            name = key.partition(" ")[0].removeprefix("Main.")
            b.instance(key, f"{name}(::Int64)")
            b.code(key, 0, min_world=100, exclusive_ns=took, return_type=INT)
            b.row(schema.CODE, key, 0, **{"provenance@optimized": 0})
        b.instance(MANY[1], "many(::Float64)")
        if dependencies:
            for user, used in ((TOP, MID), (MID, LEAF)):
                b.row(schema.DEPENDENCY, user, 0, version=0, kind=Dependency.CODE, target=used)
            b.row(schema.DEPENDENCY, DYN, 0, version=0, kind=Dependency.DISPATCH, target="Tuple{}")
        call(b, TOP, 0, CallKind.RESOLVED, Stage.INFERRED, MID)
        call(b, TOP, 1, CallKind.INVOKE, Stage.OPTIMIZED, MID)
        call(b, MID, 0, CallKind.RESOLVED, Stage.INFERRED, LEAF)
        call(b, DYN, 0, CallKind.UNRESOLVED, Stage.INFERRED, "typeof(Main.many)")
        call(b, DYN, 1, CallKind.DYNAMIC, Stage.OPTIMIZED, "typeof(Main.many)")
        call(b, DYN, 2, CallKind.DYNAMIC, Stage.OPTIMIZED, "typeof(Main.gone)")
        if inference:
            frames = ((TOP, NONE_U32), (MID, 0), (LEAF, 1), (DYN, NONE_U32), (MANY[0], NONE_U32))
            for key, parent in frames:
                b.add(schema.INFERENCE, instance=key, parent=parent, version=0,
                      exclusive_ns=TIMES[key], inclusive_ns=TIMES[key])  # fmt: skip
    with b.epoch():  # 3
        cause = b.method("leaf", "Core.Any", world=101, definition=2)
        b.ended(LEAF, cause, state=CodeState.SUPERSEDED, world=101)
        b.code(LEAF, 0, state=CodeState.SUPERSEDED)
        for key, depth in ((MID, 1), (TOP, 2)):
            b.ended(key, cause, state=CodeState.INVALIDATED, world=101, depth=depth)
            b.code(key, 0, state=CodeState.INVALIDATED, max_world=100)
    with b.epoch():  # 4
        b.method("fresh", "Core.Any", world=102)
        b.instance(FRESH, "fresh(::Int64)")
        b.code(FRESH, 0, min_world=102)
        b.code(MID, 1, min_world=102, exclusive_ns=50)
        if dependencies:
            b.row(schema.DEPENDENCY, MID, 1, version=1, kind=Dependency.CODE, target=FRESH)
        b.row(schema.CALL, MID, 0, alive=0)
        call(b, MID, 1, CallKind.INVOKE, Stage.OPTIMIZED, FRESH)
    return b.done()


@pytest.fixture
def made(builder: Builder) -> Iterator[Reader]:
    with program(builder) as memory:
        yield memory


def test_the_blast_radius_of_a_method(made: Reader) -> None:
    found = made.at(2).impact("leaf")
    assert (found.method, found.basis) == (method_key("leaf", "Core.Any"), "backedges")
    assert [(one.name, one.depth, one.through) for one in (*found.own, *found.stale)] == [
        ("leaf(::Int64)", 0, None),
        ("mid(::Int64)", 1, "leaf(::Int64)"),
        ("top(::Int64)", 2, "mid(::Int64)"),
    ]
    assert [one.again_ns for one in found.stale] == [2000, 4000]
    assert (found.again_ns, found.exit_code) == (7000, 0)
    assert str(found).splitlines()[0] == (
        "leaf(::Any) redefined as of epoch 2: 2 functions invalidated, 1 version of its own code "
        "replaced, 7 µs of inference again."
    )
    assert json.loads(json.dumps(found.to_dict()))["stale"][1]["through"] == "mid(::Int64)"


def test_what_is_stale_already_does_not_go_stale_again(made: Reader) -> None:
    assert made.at(3).impact("leaf").stale == ()
    now = made.at().impact("fresh")
    assert [one.name for one in now.stale] == ["mid(::Int64)"]  # and top, which ended, is not
    assert now.again_ns == 50


def test_a_dispatch_has_no_backedge(made: Reader) -> None:
    found = made.at(2).impact("many(::Int64)")
    assert (found.stale, [one.name for one in found.own]) == ((), ["many(::Int64)"])
    with pytest.raises(AmbiguousName, match=r"2 methods: 'many\(::Float64\)', 'many\(::Int64\)'"):
        made.at(2).impact("many")
    with pytest.raises(UnknownName):
        made.at(2).impact("nothing")
    unused = made.at(2).impact("unused")
    assert (unused.own, unused.stale, unused.again_ns) == ((), (), None)


def test_without_backedges_calls_are_followed_and_that_is_said(builder: Builder) -> None:
    with program(builder, dependencies=False) as memory:
        found = memory.at(2).impact("leaf")
        assert [(one.name, one.depth) for one in found.stale] == [
            ("mid(::Int64)", 1),
            ("top(::Int64)", 2),
        ]
        assert found.basis == "calls"
        assert "worked out from the calls" in str(found)


def test_where_nothing_was_recorded(builder: Builder) -> None:
    with builder.epoch():
        builder.note(julia="1.5.3", tier="reflected")
        builder.method("leaf", "Core.Any", world=1)
        builder.instance(LEAF, "leaf(::Int64)")
    with builder.done() as memory:
        assert memory.at().impact("leaf").exit_code == 3
        assert memory.at().callers("leaf").exit_code == 3
        assert memory.reached(0, 1).exit_code == 3
        found = memory.at().dominators()
        assert found.exit_code == 3
        assert "record a Julia from 1.10" in str(found)


def test_who_calls_whom(made: Reader) -> None:
    def plain(view: object) -> list[tuple[int, str, str, str | None]]:
        return [(c.depth, c.name, c.how, c.through) for c in view.calls]  # type: ignore[attr-defined]

    then = made.at(2)
    assert plain(then.callers("leaf")) == [(1, "mid(::Int64)", "inlined", None)]
    assert plain(then.callers("leaf", depth=2)) == [
        (1, "mid(::Int64)", "inlined", None),
        (2, "top(::Int64)", "invoke", "mid(::Int64)"),
    ]
    assert plain(then.callees("top", depth=9)) == [
        (1, "mid(::Int64)", "invoke", None),
        (2, "leaf(::Int64)", "inlined", "mid(::Int64)"),
    ]
    assert plain(made.at().callees("mid")) == [(1, "fresh(::Int64)", "invoke", None)]
    assert plain(then.callers("many")) == [(1, "dyn(::Int64)", "dynamic dispatch", None)]
    assert plain(then.callees("dyn")) == [
        (1, "gone(…)", "dynamic dispatch", None),
        (1, "many(::Float64)", "dynamic dispatch", None),
        (1, "many(::Int64)", "dynamic dispatch", None),
    ]
    assert str(then.callers("top")) == "top(::Int64) is called by 0 functions as of epoch 2."
    with pytest.raises(UsageError, match="1 call away or more"):
        then.callers("top", depth=0)


def test_a_dispatch_reaches_what_its_types_do_not_rule_out(builder: Builder) -> None:
    many = "Core.Tuple{typeof(Main.many), %s}"
    with program(builder) as memory, builder.epoch():
        builder.type(INT)  # known to be concrete
        call(builder, FRESH, 0, CallKind.DYNAMIC, Stage.OPTIMIZED, "typeof(Main.many)", many % INT)
        splat = many % f"Vararg{{{INT}}}"
        call(builder, TOP, 2, CallKind.DYNAMIC, Stage.OPTIMIZED, "typeof(Main.many)", splat)
        whole = many % "Core.Any"
        call(builder, LEAF, 0, CallKind.DYNAMIC, Stage.OPTIMIZED, "typeof(Main.many)", whole)
        two = "Core.Tuple{typeof(Main.many), Core.Any, Core.Any}"
        call(builder, LEAF, 1, CallKind.DYNAMIC, Stage.OPTIMIZED, "typeof(Main.many)", two)
        top = TOP.partition(" @ ")
        call(
            builder,
            LEAF,
            2,
            CallKind.DYNAMIC,
            Stage.OPTIMIZED,
            top[0],
            whole.replace("many", "top"),
        )
    with Reader.open(memory.path) as again:
        assert isinstance(again, Reader)
        fresh = [one.name for one in again.at().callees("fresh").calls]
        leaf = [one.name for one in again.at().callees("leaf").calls]
        splat_calls = [one.name for one in again.at().callees("top").calls]
    assert fresh == ["many(::Int64)"]
    assert splat_calls == ["many(::Int64)", "mid(::Int64)"]
    assert leaf == ["many(::Float64)", "many(::Int64)", "many(…)", "top(::Int64)"]


def test_whose_calls_are_not_known(builder: Builder) -> None:
    """Code that was only lowered calls nobody that is known of; it depends on whom it may call."""
    with program(builder) as memory, builder.epoch():
        bare = instance_key("bare", INT)
        builder.instance(bare, "bare(::Int64)")
        builder.code(bare, 0, min_world=100)
        builder.row(schema.DEPENDENCY, bare, 0, version=0, kind=Dependency.CODE, target=LEAF)
        builder.body(bare, Stage.LOWERED, [], said=Provenance.NATIVE)
    with Reader.open(memory.path) as again:
        assert isinstance(again, Reader)
        called = again.at().callees("bare")
        told = "was seen lowered, but not inferred."
        assert (called.exit_code, called.advice) == (3, told)
        assert again.at().callers("leaf").unseen == ("bare(::Int64)",)


def test_what_became_reachable(made: Reader) -> None:
    found = made.reached(2, 4)
    assert [(one.name, one.depth, one.way) for one in found.came] == [
        ("fresh(::Int64)", 2, ("top(::Int64)", "mid(::Int64)", "fresh(::Int64)")),
    ]
    assert [one.name for one in found.lost] == ["leaf(::Int64)"]
    assert (found.before, found.after) == (7, 7)
    assert [one.name for one in made.reached(1, 4, start="mid").came] == [
        "mid(::Int64)",
        "fresh(::Int64)",
    ]
    assert made.reached(3, 3).came == ()
    with pytest.raises(UsageError, match="swap 4 and 2"):
        made.reached(4, 2)
    with pytest.raises(UnknownName, match="epoch 9"):
        made.reached(1, 9)
    with pytest.raises(UnknownName, match="nothing"):
        made.reached(1, 2, start="nothing")


def test_without_a_tree_the_roots_are_what_nobody_calls(builder: Builder) -> None:
    with program(builder, inference=False) as memory:
        found = memory.reached(1, 2)
        assert {one.name for one in found.came if not one.depth} == {"top(::Int64)", "dyn(::Int64)"}


def test_the_nearest_cause(made: Reader) -> None:
    top = made.at(3).cause("top")
    assert (top.valid, top.way) == (False, ("top(::Int64)",))
    assert top.reason is not None
    assert (top.reason.epoch, top.reason.depth) == (3, 2)
    assert top.reason.causes[0].name == "leaf(::Any)"
    fine = made.at(2).cause("top")
    assert (fine.valid, fine.way, fine.reason) == (True, (), None)
    assert "nothing that it reaches by calls is stale" in str(fine)
    dyn = made.at().cause("dyn")
    assert (dyn.valid, dyn.reason) == (True, None)


def test_the_nearest_stale_function_that_a_valid_one_calls(builder: Builder) -> None:
    with program(builder) as memory, builder.epoch():
        call(builder, DYN, 3, CallKind.DYNAMIC, Stage.OPTIMIZED, TOP)
        found = None
    with Reader.open(memory.path) as again:
        assert isinstance(again, Reader)
        found = again.at().cause("dyn")
    assert (found.valid, found.way) == (True, ("dyn(::Int64)", "top(::Int64)"))
    assert found.reason is not None
    assert str(found).startswith("dyn(::Int64) has valid code as of epoch 5. The nearest that is")


def test_cached_code_asked_for_no_inference(builder: Builder) -> None:
    """Other code of a method, which came with an image, is no way to what was inferred."""
    with program(builder) as memory, builder.epoch():
        cached = instance_key("top", "Core.Float64")
        builder.instance(cached, "top(::Float64)")
        builder.code(cached, 0, min_world=100)
        builder.row(schema.DEPENDENCY, cached, 0, version=0, kind=Dependency.CODE, target=LEAF)
    with Reader.open(memory.path) as again:
        assert isinstance(again, Reader)
        before, now = (again.at(epoch).dominators() for epoch in (2, None))
    old, new = ({one.name: one.under for one in view.found} for view in (before, now))
    assert {name: new[name] for name in old} == old
    assert old["leaf(::Any)"] == "mid(::Any)"


def test_dominators(made: Reader) -> None:
    found = made.at(2).dominators()
    plain = [(o.name, o.dominated_ns, o.own_ns, o.methods, o.under) for o in found.found]
    assert plain == [
        ("dyn(::Any)", 8000, 8000, 1, None),
        ("top(::Any)", 7000, 4000, 3, None),
        ("mid(::Any)", 3000, 2000, 2, "top(::Any)"),
        ("leaf(::Any)", 1000, 1000, 1, "mid(::Any)"),
        ("many(::Int64)", 500, 500, 1, None),
    ]
    assert (found.total_ns, found.methods) == (15500, 5)
    assert len(made.at(2).dominators(most=2).found) == 2
    assert made.at(1).dominators().found == ()


# Beside plain searches.

_NAMES = [f"n{number}" for number in range(6)]
_KEYS = {name: instance_key(name, INT) for name in _NAMES}
_Pairs = set[tuple[str, str]]
_pairs = st.sets(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_NAMES)), max_size=14)
_roots = st.sets(st.sampled_from(_NAMES), min_size=1)


def search(pairs: _Pairs, start: set[str], without: str = "") -> dict[str, tuple[int, str]]:
    """How many pairs away each name is, and by way of whom."""
    found = {name: (0, "") for name in start if name != without}
    front = sorted(found)
    for name in front:
        for source, target in sorted(pairs):
            if source == name and target not in found and target != without:
                found[target] = (found[name][0] + 1, name)
                front.append(target)
    return found


def write(b: Builder, used: _Pairs, roots: set[str]) -> Reader:
    """(user, used) pairs; each function takes a time of its own to infer."""
    with b.epoch():
        for place, name in enumerate(_NAMES):
            b.method(name, "Core.Any", world=1)
            b.instance(_KEYS[name], f"{name}(::Int64)")
            b.code(_KEYS[name], 0, exclusive_ns=1 << place)
        for row, (user, name) in enumerate(sorted(used)):
            cells = {"version": 0, "kind": Dependency.CODE, "target": _KEYS[name]}
            b.row(schema.DEPENDENCY, _KEYS[user], row, **cells)
        rows: dict[str, int] = {}
        for name, (_, before) in search(used, roots).items():
            rows[name] = b.add(
                schema.INFERENCE,
                instance=_KEYS[name],
                parent=rows.get(before, NONE_U32),
                exclusive_ns=1 << _NAMES.index(name),
            )
    return b.done()


@settings(max_examples=12, deadline=None)
@given(_pairs, _roots)
def test_beside_plain_searches(used: _Pairs, roots: set[str]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        write(Builder(Path(folder) / "m.mmsb"), used, roots) as memory,
    ):
        now = memory.at()
        for name in _NAMES:
            found = now.impact(name)
            near = search({(callee, caller) for caller, callee in used}, {name})
            depths = {one.key: one.depth for one in (*found.own, *found.stale)}
            assert depths == {_KEYS[other]: depth for other, (depth, _) in near.items()}
        reach = search(used, roots)
        dominated = {one.name.partition("(")[0]: one for one in now.dominators().found}
        assert dominated.keys() == reach.keys()
        for name, one in dominated.items():
            lost = reach.keys() - search(used, roots, without=name).keys()
            assert one.methods == len(lost)
            assert one.dominated_ns == sum(1 << _NAMES.index(other) for other in lost)
