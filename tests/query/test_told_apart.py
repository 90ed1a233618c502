"""Instances that are written the same: each is printed by a name that leads back to it alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from building import Builder

import mmsb
from mmsb.base import schema
from mmsb.base.model import CallKind, Dependency, EventKind, Lattice, Stage, Tag
from mmsb.query import names
from mmsb.query.facts import Facts, subject_name
from mmsb.query.reader import Reader


def key_of(function: str, method: str, *types: str) -> str:
    """Of an instance for some types; ``method``: of its method's one argument."""
    called = ", ".join([f"typeof({function})", *types])
    return f"{function} Core.Tuple{{typeof({function}), {method}}} @ Core.Tuple{{{called}}}"


TOP = key_of("Main.top", "Core.Any", "Core.Int64")
NUMBER, REAL, INT = (
    key_of("Main.f", f"Core.{of}", "Core.Int64") for of in ("Number", "Real", "Int64")
)
OURS, BASES = (key_of(f"{home}.show", "Core.Any", "Core.Int64") for home in ("Main", "Base"))
DICT, BASE_DICT = (key_of("Main.g", "Core.Any", f"{home}.Dict") for home in ("Main", "Base"))
TOUR = Path(mmsb.__file__).parent / "data" / "tour.mmsb"
SHOWN = {
    TOP: "top(::Int64)",
    NUMBER: "f(::Int64) of f(::Number)",
    REAL: "f(::Int64) of f(::Real)",
    INT: "f(::Int64) of f(::Int64)",
    OURS: "Core.Tuple{typeof(Main.show), Core.Int64}",
    BASES: "Core.Tuple{typeof(Base.show), Core.Int64}",
    DICT: "Core.Tuple{typeof(Main.g), Main.Dict}",
    BASE_DICT: "Core.Tuple{typeof(Main.g), Base.Dict}",
}
ALIKE = [key for key in SHOWN if key != TOP]


@pytest.fixture
def alike(builder: Builder) -> Iterator[Reader]:
    b = builder
    with b.epoch():
        b.add(schema.TYPE, name="Core.Any", lattice=Lattice.ABSTRACT, widened="Core.Any")
        for row, key in enumerate(SHOWN):
            name = key.partition(" ")[0].rpartition(".")[2]
            b.instance(key, f"{name}(::{'Int64' if name != 'g' else 'Dict'})")
            b.code(key, 0, min_world=1, return_type="Core.Any")
            b.body(key, Stage.LOWERED, [], world=1)
            returned = {"row": 0, "alive": 1, "position": 0, "opcode": "return"}
            value = {"operands": [(Tag.ARGUMENT, 2)], "type": "Core.Any"}
            b.body(key, Stage.INFERRED, [{**returned, **value}], blocks=[(0, 0)], world=1)
            b.body(key, Stage.OPTIMIZED, [{**returned, **value}], blocks=[(0, 0)], world=1)
            b.event(EventKind.INFERRED, key, 1, 0)
            if key != TOP:
                b.row(schema.DEPENDENCY, key, 0, version=0, kind=Dependency.CODE, target=TOP)
                b.row(schema.DEPENDENCY, TOP, row, version=0, kind=Dependency.CODE, target=key)
                call = {"alive": 1, "statement": 0, "kind": CallKind.INVOKE}
                b.row(schema.CALL, TOP, row, stage=Stage.OPTIMIZED, callee=key, **call)
                b.row(schema.CALL, key, 0, stage=Stage.OPTIMIZED, callee=TOP, **call)
    with b.done() as memory:
        yield memory


def test_every_instance_has_a_name_that_leads_back_to_it(alike: Reader) -> None:
    with mmsb.open(TOUR) as recorded:
        for memory in (alike, recorded):
            facts = Facts(memory)
            shown = {f.key: subject_name(facts, f.key) for f in facts.functions}
            assert len(set(shown.values())) == len(shown)
            for key, name in shown.items():
                assert [f.key for f in names.instances(facts, name)] == [key], name
        assert sum(name != facts.by_key[key].name for key, name in shown.items()) == 2
    assert {key: subject_name(Facts(alike), key) for key in SHOWN} == SHOWN


def test_warn_names_each(alike: Reader) -> None:
    told = alike.at().warn()
    assert sorted(found.function.name for found in told.functions) == sorted(SHOWN.values())
    for name in (SHOWN[key] for key in ALIKE):
        assert name in str(told)
        (one,) = alike.at().warn(name).functions
        assert one.function.name == name
        assert f"{name}  version 1" in str(alike.at().warn(name))
    assert len(alike.at().warn("f(::Int64)").functions) == 3


def test_deps_name_each(alike: Reader) -> None:
    told = alike.at().dependencies("top")
    for edges in (told.on, told.dependents):
        assert {edge.target: edge.name for edge in edges} == {key: SHOWN[key] for key in ALIKE}
    for key in ALIKE:
        own = alike.at().dependencies(SHOWN[key])
        assert own.function is not None
        assert (own.function.key, own.function.name) == (key, SHOWN[key])
        assert str(own).startswith(f"{SHOWN[key]}  version 1")


def test_callers_and_callees_name_each(alike: Reader) -> None:
    for told in (alike.at().callers("top"), alike.at().callees("top")):
        assert {one.key: one.name for one in told.calls} == {key: SHOWN[key] for key in ALIKE}
    for key in ALIKE:
        own = alike.at().callers(SHOWN[key], depth=2)
        assert own.names == (SHOWN[key],)
        assert {one.through for one in own.calls if one.depth == 2} == {"top(::Int64)"}
    through = {one.through for one in alike.at().callers("top", depth=2).calls}
    assert through <= {None, *SHOWN.values()}


def test_a_method_that_is_mentioned_is_told_from_another_of_that_name(alike: Reader) -> None:
    facts = Facts(alike)
    method = OURS.partition(" @ ")[0].replace("Core.Any", "Core.Int64")
    ours, bases = method, method.replace("Main.", "Base.")
    assert subject_name(facts, ours) == "Core.Tuple{typeof(Main.show), Core.Int64}"
    assert subject_name(facts, bases) == "Core.Tuple{typeof(Base.show), Core.Int64}"
