"""What became stale, and by what: small programs with the truth written by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import live
import numpy as np
import pytest

from mmsb.base.model import NONE_U32, CodeState, EventKind
from mmsb.capture.julia import Candidate
from mmsb.memory.snapshot import Snapshot
from mmsb.query import history, why

Causes = dict[str, set[str]]  # victim as people write it → keys of the methods that did it


def method(name: str, *types: str, of: str = "Main") -> str:
    """A method's key."""
    signature = ", ".join([f"typeof({of}.{name})", *types])
    return f"Core.Tuple{{{signature}}}"


ANY, INT = "Core.Any", "Core.Int64"


@dataclass(frozen=True)
class Case:
    """A program and what it makes stale."""

    name: str
    program: str
    invalidated: Causes = field(default_factory=dict)
    superseded: Causes = field(default_factory=dict)

    @property
    def module(self) -> str:
        """Where its program runs, among the others."""
        return "Main." + "".join(letter if letter.isalnum() else "_" for letter in self.name)


CASES = [
    Case(
        "callee redefined",
        """
        @noinline g(x) = x + 1
        f(x) = g(x) * 2
        f(1)
        g(x) = x + 5
        f(1)
        """,
        invalidated={"f(::Int64)": {method("g", ANY)}},
        superseded={"g(::Int64)": {method("g", ANY)}},
    ),
    Case(
        "new more specific method",
        """
        @noinline g(x) = 1
        f(x) = g(x) + 1
        f(1); f("text")
        g(x::Int) = 2
        f(1)
        """,
        invalidated={"f(::Int64)": {method("g", INT)}},
    ),
    Case(
        "method on an abstract type",
        """
        abstract type Animal end
        struct Dog <: Animal end
        struct Cat <: Animal end
        noise(x) = "?"
        say(x) = string(noise(x), "!")
        say(Dog()); say(Cat()); say(1)
        noise(x::Animal) = "grr"
        say(Dog())
        """,
        invalidated={
            "say(::Cat)": {method("noise", "Main.Animal")},
            "say(::Dog)": {method("noise", "Main.Animal")},
        },
    ),
    Case(
        "a method where a call had too few",
        """
        abstract type Animal end
        struct Dog <: Animal end
        struct Cat <: Animal end
        noise(x::Dog) = "woof"
        first_noise(animals) = noise(animals[1])
        first_noise(Animal[Dog()])
        noise(x::Cat) = "meow"
        first_noise(Animal[Cat()])
        """,
        invalidated={"first_noise(::Array{Animal, 1})": {method("noise", "Main.Cat")}},
    ),
    Case(
        "unrelated method",
        """
        @noinline g(x) = 1
        f(x) = g(x) + 1
        f(1)
        g(x::String) = 3
        h(x) = 4
        h(1)
        f(1)
        """,
    ),
    Case(
        "two levels of callers",
        """
        @noinline g(x) = x + 1
        @noinline f(x) = g(x) * 2
        top(x) = f(x) - 1
        top(1)
        g(x) = x + 5
        top(1)
        """,
        invalidated={"f(::Int64)": {method("g", ANY)}, "top(::Int64)": {method("g", ANY)}},
        superseded={"g(::Int64)": {method("g", ANY)}},
    ),
    Case(
        "a caller never compiled",
        """
        @noinline g(x) = x + 1
        never(x) = g(x) * 2
        g(1)
        g(x) = x + 5
        g(1)
        """,
        superseded={"g(::Int64)": {method("g", ANY)}},
    ),
    Case(
        "a method that was replaced unused",
        """
        g(x) = x + 1
        f(x) = g(x)
        g(x) = x + 2
        f(1)
        """,
    ),
    Case(
        "redefined twice, called between",
        """
        @noinline g(x) = x + 1
        f(x) = g(x) * 2
        f(1)
        g(x) = x + 5
        f(1)
        g(x) = x + 6
        """,
        invalidated={"f(::Int64)": {method("g", ANY)}},
        superseded={"g(::Int64)": {method("g", ANY)}},
    ),
    Case(
        "replaced, and what its old code calls later",
        """
        @noinline inner(x) = x + 1
        @noinline mine(x) = inner(x) * 2
        mine(3)
        mine(x) = 0
        inner(x) = x + 2
        """,
        superseded={
            "mine(::Int64)": {method("mine", ANY)},
            "inner(::Int64)": {method("inner", ANY)},
        },
    ),
]


