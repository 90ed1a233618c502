"""Claim 8: bytes of a recording, of the same again, and of a method redefined so often."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.harness import Bench, Goal, Result
from mmsb.capture import command, prepared, process
from mmsb.capture import julia as finder
from mmsb.capture.process import Recorded
from mmsb.memory.cells import dtype_of
from mmsb.memory.memory import Memory
from mmsb.session.recording import write

HERE = Path(__file__).resolve().parent
REACHED = 1100  # calls of Base that the program compiles: so many bring 2,000 instances
REDEFINED = 1000
NO_JULIA = "this machine has no Julia 1.10, 1.11 or 1.12"
ONE_LINE = 4096  # bytes that a method of 60 lines may take when one of them changed


def run(bench: Bench) -> Result:
    result = Result("Bytes of a recording")
    julia = modern_julia()
    if julia is None:
        result.say(f"Not measured: {NO_JULIA}.")
        return result
    with bench.room("recording") as room:
        said = f"Julia {julia.version}, capture `final`, every file counted, as closed."
        _base(bench, room, result, julia)
        _again(bench, room, result, julia)
        result.say(said)
    return result


def modern_julia() -> finder.Candidate | None:
    """The first Julia that these programs are for; None, and a word on how to get one."""
    wanted = "1.10.", "1.11.", "1.12."
    for found in finder.find_all():
        if found.ok and (found.version or "").startswith(wanted):
            return found
    print("without a Julia 1.10 to 1.12: `mmsb doctor --install` brings one", file=sys.stderr)
    return None


def recorded(julia: finder.Candidate, program: str, *counts: int) -> Recorded:
    """A program of this folder, run to its end and recorded."""
    parsed = command.parse(["julia", str(HERE / program), *map(str, counts)])
    prepared.precompile(julia, parsed)
    ran = process.run(julia, parsed, process.Settings(depth=20), lambda *_: None)
    if ran.exit_code:
        raise SystemExit(f"{program} ended with exit code {ran.exit_code}")
    return ran


def _base(bench: Bench, room: Path, result: Result, julia: finder.Candidate) -> None:
    """One recording; then all its facts once more, under new epochs."""
    path = room / "base.mmsb"
    told = write(recorded(julia, "recording_base.jl", bench.pick(REACHED, 5)), path)
    size = _size(path)
    with Memory.open(path) as memory:
        cells, digest = _cells(memory), memory.digest()
        kinds = memory.stats()["bytes_by_kind"]
    lines = [_line("a recording", size, cells, told.facts)]
    result.goals += [
        Goal("a cell that is not fill", size / cells, 8, "B"),
        Goal("a fact (a row)", size / told.facts, 20, "B"),
    ]
    _compacted(path, result, lines, (cells, told.facts, digest))
    before = _size(path)
    with Memory.open(path, write=True) as memory:
        for epoch in range(1, memory.head + 1):
            _write_again(memory, epoch)
    more = _size(path) - before
    again = "the same facts again, under new epochs (`drop_equal`)"
    lines.append(_line(again, more, cells, told.facts))
    result.goals.append(Goal("the same again, of the first", more / size, 0.05, "%"))
    result.say(
        f"{told.instances:,} method instances, most of Base, compiled by a program that calls "
        f"{bench.pick(REACHED, 5)} functions of it with types that no image has: {told.facts:,} "
        f"facts, {cells:,} cells that are not fill (as of the last epoch; bytes of text are not "
        "counted as cells or facts, and are in the bytes). Bytes of cells and row numbers by "
        "kind, in MB: "
        + ", ".join(
            f"{name} {count / 1e6:.1f}"
            for name, count in sorted(kinds.items(), key=lambda pair: -pair[1])[:6]
        )
        + "."
    )
    result.table(["", "bytes", "a cell", "a fact"], lines)


def _write_again(memory: Memory, epoch: int) -> None:
    """A commit of what an epoch wrote to pages: what recording the program again would say.

    What is appended is left out: texts, types and files are known by then. So are cells that did
    not change, as a recorder leaves them out that knows what it wrote before.
    """
    changes, snapshot = memory.changes(), memory.at(epoch)
    for written in memory.diff(epoch - 1, epoch):
        if not written.kind.append_only and written.columns:
            cells = snapshot.columns(written.kind, written.page, written.columns)
            rows = written.rows
            changes.patch_rows(
                written.kind, written.page, rows, {name: all_[rows] for name, all_ in cells.items()}
            )
    memory.commit(changes, drop_equal=True)


def _compacted(
    path: Path, result: Result, lines: list[list[str]], facts: tuple[int, int, str]
) -> None:
    """The same memory after compaction with the codec that it chooses."""
    cells, rows, digest = facts
    names = "a cell, after compaction", "a fact, after compaction"
    with Memory.open(path, write=True) as memory:
        memory.compact()
        if memory.digest() != digest:
            raise SystemExit("compaction changed what the memory says")
    size = _size(path)
    lines.append(_line("after compaction", size, cells, rows))
    result.goals += [Goal(names[0], size / cells, 8, "B"), Goal(names[1], size / rows, 20, "B")]


def _again(bench: Bench, room: Path, result: Result, julia: finder.Candidate) -> None:
    """A method defined anew with one line changed: what each time adds."""
    few, many = bench.pick(100, 3), bench.pick(REDEFINED, 10)
    sizes, facts = [], []
    for count in (few, many):
        path = room / f"again{count}.mmsb"
        told = write(recorded(julia, "recording_rounds.jl", count, 1), path)
        sizes.append(_size(path))
        facts.append(told.facts)
    each = (sizes[1] - sizes[0]) / (many - few)
    result.goals.append(Goal("one line changed of 60, each time", each, ONE_LINE, "B"))
    result.say(
        f"A method of 60 lines, one changed each time, compiled each time: {few:,} times "
        f"{sizes[0]:,} bytes, {many:,} times {sizes[1]:,}: {each:,.0f} bytes and "
        f"{(facts[1] - facts[0]) / (many - few):.1f} facts more each time."
    )


def _size(path: Path) -> int:
    """Bytes of all files of a closed memory."""
    return sum(file.stat().st_size for file in path.iterdir() if file.is_file())


def _cells(memory: Memory) -> int:
    """Cells that are not their column's fill as of the last epoch, text left out."""
    snapshot, count = memory.at(), 0
    for kind in snapshot.kinds:
        if kind.name == "heap" or not len(snapshot.pages(kind)):
            continue
        for column in kind.columns:
            values = snapshot.gather(kind, column.name)[0]
            count += int((values != np.array(column.fill, dtype_of(column))).sum())
    return count


def _line(name: str, size: int, cells: int, facts: int) -> list[str]:
    return [name, f"{size:,}", f"{size / cells:.2f}", f"{size / facts:.1f}"]
