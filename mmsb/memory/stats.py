"""Counts, bytes, times and health of a memory: what `Memory.stats` answers."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np

from mmsb.memory import budget, gather
from mmsb.memory.cells import Array
from mmsb.memory.health import health
from mmsb.memory.index import Index
from mmsb.memory.log import Log
from mmsb.memory.machine import resolve
from mmsb.memory.meter import Meter
from mmsb.memory.packed import file_name as packed_name
from mmsb.memory.segment import FIRST, file_name
from mmsb.memory.snapshot import Snapshot
from mmsb.memory.writer import Writer

#: So many of the hottest pages are named.
HOTTEST = 10


def stats(now: Snapshot, index: Index, log: Log, writer: Writer | None) -> dict[str, Any]:
    """Plain numbers and texts. O(deltas + pages); reads no cells but the hottest subjects' texts.

    What is stored:

    ``bytes``: all files, preallocation included. ``bytes_by_kind``: cells and row numbers stored
    for the kind over all epochs, without tables and checksums; ``bytes_by_device``: the same by
    where it can be read, ``host``; ``gpu``: bytes of copies there. ``auto``: what ``device="auto"``
    stands for here. ``rows``: rows (facts) by kind, as of the head, over live pages.
    ``pages``: live pages, tables of append-only kinds included. ``deltas``, ``epochs``, ``frames``,
    ``segments``. ``compressed``: ``segments``, their ``bytes``, what they hold (``whole``).
    ``chains``: deltas a live page has had, ``median``, ``p99``, ``max``. ``open_segment``: the last
    segment's bytes ``used``, and ``allocated`` on the disk. ``behind``: ``epochs`` and ``bytes`` by
    which the durable mark is behind the visible one, and since how many ``seconds`` (0 for a
    reader, and under "none", which promises nothing). ``resident``: bytes of maps (``mapped``), of
    the ``index`` with what was decompressed, the ``budget`` (None: none), ``released`` for it.

    What was done since the memory was opened here:

    ``rates``: ``seconds`` it is open; ``deltas`` and ``bytes`` of frames committed;
    ``deltas_per_second`` and ``bytes_per_second``; the same as ``recent_…`` over the last 10
    seconds. ``latency``, in microseconds, for ``commit`` (until visible; under "every" durable),
    ``column``, ``columns`` and ``cell`` (reads of one page), ``cells``, ``gather``, ``sync``:
    ``count`` of those measured (of the quickest one in 32), ``p50``, ``p90``, ``p99`` (each at
    most an eighth too high) and ``max``. ``heat``: the pages read most, hottest first: ``page``,
    ``kind``, ``subject``, ``reads`` (estimated), ``deltas``, and those ``since_keyframe``.
    ``cpu_instead``: ``times`` that ``device="auto"`` took the CPU, and ``why`` it last did.

    ``health``: ``verdict`` ("healthy", "degraded", "failing") and its ``reasons``, a sentence each.
    """
    kinds, live = _pages(index)
    rows, sizes = _by_kind(index, kinds, live)
    chains = _deltas_by_page(index, len(kinds))
    found = {
        "bytes": sum(map(_size, log.folder.iterdir())),
        "bytes_by_kind": sizes,
        "bytes_by_device": {"host": sum(sizes.values()), **index.meter.held()},
        "auto": "cpu" if resolve("auto") is None else "gpu",
        "cpu_instead": {"times": index.meter.instead_times, "why": index.meter.instead_why},
        "rows": rows,
        "pages": int(live.sum()),
        "deltas": index.delta_count,
        "epochs": now.epoch,
        "frames": now.epoch + 1 - index.base,
        "segments": len(log.manifest.segments),
        "compressed": _compressed(log),
        "chains": _spread(chains[live]),
        "open_segment": _open_segment(log),
        "behind": _behind(log, index.meter),
        "resident": _resident(index),
        "rates": index.meter.rates(),
        "latency": {timer.name: timer.told() for timer in index.meter.timers},
        "heat": _hottest(now, index, chains),
    }
    derived = [*index.rebuilt, *index.keyframes.broken]
    found["health"] = health(log, derived, writer, found)
    return found


def _pages(index: Index) -> tuple[Array, Array]:
    """The kind of each page, and whether it is live."""
    catalog = index.catalog
    kinds = catalog.kinds.values[: index.page_count]
    live = np.ones(len(kinds), bool)
    # (a page made and deleted meanwhile is not among them)
    live[[page for page in tuple(catalog.deleted) if page < len(kinds)]] = False
    return kinds, live


def _by_kind(index: Index, kinds: Array, live: Array) -> tuple[dict[str, int], dict[str, int]]:
    """Rows of live pages, and bytes of all epochs' cells."""
    rows, sizes = {}, {}
    for kind in index.kinds.values():
        counts = gather.row_counts(index, kind, index.head)[: len(kinds)]
        rows[kind.name] = int(counts[live & (kinds == kind.id)].sum())
        sizes[kind.name] = sum(run.cell_bytes(kind.id, index.widths(kind.id)) for run in index.runs)
    return rows, sizes


