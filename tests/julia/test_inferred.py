"""What the compiler inferred while a package was loaded and used, and all of it.

``expected/snoopcompile_inference.txt`` is what SnoopCompile's inference snooping saw of the same
program, with its version and Julia's: the instances that are of the package or specialised for its
types. With ``MMSB_SNOOPCOMPILE`` naming a project that has SnoopCompile it is asked again, and all
instances are compared.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import live
import numpy as np
import pytest

from mmsb.base.model import NONE_U32, Compiled, Inference
from mmsb.capture.julia import Candidate, shim_path
from mmsb.memory.snapshot import Snapshot

EXPECTED = live.HERE / "expected" / "snoopcompile_inference.txt"
FIRST = (1, 10)
UNTIMED = (1, 12)  # the first Julia that has times in code objects, and no tree of its own
BLOCKS = """
struct Block
    name::String
    height::Int
end
Base.isless(a::Block, b::Block) = isless(a.height, b.height)
tower(names) = [Block(name, length(name)) for name in names]
highest(blocks) = last(sort(blocks))
total(blocks) = sum(b -> b.height, blocks; init = 0)
index(blocks) = Dict(b.name => b for b in blocks)
"""
PROGRAM = """
push!(LOAD_PATH, FOLDER)
using Blocks
blocks = Blocks.tower(["one", "three", "seven"])
Blocks.highest(blocks)
Blocks.total(blocks)
known = Blocks.index(blocks)
haskey(known, "three")
Blocks.total(Blocks.Block[])
map(b -> b.height, blocks)
"""


@dataclass(frozen=True)
class Run:
    """A program, and the memory of it."""

    julia: Candidate
    folder: Path
    script: Path
    head: Snapshot

    @property
    def timed(self) -> bool:
        """Does the compiler measure its inference itself?"""
        return live.version(self.julia) < UNTIMED

    @cached_property
    def trace(self) -> list[str]:
        """Lines of ``--trace-compile``, by a run of its own, unrecorded."""
        trace = self.folder / "trace"
        live.said(self.julia, [f"--trace-compile={trace}", str(self.script)])
        return trace.read_text().splitlines()

    def inferred(self) -> list[str]:
        """Keys in the inference tree."""
        table = self.head.table("inference")
        return sorted(self.head.symbol(int(key)) for key in table["instance"])

    def compiled(self) -> dict[str, set[Compiled]]:
        """Type of an instance, as ``plain`` has it, and how far its code came."""
        types = self.head.symbols(self.head.table("type")["name"])
        found: dict[str, set[Compiled]] = {}
        for page in self.head.pages("instance"):
            code = self.head.page("code", self.head.subject(int(page)))
            if code is None:
                continue
            signature = types[int(self.head.column("instance", int(page), "signature")[0])]
            states = self.head.column("code", code, "compiled")
            found[plain(signature)] = {Compiled(int(state)) for state in states}
        return found


def plain(text: str) -> str:
    """A type without what Julia's printer and ours write in two ways."""
    text = re.sub(r'var"([^"]*)"', r"\1", text).replace("Core.", "")
    return re.sub(r" where (\{[^{}]*\}|\w+)", "", text).replace("'", "")


def head_line() -> str:
    return EXPECTED.read_text().split("\n", 1)[0]


