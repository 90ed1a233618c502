"""What the log holds: its schemas, its pages, and the runs in which each page's deltas are found.

"As of epoch e" is everything committed up to e, and runs number their deltas in that order, so a
snapshot needs no copy.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from mmsb.base.errors import UnknownName, UsageError, quote
from mmsb.base.model import NONE_U32
from mmsb.base.schema import SYMBOL, Column, Kind
from mmsb.memory import asked
from mmsb.memory import kinds as schemas
from mmsb.memory.batch import PAGE_ROWS, Batch, batches_of
from mmsb.memory.catalog import Catalog
from mmsb.memory.cells import Array, address_of, dtype_of
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.files import home_of
from mmsb.memory.forked import locks
from mmsb.memory.frame import Broken, Frame
from mmsb.memory.kernels_fields import ORDER_FIELDS
from mmsb.memory.keyframes import Keyframes
from mmsb.memory.meter import Meter
from mmsb.memory.run import Held, Run
from mmsb.memory.sidecar import Opening
from mmsb.memory.tables import Tables

#: Row counts of a kind are kept for so many epochs.
_COUNTS = 4
#: And single pages' for so many pages.
_REMEMBERED = 65_536
_UNCOUNTED: tuple[int, Array] = (-1, np.zeros(0, "<u4"))


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """The runs as of a head, as the kernels want them. Lives as long as one is used."""

    head: int
    orders: Array  # i64, a row for each order of each run, oldest first
    runs: Array  # i64, a row for each run
    told: tuple[int, int]  # where the orders are, and how many
    told_runs: tuple[int, int]  # where the runs are, and how many
    owners: tuple[int, ...]  # by order: its run
    held: tuple[Held, ...]

    def view(self, order: int, place: int, count: int, dtype: np.dtype[Any]) -> Array:
        """``count`` cells at a place of the order's segment, read-only."""
        held = self.held[self.owners[order]].bytes
        found: Array = held[place : place + count * dtype.itemsize].view(dtype)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What the kernels are told of a column."""

    dtype: np.dtype[Any]
    widths: int  # where the widths of its kind's columns are
    fill: int  # the bits of its fill value
    held: Array

    def bits(self, cells: Array, at: int) -> int:
        """The bits of one of its cells."""
        return int.from_bytes(cells[at].tobytes(), "little", signed=True)

    def scalar(self, bits: int) -> Any:
        """A cell by its bits, as a numpy scalar."""
        return np.frombuffer((bits & 2**64 - 1).to_bytes(8, "little"), self.dtype, 1)[0]


class Index:
    """Pages, runs, schemas. Grows by whole frames; older epochs see no change.

    One thread adds while others read: all of an epoch is in its place before the catalog counts
    it, and readers go by that count alone.
    """

    def __init__(self, folder: Path, known: Iterable[Kind], base: int = 0) -> None:
        """``base`` is the first epoch that the log holds."""
        self.folder, self.home, self.base = folder, home_of(folder), base
        self.known = {kind.id: kind for kind in known}
        self.stored: dict[int, Kind] = {}
        self.kinds = dict(self.known)
        #: Does the log hold all kinds as they are shown?
        self.complete = not self.known
        self.catalog, self.tables = Catalog(base), Tables()
        self.meter, self.keyframes = Meter(), Keyframes(folder)
        #: Page → an epoch and its rows as of it, for pages that were read.
        self.rows_known: dict[int, tuple[int, int]] = {}
        self._runs: list[Run] = []
        self._late = False  # is a run there that has not read its index file?
        self.schemas: list[tuple[int, tuple[Kind, ...]]] = []  # (epoch, kinds that it listed)
        #: That of the log which took this one's place: a retention wrote it anew.
        self.later: Index | None = None
        #: Index files that did not hold, or could not be written: a sentence each.
        self.rebuilt: list[str] = []
        self._widths: dict[tuple[int, int], Array] = {}
        self._told: dict[tuple[int, int], Told] = {}
        #: May the kernels be used? None: once they are loaded, and where it is worth loading them.
        self.compiled: bool | None = None
        self.by_numpy = 0  # nanoseconds that reads without them took, about
        self._described: Described | None = None
        self._counts: dict[int, tuple[tuple[int, Array], ...]] = {}
        self._lock: threading.Lock
        self._marking: threading.Lock
        locks(self, "_lock", "_marking")

    def add(self, frame: Frame) -> list[Batch]:
        """Takes in the next epoch's frame; CorruptData if a bound does not hold, and no change."""
        try:
            stored = self._schema(frame)
            batches = batches_of(frame, stored)
            self._check_pages(frame, stored, batches)
            rows = self._continued(stored, batches)
            self._check_subjects(frame, stored, rows)
        except Broken as error:
            problem = Problem(frame.segment.name, frame.offset, (frame.epoch,), (), str(error))
            raise corrupt(self.folder, problem) from error
        if len(frame.table.schema):
            self._join(stored, frame.epoch)
        last = self._runs[-1] if self._runs else None
        if last is None or last.recalled or last.segment is not frame.segment:
            segment = frame.segment
            last = Run(lambda: segment, frame.epoch, self)
            self._runs = [*self._runs, last]
        last.add(frame, batches)
        for kind, count in rows.items():
            self.tables.add(kind, frame.epoch, count)
        dead = [batch.pages() for batch in batches if batch.tombstone]
        table = frame.table
        self.catalog.add(
            table.page_kind,
            table.page_subject,
            np.concatenate(dead) if dead else np.zeros(0, "<u4"),
            frame.epoch,
        )
        return batches

    def recall(self, run: Run, held: Opening) -> None:
        """Takes in all epochs of an index file, of which the run knows the rest."""
        listed = schemas.decode(held.schema.tobytes())
        stored = schemas.replaced(self.stored, listed)
        if listed:
            self._join(stored, run.last_epoch)
        self._runs, self._late = [*self._runs, run], True
        self.tables.recall(held)
        self.catalog.recall(held)

    @property
    def runs(self) -> list[Run]:
        """All runs, oldest first, each ready. CorruptData."""
        if self._late:
            for run in self._runs:
                run.ready()
            self._late = False
        return self._runs

    @property
    def all_runs(self) -> tuple[Run, ...]:
        """All runs, oldest first, ready or not."""
        return tuple(self._runs)

    @property
    def open_run(self) -> Run | None:
        """The run that the next frame of its segment goes to, if it is not an index file's."""
        last = self._runs[-1] if self._runs else None
        return None if last is None or last.recalled else last

    def runs_of(self, segment: int) -> list[Run]:
        """The runs of a segment, oldest first."""
        return [run for run in self.runs if run.segment.number == segment]

    def _join(self, stored: dict[int, Kind], epoch: int) -> None:
        changed = tuple(kind for id, kind in stored.items() if self.stored.get(id) != kind)
        self.kinds = schemas.joined(self.known, stored)
        self.stored = stored
        self.complete = not self.unstored()
        self.schemas.append((epoch, changed))

    def _schema(self, frame: Frame) -> dict[int, Kind]:
        if not len(frame.table.schema):
            return self.stored
        try:
            return schemas.replaced(self.stored, schemas.decode(frame.table.schema))
        except (ValueError, TypeError, UsageError, RecursionError) as error:
            raise Broken(f"its schemas cannot be read ({error})") from error

    def _check_pages(self, frame: Frame, stored: dict[int, Kind], batches: list[Batch]) -> None:
        table, before = frame.table, self.page_count
        if frame.first_page != before:
            raise Broken(f"it continues at page {frame.first_page}, not {before}")
        if not set(np.unique(table.page_kind).tolist()) <= stored.keys():
            raise Broken("it creates a page of a kind that no schema names")
        old = self.catalog.kinds.values[:before]
        for batch in batches:
            pages = batch.pages()
            if len(pages) and int(pages.max()) >= before + len(table.page_kind):
                raise Broken("it writes to a page that does not exist")
            known = pages < before
            new = table.page_kind[pages[~known] - np.uint32(before)]
            if (old[pages[known]] != batch.kind).any() or (new != batch.kind).any():
                raise Broken("it writes to a page of another kind")

    def _continued(self, stored: dict[int, Kind], batches: list[Batch]) -> dict[int, int]:
        """The append-only kinds that the frame appends to, and their rows then."""
        rows: dict[int, int] = {}
        for batch in batches:
            kind = batch.kind
            if stored[kind].append_only:
                before = rows.get(kind, self.tables.rows(kind, self.head))
                if batch.starts().tolist() != [before]:
                    raise Broken("it does not append to the rows of an append-only kind")
                rows[kind] = int(batch.stops()[0])
        return rows

    def _check_subjects(self, frame: Frame, stored: dict[int, Kind], rows: dict[int, int]) -> None:
        """An append-only kind has the page that its schema came with; others are a symbol's."""
        table = frame.table
        tables = {id for id, kind in stored.items() if kind.append_only}
        new = sorted(tables - self.stored.keys())
        named = table.page_subject != NONE_U32
        if np.sort(table.page_kind[~named]).tolist() != new:
            raise Broken("it does not create one page for each append-only kind that is new")
        symbols = rows.get(SYMBOL.id, self.tables.rows(SYMBOL.id, self.head))
        if (table.page_subject[named] >= symbols).any():
            raise Broken("it creates a page whose subject is no symbol")
        if not tables.isdisjoint(table.page_kind[named].tolist()):
            raise Broken("it creates another page of an append-only kind")

    # What there is.

    @property
    def head(self) -> int:
        """The last epoch taken in; one before the first until there is one."""
        return self.catalog.head

    @property
    def page_count(self) -> int:
        """Pages ever created."""
        return self.catalog.count

    @property
    def delta_count(self) -> int:
        """Deltas ever committed."""
        return sum(run.deltas for run in self._runs)

    def widths(self, kind: int) -> Array:
        """Bytes of a cell by column id, u8, of the columns that are stored."""
        columns = self.kinds[kind].columns  # which grow while others read
        found = self._widths.get((kind, len(columns)))
        if found is None:
            # (for every id there can be: a table that is not verified yet may say any)
            found = np.zeros(2**16, "u1")
            for column in columns:
                found[column.id] = dtype_of(column).itemsize
            self._widths[kind, len(columns)] = found
        return found

    def limits(self, kinds: Array, epochs: Array) -> tuple[Array, Array]:
        """For batches of those kinds and epochs: one past the last row and page they may name."""
        known, at = np.unique(kinds, return_inverse=True)
        rows = [self._most_rows(kind) for kind in known.tolist()]
        return np.array(rows, np.int64)[at], self.catalog.counts_at(epochs)

    def _most_rows(self, kind: int) -> int:
        shown = self.stored.get(kind)
        if shown is None:
            return 0
        return self.tables.rows(kind, self.head + 1) if shown.append_only else PAGE_ROWS

    def unstored(self) -> list[Kind]:
        """Kinds that the log does not hold as they are shown; the next commit writes them."""
        return [kind for id, kind in self.kinds.items() if self.stored.get(id) != kind]

    def kind(self, kind: Kind | str | int) -> Kind:
        """The kind as this memory knows it; UnknownName. By id where a Kind is given."""
        if isinstance(kind, str):
            found = next((own for own in self.kinds.values() if own.name == kind), None)
        else:
            found = self.kinds.get(kind.id if isinstance(kind, Kind) else asked.kind_id(kind))
        if found is not None:
            return found
        name = kind.name if isinstance(kind, Kind) else kind
        known = ", ".join(shown.name for shown in self.kinds.values())
        raise UnknownName(f"{self.folder} has no kind {quote(name)}; it has {known}")

    def column(self, kind: Kind, name: str) -> Column:
        """UnknownName if the kind has no such column."""
        return kind.column(name)

    def end_of(self, epoch: int) -> tuple[int, int]:
        """Where an epoch's frame ends: (segment number, offset). CorruptData. O(log segments)."""
        runs = self._runs
        run = runs[bisect_right(runs, epoch, key=lambda run: run.first_epoch) - 1].ready()
        place = int(run.frames.values[epoch - run.first_epoch])
        try:
            frame = Frame(run.segment, place, len(run.segment.bytes), table=False)
        except Broken as error:
            problem = Problem(run.segment.name, place, (epoch,), (), str(error))
            raise corrupt(self.folder, problem) from error
        return run.segment.number, place + frame.size

    # Deltas.

    def written_since(self, epoch: int) -> Array:
        """Pages that later epochs wrote or deleted, u32, increasing. O(their deltas)."""
        found = [np.zeros(0, "<u4")]
        for run in self._runs:
            if run.last_epoch > epoch:
                run.ready()
                batches = np.array(run.batches(epoch, self.head), np.int64)
                run.check_tables(batches)
                found.append(run.pages(run.members(batches)))
        return np.unique(np.concatenate(found))

    def runs_to(self, epoch: int) -> list[Run]:
        """Runs with deltas committed up to the epoch, oldest first."""
        return [run.ready() for run in self._runs if run.first_epoch <= epoch]

    def runs_between(self, after: int, upto: int) -> list[Run]:
        """Runs with epochs of (after, upto], oldest first; no other is looked at."""
        runs = self._runs
        first = bisect_right(runs, after, key=lambda run: run.last_epoch)
        last = bisect_right(runs, upto, key=lambda run: run.first_epoch)
        return [run.ready() for run in runs[first:last]]

    def described(self) -> Described:
        """What the kernels are told. O(orders), and sorts what was not sorted yet."""
        known = self._described
        if known is not None and known.head == self.head:
            return known
        with self._lock:
            known, now = self._described, self.head
            if known is None or known.head != now:
                held = tuple(run.held() for run in tuple(self.runs))
                each = [own.describe() for own in held]
                owners = tuple(at for at, (_, own) in enumerate(each) for _ in own)
                rows = [row for _, own in each for row in own]
                orders = np.array(rows, np.int64).reshape(-1, len(ORDER_FIELDS))
                whole = np.array([own for own, _ in each], np.int64)
                told = (int(orders.ctypes.data), len(orders))
                told_runs = (int(whole.ctypes.data), len(whole))
                known = Described(now, orders, whole, told, told_runs, owners, held)
                self._described = known
            return known

    def counted(self, kind: int, epoch: int) -> tuple[int, Array]:
        """The latest epoch up to the one given of which a kind's row counts are known, and those;
        (-1, nothing) if none is."""
        known = self._counts.get(kind, ())
        return max(
            (held for held in known if held[0] <= epoch), key=itemgetter(0), default=_UNCOUNTED
        )

    def remember(self, page: int, epoch: int, rows: int) -> None:
        """Keeps a page's row count as of an epoch, of the pages that were read last."""
        if len(self.rows_known) >= _REMEMBERED:
            self.rows_known.clear()
        self.rows_known[page] = (epoch, rows)

    def count(self, kind: int, epoch: int, counts: Array) -> None:
        """Keeps a kind's row counts as of an epoch, u32 by page: the last few are kept."""
        self._counts[kind] = (*self._counts.get(kind, ())[1 - _COUNTS :], (epoch, counts))

    def verified(self, known: Described, kernel: Callable[[int], int]) -> None:
        """Runs a kernel until all that it needs is verified, which it then has read. CorruptData.

        ``kernel(mark)`` returns whether it met something that was not. Then it runs again, alone,
        and marks what that is: only one thread's marks are in the arrays at a time.
        """
        if not kernel(0):
            return
        with self._marking:
            while kernel(1):
                wanted = [(held, *held.wanted()) for held in known.held]
                for held, batches, blocks in wanted:
                    held.verify(batches, blocks)

    def told(self, kind: Kind, column: Column) -> Told:
        """What the kernels are told of a column of a kind; ask for it after `described`."""
        widths = self.widths(kind.id)
        found = self._told.get((kind.id, column.id))
        if found is None or found.held is not widths:
            dtype = dtype_of(column)
            fill = np.array([column.fill], dtype).view(f"<u{dtype.itemsize}").astype("<u8")
            found = Told(dtype, address_of(widths), int(fill.view("<i8")[0]), widths)
            self._told[kind.id, column.id] = found
        return found
