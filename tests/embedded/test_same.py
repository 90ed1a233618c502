"""The embedded host records the same each time, and the same as the process host."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from inside import HERE, Python

from mmsb import session
from mmsb.base import schema
from mmsb.base.model import NONE_U32
from mmsb.capture.julia import named_on_path, probe
from mmsb.memory.digest import contents
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot

PROGRAM = str(HERE / "program.jl")
#: Not ``dependency``: where PythonCall has added methods, the same code depends on other ones.
KINDS = ("method", "instance", "code", "statement", "operand", "block", "edge", "call", "slot")


@dataclass(frozen=True)
class Recorded:
    embedded: list[list[object]]  # digest and head of each
    path: Path
    folder: Path


@pytest.fixture(scope="module")
def recorded(shared: Python) -> Recorded:
    """One program, three times, in three processes; two of them have two threads."""

    def one(number: int) -> list[object]:
        env = {"PYTHON_JULIACALL_THREADS": "2" if number else "1"}
        found: list[object] = shared.facts(
            "same.py", str(shared.folder / f"{number}.mmsb"), PROGRAM, env=env
        )
        return found

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(one, range(3)))
    return Recorded(found, shared.folder / "0.mmsb", shared.folder)


def test_three_recordings_are_one_digest(recorded: Recorded) -> None:
    assert recorded.embedded[0] == recorded.embedded[1] == recorded.embedded[2]
    assert int(str(recorded.embedded[0][1])) >= 8


def test_both_hosts_record_the_same_code(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page of the program's own modules."""
    with Memory.open(recorded.path) as memory:
        version = notes(memory.at())["julia"]
    path = named_on_path(version)
    if path is None:
        pytest.skip(f"there is no Julia {version} on PATH beside juliacall's")
    monkeypatch.chdir(recorded.folder)  # as the others: a file's name is told from there
    output = recorded.folder / "process.mmsb"
    result = session.record([PROGRAM], output, julia=probe("PATH", path))
    assert result.state == "complete"
    ours, theirs = code(recorded.path), code(output)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 100
    assert {key for key in ours if ours[key] != theirs[key]} == set()
    assert {key[1].split(" ")[0] for key in ours} >= {"Main.price", "Main.Shapes.area"}
    ours_too, theirs_too = depths(recorded.path), depths(output)
    only = {**ours_too, **theirs_too}
    assert {only[key] for key in ours_too.keys() ^ theirs_too.keys()} <= {NONE_U32}  # out of scope


def notes(now: Snapshot) -> dict[str, str]:
    table = now.table(schema.RECORDING)
    return dict(zip(now.symbols(table["key"]), now.symbols(table["value"]), strict=True))


def depths(path: Path) -> dict[str, int]:
    """How far each method instance is from the program's modules."""
    with Memory.open(path) as memory:
        head = memory.at()
        pages = [int(page) for page in head.pages(schema.INSTANCE)]
        return {
            head.subject(page): int(head.column(schema.INSTANCE, page, "depth")[0])
            for page in pages
        }


def code(path: Path) -> dict[tuple[str, str], bytes]:
    """(kind, subject) → content of the pages of the program's own code."""
    with Memory.open(path) as memory:
        return {
            (kind.name, subject.decode()): content
            for kind, subject, content in contents(memory.at())
            if kind.name in KINDS and subject.startswith(b"Main.")
        }
