"""The compiler's own invalidation log as trees: what became invalid, under what, and by what.

The truth is written by hand. A line of it::

    ROOT INSERTED g(Int64)      the cause
      CALLEE g(Int64) 0         the replaced callee's instance
        CALLER f(Int64) 1       what called it
      MISSING g(Any) 0          a call that nothing, or another method, fitted
        CALLER f(Int64) 0       what made that call
"""

from __future__ import annotations

from pathlib import Path

import live
import pytest
from invalidation import BINDINGS, Log, Row, expected, packages, short, shown

from mmsb.base.model import CodeState, TreeNode
from mmsb.capture.julia import Candidate

EVERYWHERE = {
    # f calls g, top calls f; the definition that replaced g made nothing else invalid
    "overwritten": """
        ROOT DELETED g(Any)
          CALLEE g(Int64) 0
            CALLER f(Int64) 1
              CALLER top(Int64) 2
        """,
    # applyf's call of f has too wide a type for the two methods to cover
    "gap_filled": """
        ROOT INSERTED f(AbstractFloat)
          MISSING f(Any) 0
            CALLER applyf(Vector{Any}) 0
              CALLER callapplyf(Vector{Any}) 1
        """,
    # f(::String) stays valid
    "more_specific": """
        ROOT INSERTED g(Int64)
          CALLEE g(Int64) 0
            CALLER f(Int64) 1
        """,
    "deleted": """
        ROOT DELETED g(Int64)
          CALLEE g(Int64) 0
            CALLER f(Int64) 1
        """,
    "unrelated": "",
    # od is called by ev, ev by od; od's own callers were taken away first
    "mutual": """
        ROOT DELETED od(Any)
          CALLEE od(Int64) 0
            CALLER ev(Int64) 1
              CALLER od(Int64) 2
        """,
    "untyped_global": "",
    # the log names what called both under each of them
    "two_callers": """
        ROOT DELETED g(Any)
          CALLEE g(Int64) 0
            CALLER left(Int64) 1
              CALLER both(Int64) 2
            CALLER right(Int64) 1
              CALLER both(Int64) 2
        """,
    # called between: both times f is what was thrown away
    "twice": """
        ROOT DELETED g(Any)
          CALLEE g(Int64) 0
            CALLER f(Int64) 1
        ROOT DELETED g(Any)
          CALLEE g(Int64) 0
            CALLER f(Int64) 1
        """,
}
SINCE_1_12 = {
    "constant": """
        ROOT BINDING K
          CALLER fk() 1
            CALLER gk() 2
        """,
    "struct_again": """
        ROOT BINDING P
          CALLER mk(Int64) 1
            CALLER usesit(Int64) 2
        """,
    # early's code knew that newcomer had no value
    "value_comes": """
        ROOT BOUND newcomer
          CALLER early() 1
        """,
    # Home's own code does not use it; the module that is `using` it does
    "through_using": """
        ROOT BINDING K
          CALLER fk() 1
        """,
}


# The tutorial of SnoopCompile: cards whose type is not known, and a package that brings a method.
BLACKJACK = """
export playgame
const deck = []
score(card::Int) = card
function tallyscores(cards)
    s = 0
    for card in cards
        s += score(card)
    end
    return s
end
function playgame()
    myhand = []
    while tallyscores(myhand) <= 14 && !isempty(deck)
        push!(myhand, pop!(deck))
    end
    myscore = tallyscores(myhand)
    return myscore <= 21 ? myscore : "Busted"
end
precompile(playgame, ())
"""
FACECARDS = """
using Blackjack
Blackjack.score(card::Char) = card in ('J', 'Q', 'K') ? 10 : 11
"""
BROUGHT = """
    ROOT INSERTED score(Char)
      MISSING score(Any) 0
        CALLER tallyscores(Vector{Any}) 0
          CALLER playgame() 1
    """

SHAPES = """
@noinline area(x) = 1
@noinline edge(x) = 1
"""
USES = """
import Shapes
@noinline use(x) = Shapes.area(x) + 1
twice(x) = use(x) * 2
keeps(x) = Shapes.edge(x)
precompile(twice, (Int,))
precompile(keeps, (Int,))
"""
EXTRA = """
import Shapes
Shapes.area(x::Int) = 2
"""
# Uses was compiled where area(::Int) was not: its code is stale when it comes
STALE_IMAGE = """
    ROOT LOADED area(Int64)
      CALLEE area(Int64) 0
        CALLER use(Int64) 1
          CALLER twice(Int64) 2
    """


@pytest.fixture(scope="session")
def trees(log: Log) -> dict[str, list[Row]]:
    return log.cases(live.HERE / "invalidation_cases.jl")


@pytest.mark.parametrize("case", sorted(EVERYWHERE))
def test_what_the_log_says(trees: dict[str, list[Row]], case: str) -> None:
    assert shown(trees[case]) == expected(EVERYWHERE[case])


