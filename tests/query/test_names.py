from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from building import Builder, instance_key
from redefinition import F

from mmsb.base import schema
from mmsb.base.errors import AmbiguousName, UnknownName, UsageError
from mmsb.base.model import NONE_U32, Cause, CodeState, EventKind, TreeNode
from mmsb.query import functions, names, spelling
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


def refused(memory: Reader, name: str) -> str:
    with pytest.raises(UsageError) as told:
        names.resolve(Facts(memory), name)
    return str(told.value)


def test_an_unknown_name_lists_near_ones(memory: Reader) -> None:
    said = refused(memory, "tpo")
    assert "near it: 'top(::Int64)'; `mmsb stats --functions` lists all" in said


def test_near_names_are_few_and_short_and_the_programs_own_first(builder: Builder) -> None:
    long = "Core.Array{" * 8 + "Core.Float64" + ", 1}" * 8
    with builder.epoch():
        for depth, name, type_ in (
            (NONE_U32, "totals", "Core.Int64"),
            (0, "total", long),
            (0, "total", "Core.Float64"),
            (NONE_U32, "atotal", "Core.Int64"),
        ):
            builder.instance(instance_key(name, type_), f"{name}(::{type_})", depth=depth)
    with builder.done() as memory:
        (near,) = re.findall("near it: (.*); `mmsb", refused(memory, "ttal"))
        assert near.startswith("total(::Vector{Vector{")
        assert near.split(", ")[1:] == ["'total(::Float64)'", "'totals(::Int64)'"]
        assert max(map(len, near.split(", "))) <= 60
        (same,) = re.findall("near it: (.*); `mmsb", refused(memory, "atotal(::Char)"))
        assert same.startswith("'atotal(::Int64)', total")


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("f(2)", "f(Int64)"),
        ("f(-2, 1.5, 1e3)", "f(Int64, Float64, Float64)"),
        ('f("a, b", Int)', "f(String, Int)"),
        ("f('c', true, nothing, :x)", "f(Char, Bool, Nothing, Symbol)"),
    ],
)
def test_values_instead_of_types(memory: Reader, name: str, types: str) -> None:
    assert refused(memory, name).endswith(f"has values where types are wanted: {types}")


KILLED = {"state": "incomplete", "reason": "the program was killed by signal 9"}


@pytest.mark.parametrize("key", ["Tuple{typeof(Main.f), Int64}", instance_key("f", "Core.Int64")])
def test_a_function_of_which_only_its_compilation_is_known(builder: Builder, key: str) -> None:
    with builder.epoch():
        builder.event(EventKind.COMPILED, key, 1)
        builder.note(**KILLED)
    with builder.done() as memory:
        for name in ("f", "Main.f", "f(Int64)"):
            assert refused(memory, name) == (
                "of f(::Int64) only its compilation is known, since the recording is incomplete "
                "(the program was killed by signal 9)"
            )
        assert "no function 'g'" in refused(memory, "g")
        (entry,) = memory.log("f").entries
        assert entry.events == {"compiled": 1}


def test_a_function_that_was_never_compiled(builder: Builder) -> None:
    with builder.epoch():
        builder.method("f", "Core.Any", world=1)
    with builder.done() as memory:
        said = "of f(::Any) only its definition is known at epoch 1, no code of it"
        assert refused(memory, "f") == said


def test_a_memory_says_what_it_is(memory: Reader) -> None:
    assert repr(memory) == "<mmsb memory made.mmsb, 9 epochs>"
    assert repr(memory.at(4)) == "<mmsb memory made.mmsb as of epoch 4>"


def test_one_is_no_plural(builder: Builder) -> None:
    with builder.epoch():
        builder.instance(F, "f(::Int64)")
        builder.note(threads="1", dropped="1")
        root = {"cause": Cause.INSERTED, "node": TreeNode.ROOT, "world": 1}
        builder.add(schema.INVALIDATION_TREE, subject=instance_key("g"), **root)
    with builder.done() as memory:
        told = f"{memory.overview()}"
        assert "1 thread, " in told
        assert "1 code object left out: more than --limit were seen." in told
        assert "because --limit left out 1 code object." in told
        assert "1 epoch, 1 function, " in told
        assert str(memory.at().invalidations()) == (
            "1 tree, no function invalidated up to epoch 1.\n"
            "g() was defined: nothing invalidated (epoch 1, world 1)"
        )


