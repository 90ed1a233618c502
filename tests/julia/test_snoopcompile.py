"""Invalidation trees equal SnoopCompile's on the shapes of its own documented examples.

``expected/snoopcompile_invalidations.txt`` is what SnoopCompile said, with its version and Julia's.
With ``MMSB_SNOOPCOMPILE`` naming a project that has SnoopCompile it is asked again and has to say
the same.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import live
import pytest
from invalidation import Log, by_case, packages, shown

EXPECTED = live.HERE / "expected" / "snoopcompile_invalidations.txt"
CASES = live.HERE / "snoop_cases.jl"

# a package whose code is made with another's methods, constant and type, and a call nothing fits
HOME = """
Base.Experimental.@max_methods 4
nbits(::Int8) = 8
nbits(::Int16) = 16
nbits(::Integer) = -1
function lacks_methods end
const someconst = 1
struct MyType
    x::Int
end
"""
AWAY = """
using Home
call_nbits(x::Integer) = Home.nbits(x)
call_nbits_integer(x::Integer) = invoke(Home.nbits, Tuple{Integer}, x)
map_nbits(list) = map(call_nbits, list)
nbits_list() = map_nbits(Integer[Int8(1), Int16(1)])
call_lacks_methods() = Home.lacks_methods()
call_undefined_function() = Home.undefined_function()
uses_someconst(x) = x + Home.someconst
calls_mytype(x) = Home.MyType(x)
nbits_list()
call_nbits(UInt16(1))
call_nbits_integer(Int8(1))
uses_someconst(1)
calls_mytype(1)
precompile(call_lacks_methods, ())
precompile(call_undefined_function, ())
"""
# all of it is replaced before the package that was made with it comes
REPLACED = """
using Home
@eval Home begin
    const someconst = 10
    struct MyType
        x::Int8
    end
end
Home.nbits(::UInt8) = 8
Home.nbits(::UInt16) = 16
Base.delete_method(which(Home.nbits, (Integer,)))
using Away
"""


def blocks(lines: list[str]) -> list[str]:
    """Trees as ``ROOT …`` and one of the nodes below it with all of its own, in no order.

    SnoopCompile puts calls that nothing fitted before callees, and images last, by size.
    """
    found: list[str] = []
    root = ""
    for line in lines:
        if line.startswith("ROOT"):
            root = line
        elif re.match(r"  \w", line):
            found.append(f"{root}\n{line}")
        else:
            found[-1] += f"\n{line}"
    return sorted(found)


def committed() -> tuple[str, dict[str, list[str]]]:
    """The versions, and the lines of every case."""
    head, *lines = EXPECTED.read_text().splitlines()
    return head, by_case(lines)


def ask(log: Log, folder: Path) -> str:
    """What SnoopCompile says now."""
    program = folder / "replaced.jl"
    program.write_text(REPLACED)
    env = packages(folder, Home=HOME, Away=AWAY)
    live.said(log.julia, ["-e", "using Away"], env=env)
    project = f"--project={os.environ['MMSB_SNOOPCOMPILE']}"
    asks = [project, str(live.HERE / "snoopcompile_trees.jl")]
    plain = live.said(log.julia, [*asks, str(CASES)])
    loads = live.said(log.julia, [*asks, "--packages", str(folder), str(program)])
    return plain + loads.split("\n", 1)[1]


def skip_other_julias(log: Log) -> None:
    head, _ = committed()
    if (found := re.search(r"Julia (\d+)\.(\d+)", head)) and live.version(log.julia) != (
        int(found[1]),
        int(found[2]),
    ):
        pytest.skip(f"SnoopCompile was asked on another Julia: {head}")


def test_the_committed_text_is_what_snoopcompile_says(log: Log, tmp_path: Path) -> None:
    if not os.environ.get("MMSB_SNOOPCOMPILE"):
        pytest.skip("MMSB_SNOOPCOMPILE names no project that has SnoopCompile")
    skip_other_julias(log)
    assert ask(log, tmp_path) == EXPECTED.read_text()


@pytest.fixture(scope="session")
def ours(log: Log) -> dict[str, list[str]]:
    skip_other_julias(log)
    return {case: shown(rows).splitlines() for case, rows in log.cases(CASES).items()}


@pytest.mark.parametrize("case", [case for case in committed()[1] if case != "packages"])
def test_trees_equal_snoopcompiles(ours: dict[str, list[str]], case: str) -> None:
    truth = committed()[1][case]
    assert truth, "SnoopCompile saw nothing: the example shows nothing"
    assert blocks(ours[case]) == blocks(truth)


def test_package_images_equal_snoopcompiles(log: Log, tmp_path: Path) -> None:
    skip_other_julias(log)
    env = packages(tmp_path, Home=HOME, Away=AWAY)
    live.said(log.julia, ["-e", "using Away"], env=env)
    rows = log.rows(tmp_path, env, REPLACED)
    assert blocks(shown(rows).splitlines()) == blocks(committed()[1]["packages"])
