"""What clustering would give: the same deltas side by side by page, or where epochs put them.

`benchmarks.memory.layouts` makes the orders. The engine reads them all alike, so what differs is
where the bytes lie: what a rewrite of cold segments could give at the most.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.harness import ROOT, Bench, Goal, Result, Timings, number, seconds
from benchmarks.memory import layouts as made
from benchmarks.memory.layouts import ALONE, HAPPENED, NEIGHBOURS, Layout, Shape
from benchmarks.memory.reads import AGAIN, ASKED, OF_PAGES, STATES, Unpacked, asked, checked, near
from benchmarks.memory.recording import NO_JULIA, modern_julia
from benchmarks.memory.recording import recorded as ran
from mmsb.memory import packed, ways
from mmsb.memory.compact import Codec
from mmsb.memory.memory import Memory
from mmsb.session.recording import write

KEYFRAMED = "with keyframes"
KEYFRAMES = 10  # of each page that is read, along the log
ROUNDS, METHODS = 10, 30  # each recorded method is defined anew in each round
SMALLER, FASTER = 2.0, 3.0  # from where on clustering would be worth having
BLOCKS = 4096, 65536
#: What is read: the codec that takes longest where bytes lie apart.
READ: Codec = "zstd"
OTHERS: tuple[Codec, ...] = ("lz4", "auto")
#: By layout and codec.
Sizes = dict[str, dict[str, int]]


def run(bench: Bench) -> Result:
    result = Result("Deltas side by side by page, or where their epochs put them")
    ways.page(), ways.many()  # the kernels are loaded before the clock runs
    result.say(
        "The same deltas in several orders of the log, compacted. Read is a memory that was just "
        "opened, and all of whose segments are compressed (zstd) and not in memory; its index is. "
        "Cold: its files are not in the page cache either; again: asked once more. Beside a time: "
        f"MB decompressed. “{KEYFRAMED}”: as it happened, and {KEYFRAMES} keyframes along the log "
        "of each page that is read; the middle epoch lies a twentieth of the log behind one. "
        f"“{NEIGHBOURS}”: each delta still has an epoch. “{ALONE}”: a page's deltas have two, so "
        "states between those cannot be asked for. The bounds are those past which clustering "
        "would be worth having: of the quicker, or smaller, clustered layout. "
        "[Design note 11](design/0011-cold-segments-are-compressed-where-they-are.md) says what "
        "follows."
    )
    for shape in _shapes(bench, result):
        sizes, read = _compacted(bench, shape)
        unpacked = checked(shape, read)
        found = {}
        for ask in ASKED:  # keyframes are of some pages; what is asked of all does not use them
            some = [each for each in read if ask in OF_PAGES or each.name != KEYFRAMED]
            found[ask] = asked(bench, shape, some, ask)
        _say(result, shape, sizes, unpacked, found)
        if shape.name.endswith(" 8 rows"):
            _blocks(bench, result, shape)
    _bytes(bench, result)
    return result


def _shapes(bench: Bench, result: Result) -> Iterator[Shape]:
    """One after another, each gone before the next."""
    sweeps = bench.pick(200, 20)
    for pages, rows in ((200, 8),) if bench.quick else ((3_000, 8), (300, 100)):
        with bench.room("clustering") as room:
            yield made.at_random(room, pages, sweeps, rows, changed=0.25)
    with bench.room("clustering") as room:
        source = room / "recording"
        if bench.quick:
            shutil.copytree(ROOT / "mmsb" / "data" / "tour.mmsb", source)
            yield made.recorded(room, source, "The tour")
            return
        julia = modern_julia()
        if julia is None:
            result.say(f"A recording was not measured: {NO_JULIA}.")
            return
        write(ran(julia, "recording_rounds.jl", ROUNDS, METHODS), source)
        what = (
            f"{METHODS} methods of 60 lines, each defined and compiled anew {ROUNDS} times, in turn"
        )
        yield made.recorded(room, source, what)


# What is compared.


def _compacted(bench: Bench, shape: Shape) -> tuple[Sizes, list[Layout]]:
    """Bytes of all files by layout and codec; and the layouts to read, compacted."""
    happened = shape.layouts[0]
    shutil.copytree(happened.folder, _plain(shape))
    sizes = {layout.name: _sizes(bench, layout.folder) for layout in shape.layouts}
    folder = happened.folder.with_name("keyframed")
    shutil.copytree(happened.folder, folder)
    with Memory.open(folder, write=True) as memory:
        pages = [int(shape.pages[page]) for page in near(shape)]
        for epoch in np.linspace(2, memory.head, KEYFRAMES + 1).astype(int)[1:].tolist():
            memory.keyframe(pages, epoch)
    sizes[KEYFRAMED] = {READ: _size(folder)}
    keyed = replace(happened, name=KEYFRAMED, folder=folder)
    return sizes, [happened, keyed, *shape.layouts[1:]]


def _plain(shape: Shape) -> Path:
    """As it happened, not compacted."""
    return shape.layouts[0].folder.with_name("plain")


def _sizes(bench: Bench, folder: Path, others: tuple[Codec, ...] = OTHERS) -> dict[str, int]:
    """As it is, and compacted: for good by what is read, and a copy by each of the others."""
    found = {"plain": _size(folder)}
    for codec in others:
        with bench.room("codec") as room:
            shutil.copytree(folder, room / "copy")
            found[codec] = _compact(room / "copy", codec)
    return {**found, READ: _compact(folder, READ)}


def _compact(folder: Path, codec: Codec) -> int:
    with Memory.open(folder, write=True) as memory:
        memory.compact(codec=codec, seal=True)
    return _size(folder)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


# What is said.


def _say(
    result: Result,
    shape: Shape,
    sizes: Sizes,
    unpacked: Unpacked,
    found: dict[str, Timings],
) -> None:
    clustered = [layout.name for layout in shape.layouts[1:]]
    least = min(sizes[name][READ] for name in clustered)
    result.goals.append(
        Goal(f"{shape.name}: bytes, of clustered", sizes[HAPPENED][READ] / least, SMALLER, "×")
    )
    for ask in OF_PAGES:
        timings = found[ask]
        keyed = timings[f"{KEYFRAMED}, cold"]
        beside = [timings[key] for name in clustered if (key := f"{name}, cold") in timings]
        ratio = max(keyed.over(other) for other in beside)
        what = f"{shape.name}: {ask}, cold, with keyframes, of clustered"
        result.goals.append(Goal(what, ratio, FASTER, "×"))
    result.say(shape.said)
    _said_sizes(result, "all files, MB", sizes)
    for state, questions in zip(STATES, (tuple(ASKED), OF_PAGES), strict=True):
        names = [HAPPENED, KEYFRAMED, *clustered]
        _said_reads(result, names, unpacked, {ask: found[ask] for ask in questions}, state)


def _said_sizes(result: Result, what: str, sizes: Sizes) -> None:
    known = ("plain", "lz4", "zstd", "auto")
    codecs = [codec for codec in known if any(codec in own for own in sizes.values())]
    rows = [
        [name, *(f"{own[codec] / 1e6:.2f}" if codec in own else "" for codec in codecs)]
        for name, own in sizes.items()
    ]
    result.table([what, *codecs], rows)


def _said_reads(
    result: Result,
    names: list[str],
    unpacked: Unpacked,
    found: dict[str, Timings],
    state: str,
) -> None:
    """Times and MB decompressed; and how many times as long as side by side."""
    rows = []
    for ask, timings in found.items():
        row = [ask]
        for name in names:
            timing = timings.get(f"{name}, {state}")
            mega = number(unpacked[ask].get(name, 0) / 1e6)
            row.append("" if timing is None else f"{seconds(timing.middle)}, {mega}")
        if state == STATES[0]:
            row.append(seconds(timings[f"{HAPPENED}, {AGAIN}"].middle))
        base = timings[f"{NEIGHBOURS}, {state}"]
        for name in (HAPPENED, KEYFRAMED):
            timing = timings.get(f"{name}, {state}")
            row.append("" if timing is None else number(timing.over(base)))
        rows.append(row)
    others = [f"{HAPPENED}, {AGAIN}"] if state == STATES[0] else []
    others += [f"{name}, × {NEIGHBOURS}" for name in (HAPPENED, KEYFRAMED)]
    result.table([f"{state}: time, MB", *names, *others], rows)


# By how many bytes segments are cut.


@contextmanager
def _cut_by(size: int) -> Iterator[None]:
    """Compressed segments are written and read in blocks of so many bytes."""
    usual = vars(packed)["BLOCK"]
    vars(packed)["BLOCK"] = size
    try:
        yield
    finally:
        vars(packed)["BLOCK"] = usual


def _blocks(bench: Bench, result: Result, shape: Shape) -> None:
    questions, rows = (OF_PAGES[0], OF_PAGES[2]), []
    for size in BLOCKS[:1] if bench.quick else BLOCKS:
        with _cut_by(size), bench.room("blocks") as room:
            layout = replace(shape.layouts[0], folder=room / "copy")
            shutil.copytree(_plain(shape), layout.folder)
            row = [f"{size // 1024} KiB", f"{_compact(layout.folder, READ) / 1e6:.2f}"]
            unpacked = checked(shape, [layout], questions)
            for ask in questions:
                timings = asked(bench, shape, [layout], ask)
                times = [seconds(timings[f"{HAPPENED}, {state}"].middle) for state in STATES]
                row.append(f"{times[0]} / {times[1]}, {number(unpacked[ask][HAPPENED] / 1e6)}")
            rows.append(row)
    result.say(
        f"{shape.name.capitalize()}, {HAPPENED}, segments cut for the codec by other sizes; cold / "
        "warm, MB decompressed."
    )
    result.table(["a block", "all files, MB", *questions], rows)


# Where clustered bytes would be saved.


def _bytes(bench: Bench, result: Result) -> None:
    """By how much of what a delta writes has changed; and what is saved without clustering."""
    pages, sweeps = bench.pick(300, 200), bench.pick(200, 10)
    both, told = (HAPPENED, ALONE), {1.0: "all it writes has changed", 0.25: "a quarter of it has"}
    orders = (1.0, both, False), (0.25, both, False), (0.25, (HAPPENED,), True)
    for rows in (8,) if bench.quick else (8, 100):
        sizes: Sizes = {}
        for changed, names, drop in orders:
            with bench.room("bytes") as room:
                shape = made.at_random(
                    room, pages, sweeps, rows, changed=changed, names=names, drop_equal=drop
                )
                for layout in shape.layouts:
                    name = f"{layout.name}{', `drop_equal` and `narrow`' * drop}; {told[changed]}"
                    sizes[name] = _sizes(bench, layout.folder, ())
        _said_sizes(result, f"{pages} pages × {sweeps} deltas of {rows} rows, MB", sizes)
        dropped, least = list(sizes.values())[-1][READ], min(own[READ] for own in sizes.values())
        what = f"deltas of {rows} rows: bytes, equal cells dropped, of clustered"
        result.goals.append(Goal(what, dropped / least, SMALLER, "×"))
