"""However the process ends, all that was acknowledged is in the memory, and the memory is whole."""

from __future__ import annotations

import signal

import pytest
from inside import Python

from mmsb.base import schema
from mmsb.memory.check import check
from mmsb.memory.memory import Memory

#: How → exit code, are the last lines kept, is the recording complete.
ENDS = {
    "normal": (0, False, True),
    "julia exits in a block": (7, True, True),
    "exception": (1, True, True),
    "killed": (-signal.SIGKILL, False, False),
}
MORE = {
    "julia exits": (7, True, True),
    "python exits in a block": (3, True, True),
    "terminated": (-signal.SIGTERM, False, False),
    "at once": (4, False, False),
}
EVERY = [*ENDS, *(pytest.param(how, marks=pytest.mark.long) for how in MORE)]


@pytest.mark.parametrize("how", EVERY)
def test_all_that_was_acknowledged_is_kept(python: Python, how: str) -> None:
    code, last, complete = {**ENDS, **MORE}[how]
    end = python.run("ends.py", how)
    path = python.folder / "out.mmsb"
    assert end.returncode == code, end.stderr
    assert check(path).sound
    with Memory.open(path) as memory:
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
    # The user is told when Julia ends the process, and Python's own output is there too.
    told = [line for line in end.stderr.splitlines() if line.startswith("mmsb:")]
    wanted = ["mmsb: Julia ended this process with exit code 7; out.mmsb holds what it did"]
    assert told == (wanted if how.startswith("julia") else [])
    assert ("before the end" in end.stdout) >= complete