def test_a_global_that_the_log_does_not_name(builder: Builder) -> None:
    with builder.epoch():
        root = {"cause": Cause.BOUND, "node": TreeNode.ROOT, "world": 1}
        builder.add(schema.INVALIDATION_TREE, subject="unknown", **root)
    with builder.done() as memory:
        told = str(memory.at().invalidations())
    assert "a global that Julia's log does not name got a value" in told


def test_functions_by_name(builder: Builder) -> None:
    with builder.epoch():
        for name, depth in (("far", NONE_U32), ("z", 0), ("called", 1), ("a", 0)):
            key = instance_key(name, "Core.Int64")
            builder.instance(key, f"{name}(::Int64)", depth=depth)
            builder.code(key, 0, state=CodeState.INVALIDATED if name == "z" else CodeState.VALID)
    with builder.done() as memory:
        told = functions.functions(memory)
    assert [(k.function.name[0], k.whose, k.versions, k.valid) for k in told.functions] == [
        ("a", "the program's", 1, True),
        ("z", "the program's", 1, False),
        ("c", "called by it", 1, True),
        ("f", "out of scope", 1, True),
    ]
    assert str(told).splitlines()[1].split() == [
        "a(::Int64)",
        "Main",
        "the",
        "program's",
        "1",
        "valid",
    ]
    assert str(told).endswith("4 functions as of epoch 1.")


def test_no_functions_of_a_killed_program(builder: Builder) -> None:
    with builder.epoch():
        builder.note(**KILLED)
    with builder.done() as memory:
        told = functions.functions(memory)
    assert "the recording is incomplete" in str(told)
    assert told.exit_code == 3


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
        with pytest.raises(AmbiguousName, match=r"'k\(::Int64\)', 'k\(::Vector\{Float64\}\)'"):
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
        ("Dict{String}", "Base.Dict{Core.String, V} where {V}", True),
        ("Dict{String}", "Base.Dict{K, Core.String} where {K}", False),
        ("P", "Main.A.P", True),
        ("B.P", "Main.A.P", False),
    ],
)
def test_same_type(asked: str, actual: str, same: bool) -> None:
    assert names.same_type(asked, actual) is same


H = {"Core.Integer": "h(::T) where T<:Integer", "Core.Real": "h(::T) where T<:Real"}


def generic(b: Builder, bound: str, *types: str) -> None:
    """A method ``h(::T) where T<:bound`` and its instances."""
    method = f"Main.h Core.Tuple{{typeof(Main.h), T}} where {{T<:{bound}}}"
    b.add(schema.EVENT, kind=EventKind.DEFINED, subject=method, world=1)
    b.row(schema.METHOD, method, 0, name="h", module="Main", world=1, definition=1)
    for type_ in types:
        key = f"{method} @ Core.Tuple{{typeof(Main.h), {type_}}}"
        b.instance(key, f"h(::{type_.removeprefix('Core.')})")
        b.code(key, 0, min_world=1)
        b.event(EventKind.INFERRED, key, 1, 0)


@pytest.fixture
def bounded(builder: Builder) -> Iterator[Reader]:
    with builder.epoch():
        generic(builder, "Core.Integer", "Core.Int64")
        generic(builder, "Core.Real", "Core.Float64", "Core.Int64")
    with builder.done() as memory:
        yield memory


def test_methods_that_differ_in_their_bounds_have_names_of_their_own(bounded: Reader) -> None:
    (entry,) = bounded.log(kind=EventKind.DEFINED).entries
    assert entry.functions == tuple(H.values())
    for bound, name in H.items():
        found = bounded.at().impact(name)
        assert (found.name, bound in found.method) == (name, True)
        braced = name.replace("T<:", "{T<:") + "}"
        assert bounded.at().impact(braced).method == found.method
    for vague in ("h", "h(::T)"):
        with pytest.raises(AmbiguousName) as told:
            bounded.at().impact(vague)
        assert re.findall("'(.*?)'", str(told.value))[1:] == list(H.values())


