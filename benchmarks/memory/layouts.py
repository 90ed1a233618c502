"""The same deltas in several orders of the log: as they happen, and clustered by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Array
from benchmarks.memory import ours
from benchmarks.memory.ours import SMALL
from mmsb.base import schema
from mmsb.base.schema import Kind
from mmsb.memory.memory import Memory

TOGETHER = 100  # deltas of a commit that is drawn
HAPPENED, NEIGHBOURS, ALONE = "as it happened", "neighbours together", "page by page"


@dataclass(frozen=True)
class Layout:
    """One memory. Pages go by their place in `Shape.pages`."""

    name: str
    folder: Path
    #: By page: the epochs of its deltas, in their order.
    epochs: Sequence[Array]
    #: By commit as it happened: the epochs that have its deltas. None where deltas of a page share
    #: epochs, so that its states between them cannot be asked for.
    moments: Sequence[Array] | None


@dataclass(frozen=True)
class Shape:
    """What is written, in each of the layouts; the first is as it happened."""

    name: str
    said: str
    kind: Kind
    column: str
    pages: Array
    layouts: tuple[Layout, ...]
    #: By commit as it happened: the pages that it wrote.
    wrote: Sequence[frozenset[int]]
    #: (page, deltas) → what the page reads as after so many of them; None: only the layouts know.
    truth: Callable[[int, int], Array] | None

    def deltas(self, page: int) -> int:
        return len(self.layouts[0].epochs[page])


def halfway(deltas: int) -> int:
    """Of so many deltas those up to the middle, or a little more: no keyframe is just there."""
    return max(deltas * 11 // 20, 1)


# Drawn at random.


@dataclass(frozen=True)
class Drawn:
    """Deltas of many pages: by sweep, in which each page has one, and page."""

    order: Array  # by sweep: the pages in the order in which they come
    starts: Array
    cells: Array

    def state(self, page: int, deltas: int) -> Array:
        """Cells of a page after its first deltas."""
        starts, rows = self.starts[:deltas, page], self.cells.shape[2]
        held = np.zeros(int(starts.max()) + rows, np.uint32)
        for start, cells in zip(starts.tolist(), self.cells[:deltas, page], strict=True):
            held[start : start + rows] = cells
        return held

    def commits(self) -> list[tuple[int, Array]]:
        """(sweep, pages) of each commit as it happens."""
        parts = [np.split(order, len(order) // TOGETHER) for order in self.order]
        return [(sweep, np.sort(part)) for sweep, own in enumerate(parts) for part in own]


def drawn(pages: int, sweeps: int, rows: int, changed: float) -> Drawn:
    """Of the cells written so many, a share, have changed: they have grown by a little."""
    random, page_rows = np.random.default_rng(14), 32 * rows
    state = random.integers(0, 2**24, (pages, page_rows), np.uint32)
    starts = random.integers(0, page_rows - rows, (sweeps, pages), np.uint32)
    cells = np.empty((sweeps, pages, rows), np.uint32)
    for sweep in range(sweeps):
        where = np.arange(pages)[:, None], starts[sweep][:, None] + np.arange(rows)
        more = random.integers(1, 16, (pages, rows), np.uint32)
        state[where] += more * (random.random((pages, rows), np.float32) < changed)
        cells[sweep] = state[where]
    return Drawn(np.array([random.permutation(pages) for _ in range(sweeps)]), starts, cells)


def at_random(
    room: Path,
    pages: int,
    sweeps: int,
    rows: int,
    *,
    changed: float,
    names: tuple[str, ...] = (HAPPENED, NEIGHBOURS, ALONE),
    drop_equal: bool = False,
) -> Shape:
    """Every layout has as many commits of as many deltas, so none pays more for frames."""
    made = drawn(pages, sweeps, rows, changed)
    commits, half = made.commits(), halfway(sweeps)
    groups = np.arange(pages).reshape(-1, TOGETHER)
    halves = slice(0, half), slice(half, sweeps)
    orders: dict[str, Iterable[tuple[Any, Any]]] = {
        HAPPENED: commits,
        NEIGHBOURS: ((sweep, group) for group in groups for sweep in range(sweeps)),
        ALONE: ((part, page) for page in range(pages) for part in halves),
    }
    layouts, numbers = [], np.zeros(0, np.uint32)
    for name in names:
        folder = room / name.replace(" ", "-")
        numbers, epochs = _write(folder, made, orders[name], drop_equal)
        moments = None if name == ALONE else [np.unique(epochs[own, s]) for s, own in commits]
        layouts.append(Layout(name, folder, list(epochs), moments))
    return Shape(
        f"deltas of {rows} rows",
        f"{pages:,} pages of {32 * rows:,} rows (one column, u32), each changed {sweeps} times by "
        f"a delta of {rows} rows: {TOGETHER} pages a commit, all of them in an order drawn anew "
        f"before one comes again. Of the cells written {changed:.0%} have changed, by a little.",
        SMALL,
        "value",
        numbers,
        tuple(layouts),
        [frozenset(numbers[own].tolist()) for _, own in commits],
        made.state,
    )


def _write(
    folder: Path, made: Drawn, order: Iterable[tuple[Any, Any]], drop_equal: bool
) -> tuple[Array, Array]:
    """Commits of (sweep, pages) or (sweeps, page): the pages, and epochs by page and sweep."""
    sweeps, pages, rows = made.cells.shape
    epochs = np.zeros((pages, sweeps), np.int64)
    with ours.create(folder) as memory:
        numbers = ours.new_pages(memory, SMALL, pages)
        for sweep, page in order:
            starts, changes = made.starts[sweep, page], memory.changes()
            chosen = np.broadcast_to(numbers[page], starts.shape)
            cells = {"value": made.cells[sweep, page].reshape(-1)}
            changes.patch_many(SMALL, chosen, cells, starts, np.full(len(starts), rows, "<u4"))
            epoch = memory.commit(changes, drop_equal=drop_equal, narrow=drop_equal)
            epochs[page, sweep] = epoch
    return numbers, epochs


# Recorded.


@dataclass(frozen=True)
class _Write:
    """What one epoch wrote to one page in some columns."""

    kind: Kind
    subject: str
    rows: Array
    cells: dict[str, Array]


_Commits = list[list[_Write]]


def recorded(room: Path, source: Path, what: str) -> Shape:
    """The pages of a recording, written again in its order and subject by subject.

    Texts and tables (events, inferences) belong to no page: they stay where they are, in any
    layout, and are left out.
    """
    with Memory.open(source) as memory:
        written = [_written(memory, epoch) for epoch in range(1, memory.head + 1)]
    commits = [writes for writes in written if writes]
    names = list(dict.fromkeys((w.kind, w.subject) for commit in commits for w in commit))
    place = {name: at for at, name in enumerate(names)}
    own = [at for at, (kind, _) in enumerate(names) if kind.name == "operand"]
    layouts, numbers = [], np.zeros(0, np.uint32)
    subjects = list(dict.fromkeys(subject for _, subject in names))
    orders = {
        HAPPENED: list(enumerate(commits)),
        NEIGHBOURS: [
            (at, of)
            for subject in subjects
            for at, commit in enumerate(commits)
            if (of := [write for write in commit if write.subject == subject])
        ],
    }
    for name, order in orders.items():
        folder = room / name.replace(" ", "-")
        numbers, epochs, moments = _again(folder, names, order, len(commits))
        own = [at for at in own if len(epochs[at]) > 1]
        layouts.append(Layout(name, folder, [np.array(epochs[at]) for at in own], moments))
    deltas = sum(map(len, commits))
    return Shape(
        "a recording",
        f"{what}: {deltas:,} deltas of {len(names):,} pages ({len(subjects):,} methods and their "
        f"instances), {len(commits):,} epochs. Read are the operands, {len(own)} pages. "
        f"“{NEIGHBOURS}” has all epochs of a method or instance, then those of the next.",
        names[own[0]][0],
        "value",
        numbers[own],
        tuple(layouts),
        [frozenset(int(numbers[place[w.kind, w.subject]]) for w in commit) for commit in commits],
        None,
    )


def _written(memory: Memory, epoch: int) -> list[_Write]:
    snapshot, found = memory.at(epoch), []
    for each in memory.diff(epoch - 1, epoch):
        if not each.kind.append_only and each.columns:
            cells = snapshot.columns(each.kind, each.page, each.columns)
            part = {name: values[each.rows] for name, values in cells.items()}
            found.append(_Write(each.kind, snapshot.subject(each.page), each.rows, part))
    return found


def _again(
    folder: Path,
    names: list[tuple[Kind, str]],
    order: list[tuple[int, list[_Write]]],
    count: int,
) -> tuple[Array, list[list[int]], list[Array]]:
    """Pages, epochs by page, and by commit as it happened those that have its deltas."""
    place = {name: at for at, name in enumerate(names)}
    epochs: list[list[int]] = [[] for _ in names]
    moments: list[list[int]] = [[] for _ in range(count)]
    with Memory.create(folder, schema.KINDS, durability="none") as memory:
        changes = memory.changes()
        numbers = np.array([changes.page(kind, subject) for kind, subject in names], np.uint32)
        memory.commit(changes)
        for moment, commit in order:
            changes = memory.changes()
            for write in commit:
                page = int(numbers[place[write.kind, write.subject]])
                changes.patch_rows(write.kind, page, write.rows, write.cells)
            epoch = memory.commit(changes, narrow=True)
            moments[moment].append(epoch)
            for write in commit:
                of = epochs[place[write.kind, write.subject]]
                if of[-1:] != [epoch]:
                    of.append(epoch)
    return numbers, epochs, [np.array(own) for own in moments]
