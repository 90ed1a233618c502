"""Twelve programs that show what the compiler does, with the facts written by hand.

What is left out of a fact is not looked at. ``final`` is the final IR as words: the function
called, ``invoke:NAME``, or the opcode; statements that are nothing are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import live
import pytest
import rebuild

from mmsb.base.model import (
    NONE_U32,
    CallKind,
    Cause,
    CodeState,
    Dependency,
    Provenance,
    Rederived,
    Stage,
    TreeNode,
)
from mmsb.capture.julia import Candidate
from mmsb.memory.snapshot import Snapshot
from mmsb.query.effects import notation

FIRST = (1, 10)
VALID, INVALIDATED, SUPERSEDED = CodeState.VALID, CodeState.INVALIDATED, CodeState.SUPERSEDED
PROVEN = "+c +e +n +t +s +m"  # in 1.10 as in 1.12
TAINTED = "!c !e !n !t !s !m"


@dataclass(frozen=True)
class Fact:
    """What is so of the newest code of one method instance, as people write its name."""

    returns: str = ""
    callers_see: str = ""
    throws: str = ""  # since 1.11
    effects: str = ""  # these among others
    calls: frozenset[str] = frozenset()  # resolved when it was inferred, among others
    lowered: str = ""  # as final
    final: str = ""
    depends_on: frozenset[str] = frozenset()  # since 1.12; among others
    binding: frozenset[str] = frozenset()
    states: tuple[CodeState, ...] = (VALID,)
    dynamic: frozenset[str] = frozenset()  # callees that are looked up when it runs


def names(*words: str) -> frozenset[str]:
    return frozenset(words)


FACTS: dict[str, Fact] = {
    # 1. g is defined again: f and top end with it, and are made anew when they are called
    "g(::Int64)": Fact(returns="Int64", final="add_int return", states=(SUPERSEDED, VALID)),
    "f(::Int64)": Fact(
        returns="Int64",
        final="add_int mul_int return",  # the new g may be inlined
        depends_on=names("g(Int64)"),
        states=(INVALIDATED, VALID),
    ),
    "top(::Int64)": Fact(
        returns="Int64",
        final="invoke:f sub_int return",
        depends_on=names("f(Int64)"),
        states=(INVALIDATED, VALID),
    ),
    # 2. one test, one case inlined, the other invoked, and a φ of both
    "usc(::Base.RefValue{Union{Int64, String}})": Fact(
        returns="Int64",
        final="getfield isa gotoifnot goto pi invoke:us goto phi return",
        depends_on=names("us(Int64)", "us(String)"),
    ),
    "us(::Int64)": Fact(returns="Int64", callers_see="Const(1)", final="return"),
    # 3. the argument is known, and so is the result
    "cpc()": Fact(
        returns="Int64",
        callers_see="Const(1)",
        throws="Union{}",
        effects=PROVEN,
        final="return",
        depends_on=names("cp(Int64)"),
    ),
    "cp(::Int64)": Fact(returns="Union{Int64, String}"),
    # 4. the callee is gone, what depends on it is not
    "inlc(::Int64)": Fact(
        returns="Int64",
        effects=PROVEN,
        throws="Union{}",
        calls=names("inl"),
        final="mul_int add_int return",
        depends_on=names("inl(Int64)"),
    ),
    # 5. two types: a φ of a union, and an addition for each
    "ti(::Int64)": Fact(returns="Union{Float64, Int64}"),
    "tic(::Int64)": Fact(
        returns="Union{Float64, Int64}",
        calls=names("ti"),
        final="slt_int gotoifnot goto goto phi phi gotoifnot pi add_float goto pi add_int goto "
        "phi return",
        depends_on=names("ti(Int64)"),
    ),
    # 6. nothing proves that it ends; od's own code is what was replaced, and called itself
    "fact(::Int64)": Fact(
        returns="Int64",
        effects="+c +e +n !t",
        final="sle_int gotoifnot return sub_int invoke:fact mul_int return",
        depends_on=names("fact(Int64)"),
    ),
    "ev(::Int64)": Fact(
        returns="Bool", effects="!t", depends_on=names("od(Int64)"), states=(INVALIDATED,)
    ),
    "od(::Int64)": Fact(
        returns="Bool", effects="!t", depends_on=names("ev(Int64)"), states=(INVALIDATED,)
    ),
    # 7. what is thrown is caught
    "tr(::Float64)": Fact(
        returns="Float64",
        throws="Union{}",
        final="enter lt_float gotoifnot invoke:throw_complex_domainerror unreachable sqrt_llvm "
        "goto leave return pop_exception return",
    ),
    # 8. the value is a field of the closure; a variable that is changed is a box
    "clo(::Int64)": Fact(effects=PROVEN, final="new return"),
    "#clo##0(::Int64)": Fact(returns="Int64", final="getfield add_int return"),
    "boxed(::Int64)": Fact(
        returns="Any",
        effects=TAINTED,
        final="new setfield! new invoke:#boxed##0 isdefined gotoifnot pi getfield return "
        "throw_undef_if_not unreachable",
    ),
    # 9. no trace of the keyword is left
    "kwc(::Int64)": Fact(
        returns="Int64", throws="Union{}", calls=names("kw"), final="add_int return"
    ),
    # 10. the lowered code is what was generated
    "gen(::Int64)": Fact(
        returns="Int64", lowered="value:+ call return", final="add_int return", binding=names("+")
    ),
    "gen(::Float64)": Fact(
        returns="Float64",
        lowered="value:* call return",
        final="mul_float return",
        binding=names("*"),
    ),
    # 11. one instance for all
    "ns(::Any)": Fact(returns="Bool", final="=== return"),
    # 12. nothing is known of an untyped global, the type of a typed one, all of a constant
    "fg()": Fact(returns="Any", effects=TAINTED, final="value:G + return", dynamic=names("+")),
    "ftg()": Fact(returns="Int64", throws="UndefVarError", final="value:TG add_int return"),
    "fk()": Fact(callers_see="Const(3)", final="return", states=(INVALIDATED, VALID)),
    "gk()": Fact(callers_see="Const(30)", final="return", states=(INVALIDATED, VALID)),
}
# What is otherwise before 1.12.
OLDER: dict[str, Fact] = {
    # every case is tested, and what can be none of them is an error; us is loaded by itself
    "usc(::Base.RefValue{Union{Int64, String}})": replace(
        FACTS["usc(::Base.RefValue{Union{Int64, String}})"],
        final="getfield value:us isa gotoifnot goto isa gotoifnot pi invoke:us goto throw "
        "unreachable phi return",
    ),
    "tic(::Int64)": replace(
        FACTS["tic(::Int64)"],
        final="slt_int gotoifnot goto goto phi phi phi gotoifnot pi add_float goto gotoifnot pi "
        "add_int goto throw unreachable phi return",
    ),
    "tr(::Float64)": replace(
        FACTS["tr(::Float64)"],
        final="enter lt_float gotoifnot invoke:throw_complex_domainerror unreachable sqrt_llvm "
        "goto leave return leave pop_exception return",
    ),
    "boxed(::Int64)": replace(
        FACTS["boxed(::Int64)"],
        final="new setfield! new invoke:#boxed##0 isdefined gotoifnot getfield return "
        "throw_undef_if_not unreachable",
    ),
    "gen(::Int64)": replace(FACTS["gen(::Int64)"], lowered="+ return"),
    "gen(::Float64)": replace(FACTS["gen(::Float64)"], lowered="* return"),
    # a constant that is replaced leaves the code that has the old value
    "fk()": Fact(callers_see="Const(2)", final="return"),
    "gk()": Fact(callers_see="Const(20)", final="return"),
}
TREES = [
    "DELETED g(Any)/g(Int64) 0/f(Int64) 1/top(Int64) 2",
    "DELETED od(Any)/od(Int64) 0/ev(Int64) 1/od(Int64) 2",
]
TREES_SINCE_1_12 = ["BINDING K/fk() 1/gk() 2"]


def plain(text: str) -> str:
    """``f(Int64)`` of a key, a type or a name."""
    text = re.sub(r"([A-Za-z_]\w*\.)+(?=\S)", "", text.rsplit(" @ ", maxsplit=1)[-1])
    found = re.fullmatch(r".*?Tuple\{typeof\(([^()]+)\)(?:, )?(.*)\}", text)
    return f"{found[1]}({found[2]})" if found else text


def word(line: str) -> str:
    """What a statement does."""
    said = re.sub(r"^\$\d+ = ", "", line.rsplit(" :: ", 1)[0]).split(" ")
    opcode, first = said[0], said[1] if len(said) > 1 else ""
    name = re.sub(r"^(?:g:|I:|f:)(?:typeof\()?(?:\w+\.)*|\)$", "", first)
    if opcode == "call":
        return name if first[:2] in ("g:", "f:") else "call"
    if opcode == "invoke":
        return f"invoke:{name}"
    return f"value:{name}" if opcode == "value" else opcode


@dataclass
class Twelve:
    """What a memory holds of the programs."""

    julia: Candidate
    head: Snapshot
    names: rebuild.Names = field(init=False)

    def __post_init__(self) -> None:
        self.names = rebuild.Names(self.head)

    @cached_property
    def keys(self) -> dict[str, str]:
        """Name as people write it → key. A closure's type has no name of its own."""
        found = {}
        for page in self.head.pages("instance"):
            name = self.head.symbol(int(self.head.column("instance", int(page), "name")[0]))
            found[name.replace("Main.", "")] = self.head.subject(int(page))
        return found

    def words(self, name: str, stage: Stage) -> str:
        lines = rebuild.body(self.names, self.keys[name], stage)
        words = [word(line) for line in lines if not line.startswith("B ")]
        return " ".join(one for one in words if one != "nothing")

    def code(self, name: str, column: str) -> list[int]:
        page = self.head.page("code", self.keys[name])
        assert page is not None
        return [int(value) for value in self.head.column("code", page, column)]

    def type(self, name: str, column: str) -> str:
        value = self.code(name, column)[-1]
        return "" if value == NONE_U32 else re.sub(r"Core\.", "", self.names.type(value))

    def effects(self, name: str) -> set[str]:
        told = notation(self.code(name, "effects")[-1], str(self.julia.version))
        return set(told.strip("()′").split(","))

    def calls(self, name: str, stage: Stage, kind: CallKind) -> set[str]:
        page = self.head.page("call", self.keys[name])
        if page is None:
            return set()
        call = self.head.columns("call", page)
        return {
            self.callee(int(call["callee"][row]))
            for row in range(len(call["kind"]))
            if call["stage"][row] == stage and call["kind"][row] == kind and call["alive"][row]
        }

    def callee(self, symbol: int) -> str:
        """Its name: of a key, or of a function whose method is not known."""
        return re.sub(r"typeof\((.*)\)", r"\1", plain(self.head.symbol(symbol).split(" ")[0]))

    def dependencies(self, name: str, kinds: set[Dependency]) -> set[str]:
        page = self.head.page("dependency", self.keys[name])
        if page is None:
            return set()
        table = self.head.columns("dependency", page)
        last = len(self.code(name, "state")) - 1
        return {
            plain(self.head.symbol(int(table["target"][row])))
            for row in range(len(table["kind"]))
            if table["version"][row] == last and Dependency(int(table["kind"][row])) in kinds
        }

    def trees(self) -> Iterator[str]:
        """A line a tree whose nodes have one child each."""
        table = self.head.table("invalidation_tree")
        line = ""
        for row in range(len(table["node"])):
            subject = plain(self.head.symbol(int(table["subject"][row])))
            if TreeNode(int(table["node"][row])) == TreeNode.ROOT:
                if line:
                    yield line
                line = f"{Cause(int(table['cause'][row])).name} {subject}"
            else:
                assert table["parent"][row] == row - 1
                line += f"/{subject} {table['depth'][row]}"
        if line:
            yield line

    def check(self, name: str) -> None:
        """Fails where the memory and the fact differ."""
        version = live.version(self.julia)
        fact = FACTS[name] if version >= (1, 12) else OLDER.get(name, FACTS[name])
        if fact.returns:
            assert self.type(name, "return_type") == fact.returns
        if fact.callers_see:
            assert self.type(name, "return_lattice") == fact.callers_see
        if fact.throws and version >= (1, 11):
            assert self.type(name, "exception_type") == fact.throws
        assert set(fact.effects.split()) <= self.effects(name)
        assert fact.calls <= self.calls(name, Stage.INFERRED, CallKind.RESOLVED)
        assert fact.dynamic <= self.calls(name, Stage.OPTIMIZED, CallKind.DYNAMIC)
        if fact.lowered:
            assert self.words(name, Stage.LOWERED) == fact.lowered
        if fact.final:
            assert self.words(name, Stage.OPTIMIZED) == fact.final
        if version >= (1, 12):
            code = {Dependency.CODE, Dependency.INVOKE, Dependency.DISPATCH}
            assert fact.depends_on <= self.dependencies(name, code)
            assert fact.binding <= self.dependencies(name, {Dependency.BINDING})
        assert [CodeState(state) for state in self.code(name, "state")] == list(fact.states)
        assert {Provenance(said) for said in self.code(name, "provenance")} == {Provenance.NATIVE}

    def check_trees(self) -> None:
        since = TREES_SINCE_1_12 if live.version(self.julia) >= (1, 12) else []
        assert list(self.trees()) == TREES + since


