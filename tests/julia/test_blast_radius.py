"""What is said to go stale if a method were redefined, beside what did when Julia redefined it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import live
import pytest

from mmsb.base.model import TreeNode
from mmsb.capture.julia import Candidate
from mmsb.query.memories import open_memory
from mmsb.query.reader import Reader

#: Shape → what is defined and called, what is defined again afterwards, and that method's name.
SHAPES = {
    "chain": (
        """
        @noinline c0(x) = x + 1
        @noinline c1(x) = c0(x) * 2
        @noinline c2(x) = c1(x) - 1
        c3(x) = c2(x) + 4
        c3(1); c2(2.0)
        """,
        "c0(x) = x + 100",
        "c0(::Any)",
    ),
    "fan": (
        """
        @noinline g0(x) = x + 1
        @noinline g1(x) = g0(x) + 1
        @noinline g2(x) = g0(x) + 2
        @noinline g3(x) = g1(x) + g2(x)
        @noinline apart(x) = x - 1
        g3(1); apart(1)
        """,
        "g0(x) = x + 100",
        "g0(::Any)",
    ),
    "dispatch that has no backedge": (
        """
        @noinline d0(x::Int) = 1
        @noinline d0(x::Float64) = 2
        @noinline d0(x::String) = 3
        @noinline d0(x::Symbol) = 4
        @noinline d0(x::Char) = 5
        d1(v) = d0(v[1])
        d1(Any[1]); d0(1)
        """,
        "d0(x::Int) = 100",
        "d0(::Int64)",
    ),
    "dispatch to one method": (
        """
        @noinline e0(x) = sizeof(x)
        e1(v) = e0(v[1])
        e1(Any[1])
        """,
        "e0(x) = 100",
        "e0(::Any)",
    ),
    "inlined callee": (
        """
        i0(x) = x * 3
        @noinline i1(x) = i0(x) + 1
        i2(x) = i1(x) + i0(x)
        i2(1)
        """,
        "i0(x) = x * 100",
        "i0(::Any)",
    ),
    "two of a union": (
        """
        @noinline u0(x::Int) = 1
        @noinline u0(x::Float64) = 2
        @noinline u1(r) = u0(r[])
        u1(Ref{Union{Int, Float64}}(1))
        """,
        "u0(x::Float64) = 100",
        "u0(::Float64)",
    ),
    "one method of a union": (
        """
        @noinline w0(x) = sizeof(x)
        @noinline w1(r) = w0(r[])
        w1(Ref{Union{Int, Float64}}(1))
        """,
        "w0(x) = 100",
        "w0(::Any)",
    ),
    "invoke": (
        """
        @noinline v0(x) = 1
        @noinline v0(x::Int) = 2
        v1(x) = invoke(v0, Tuple{Any}, x)
        v2(x) = v0(x)
        v1(1); v2(1)
        """,
        "v0(x) = 100",
        "v0(::Any)",
    ),
    "recursion": (
        """
        r0(n) = n < 2 ? 1 : r1(n - 1)
        r1(n) = n < 2 ? 2 : r0(n - 2)
        r2(n) = r0(n) + 1
        r2(9)
        """,
        "r1(n) = 100",
        "r1(::Any)",
    ),
    "folded away": (
        """
        k0() = 3
        @noinline k1(x) = x + k0()
        k1(1)
        """,
        "k0() = 100",
        "k0()",
    ),
}

#: Tells which instances of Main's methods have lost all valid code, but for methods replaced.
_TRUTH = (
    live.HAS_VALID_CODE
    + """
functions() = [f for f in (getfield(Main, n) for n in names(Main; all = true) if isdefined(Main, n))
    if f isa Function && parentmodule(f) === Main]
all_valid() = [(m, mi) for f in functions() for m in methods(f)
    for mi in Base.specializations(m) if valid(mi)]
function told(before)
    there = Set(m for f in functions() for m in methods(f))
    for (m, mi) in before
        (valid(mi) || !(m in there)) && continue
        types = ("::" * string(T) for T in mi.specTypes.parameters[2:end])
        println(m.name, "(", join(types, ", "), ")")
    end