@pytest.fixture(scope="session")
def run(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Run:
    if live.version(julia) < FIRST:
        pytest.skip(f"what Julia {julia.version} inferred itself is not recorded")
    folder = tmp_path_factory.mktemp("blocks")
    live.package(folder, "Blocks", "0000000a-1111-4111-8111-111111111111", BLOCKS, {})
    script = folder / "program.jl"
    script.write_text(PROGRAM.replace("FOLDER", f'"{folder}"'))
    live.said(julia, [str(script)])  # precompiled, as packages are
    recorded = live.record(julia, folder / "program.mmsb", [str(script)])
    assert recorded.notes()["tier"] == "native"
    return Run(julia, folder, script, recorded.head)


def asked(run: Run) -> list[str]:
    """What SnoopCompile says now: versions, then keys."""
    project = f"--project={os.environ['MMSB_SNOOPCOMPILE']}"
    script = str(live.HERE / "snoopcompile_inference.jl")
    words = [project, script, str(run.script), str(shim_path().parent)]
    return live.said(run.julia, words).splitlines()


def of_the_package(keys: list[str]) -> list[str]:
    return [key for key in keys if "Blocks." in key]


def skip_other_julias(run: Run) -> None:
    found = re.search(r"Julia (\d+)\.(\d+)", head_line())
    assert found is not None
    if live.version(run.julia) != (int(found[1]), int(found[2])):
        pytest.skip(f"SnoopCompile was asked on another Julia: {head_line()}")


def test_inferred_equals_snoopcompiles(run: Run) -> None:
    skip_other_julias(run)
    assert of_the_package(run.inferred()) == EXPECTED.read_text().splitlines()[1:]


def test_all_inferred_equals_snoopcompiles_asked_now(run: Run) -> None:
    if not os.environ.get("MMSB_SNOOPCOMPILE"):
        pytest.skip("MMSB_SNOOPCOMPILE names no project that has SnoopCompile")
    skip_other_julias(run)
    head, *keys = asked(run)
    assert run.inferred() == keys
    assert [head, *of_the_package(keys)] == EXPECTED.read_text().splitlines()


def test_what_trace_compile_names_is_recorded(run: Run) -> None:
    """Code that the image had inferred is not inferred again: a line that names no type of the
    program's is of such code where no instance is recorded."""
    known = run.compiled()
    named = []
    for line in run.trace:
        found = re.match(r"precompile\((Tuple\{.*\})\)", line)
        assert found is not None, line
        named.append(plain(found[1]))
    own = [text for text in named if "Blocks." in text or "Main." in text]
    assert len(own) >= 9
    assert {text: known.get(text) for text in own} == {text: {Compiled.NATIVE} for text in own}
    for text in set(named) - set(own):
        assert known.get(text, {Compiled.CACHED}) <= {Compiled.NATIVE, Compiled.CACHED}, text


def test_what_is_native_was_named(run: Run) -> None:
    """No other code is said to have machine code."""
    named = {plain(line.split("precompile(", 1)[1][:-1]) for line in run.trace}
    native = {text for text, states in run.compiled().items() if Compiled.NATIVE in states}
    assert native <= named


def test_the_tree_is_the_compilers_own(run: Run) -> None:
    """Until 1.11 the compiler keeps one: each frame with the way that leads to it."""
    if not run.timed:
        pytest.skip(f"Julia {run.julia.version} keeps no tree of what it inferred")
    shim = [str(shim_path().parent), str(live.depot(run.julia))]
    words = [str(live.HERE / "timed_inference.jl"), str(run.script), *shim]
    truth = [line.split(" ", 1) for line in live.said(run.julia, words).splitlines()]
    table = run.head.table("inference")
    keys = [run.head.symbol(int(key)) for key in table["instance"]]
    ours = [" > ".join(keys[row] for row in way(table["parent"], row)) for row in range(len(keys))]
    assert sorted(ours) == nested(truth)
    assert Inference.CONSTANT in table["kind"]


def way(parents: np.ndarray, row: int) -> list[int]:
    """The rows from a root down to this one."""
    found = [row]
    while parents[found[0]] != NONE_U32:
        found.insert(0, int(parents[found[0]]))
    return found


def nested(frames: list[list[str]]) -> list[str]:
    """Every frame with the way that leads to it, sorted."""
    above: list[str] = []
    found = []
    for depth, key in frames:
        above[int(depth) :] = [key]
        found.append(" > ".join(above))
    return sorted(found)


def test_each_inference_has_its_code(run: Run) -> None:
    """The tree's rows lead to code objects; where constants were propagated none is made."""
    table = run.head.table("inference")
    for row in np.flatnonzero(table["kind"] == Inference.NORMAL):
        if run.timed and int(table["version"][row]) == NONE_U32:
            continue  # inference that was cut short, whose result the compiler threw away
        key = run.head.symbol(int(table["instance"][row]))
        page = run.head.page("code", key)
        assert page is not None, key
        assert int(table["version"][row]) < len(run.head.column("code", page, "state")), key


def test_an_empty_program_infers_nothing(run: Run, tmp_path: Path) -> None:
    """Nor does it make anything invalid: nothing that the recorder does is the program's."""
    head = live.record_text(run.julia, tmp_path, "").head
    assert list(head.table("inference")["instance"]) == []
    assert list(head.table("invalidation_tree")["node"]) == []