def test_a_methods_name_stands_for_its_instances(bounded: Reader) -> None:
    facts = Facts(bounded)
    assert names.resolve(facts, H["Core.Integer"])[0].name == "h(::Int64)"
    found = names.instances(facts, H["Core.Real"])
    assert [function.name for function in found] == ["h(::Float64)", "h(::Int64)"]
    assert len(names.instances(facts, "h(::Int64)")) == 2
    heads = [line for line in str(bounded.at().why("h(::Int64)")).splitlines() if "has" in line]
    assert [line.partition(" has")[0] for line in heads] == [
        f"h(::Int64) of {method}" for method in H.values()
    ]
    with pytest.raises(UnknownName):
        names.resolve(facts, "h(::T) where T<:Core.AbstractFloat")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("Main.f Core.Tuple{typeof(Main.f), T, S} where {T, S<:Core.AbstractArray{T, 1}}",
         "f(::T, ::S) where {T, S<:AbstractVector{T}}"),
        ("Base.+ Core.Tuple{typeof(Base.+), Core.Int64} @ Core.Tuple{typeof(Base.+), Core.Int64}",
         "+(::Int64)"),
        ("Main.+ Core.Tuple{typeof(Base.+), Main.P}", "+(::P)"),
        ("Main.A.f Core.Tuple{typeof(Main.A.f)}", "Main.A.f()"),
        ("Main.a b Core.Tuple{typeof(Main.a b), Core.Any}", 'var"a b"(::Any)'),
        ("Main.#2 Core.Tuple{Main.#2#3, Core.Any}", 'var"#2"(::Any)'),
        ("Main.A.#2 Core.Tuple{Main.A.#2#3, Core.Any}", 'Main.A.var"#2"(::Any)'),
        ("Main.P Core.Tuple{Core.Type{Main.P}, Core.Any}", "P(::Any)"),
        ("Main.P Core.Tuple{Core.Type{Main.P{T}}, Core.Any} where {T}", "P{T}(::Any) where T"),
        ("Main.P Core.Tuple{Core.Type{Main.P{A, B} where {B<:Core.Real}}} where {A}",
         "P{A}() where A"),
        ("Main.P Core.Tuple{Core.Type{Main.P{A, Core.Int64} where {A}}}", "P{A,Int64}()"),
        ("Main.P Core.Tuple{Core.Type{Main.P{T'} where {T'}}, T} where {T}", "P(::T) where T"),
        ("Main.P Core.Tuple{Main.P{T} where {T}, Core.Int64}", "(::P{T} where {T})(::Int64)"),
        ("typeof(Base.+)", "+(…)"),
        ("Main.g Core.Tuple{typeof(Main.g), Core.NamedTuple{(,), Core.Tuple{}}}",
         "g(::NamedTuple{(), Tuple{}})"),
        ("Main.g Core.Tuple{typeof(Main.g), Core.NamedTuple{(:a, :b,), T}} where {T}",
         "g(::NamedTuple{(:a, :b), T}) where T"),
    ],
)  # fmt: skip
def test_names_as_julia_writes_them_are_understood(key: str, name: str) -> None:
    assert spelling.callee_name(key) == name
    assert names.fits_key(names.parse(name), key)


@pytest.mark.parametrize(
    ("recorded", "types", "name"),
    [
        ("#2(::Int64)", "Main.#2#3, Core.Int64", 'var"#2"(::Int64)'),
        ("Main.A.#2(::Int64)", "Main.A.#2#3, Core.Int64", 'Main.A.var"#2"(::Int64)'),
        ("k(::#2#3)", "typeof(Main.k), Main.#2#3", 'k(::var"#2#3")'),
        ("#2(::Char)", "Main.#2#3{Core.Int64}, Core.Char", '(::var"#2#3"{Int64})(::Char)'),
        ("P(::Char)", "Core.Type{Main.P{Core.Int64, B} where {B}}, Core.Char", "P{Int64}(::Char)"),
        ("P(::Char)", "Core.Type{Main.P{A, B} where {A, B}}, Core.Char", "P(::Char)"),
        ("k(::Type{T})", "typeof(Main.k), Core.Type{T}} where {T", "k(::Type{T}) where T"),
    ],
)
def test_an_instance_is_spelled_as_its_method_is(
    builder: Builder, recorded: str, types: str, name: str
) -> None:
    method = f"Main.{recorded.partition('(')[0].removeprefix('Main.')} Core.Tuple{{Core.Any}}"
    key = f"{method} @ Core.Tuple{{{types}}}"
    with builder.epoch():
        builder.instance(key, recorded)
    with builder.done() as memory:
        (function,) = memory.at().functions()
        assert function.name == name
        assert names.resolve(Facts(memory), name)[0].key == key
        assert names.fits(names.parse(name), function)
