"""However the process ends, all that was acknowledged is in the memory, and the memory is whole."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from inside import Python

from mmsb.base import schema
from mmsb.memory.check import check
from mmsb.memory.memory import Memory

#: How → exit code, are the last lines kept, is the recording complete.
ENDS = {
    "normal": (0, False, True),
    "julia exits": (7, True, True),
    "julia exits in a block": (7, True, True),
    "python exits in a block": (3, True, True),
    "exception": (1, True, True),
    "killed": (-signal.SIGKILL, False, False),
    "terminated": (-signal.SIGTERM, False, False),
    "at once": (4, False, False),
}


@dataclass(frozen=True)
class End:
    code: int
    output: str
    errors: str
    path: Path


@pytest.fixture(scope="module")
def ends(shared: Python) -> dict[str, End]:
    """Each in a process of its own, two at a time."""

    def one(how: str) -> End:
        folder = shared.folder / how.replace(" ", "-")
        folder.mkdir()
        done = Python(folder).run("ends.py", how)
        return End(done.returncode, done.stdout, done.stderr, folder / "out.mmsb")

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(ENDS, pool.map(one, ENDS), strict=True))


@pytest.mark.parametrize("how", ENDS)
def test_all_that_was_acknowledged_is_kept(ends: dict[str, End], how: str) -> None:
    code, last, complete = ENDS[how]
    end = ends[how]
    assert end.code == code, end.errors
    assert check(end.path).sound
    with Memory.open(end.path) as memory:
        now = memory.at()
        pages = now.pages(schema.INSTANCE)
        names = now.symbols([now.column(schema.INSTANCE, int(p), "name")[0] for p in pages])
        table = now.table(schema.RECORDING)
        keys, values = now.symbols(table["key"]), now.symbols(table["value"])
    notes = dict(zip(keys, values, strict=True))
    assert "kept(::Int64)" in names
    assert ("last(::Int64)" in names) == last
    assert notes["state"] == ("complete" if complete else "incomplete")
    if complete:
        assert notes["exit_code"] == (str(code) if how.startswith("julia") else "0")
    else:
        assert notes["reason"] == "the session was not stopped"


def test_the_user_is_told_when_julia_ends_the_process(ends: dict[str, End]) -> None:
    for how, end in ends.items():
        told = [line for line in end.errors.splitlines() if line.startswith("mmsb:")]
        wanted = ["mmsb: Julia ended this process with exit code 7; out.mmsb holds what it did"]
        assert told == (wanted if how.startswith("julia") else [])
        assert ("before the end" in end.output) >= ENDS[how][2]  # Python's output too
