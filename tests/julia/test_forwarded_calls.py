"""Functions that a builtin is handed and calls: splats, `invoke`, `invokelatest`, and others."""

from __future__ import annotations

from collections.abc import Iterator

import live
import pytest

from mmsb.capture.julia import Candidate
from mmsb.query.memories import open_memory
from mmsb.query.reader import Reader

PROGRAM = """
small(a, b) = a + b
@noinline large(a, b) = a * b
splat_small(t::Tuple{Int,Int}) = small(t...)
splat_large(t::Tuple{Int,Int}) = large(t...)
splat_names(t::NamedTuple{(:a, :b),Tuple{Int,Int}}) = large(t...)
splat_vector(v::Vector{Int}) = large(v...)
splat_after(v::Vector{Int}) = small(v..., 2)
splat_strings(v::Vector{String}) = large(v...)
invoke_small(x) = invoke(small, Tuple{Any,Any}, x, 1)
invoke_large(x) = invoke(large, Tuple{Any,Any}, x, 1)
latest(x) = Base.invokelatest(large, x, 2)
neither(x) = tuple((x, 1)...)
splat_small((1, 2)); splat_large((1, 2)); splat_names((a = 1, b = 2)); splat_vector([1, 2])
splat_after([1]); splat_strings(["a", "b"])
invoke_small(1); invoke_large(1); latest(1); neither(1)
"""
#: Since Julia 1.7 a field may be changed by a function in one step.
ATOMIC = """
mutable struct Account; @atomic balance::Int; end
@noinline add(a, b) = a + b
pays(account) = @atomic account.balance add 3
changes(account) = modifyfield!(account, :balance, add, 3, :sequentially_consistent)
pays(Account(1)); changes(Account(1))
"""
SMALL = {
    "splat_small(::Tuple{Int64, Int64})": "inlined",
    "splat_after(::Vector{Int64})": "dynamic dispatch",
    "invoke_small(::Int64)": "inlined",
}
LARGE = {
    "splat_large(::Tuple{Int64, Int64})": "invoke",
    "splat_names(::NamedTuple{(:a, :b), Tuple{Int64, Int64}})": "invoke",
    "splat_vector(::Vector{Int64})": "dynamic dispatch",
    "invoke_large(::Int64)": "invoke",
    "latest(::Int64)": "dynamic dispatch",
}


#: Of final code that the compiler kept, the arguments' types are known by the instance alone.
ARGUMENTS = """
@noinline takes(x::Int, y::Int) = 1
@noinline takes(x::Int, y::Char) = 2
@noinline takes(x::Int, y::Symbol) = 3
@noinline takes(x::Int, y::Nothing) = 4
@noinline takes(x::String, y::Int) = 5
@inline gives(x::Int, @nospecialize(y)) = takes(x, y)
@inline gives_rest(@nospecialize(y), x::Int...) = takes(x..., y)
gives(1, 2); gives_rest(2, 1); takes("1", 2); takes(1, 'c')
"""


@pytest.fixture(scope="module")
def memory(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    text = PROGRAM + ARGUMENTS + (ATOMIC if live.version(julia) >= (1, 7) else "")
    made = live.record_text(julia, tmp_path_factory.mktemp("forwarded"), text)
    with open_memory(made.path) as opened:
        yield opened


def callers(memory: Reader, name: str) -> dict[str, str]:
    return {one.name: one.how for one in memory.at().callers(name).calls}


def test_who_hands_a_function_to_a_builtin_calls_it(memory: Reader) -> None:
    assert callers(memory, "small(::Int64, ::Int64)") == SMALL
    assert callers(memory, "large(::Int64, ::Int64)") == LARGE


def test_what_a_container_cannot_hold_is_not_called(memory: Reader) -> None:
    assert callers(memory, "large(::String, ::String)") == {
        "splat_strings(::Vector{String})": "dynamic dispatch"
    }
    assert not any(one.name.startswith("small") for one in memory.at().callees("neither").calls)


def test_arguments_have_the_types_of_the_instance(memory: Reader) -> None:
    for name in ("gives", "gives_rest"):
        calls = memory.at().callees(name).calls
        found = {one.name: one.how for one in calls if one.name.startswith("takes")}
        assert found.keys() >= {"takes(::Int64, ::Char)", "takes(::Int64, ::Int64)"}
        assert "takes(::String, ::Int64)" not in found
        assert set(found.values()) == {"dynamic dispatch"}


def test_a_function_that_changes_a_field_is_called(julia: Candidate, memory: Reader) -> None:
    if live.version(julia) < (1, 7):
        pytest.skip(f"Julia {julia.version} has no atomic fields")
    assert callers(memory, "add").keys() == {"pays(::Account)", "changes(::Account)"}