def _size(file: Path) -> int:
    """Its bytes; 0 for what is no file, or gone since it was listed."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0
    return found.st_size if S_ISREG(found.st_mode) else 0


def _deltas_by_page(index: Index, pages: int) -> Array:
    counts = np.zeros(pages, np.int64)
    for run in tuple(index.runs):
        for order in run.sort():
            known = order.pages < pages
            each: Array = np.diff(order.begins.astype(np.int64))
            counts[order.pages[known]] += each[known]
    return counts


def _spread(chains: Array) -> dict[str, int]:
    written = np.sort(chains[chains > 0])
    if not len(written):
        return {"median": 0, "p99": 0, "max": 0}
    median, p99 = written[(len(written) - 1) // 2], written[-(-len(written) * 99 // 100) - 1]
    return {"median": int(median), "p99": int(p99), "max": int(written[-1])}


def _compressed(log: Log) -> dict[str, int]:
    found = {"segments": 0, "bytes": 0, "whole": 0}
    for number, whole in log.manifest.segments:
        if whole is not None and not (log.folder / file_name(number)).exists():
            found["segments"] += 1
            found["bytes"] += _size(log.folder / packed_name(number))
            found["whole"] += whole
    return found


def _open_segment(log: Log) -> dict[str, int]:
    number, offset, _ = log.marks.visible
    last = log.manifest.segments[-1][0]
    used = offset if number == last else FIRST
    return {"used": used, "allocated": max(_size(log.folder / file_name(last)), used)}


def _behind(log: Log, meter: Meter) -> dict[str, float]:
    visible, durable = log.marks.visible, log.marks.durable
    segment, offset = log.floor
    return {
        "epochs": visible.epoch - durable.epoch,
        "bytes": max(visible.offset - offset, 0) if visible.segment == segment else 0,
        "seconds": meter.behind_seconds() if visible.epoch > durable.epoch else 0.0,
    }


def _resident(index: Index) -> dict[str, int | None]:
    limit = index.meter.budget
    return {
        "mapped": sum(own.resident for own in budget.maps(index)),
        "index": budget.index_bytes(index),
        "budget": None if limit is None else limit.limit,
        "released": 0 if limit is None else limit.released,
    }


def _hottest(now: Snapshot, index: Index, chains: Array) -> list[dict[str, Any]]:
    known = min(len(chains), index.catalog.counted(now.epoch))  # others were made meanwhile
    hot = [(page, reads) for page, reads in index.meter.hottest(HOTTEST) if page < known]
    subjects = now.subjects(np.array([page for page, _ in hot], np.int64))
    return [
        {
            "page": page,
            "kind": now.kind_of(page).name,
            "subject": subject,
            "reads": reads,
            "deltas": int(chains[page]),
            "since_keyframe": int(chains[page]) - _before_keyframe(index, page, now.epoch),
        }
        for (page, reads), subject in zip(hot, subjects, strict=True)
    ]


def _before_keyframe(index: Index, page: int, epoch: int) -> int:
    frame = index.keyframes.find(page, epoch)
    if frame is None:
        return 0
    return sum(len(run.numbers(page, frame.epoch)) for run in index.runs_to(frame.epoch))
