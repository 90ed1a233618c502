"""No byte of a memory is source: no comment, no name of a file, no long literal."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import live
import pytest

from mmsb.capture.julia import Candidate

SCRIPT, INCLUDED = "zqscript", "zqincluded"
SENTINELS = {
    "a file's name": SCRIPT,
    "an included file's name": INCLUDED,
    "a folder's name": "zqfolder",
    "a comment": "zqcomment",
    "a block comment": "zqblock",
    "a long string": "zqlong",
    "a long string in a constant": "zqconstant",
    "a long symbol": "zqsymbol",
    "a long string inside a tuple": "zqtuple",
    "a long string in a type parameter": "zqparameter",
    "a docstring": "zqdoc",
    "an argument of the program": "zqargument",
    "a string at top level": "zqtop",
}
KEPT = "zqshort"
LONG = "x" * 60

PROGRAM = f"""
# zqcomment in a comment
#= zqblock
=#
\"\"\"
    documented(x)

zqdoc {LONG}
\"\"\"
documented(x) = x + 1    # zqcomment again

short() = "{KEPT}"
long() = "zqlong {LONG}"
const HELD = "zqconstant {LONG}"
held() = HELD
named() = Symbol("zqsymbol{LONG}")
quoted() = :(zqsymbol{LONG})
in_tuple() = ("zqtuple {LONG}", 1)
parameter() = Val(Symbol("zqparameter{LONG}"))
param2(::Val{{T}}) where {{T}} = T
logs(x) = (@info "hello" x; @assert x > 0 "positive"; x)
expression(x) = quote
    f($x) = 1      # carries line nodes, which name this file
end
macro here()
    __source__.file === nothing ? 0 : 1
end
uses_macro() = @here
throws(x) = x > 0 ? x : error("zqlong {LONG}", x)
include("{INCLUDED}.jl")

println(short(), length(long()), length(held()), named(), quoted(), in_tuple(), parameter())
println(documented(1), expression(1), uses_macro(), throws(1), from_include(2), param2(parameter()))
println("zqtop {LONG}")
logs(1)
"""

INCLUDED_PROGRAM = f"""
# zqcomment in an included file
from_include(x) = x > 1 ? "zqlong {LONG}" : string(x)
"""


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is far below 64 bytes: the length of a path must not be what hides it."""
    folder = Path(tempfile.mkdtemp(prefix="zqfolder", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def recorded(julia: Candidate, short_folder: Path, tmp_path: Path) -> live.Recorded:
    script = short_folder / f"{SCRIPT}.jl"
    script.write_text(PROGRAM)
    (short_folder / f"{INCLUDED}.jl").write_text(INCLUDED_PROGRAM)
    return live.record(julia, tmp_path / "memory.mmsb", [str(script), "zqargument"], depth=1)


def all_bytes(folder: Path) -> bytes:
    return b"\0".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_no_byte_of_a_memory_is_source(recorded: live.Recorded) -> None:
    held = all_bytes(recorded.path)
    found = {
        what: held[max(0, held.index(word.encode()) - 60) :][:140]
        for what, word in SENTINELS.items()
        if word.encode() in held
    }
    assert found == {}
    assert KEPT.encode() in held  # a short literal is data, and the search can find


@pytest.mark.newest
def test_without_literals_no_literal_is_kept(
    julia: Candidate, short_folder: Path, tmp_path: Path
) -> None:
    script = short_folder / "program.jl"
    script.write_text(f'f() = string("{KEPT}", 123454321)\nf()\n')
    output = tmp_path / "memory.mmsb"
    recorded = live.record(julia, output, [str(script)], literals=False)
    held = all_bytes(recorded.path)
    assert KEPT.encode() not in held
    assert b"123454321" not in held
