"""Claim 6: opening a large memory, and building again what is derived from its segments."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.harness import (
    Bench,
    Goal,
    Result,
    bytes_of,
    child,
    evicted,
    seconds,
)
from benchmarks.memory import ours
from benchmarks.memory.ours import SERIES
from benchmarks.memory.peer import WIDTH

ROWS, TOGETHER = 1000, 200  # rows of a delta, deltas of a commit: 16 kB and 3 MB
SEGMENT = 64 * 2**20

#: Opens, then reads one column; and what the process holds that is its own, or a file's.
CODE = """
import json, sys, time
from benchmarks.memory import ours
import numpy

def resident():
    lines = dict(line.split(":") for line in open("/proc/self/status") if "Rss" in line)
    return [int(lines[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile")]

before = resident()
start = time.perf_counter()
memory = ours.open_(sys.argv[1])
opened = time.perf_counter()
after = resident()
page = int(memory.at().pages(ours.SERIES)[3])
cells = memory.at(memory.head // 2).column(ours.SERIES, page, "a")
read = time.perf_counter()
last = resident()
print(json.dumps({
    "open": opened - start, "read": read - opened, "anonymous": after[0] - before[0],
    "file": after[1] - before[1], "whole": after[0], "after": last[0] - before[0],
}))
"""


def run(bench: Bench) -> Result:
    size = bench.pick(10_000, 20) * 10**6
    with bench.room("opening") as room:
        free = shutil.disk_usage(room).free
        if free < 2 * size:
            print(f"only {free / 1e9:.0f} GB are free: opening a smaller memory than 10 GB")
            size = free // 3
        folder = room / "mmsb"
        _fill(folder, size)
        found = bytes_of(folder)
        warm = _opened(bench, folder)
        evicted(folder)
        cold = child(CODE, folder)
        derived = [path for path in folder.iterdir() if path.name.startswith("index")]
        for path in derived:
            path.unlink()
        rebuilt = child(CODE, folder)
        read = _read(bench, folder)
    return _said(result_of(found), warm, cold, rebuilt, (found, read, len(derived)))


def result_of(size: int) -> Result:
    return Result(f"Opening a memory of {size / 1e9:.1f} GB")


def _fill(folder: Path, size: int) -> None:
    memory = ours.create(folder, segment_bytes=SEGMENT)
    count = min(1000, max(size // (ROWS * WIDTH) // 4, 4))
    pages = ours.new_pages(memory, SERIES, count)
    random = np.random.default_rng(10)
    columns = {
        "a": random.integers(0, 2**60, TOGETHER * ROWS),
        "b": random.random(TOGETHER * ROWS),
    }
    for _ in range(max(size // (TOGETHER * ROWS * WIDTH), 1)):
        chosen = np.sort(random.choice(count, min(TOGETHER, count), replace=False))
        part = {name: cells[: len(chosen) * ROWS] for name, cells in columns.items()}
        starts = random.integers(0, 10, len(chosen)).astype(np.uint32) * ROWS
        ours.commit_many(memory, SERIES, pages[chosen], part, starts=starts, count=ROWS)
    memory.sync()
    memory.close()


def _opened(bench: Bench, folder: Path) -> dict[str, float]:
    """The median of several processes, all files in the page cache."""
    child(CODE, folder)
    found = [child(CODE, folder) for _ in range(bench.rounds)]
    return {name: median(each[name] for each in found) for name in found[0]}


def _read(bench: Bench, folder: Path) -> float:
    """Seconds to read all segments through once, from the page cache: the floor of a rebuild."""
    code = """
import json, sys, time
from pathlib import Path
buffer = bytearray(1 << 20)
start = time.perf_counter()
for path in Path(sys.argv[1]).iterdir():
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
print(json.dumps({"read": time.perf_counter() - start}))
"""
    return child(code, folder)["read"]


Numbers = dict[str, float]


def _said(
    result: Result,
    warm: Numbers,
    cold: Numbers,
    rebuilt: Numbers,
    facts: tuple[int, float, int],
) -> Result:
    size, read, derived = facts
    rate = size / (rebuilt["open"] + rebuilt["read"])
    result.goals += [
        Goal("opening", warm["open"], 50e-3, "s"),
        Goal("anonymous memory that opening takes", warm["anonymous"], 50e6, "MB"),
        Goal("rebuilding what is derived", rate, 1e9, "GB/s", at_least=True),
    ]
    result.say(
        f"{size / 1e9:.1f} GB in segments of 64 MiB: patches of {ROWS:,} rows × 2 columns, "
        f"{TOGETHER} a commit. Each line is a process of its own (medians of five for the first); "
        "after opening it reads one column as of the middle epoch. `rebuilt`: the "
        f"{derived} index files were deleted before, all else is in the page cache. Reading all "
        f"bytes from the page cache takes {seconds(read)}."
    )

    def mega(value: float) -> str:
        return f"{value / 1e6:.1f} MB"

    write: Callable[[str, Numbers], list[str]] = lambda name, found: [  # noqa: E731
        name,
        seconds(found["open"]),
        seconds(found["read"]),
        mega(found["anonymous"]),
        mega(found["after"]),
        mega(found["file"]),
        mega(found["whole"]),
    ]
    heads = [
        "",
        "opening",
        "first column",
        "anonymous, opened",
        "and read",
        "file-backed",
        "process in all",
    ]
    rows = [
        write("in the page cache", warm),
        write("not in the page cache", cold),
        write("rebuilt", rebuilt),
    ]
    result.table(heads, rows)
    return result