@pytest.mark.parametrize("case", sorted(SINCE_1_12))
def test_a_binding_replaced(julia: Candidate, trees: dict[str, list[Row]], case: str) -> None:
    """Before, no code knows which bindings it was made with."""
    truth = SINCE_1_12[case] if live.version(julia) >= BINDINGS else ""
    assert shown(trees[case]) == expected(truth)


def test_what_is_known_of_each_row(julia: Candidate, trees: dict[str, list[Row]]) -> None:
    """Causes have a world, invalidated code its object; Julia 1.12 and later say what it took."""
    timed = live.version(julia) >= BINDINGS
    for case, rows in trees.items():
        for row in rows:
            caller = row.node == "CALLER"
            assert row.world, (case, row)
            assert row.code == caller, (case, row)
            assert row.lost == (row.code and timed), (case, row)


def test_a_package_that_brings_a_method(log: Log, tmp_path: Path) -> None:
    env = packages(tmp_path, Blackjack=BLACKJACK, BlackjackFacecards=FACECARDS)
    live.said(log.julia, ["-e", "using BlackjackFacecards"], env=env)  # precompiled
    rows = log.rows(tmp_path, env, "using Blackjack, BlackjackFacecards")
    assert shown(rows) == expected(BROUGHT)


def test_an_image_that_is_stale_when_it_is_loaded(log: Log, tmp_path: Path) -> None:
    env = packages(tmp_path, Shapes=SHAPES, Uses=USES, Extra=EXTRA)
    live.said(log.julia, ["-e", "using Uses; using Extra"], env=env)
    rows = log.rows(tmp_path, env, "using Shapes, Extra\nusing Uses")
    assert shown(rows) == expected(STALE_IMAGE)


ANOTHER = (
    "Julia's invalidation log is on already: another tool is recording, and the log has one "
    "reader. End that recording (`@snoop_invalidations`) first, or record there without mmsb."
)
CHECKS = {
    "empty": " unknown 0",
    # the caller before it goes to the method, which is what the log says next
    "tag": "inserted:1 unknown 1",
    "item": " unknown 4",
    "cut": "unknown:1 unknown 0",
    "number": " unknown 1",
    "cache": " unknown 0",
    # 1.10 names every later instance once anything became invalid
    "unaffected": "inserted:1 unknown 0",
    "undefined": "loaded:1 unknown 0",
    "nothing at all": " unknown 2",
    "twice": "the invalidation log is read already: one recording at a time",
    "stopped": "true true",
    "another reads": ANOTHER,
    "and still does": "true",
    "turned off": "false",
    "taken over": "false true",
}
CHECKS_1_12 = {"another reads images": ANOTHER, "images' log is off": "true"}


def test_odd_logs_and_other_readers(log: Log) -> None:
    truth = CHECKS | (CHECKS_1_12 if live.version(log.julia) >= BINDINGS else {})
    lines = log.lines("checks", live.HERE / "invalidation_checks.jl")
    names = sorted(truth, key=len, reverse=True)
    found = {}
    for line in lines:
        name = next(name for name in names if line.startswith(f"{name} "))
        found[name] = line[len(name) + 1 :]
    assert found == truth


# what the recorder itself is compiled with
BASE_AGAIN = "@eval Base ncodeunits(s::String) = Core.sizeof(s)\n"


def test_the_recorder_is_no_victim(log: Log, tmp_path: Path) -> None:
    """The memory has the tree and the code of Base in it, nothing of the shim's."""
    head = live.record_text(log.julia, tmp_path, BASE_AGAIN).head
    table = head.table("invalidation_tree")
    subjects = [head.symbol(int(subject)) for subject in table["subject"]]
    assert subjects[0] == "Base.ncodeunits Core.Tuple{typeof(Base.ncodeunits), Core.String}"
    assert TreeNode(int(table["node"][0])) == TreeNode.ROOT
    assert len(subjects) > 10
    assert not [subject for subject in subjects if "MMSB" in subject]


def test_victims_in_a_memory_name_their_tree(log: Log, tmp_path: Path) -> None:
    """A row of ``invalidation`` leads to the compiler's own word for it."""
    program = "@noinline g(x) = x + 1\n@noinline f(x) = g(x)\ntop(x) = f(x)\ntop(1)\ng(x) = x + 5\n"
    head = live.record_text(log.julia, tmp_path, program).head
    table, trees = head.table("invalidation"), head.table("invalidation_tree")
    found = {}
    for row in range(len(table["victim"])):
        tree = int(table["tree"][row])
        if CodeState(int(table["state"][row])) == CodeState.INVALIDATED:
            assert trees["subject"][tree] == table["victim"][row]
            assert trees["version"][tree] == table["version"][row]
            name = short(head.symbol(int(table["victim"][row])))
            found[name] = (int(table["depth"][row]), int(trees["depth"][tree]))
    assert found == {"f(Int64)": (1, 1), "top(Int64)": (2, 2)}
