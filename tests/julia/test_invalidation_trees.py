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
from functools import cache
from pathlib import Path
from textwrap import dedent

import live
import pytest

from mmsb.capture.julia import Candidate

PROGRAM = live.HERE / "invalidation_trees.jl"
CASES = live.HERE / "invalidation_cases.jl"
SHIM = live.HERE.parents[1] / "julia" / "MMSBShim" / "src"
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


LINE = re.compile(r"( *)(\w+) (\w+) (\d+) (\S+) (\S+) (\S+) (.*)")


def short(subject: str, case: str) -> str:
    """``f(Int64)`` of a key, a type or a binding's name."""
    text = subject.replace(f"Main.{case}.", "").replace("Core.", "").replace("Base.", "")
    text = text.split(" @ ")[-1]
    if (found := re.search(r"Tuple\{typeof\((\w+)\)(?:, )?(.*)\}$", text)) is not None:
        text = f"{found[1]}({found[2]})"
    return text.replace("Array{Any, 1}", "Vector{Any}")


def rows_of(lines: list[str], case: str) -> list[Row]:
    """What was printed of a case."""
    found = []
    for line in lines:
        assert (m := LINE.fullmatch(line)) is not None, line
        known = [word != "-" for word in m.group(5, 6, 7)]
        text = short(m[8], case)
        found.append(Row(len(m[1]) // 2, m[2].upper(), m[3].upper(), int(m[4]), *known, text))
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


@cache
def run_cases(julia: Candidate) -> dict[str, list[Row]]:
    """The trees of every case."""
    lines = live.said(julia, [str(PROGRAM), str(SHIM), "cases", str(CASES)]).splitlines()
    found: dict[str, list[str]] = {}
    case = ""
    for line in lines:
        if line.startswith("case "):
            case = line.removeprefix("case ")
            found[case] = []
        else:
            found[case].append(line)
    return {name: rows_of(part, name) for name, part in found.items()}


@pytest.fixture
def trees(julia: Candidate) -> dict[str, list[Row]]:
    if live.version(julia) < FIRST:
        pytest.skip(f"Julia {julia.version} has no invalidation log that is read")
    return run_cases(julia)


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
