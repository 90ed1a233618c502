"""How everything here is measured, compared and written down.

Ways to do one thing run in turn, round after round, so that a slow minute is slow for all of
them. A figure is the median of the rounds' medians, p99 is of all calls, and a ratio is taken
within a round: its median over the rounds is shown. Floors of the machine are ways like any other.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
ROOT = Path(__file__).resolve().parents[1]
STEPS = 300_000


@dataclass(frozen=True)
class Bench:
    """What a claim is to be measured with."""

    folder: Path
    quick: bool = False
    peers: bool = True
    #: May the docs be written?
    write: bool = False
    #: Seconds of one step of an empty loop of the interpreter, in each round: a machine that others
    #: share is quicker in one minute than in the next, whatever its load.
    pace: list[float] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 5

    @property
    def seconds(self) -> float:
        """At most so long does one way run in one round, however often it was to be called."""
        return 0.05 if self.quick else 0.25

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @contextmanager
    def room(self, name: str) -> Iterator[Path]:
        """A folder that is gone afterwards."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path)


@dataclass(frozen=True)
class Way:
    """``run`` is called ``times`` in each round, each call timed, and does ``per`` things.

    ``before`` is called ahead of each call, and is not timed.
    """

    run: Callable[[], object]
    times: int = 1000
    per: int = 1
    before: Callable[[], object] | None = None


class Timing:
    """Seconds a thing took, by round."""

    def __init__(self) -> None:
        self.rounds: list[Array] = []

    @property
    def medians(self) -> list[float]:
        return [float(np.median(each)) for each in self.rounds]

    @property
    def middle(self) -> float:
        return median(self.medians)

    @property
    def p99(self) -> float:
        return float(np.percentile(np.concatenate(self.rounds), 99))

    def over(self, other: Timing) -> float:
        """How many times as long as the other: the median over rounds of their ratio."""
        return median(a / b for a, b in zip(self.medians, other.medians, strict=True))


Timings = dict[str, Timing]


def measured(bench: Bench, ways: Mapping[str, Way]) -> Timings:
    """All ways, in turn, round after round."""
    found: Timings = {name: Timing() for name in ways}
    for _ in range(bench.rounds):
        bench.pace.append(once(_steps) / STEPS)
        for name, way in ways.items():
            found[name].rounds.append(_one(way, bench.seconds))
    return found


def _steps() -> None:
    for _ in range(STEPS):
        pass


def _one(way: Way, seconds: float) -> Array:
    gc.collect()
    gc.freeze()  # so that no collection looks through what the peers of other ways hold
    taken: list[float] = []
    end = time.perf_counter() + seconds
    clock, run = time.perf_counter, way.run
    for _ in range(way.times):
        if way.before is not None:
            way.before()
        start = clock()
        run()
        stop = clock()
        taken.append((stop - start) / way.per)
        if stop > end:
            break
    gc.unfreeze()
    return np.array(taken)