@pytest.fixture(scope="module")
def cases(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> live.Recorded:
    """One program of them all, each a module of its own."""
    text = "\n".join(f"module {case.module[5:]}\n{case.program}\nend\n" for case in CASES)
    return live.record_text(julia, tmp_path_factory.mktemp("cases"), text)


def named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def fates(head: Snapshot, state: CodeState, of: str = "Main") -> dict[str, set[str]]:
    """Victim in a module, as people write it → keys of its causes, as if the module were Main."""
    table = head.table("invalidation")
    found: dict[str, set[str]] = {}
    for row in np.flatnonzero(table["state"] == state):
        key = head.symbol(int(table["victim"][row]))
        if not key.startswith(f"{of}."):
            continue
        page = head.page("instance", key)
        assert page is not None
        name = head.symbol(int(head.column("instance", page, "name")[0]))
        cause = int(table["cause"][row])
        causes = found.setdefault(name.replace(f"{of}.", ""), set())
        if cause != NONE_U32:
            causes.add(head.symbol(cause).split(" ", 1)[1].replace(of, "Main"))
    return found


def versions(head: Snapshot, name: str) -> list[int]:
    """States of the code objects of the instance that people write like this."""
    for page in head.pages("instance"):
        if head.symbol(int(head.column("instance", int(page), "name")[0])) == name:
            code = head.page("code", head.subject(int(page)))
            assert code is not None
            return [int(state) for state in head.column("code", code, "state")]
    return []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_became_stale(cases: live.Recorded, case: Case) -> None:
    assert fates(cases.head, CodeState.INVALIDATED, case.module) == case.invalidated
    assert fates(cases.head, CodeState.SUPERSEDED, case.module) == case.superseded


def test_each_version_has_the_state_it_ended_in(cases: live.Recorded) -> None:
    twice = named("redefined twice, called between").module
    assert versions(cases.head, f"{twice}.f(::Int64)") == [CodeState.INVALIDATED] * 2
    assert versions(cases.head, f"{twice}.g(::Int64)") == [CodeState.SUPERSEDED] * 2


REPLACED_TWICE = """
@noinline scale(x) = 2x
@noinline leaf(x) = scale(x) + 1
top(x) = leaf(x) * 3
top(1)
leaf(x) = scale(x) + 100
top(1)
scale(x) = 5x
top(1)
"""


def test_replaced_code_is_superseded_also_where_it_is_capped_later(
    julia: Candidate, tmp_path: Path
) -> None:
    memory = live.record_text(julia, tmp_path, REPLACED_TWICE).memory
    superseded, invalidated = CodeState.SUPERSEDED, CodeState.INVALIDATED
    assert versions(memory.at(), "leaf(::Int64)") == [superseded, invalidated, CodeState.VALID]
    of_leaf = {
        kind: [entry.epoch for entry in history.log(memory, function="leaf", kind=kind).entries]
        for kind in (EventKind.SUPERSEDED, EventKind.INVALIDATED)
    }
    ((replaced,), (capped,)) = of_leaf.values()
    assert replaced < capped
    assert versions(memory.at(capped - 1), "leaf(::Int64)") == [superseded, CodeState.VALID]
    before, after = (why.why(memory, "leaf", at=at).fates[0] for at in (capped - 1, capped))
    assert [version.max_world for version in before.versions] == [None, None]
    assert after.versions[0].max_world == after.versions[1].max_world == after.reasons[1].last_world
    assert [(r.version, r.state, r.epoch) for r in after.reasons] == [
        (1, superseded, replaced),
        (2, invalidated, capped),
    ]
    assert after.reasons[0] == before.reasons[0]


def test_a_caller_never_compiled_has_no_page(cases: live.Recorded) -> None:
    never = f"{named('a caller never compiled').module}.never "
    assert not [key for key in cases.subjects() if key.startswith(never)]
    assert [key for key in cases.subjects("method") if key.startswith(never)]


DELETED = """
f(x) = 1
f(x::Int) = 2
g(x) = f(x) + 1
g(1)
between() = 3
between()
Base.delete_method(first(methods(f, (Int,))))
g(1)
"""


def test_a_deletion_is_dated_and_stands_where_it_was(julia: Candidate, tmp_path: Path) -> None:
    if live.version(julia) < (1, 10):
        pytest.skip(f"Julia {julia.version} has no order of what was inferred")
    recorded = live.record_text(julia, tmp_path, DELETED)
    head = recorded.head
    assert fates(head, CodeState.SUPERSEDED) == {"f(::Int64)": set()}
    assert set(fates(head, CodeState.INVALIDATED)) == {"g(::Int64)"}
    events = head.table("event")
    subjects = [head.symbol(int(subject)).split(" ")[0] for subject in events["subject"]]
    story = list(zip(events["kind"].tolist(), subjects, strict=True))
    deleted = story.index((EventKind.DELETED, "Main.f"))
    inferred = [at for at, event in enumerate(story) if event[0] == EventKind.INFERRED]
    assert [story[at][1] for at in inferred if at < deleted] == ["Main.f", "Main.g", "Main.between"]
    assert "Main.g" in [story[at][1] for at in inferred if at > deleted]


REPLACED_ELSEWHERE = """
f(s) = Base.Filesystem.splitdrive(s)
f(SubString("a/b"))
Base.Filesystem.splitdrive(s::AbstractString) = ("x", "mine")
f(SubString("a/b"))
"""


@pytest.mark.newest
def test_a_method_that_the_program_replaced_in_base_was_not_deleted(
    julia: Candidate, tmp_path: Path
) -> None:
    events = live.record_text(julia, tmp_path, REPLACED_ELSEWHERE).head.table("event")
    assert EventKind.DELETED not in events["kind"].tolist()


PAST = """
h(x) = x + 1
k(x) = h(x) * 2
world = Base.get_world_counter()
h(x) = x + 100
Base.invoke_in_world(world, k, 3)
k(3)
"""


def test_code_for_worlds_that_were_over_was_not_invalidated(
    julia: Candidate, tmp_path: Path
) -> None:
    """Julia's log has nothing of it either."""
    if live.version(julia) < (1, 10):
        pytest.skip(f"Julia {julia.version} has no order of what was inferred")
    head = live.record_text(julia, tmp_path, PAST).head
    assert fates(head, CodeState.INVALIDATED) == fates(head, CodeState.SUPERSEDED) == {}
    assert list(head.table("invalidation_tree")["node"]) == []
    assert versions(head, "k(::Int64)") == [CodeState.PAST, CodeState.VALID]


def test_the_chain_from_victim_to_cause(cases: live.Recorded) -> None:
    levels = named("two levels of callers").module
    head = cases.head
    table = head.table("invalidation")
    chain = {}
    for row in np.flatnonzero(table["state"] == CodeState.INVALIDATED):
        via = int(table["via"][row])
        victim = head.symbol(int(table["victim"][row])).split(" ")[0]
        if not victim.startswith(f"{levels}."):
            continue
        through = "" if via == NONE_U32 else head.symbol(via).split(" ")[0]
        chain[victim] = (int(table["depth"][row]), through)
    assert chain == {f"{levels}.f": (1, ""), f"{levels}.top": (2, f"{levels}.f")}


SHAPES = "11111111-1111-4111-8111-111111111111"
EXTRA = "22222222-2222-4222-8222-222222222222"
LOADING = """
push!(LOAD_PATH, FOLDER)
using Shapes
wide(x) = Shapes.area(x) + 1
long(x) = Shapes.edge(x) + 2
plain(x) = Shapes.other(x) + 3
all3(x) = (wide(x), long(x), plain(x))
all3(1)
using Extra
all3(1)
"""


def test_a_package_load_that_brings_several_methods(julia: Candidate, tmp_path: Path) -> None:
    """The methods of a load share a world: each victim's causes are those its calls lead to."""
    names = ("area", "edge", "other")
    body = "\n".join(f"@noinline {name}(x) = 1" for name in names)
    live.package(tmp_path, "Shapes", SHAPES, body, {})
    body = "import Shapes\nShapes.area(x::Int) = 2\nShapes.edge(x::Int) = 3"
    live.package(tmp_path, "Extra", EXTRA, body, {"Shapes": SHAPES})
    program = LOADING.replace("FOLDER", f'"{tmp_path}"')
    env = {"JULIA_LOAD_PATH": f"{tmp_path}:@stdlib"}
    live.said(julia, ["-e", "using Extra"], env=env)  # precompiled, as packages are
    head = live.record_text(julia, tmp_path, program).head
    found = fates(head, CodeState.INVALIDATED)
    area, edge = method("area", INT, of="Shapes"), method("edge", INT, of="Shapes")
    assert found == {
        "wide(::Int64)": {area},
        "long(::Int64)": {edge},
        "all3(::Int64)": {area, edge},
    }
    assert fates(head, CodeState.SUPERSEDED) == {}