end
"""
)


def program(*, truth: bool) -> str:
    """The shapes, one after another; with ``truth`` it tells what each redefinition ended."""
    parts = [_TRUTH] if truth else []
    parts += [text for text, _, _ in SHAPES.values()]
    for shape, (_, again, _) in SHAPES.items():
        say = ["before = all_valid()", again, f'println("== {shape}")', "told(before)"]
        parts += say if truth else [again]
    return "\n".join(parts)


def ended(julia: Candidate, folder: Path) -> dict[str, set[str]]:
    """Shape → the instances that lost their code, as Julia says without mmsb."""
    script = folder / "truth.jl"
    script.write_text(program(truth=True), encoding="utf-8")
    found: dict[str, set[str]] = {}
    for word in live.said(julia, [str(script)]).splitlines():
        if word.startswith("== "):
            names = found.setdefault(word[3:], set())
        else:
            names.add(word)
    return found


@pytest.fixture(scope="module")
def memory(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if live.version(julia) < (1, 12):
        pytest.skip(f"Julia {julia.version} does not keep what code depends on")
    folder = tmp_path_factory.mktemp("blast")
    made = live.record_text(julia, folder, program(truth=False))
    with open_memory(made.path) as opened:
        yield opened


def before(memory: Reader, method: str) -> int:
    """The epoch before a method was defined again."""
    entries = memory.log(function=method).entries
    return max(entry.epoch for entry in entries if "defined" in entry.events) - 1


@pytest.mark.newest
def test_what_is_said_to_go_stale_is_what_julia_ended(
    julia: Candidate, memory: Reader, tmp_path: Path
) -> None:
    said, log = {}, {}
    for shape, (_, _, method) in SHAPES.items():
        epoch = before(memory, method)
        found = memory.at(epoch).impact(method)
        assert (found.basis, found.name) == ("backedges", method)
        said[shape] = {one.name for one in found.stale}
        own = [t for t in memory.at().invalidations(method).trees if t.root == found.method]
        replaced = {one.key for one in found.own}  # which a recursion may lead back to
        callers = (n for tree in own for n in tree.nodes if n.node is TreeNode.CALLER)
        victims = [node for node in callers if node.subject not in replaced]
        log[shape] = {node.name for node in victims}
        depths = {node.name: node.depth for node in sorted(victims, key=lambda n: -n.depth)}
        assert {one.name: one.depth for one in found.stale} == depths
        once = sorted(victims, key=lambda n: n.lost_ns or 0)  # it stands at one of its nodes
        lost = {(node.name, node.version): node.lost_ns or 0 for node in once}
        again = {(one.name, v): one.again_ns or 0 for one in found.stale for v in one.versions}
        assert again == lost  # the time that the log says was thrown away
    assert said == log
    assert said == ended(julia, tmp_path)
    assert said["dispatch that has no backedge"] == set()
    assert said["inlined callee"] == {"i1(::Int64)", "i2(::Int64)"}


@pytest.mark.newest
def test_times_are_those_of_the_inference_tree(julia: Candidate, memory: Reader) -> None:
    """As SnoopCompile sums them: exclusive times add up, and the whole is that of the roots."""
    now = memory.at(before(memory, "c0(::Any)"))
    table = now.table("inference")
    exclusive = table["exclusive_ns"].astype("i8")
    found = now.dominators(most=10_000)
    assert found.total_ns == exclusive.sum()
    assert sum(one.own_ns for one in found.found) == found.total_ns
    tops = sum(one.dominated_ns for one in found.found if one.under is None)
    assert tops == found.total_ns
    by_method: dict[str, int] = {}
    for id, took in zip(table["instance"].tolist(), exclusive.tolist(), strict=True):
        method = now.symbol(id).partition(" @ ")[0]
        by_method[method] = by_method.get(method, 0) + took
    assert {one.method: one.own_ns for one in found.found} == by_method


@pytest.mark.newest
def test_the_nearest_cause_is_the_logs_shortest_chain(julia: Candidate, memory: Reader) -> None:
    found = memory.at().cause("c3")
    assert not found.valid
    assert found.reason is not None
    chain = [node.name for node in found.reason.chain]
    assert chain == ["c0(::Any)", "c0(::Int64)", "c1(::Int64)", "c2(::Int64)", "c3(::Int64)"]
    epoch = before(memory, "d0(::Int64)") + 1
    dispatched = memory.at(epoch).cause("d1")
    assert (dispatched.valid, dispatched.way) == (True, ("d1(::Vector{Any})", "d0(::Int64)"))


@pytest.mark.newest
def test_who_calls_whom_is_what_runs(julia: Candidate, memory: Reader) -> None:
    def how(name: str, depth: int = 1) -> dict[str, str]:
        found = now.callees(name, depth=depth).calls
        return {one.name: one.how for one in found if one.name.startswith(shown)}

    now, shown = memory.at(before(memory, "c0(::Any)")), ("u0", "w0", "d0", "r0", "r1")
    assert how("u1").keys() == {"u0(::Float64)", "u0(::Int64)"}
    assert how("w1").keys() == {"w0(::Float64)", "w0(::Int64)"}
    assert how("d1") == {"d0(::Int64)": "dynamic dispatch"}
    assert "r0(::Int64)" in how("r0", depth=2)
    for name in ("u1", "w1"):  # the final code dispatches nowhere, and no answer says that it does
        callee = name[0] + "0"
        lines = [one for one in str(now.show(name, "optimized")).splitlines() if callee in one]
        assert all("invoke" in one for one in lines)
        assert "dynamic dispatch" not in how(name).values()
    dispatched = str(now.show("d1", "optimized")).splitlines()
    assert any("d0" in one and "invoke" not in one for one in dispatched)