def once(run: Callable[[], object]) -> float:
    """Seconds of one call, where a second would not be the same."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def same(what: str, ours: Any, theirs: Any) -> None:
    """Ends the benchmark unless two answers are equal, bit for bit."""
    a, b = np.asarray(ours), np.asarray(theirs)
    if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
        raise SystemExit(f"{what}: the answers differ, so their times are not compared")


# What is shown.


@dataclass(frozen=True)
class Goal:
    """A number the design asks for. ``found`` is None where its peer did not run."""

    what: str
    found: float | None
    bound: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        if self.found is None:
            return False
        return self.found >= self.bound if self.at_least else self.found <= self.bound

    def line(self) -> str:
        sign = "≥" if self.at_least else "≤"
        found = "" if self.found is None else in_unit(self.found, self.unit)
        said = "not measured" if self.found is None else "met" if self.met else "missed"
        return f"| {self.what} | {sign} {in_unit(self.bound, self.unit)} | {found} | {said} |"


@dataclass
class Result:
    """What a claim's benchmark says: goals first, then what they were taken from."""

    title: str
    goals: list[Goal] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """A paragraph between tables."""
        self.parts.append(text)

    def figures(self, timings: Timings, base: str, unit: str = "") -> None:
        """A table of timings, with how many times ``base`` each takes."""
        lines = [f"| | median | p99 | × {base} |", "| --- | ---: | ---: | ---: |"]
        for name, timing in timings.items():
            ratio = "" if name == base else f"{number(timing.over(timings[base]))}"
            cells = (name, seconds(timing.middle, unit), seconds(timing.p99, unit), ratio)
            lines.append("| " + " | ".join(cells) + " |")
        self.parts.append("\n".join(lines))

    def table(self, heads: list[str], rows: list[list[str]]) -> None:
        """Any other table: a name, and numbers."""
        lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
        self.parts.append("\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]))

    def text(self) -> str:
        goals = ["| goal | | measured | |", "| --- | ---: | ---: | --- |"]
        goals += [goal.line() for goal in self.goals]
        return "\n\n".join([f"### {self.title}", "\n".join(goals), *self.parts])


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 - int(np.floor(np.log10(abs(value))))
    return f"{value:.{min(max(digits, 0), 4)}f}"


def seconds(value: float, unit: str = "") -> str:
    """A time in a unit that suits it."""
    for name, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if unit == name or (not unit and value >= scale):
            return f"{number(value / scale)} {name}"
    return f"{number(value / 1e-9)} ns"


def in_unit(value: float, unit: str) -> str:
    """A goal's number. Times are in seconds, bytes in bytes; ``×`` is a ratio."""
    if unit == "s":
        return seconds(value)
    if unit == "×":
        return f"{number(value)} ×"
    if unit == "MB":
        return f"{number(value / 1e6)} MB"
    if unit == "GB/s":
        return f"{number(value / 1e9)} GB/s"
    if unit == "M/s":
        return f"{number(value / 1e6)} M/s"
    if unit == "%":
        return f"{value * 100:.0f} %"
    return f"{number(value)} {unit}".rstrip()


def plot(path: Path, across: str, sizes: list[int], grown: Mapping[str, list[Any]]) -> None:
    """Draws costs (seconds, None where there is none) against ``sizes`` into the docs, log-log."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("without the plot: pip install 'mmsb[bench]'")
        return
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "mmsb", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, costs in grown.items():
        known = [(size, cost) for size, cost in zip(sizes, costs, strict=True) if cost is not None]
        axes.loglog(*zip(*known, strict=True), marker="o", markersize=3, label=name)
    axes.set_xlabel(across)
    axes.set_ylabel("seconds")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


# The machine.


def floors(room: Path, size: int) -> dict[str, Way]:
    """What ``size`` bytes cost at the least: copied, appended to a file, and made durable."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    data = source.tobytes()
    handles = [os.open(room / f"floor{at}", os.O_CREAT | os.O_WRONLY) for at in range(2)]

    def append() -> None:
        os.write(handles[0], data)

    def durable() -> None:
        os.write(handles[1], data)
        os.fdatasync(handles[1])

    return {
        "memcpy": Way(lambda: np.copyto(target, source)),
        "write": Way(append),
        "write + fdatasync": Way(durable),
    }


def evicted(folder: Path) -> None:
    """Takes a folder's files out of the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


def bytes_of(folder: Path) -> int:
    """What the files of a folder take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def child(code: str, *arguments: object) -> dict[str, float]:
    """What a process of its own prints as JSON in its last line."""
    words = [sys.executable, "-c", code, *map(str, arguments)]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if told.returncode:
        raise SystemExit(f"a process that measures ended: {told.stderr.strip()}")
    answer: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    return answer


def machine(bench: Bench) -> str:
    """One line on where the figures come from."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    pace = ""
    if bench.pace:
        least, most = 1e9 * min(bench.pace), 1e9 * max(bench.pace)
        pace = f"; a step of an empty loop of Python {least:.1f} to {most:.1f} ns"
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores, {pages * page / 2**30:.0f} GiB, "
        f"{_filesystem(bench.folder)}; Linux {platform.release()}, "
        f"Python {platform.python_version()}, numpy {np.__version__}; "
        f"load {os.getloadavg()[0]:.1f}{pace}; code of {_commit() or 'no commit'}."
    )


@cache
def _commit() -> str:
    """Of the code that runs; the docs, which are written here, are none."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )

    changed = git("diff", "--quiet", "HEAD", "--", ".", ":!docs").returncode
    return git("describe", "--always").stdout.strip() + ("-dirty" if changed else "")


def _filesystem(folder: Path) -> str:
    best, kind = "", "?"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, name, *_ = line.split()
        if str(folder.resolve()).startswith(mount) and len(mount) > len(best):
            best, kind = mount, name
    return kind
