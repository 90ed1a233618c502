"""What is stored follows what changed: inference is a patch, a redefinition is one too."""

from __future__ import annotations

import re
from pathlib import Path

import live
import numpy as np
import pytest
import rebuild

from mmsb.base.model import UNSET_U8, Stage
from mmsb.base.schema import staged
from mmsb.capture.julia import Candidate
from mmsb.memory.snapshot import Snapshot

#: What is stored of a function's code; events and names of versions grow with what happened.
CODE = ("statement", "operand", "block", "edge", "call", "slot", "scope", "type", "symbol", "heap")
#: Staged attributes of a statement, less the place of its operand list.
ATTRIBUTES = ("position", "opcode", "type", "slot", "scope", "line", "origin", "flags")
REDEFINITIONS = 100
MOST = 0.05  # of as many copies
BYTES_PER_FACT = 60

# Forty lines, of which one changes.
LINES = "\n".join(
    f"    a{k} = a{k - 1} * {k} + b\n    c{k} = a{k} > {k} ? a{k} - 1 : sqrt(abs(a{k}))"
    for k in range(1, 19)
)
PROGRAM = f"""
const TEXT = \"\"\"
function work(b)
    a0 = b + CHANGED
{LINES}
    return c18 + a18
end
\"\"\"
for k in 1:TIMES
    include_string(Main, replace(TEXT, "CHANGED" => string(k + 1000)), "work")
    Base.invokelatest(work, 1.5)
end
"""


def code_bytes(julia: Candidate, folder: Path, times: int) -> tuple[int, live.Recorded]:
    folder.mkdir()
    recorded = live.record_text(julia, folder, PROGRAM.replace("TIMES", str(times)))
    by_kind = recorded.memory.stats()["bytes_by_kind"]
    return sum(by_kind[kind] for kind in CODE), recorded


@pytest.fixture(scope="module")
def once_and_often(
    julia: Candidate, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, int, live.Recorded]:
    folder = tmp_path_factory.mktemp("redefined")
    one, _ = code_bytes(julia, folder / "one", 1)
    often, recorded = code_bytes(julia, folder / "often", REDEFINITIONS)
    return one, often, recorded


@pytest.mark.newest
def test_a_redefinition_stores_what_changed(
    once_and_often: tuple[int, int, live.Recorded],
) -> None:
    one, often, _ = once_and_often
    share = often / (REDEFINITIONS * one)
    print(f"one: {one} bytes; {REDEFINITIONS} redefinitions: {often} bytes, {share:.1%} of copies")
    assert share <= MOST


@pytest.mark.newest
def test_every_redefinition_can_be_read(once_and_often: tuple[int, int, live.Recorded]) -> None:
    """All hundred constants are there, each as of its own epoch."""
    _, _, recorded = once_and_often
    key = next(key for key in recorded.subjects() if key.startswith("Main.work "))
    statements = recorded.head.page("statement", key)
    assert statements is not None
    constants = set()
    for epoch in recorded.head.written(statements).tolist():
        names = rebuild.Names(recorded.memory.at(epoch))
        lines = " ".join(rebuild.body(names, key, Stage.LOWERED))
        held = [int(bits, 16) for bits in re.findall(r"bits:Core.Int64:(\w+)", lines)]
        constants |= {number for number in held if number > 1000}
    assert constants == set(range(1001, 1001 + REDEFINITIONS))


def inferred_as_lowered(head: Snapshot, page: int) -> bool:
    """Has the inferred stage the statements of the lowered one, each in its row?"""
    own = head.column("statement", page, staged("alive", Stage.INFERRED))
    return bool((own == UNSET_U8).all())


def redundant_cells(head: Snapshot, page: int) -> int:
    """Cells stored for the inferred stage that say no more than the lowered ones."""
    found = 0
    for name in ATTRIBUTES:
        column = head.kind("statement").column(staged(name, Stage.INFERRED))
        own = head.column("statement", page, column.name)
        lowered = head.column("statement", page, staged(name, Stage.LOWERED))
        found += np.count_nonzero((own != column.fill) & (own == lowered))
    return int(found)


def test_inference_adds_no_statement_where_it_only_typed_them(library: live.Recorded) -> None:
    """Where the inferred body is as long as the lowered one it has its rows, and no cell is
    stored again that inference left as it was."""
    head, same = library.head, 0
    for key in library.subjects("statement"):
        page = head.page("statement", key)
        assert page is not None
        lowered, inferred = (
            len(rebuild.Stages(head, "statement", page, stage).living())
            for stage in (Stage.LOWERED, Stage.INFERRED)
        )
        if lowered != inferred:
            continue
        same += 1
        assert inferred_as_lowered(head, page), key
        assert redundant_cells(head, page) == 0, key
    total = len(library.subjects("statement"))
    print(f"in {same} of {total} instances inference left the number of statements")
    assert same >= 0.9 * total


def test_stored_bytes_per_fact(library: live.Recorded) -> None:
    stats = library.memory.stats()
    facts = sum(n for kind, n in stats["rows"].items() if kind != "heap")
    print(f"{stats['bytes']} bytes, {facts} facts: {stats['bytes'] / facts:.1f} bytes a fact")
    assert stats["bytes"] <= BYTES_PER_FACT * facts
