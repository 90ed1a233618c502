"""The compiler's own invalidation log as trees: what became invalid, under what, and by what.

The truth is written by hand. A line of it::

    ROOT INSERTED g(Int64)      the cause
      CALLEE g(Int64) 0         the replaced callee's instance
        CALLER f(Int64) 1       what called it
      MISSING g(Any) 0          a call that nothing, or another method, fitted
        CALLER f(Int64) 0       what made that call
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import live
import pytest

from mmsb.capture.julia import Candidate, shim_path

PROGRAM = live.HERE / "invalidation_trees.jl"
CASES = live.HERE / "invalidation_cases.jl"
FIRST = (1, 10)  # the first Julia whose log is read
BINDINGS = (1, 12)  # the first with bindings that code depends on

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
    # Home's own code does not use it; the module that is `using` it does
    "through_using": """
        ROOT BINDING K
          CALLER fk() 1
        """,
}


@dataclass(frozen=True)
class Row:
    """A row as the program prints it."""

    indent: int
    node: str
    cause: str
    depth: int
    world: bool  # the cause's world is known
    code: bool  # the invalidated code object was found
    lost: bool  # and the time its inference had taken
    subject: str


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

LINE = re.compile(r"( *)(\w+) (\w+) (\d+) (\S+) (\S+) (\S+) (.*)")


def short(subject: str, case: str) -> str:
    """``f(Int64)`` of a key, a type or a binding's name."""
    text = (
        re.sub(rf"\b(Main\.{case}|Blackjack|Shapes|Uses)\.", "", subject)
        .replace("Core.", "")
        .replace("Base.", "")
    )
    text = text.split(" @ ")[-1]
    if (found := re.search(r"Tuple\{typeof\((\w+)\)(?:, )?(.*)\}$", text)) is not None:
        text = f"{found[1]}({found[2]})"
    return text.replace("Array{Any, 1}", "Vector{Any}")


def rows_of(lines: list[str], case: str) -> list[Row]:
    """What was printed of a case."""
    found = []
    for line in lines:
        m = LINE.fullmatch(line)
        assert m is not None, line
        world, code, lost = (word != "-" for word in m.group(5, 6, 7))
        text, place = short(m[8], case), len(m[1]) // 2
        found.append(Row(place, m[2].upper(), m[3].upper(), int(m[4]), world, code, lost, text))
    return found


def shown(rows: list[Row]) -> str:
    """As the truth is written."""
    lines = []
    for row in rows:
        what = f"{row.cause} {row.subject}" if row.node == "ROOT" else f"{row.subject} {row.depth}"
        lines.append(f"{'  ' * row.indent}{row.node} {what}\n")
    return "".join(lines)


def expected(text: str) -> str:
    return dedent(text).strip("\n") + "\n" if text.strip() else ""


@dataclass(frozen=True)
class Log:
    """A Julia whose log is read, and where it keeps what it compiles of the shim."""

    julia: Candidate
    depot: Path

    def lines(self, kind: str, file: Path, env: dict[str, str] | None = None) -> list[str]:
        """What the program prints of a file."""
        words = [str(PROGRAM), str(shim_path().parent), str(self.depot), kind, str(file)]
        return live.said(self.julia, words, env=env).splitlines()

    def rows(self, folder: Path, env: dict[str, str], text: str) -> list[Row]:
        """The trees of one program, in Main."""
        script = folder / "program.jl"
        script.write_text(text)
        return rows_of(self.lines("program", script, env), "")


def packages(folder: Path, **bodies: str) -> dict[str, str]:
    """Packages that may use those before them; the environment in which they are found."""
    needs: dict[str, str] = {}
    for k, (name, body) in enumerate(bodies.items()):
        uuid = f"{k + 1:08x}-1111-4111-8111-111111111111"
        live.package(folder, name, uuid, body, needs)
        needs[name] = uuid
    depot = folder / "depot"
    return {"JULIA_LOAD_PATH": f"{folder}:@stdlib", "JULIA_DEPOT_PATH": f"{depot}:"}


@pytest.fixture(scope="session")
def log(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Log:
    if live.version(julia) < FIRST:
        pytest.skip(f"Julia {julia.version} has no invalidation log that is read")
    return Log(julia, tmp_path_factory.mktemp("depot"))


@pytest.fixture(scope="session")
def trees(log: Log) -> dict[str, list[Row]]:
    """The trees of every case."""
    found: dict[str, list[str]] = {}
    case = ""
    for line in log.lines("cases", CASES):
        if line.startswith("case "):
            case = line.removeprefix("case ")
            found[case] = []
        else:
            found[case].append(line)
    return {name: rows_of(part, name) for name, part in found.items()}


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