@pytest.fixture(scope="session")
def twelve(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Twelve:
    if live.version(julia) < FIRST:
        pytest.skip(f"what Julia {julia.version} did itself is not recorded")
    output = tmp_path_factory.mktemp("twelve") / "twelve.mmsb"
    recorded = live.record(julia, output, [str(live.HERE / "twelve_programs.jl")])
    assert recorded.notes()["tier"] == "native"
    return Twelve(julia, recorded.head)


@pytest.mark.parametrize("name", list(FACTS))
def test_what_the_compiler_made(twelve: Twelve, name: str) -> None:
    twelve.check(name)


def test_what_became_invalid(twelve: Twelve) -> None:
    twelve.check_trees()


def test_worlds_end_before_their_cause(twelve: Twelve) -> None:
    """The old code of f and of top lasts until the world before g's new method."""
    page = twelve.head.page(
        "method", next(k for k in twelve.keys.values() if k.startswith("Main.g ")).split(" @ ")[0]
    )
    assert page is not None
    world = int(twelve.head.column("method", page, "world")[0])
    assert twelve.code("f(::Int64)", "max_world")[0] == world - 1
    assert twelve.code("top(::Int64)", "max_world")[0] == world - 1
    assert twelve.code("f(::Int64)", "min_world")[1] >= world


def test_no_argument_is_specialised_on(twelve: Twelve) -> None:
    assert [name for name in twelve.keys if name.startswith("ns(")] == ["ns(::Any)"]


def test_where_an_inlined_statement_came_from(twelve: Twelve) -> None:
    """The multiplication is ``*``, called by inl, which inlc called."""
    key = twelve.keys["inlc(::Int64)"]
    page = twelve.head.page("statement", key)
    assert page is not None
    row = rebuild.ordered_rows(twelve.head, page, Stage.OPTIMIZED)[0]
    scope = int(
        rebuild.Stages(twelve.head, "statement", page, Stage.OPTIMIZED).column("scope")[row]
    )
    table = twelve.head.table("scope")
    frames = []
    while scope != NONE_U32:
        frames.append(twelve.head.symbol(int(table["method"][scope])))
        scope = int(table["parent"][scope])
    assert frames == ["*", "inl"]


def test_what_the_program_says(julia: Candidate, twelve: Twelve) -> None:
    """Both worlds: a function redefined takes effect everywhere, a constant since 1.12."""
    said = live.said(julia, [str(Path(live.HERE / "twelve_programs.jl"))])
    constant = 30 if live.version(julia) >= (1, 12) else 20
    assert said.split("\n")[:2] == ["1 11", f"12 {constant}"]


def test_recursion_asked_again_is_inlined_once(twelve: Twelve) -> None:
    """While fact itself is compiled its own code is not there yet; asked again, it is."""
    assert Rederived(twelve.code("fact(::Int64)", "rederived")[-1]) == Rederived.DIFFERS
    assert twelve.words("fact(::Int64)", Stage.REDERIVED) == (
        "sle_int gotoifnot return sub_int sle_int gotoifnot goto sub_int invoke:fact mul_int goto "
        "phi mul_int return"
    )
