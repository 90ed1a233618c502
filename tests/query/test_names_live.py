"""Names as Julia itself prints them, and whatever a real recording prints, asked about."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from mmsb import session
from mmsb.base.errors import AmbiguousName, UnknownName
from mmsb.base.model import EventKind
from mmsb.capture.julia import Candidate
from mmsb.query.memories import open_memory
from mmsb.query.reader import Reader

PROGRAM = """
const K = 3
struct Money{T<:Real}
    v::T
end
h(::T) where {T<:Integer} = 1
h(::T) where {T<:Real} = 2
h(::T, ::S) where {T, S<:AbstractVector{T}} = 3
Base.:+(::Money{T}, ::Money{T}) where {T} = Money{T}(0)
taxed(x) = h(x) + x * K
keyed(x; by = 2) = x * by
pricer(factor) = x -> x * factor
function run()
    taxed(1); taxed(2.5); h(1, [1]); Money(1) + Money(2)
    (keyed(1; by = 3), pricer(2)(3), pricer(2.0)(3), (a = 1,), NamedTuple())
end
run()
"""
METHODS = (
    "for m in methods(h); println(m); end; "
    "println(which(+, (Money{Int}, Money{Int}))); println(which(taxed, (Int,)))"
)


@pytest.fixture(scope="module")
def memory(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("names")
    script = folder / "program.jl"
    script.write_text(PROGRAM, encoding="utf-8")
    result = session.record([str(script)], folder / "names.mmsb", julia=julia)
    assert result.state == "complete", result.message
    with open_memory(folder / "names.mmsb") as found:
        yield found


def printed_by(julia: Candidate) -> set[str]:
    """Signatures as Julia prints methods, without the names of arguments and without the place."""
    assert julia.path is not None
    answer = subprocess.run(
        [julia.path, "-e", f"{PROGRAM}\n{METHODS}"],
        env={**os.environ, **julia.env},
        capture_output=True,
        text=True,
        check=True,
    )
    shown = (re.sub(r"( in | @ ).*", "", line) for line in answer.stdout.splitlines())
    plain = (re.sub(r"\b\w+(?=::)", "", line) for line in shown)
    # an argument without a type is one of any type; a set of variables is spelled with blanks
    typed = (re.sub(r"(?<=[(, ])(\w+)(?=[,)])(?!.* where )", "::Any", line) for line in plain)
    return {line.replace("AbstractArray{T,1}", "AbstractVector{T}") for line in typed}


def test_methods_are_spelled_as_julia_prints_them(julia: Candidate, memory: Reader) -> None:
    (*entries,) = memory.log(kind=EventKind.DEFINED).entries
    ours = {name.replace(", ", ",") for entry in entries for name in entry.functions}
    theirs = {line.replace(", ", ",") for line in printed_by(julia) if line}
    assert len(theirs) == 5
    assert theirs <= ours


def test_ambiguous_names_can_be_pasted_back(memory: Reader) -> None:
    with pytest.raises(AmbiguousName) as told:
        memory.at().impact("h")
    listed = shlex.split(str(told.value).split("methods: ")[1].removesuffix("; say which"))
    candidates = [name.removesuffix(",") for name in listed]
    assert len(candidates) == 3
    methods = {memory.at().impact(name).method for name in candidates}
    assert len(methods) == 3


def names_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["name"]} if isinstance(value.get("name"), str) else set()
        return own.union(*map(names_in, value.values()))
    return set().union(*map(names_in, value)) if isinstance(value, list) else set()


def test_whatever_is_printed_can_be_asked_about(memory: Reader) -> None:
    now = memory.at()
    own = [function for function in now.functions() if function.is_users]
    answers: list[Any] = [now.dominators(), memory.reached(0, now.epoch), now.tree()]
    answers += [now.callees(function.key, depth=2) for function in own]
    printed = {function.name for function in own}.union(*(names_in(a.to_dict()) for a in answers))
    assert len(printed) > 10
    for name in sorted(printed):
        for question in (now.callers, now.callees, now.impact, now.cause, now.dependencies):
            told = ""
            try:
                question(name)
            except AmbiguousName:  # the name of a method, for its instances
                told = name if name in {function.name for function in own} else ""
            except UnknownName as refused:
                told = str(refused)
            assert not told.startswith(("no function", name))


def test_who_reads_a_constant(memory: Reader) -> None:
    found = {edge.name for edge in memory.at().dependencies("Main.K").readers}
    assert found == {"taxed(::Int64)", "taxed(::Float64)"}


def test_two_closures_of_one_place_have_two_names(memory: Reader) -> None:
    inner = [f for f in memory.at().functions() if re.search("#.*Core.Int64\\}$", f.key)]
    closures = [f.name for f in inner if "pricer" in f.key or "#" in f.method.split(" ")[0]]
    assert len(set(closures)) == len(closures)
    assert not any(name.startswith("#") for name in closures)
