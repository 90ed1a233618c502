"""Functions and globals of which nothing was recorded but who has to do with them: what a command
prints, the others take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from building import Builder, instance_key

from mmsb.base import schema
from mmsb.base.errors import UnknownName
from mmsb.base.model import NONE_U32, CallKind, CodeState, Dependency, Provenance, Stage
from mmsb.base.model import Tag as T
from mmsb.query.reader import Reader

INT = "Core.Int64"
PRICE, TOTAL, LEAF, ENDED = (
    instance_key(name, INT) for name in ("price", "total", "leaf", "ended")
)
PLUS = f"Base.+ Core.Tuple{{typeof(Base.+), {INT}, {INT}}}"
PLUS += f" @ Core.Tuple{{typeof(Base.+), {INT}, {INT}}}"
TIMES = PLUS.replace("Base.+", "Base.*")
FAR = instance_key("far", INT)
ADDED, GONE = "+(::Int64, ::Int64)", "gone(…)"


def reads(b: Builder, key: str, version: int, name: str) -> None:
    """A lowered body that returns a global."""
    b.code(key, version, min_world=1 + version)
    b.body(
        key,
        Stage.LOWERED,
        [
            {
                "row": 0,
                "position": 0,
                "alive": 1,
                "opcode": "return",
                "operands": [(T.GLOBAL, name)],
            }
        ],
        blocks=[(0, 0)],
        version=version,
        said=Provenance.NATIVE,
    )


@pytest.fixture
def memory(builder: Builder) -> Iterator[Reader]:
    with builder.epoch():
        builder.note(julia="1.12.5", tier="native", capture="final")
        for name in ("price", "total", "leaf"):
            builder.method(name, "Core.Any", world=1)
        for key in (PRICE, TOTAL, LEAF):
            builder.instance(key, f"{key.partition(' ')[0].removeprefix('Main.')}(::Int64)")
            reads(builder, key, 0, "Main.K" if key == PRICE else "Main.A.RATE")
        for row, (kind, callee) in enumerate(
            (
                (CallKind.INLINED, PLUS),
                (CallKind.DYNAMIC, "typeof(Main.gone)"),
                (CallKind.BUILTIN, "typeof(Core.tuple)"),
                (CallKind.INVOKE, TOTAL),
            )
        ):
            builder.call(PRICE, row, 0, kind, Stage.OPTIMIZED)
            builder.row(schema.CALL, PRICE, row, callee=callee)
        for row, (version, kind, target) in enumerate(
            ((0, Dependency.CODE, TIMES), (1, Dependency.BINDING, "Main.LIMIT"))
        ):
            builder.row(schema.DEPENDENCY, TOTAL, row, version=version, kind=kind, target=target)
        frame = {"instance": FAR, "parent": NONE_U32, "version": NONE_U32}
        builder.add(schema.INFERENCE, **frame)
        builder.instance(ENDED, "ended(::Int64)")
        reads(builder, ENDED, 0, "Main.OLD")
    with builder.epoch():
        builder.code(ENDED, 0, state=CodeState.INVALIDATED, max_world=1)
        builder.code(TOTAL, 0, state=CodeState.INVALIDATED, max_world=1)
        reads(builder, TOTAL, 1, "Main.A.LIMIT")
    with builder.done() as made:
        yield made


def refused(memory: Reader, question: str, name: str, at: int | None = None) -> str:
    with pytest.raises(UnknownName) as told:
        getattr(memory.at(at), question)(name)
    return str(told.value)


def test_what_callees_prints_callers_takes(memory: Reader) -> None:
    printed = [one.name for one in memory.at().callees("price").calls]
    assert printed == [ADDED, GONE, "total(::Int64)"]
    for name in printed:
        (caller,) = memory.at().callers(name).calls
        assert caller.name == "price(::Int64)"
    for name in ("Base.+(::Int64, ::Int64)", "+(Int, Int)", "+", "+(…)", PLUS):
        assert memory.at().callers(name).names == (ADDED,)
    reached = memory.reached(0, 2, start="price")
    assert {one.name for one in reached.came} == {"price(::Int64)", *printed}
    assert [one.name for one in memory.reached(0, 2, start=ADDED).came] == [ADDED]


def test_what_is_known_of_a_callee_is_said(memory: Reader) -> None:
    for question in ("callees", "cause", "show", "why", "blame_statements", "impact"):
        for name in (ADDED, GONE):
            assert refused(memory, question, name) == (
                f"of {name} nothing was recorded but that price(::Int64) calls it; "
                f"`mmsb callers '{name}'` names them"
            )
    assert "tuple(…) is a builtin of Julia" in refused(memory, "callers", "tuple(…)")
    assert refused(memory, "show", "far(::Int64)").endswith(
        "only its inference is known; `mmsb tree 'far(::Int64)'` shows it"
    )
    assert [frame.key for frame in memory.at().tree("far(::Int64)").frames] == [FAR]


def test_what_code_depends_on_can_be_asked_about(memory: Reader) -> None:
    first = memory.at(1)
    assert [edge.name for edge in first.dependencies("total").on] == ["*(::Int64, ::Int64)"]
    found = first.dependencies("*(::Int64, ::Int64)")
    assert (found.function, [edge.name for edge in found.dependents]) == (None, ["total(::Int64)"])
    assert [one.name for one in first.impact("Base.*(::Int64, ::Int64)").stale] == [
        "total(::Int64)"
    ]
    assert "depends on it; `mmsb deps '*(::Int64, ::Int64)'`" in refused(memory, "show", "*", 1)


def test_who_reads_a_global_without_an_edge(memory: Reader) -> None:
    for name in ("K", "Main.K"):
        found = memory.at().dependencies(name)
        assert [edge.name for edge in found.readers] == ["price(::Int64)"]
        assert (found.dependents, found.exit_code) == ((), 0)
        assert "is read by the code of 1 function, as its statements say" in str(found)
        assert str(found).startswith("Main.K  is read")
        for question in ("show", "impact", "callers"):
            told = refused(memory, question, name)
            assert told.endswith(f"a global that code names; `mmsb deps {name}` says whose")
    # total read RATE, and was compiled anew without it
    both, now = (memory.at(epoch).dependencies("A.RATE").readers for epoch in (1, 2))
    assert [edge.name for edge in both] == ["leaf(::Int64)", "total(::Int64)"]
    assert [edge.name for edge in now] == ["leaf(::Int64)"]
    assert refused(memory, "dependencies", "nobody(::Int64)").endswith("lists all")
    edges = memory.at().dependencies("Main.LIMIT")
    assert [edge.version for edge in edges.dependents] == [2]
    assert refused(memory, "dependencies", "Main.NONE").endswith("reads a global so named")


def test_the_version_that_has_no_dependencies_is_numbered(memory: Reader) -> None:
    told = memory.at().dependencies("leaf")
    assert (told.version, told.on) == (1, ())
    assert "version 1 as of epoch 2 depends on nothing recorded" in str(told)
    newest = memory.at().dependencies("total")
    assert (newest.version, [edge.name for edge in newest.on]) == (2, ["Main.LIMIT"])


def test_a_global_that_only_ended_code_reads_has_no_readers(memory: Reader) -> None:
    assert [one.name for one in memory.at(1).dependencies("OLD").readers] == ["ended(::Int64)"]
    told = memory.at().dependencies("OLD")
    assert (told.readers, told.dependents) == ((), ())
    assert "OLD  is what no recorded code depends on" in str(told)
