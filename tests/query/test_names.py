from __future__ import annotations

import pytest
from building import Builder, instance_key
from redefinition import F

from mmsb.base.errors import AmbiguousName, UnknownName, UsageError
from mmsb.base.model import CodeState, EventKind
from mmsb.query import names
from mmsb.query.facts import Facts
from mmsb.query.reader import Reader


@pytest.mark.parametrize(
    "name",
    [
        "f",
        "Main.f",
        "f(::Int64)",
        "f(x::Int64)",
        "f(Int64)",
        "f(::Int)",
        "Main.f(::Core.Int64)",
        "Tuple{typeof(f),Int64}",
        "Tuple{typeof(Main.f), Core.Int64}",
        F,
    ],
)
def test_every_way_to_write_a_name(memory: Reader, name: str) -> None:
    assert names.resolve(Facts(memory), name)[0].key == F


@pytest.mark.parametrize("name", ["Base.f", "f(::Float64)", "f()", "f(::Int64, ::Int64)", "ff"])
def test_what_does_not_fit_is_unknown(memory: Reader, name: str) -> None:
    with pytest.raises(UnknownName, match="no function"):
        names.resolve(Facts(memory), name)


def test_an_unknown_name_lists_near_ones(memory: Reader) -> None:
    with pytest.raises(UnknownName, match=r"near it: top\(::Int64\)"):
        names.resolve(Facts(memory), "tpo")


@pytest.mark.parametrize("name", ["", "f(", "a b"])
def test_what_is_no_name(memory: Reader, name: str) -> None:
    with pytest.raises(UsageError):
        names.resolve(Facts(memory), name)


def test_a_name_is_unknown_before_its_epoch(memory: Reader) -> None:
    with pytest.raises(UnknownName):
        names.resolve(Facts(memory, 1), "f")


def test_several_signatures_are_ambiguous(builder: Builder) -> None:
    with builder.epoch():
        for type_ in ("Core.Int64", "Core.Array{Core.Float64, 1}"):
            builder.instance(instance_key("k", type_), f"k(::{type_})")
    with builder.done() as memory:
        facts = Facts(memory)
        with pytest.raises(AmbiguousName, match=r"k\(::Int64\), k\(::Vector\{Float64\}\)"):
            names.resolve(facts, "k")
        assert names.resolve(facts, "k(::Vector{Float64})")[0].name == "k(::Vector{Float64})"
        assert names.resolve(facts, "k(::Vector)")[0].name == "k(::Vector{Float64})"
        assert len(names.instances(facts, "k")) == 2


def test_arguments_that_a_vararg_takes(builder: Builder) -> None:
    with builder.epoch():
        for types in (("Core.Int64", "Vararg{Core.Int64}"), ("Core.Int64", "Core.Int64")):
            builder.instance(instance_key("k", *types), f"k({len(types[1])})")
    with builder.done() as memory:
        facts = Facts(memory)
        (exact,) = names.instances(facts, "k(Int, Int)")
        assert exact.name == f"k({len('Core.Int64')})"
        (spread,) = names.instances(facts, "k(Int, Int, Int)")
        assert spread.name == f"k({len('Vararg{Core.Int64}')})"
        with pytest.raises(UnknownName):
            names.instances(facts, "k(Int, Int, Float64)")


def test_of_equal_signatures_the_valid_one_is_meant(builder: Builder) -> None:
    old = instance_key("k", "Core.Int64")
    new = instance_key("k", "Core.Int64", method=("Core.Int64",))
    with builder.epoch():
        for key in (new, old):
            builder.instance(key, "k(::Int64)")
            builder.code(key, 0, min_world=1)
            builder.event(EventKind.LOWERED, key, 1, 0)
        builder.code(old, 0, state=CodeState.INVALIDATED)
    with builder.done() as memory:
        chosen, also = names.resolve(Facts(memory), "k")
        assert chosen.key == new
        assert [other.key for other in also] == [old]


@pytest.mark.parametrize(
    ("asked", "actual", "same"),
    [
        ("Int", "Core.Int64", True),
        ("Vector{Int}", "Core.Array{Core.Int64, 1}", True),
        ("Vector", "Core.Array{Core.Int64, 1}", True),
        ("Vector", "Core.Array{Core.Int64, 2}", False),
        ("Union{Int64, Nothing}", "Union{Core.Nothing, Core.Int64}", True),
        ("Dict{String}", "Base.Dict{Core.String, Core.Int64}", False),
        ("P", "Main.A.P", True),
        ("B.P", "Main.A.P", False),
    ],
)
def test_same_type(asked: str, actual: str, same: bool) -> None:
    assert names.same_type(asked, actual) is same
