"""What the log holds, in arrays: which pages there are, and which deltas each page has.

Rebuilt at open from the tables of all frames. Frames are numbered by their epoch and deltas by
their order in the log, so "as of epoch e" is everything before one delta number and one page
number, and a snapshot needs no copy.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path

import numpy as np

from mmsb.base.errors import UnknownName
from mmsb.base.model import NONE_U32
from mmsb.base.schema import Column, Kind
from mmsb.memory import kinds as schemas
from mmsb.memory.batch import Batch, batches_of
from mmsb.memory.cells import Array
from mmsb.memory.damage import Problem, corrupt
from mmsb.memory.frame import Broken, Frame

NEVER = 2**64 - 1
#: Deltas that may wait in the per-page lists before all are sorted again.
_TAIL = 4096


class Grow:
    """An array with room to grow. ``values``, a view, is swapped at once: read it once and use it.

    Views handed out stay valid.
    """

    __slots__ = ("_held", "values")

    def __init__(self, dtype: str) -> None:
        self._held: Array = np.zeros(64, dtype)
        self.values = self._held[:0]

    def extend(self, values: Array | list[int]) -> None:
        """Appends. Amortised O(values)."""
        count = len(self.values)
        end = count + len(values)
        if end > len(self._held):
            grown = np.zeros(max(end, 2 * len(self._held)), self._held.dtype)
            grown[:count] = self.values
            self._held = grown
        self._held[count:end] = values
        self.values = self._held[:end]

    @property
    def last(self) -> int:
        """The last value appended; 0 before there is one."""
        values = self.values
        return int(values[-1]) if len(values) else 0


class Index:
    """Pages, deltas, batches, schemas. Grows by whole frames; older epochs see no change.

    One thread adds while others read: all of an epoch is in place before it counts in
    ``_pages_to``, ``_deltas_to`` and, last, ``frames``, and readers go by these counts alone.
    """

    def __init__(self, folder: Path, known: Iterable[Kind]) -> None:
        self.folder = folder
        self._known = {kind.id: kind for kind in known}
        self.stored: dict[int, Kind] = {}
        self.kinds = dict(self._known)
        self.frames: list[Frame] = []  # by epoch
        self.batches: list[Batch] = []
        # By page id; deleted_at holds the epoch of the tombstone, or NEVER.
        self._page_kind, self._page_subject = Grow("<u2"), Grow("<u4")
        self._deleted_at = Grow("<u8")
        # By delta number.
        self._page, self._start, self._stop = Grow("<u4"), Grow("<u4"), Grow("<u4")
        self._offset, self._batch = Grow("<u4"), Grow("<u4")
        # By epoch: how many deltas and pages there are as of it.
        self._deltas_to, self._pages_to = Grow("<i8"), Grow("<i8")
        self._sorted: tuple[Array, Array] = (np.zeros(0, np.int64), np.zeros(0, "<u4"))
        self._tail: dict[int, list[int]] = {}
        self._settled = 0
        # (kind id, subject symbol) → its pages, of which at most one lives at any epoch.
        self._by_subject: dict[tuple[int, int], list[int]] = {}
        self._placed = 0
        self._lock = threading.Lock()

    def add(self, frame: Frame) -> None:
        """Takes in the next epoch's frame; CorruptData if a bound does not hold, and no change."""
        try:
            stored = self.stored | {kind.id: kind for kind in self._schema(frame)}
            batches = batches_of(frame, stored)
            self._check_pages(frame, stored, batches)
        except Broken as error:
            problem = Problem(frame.segment.name, frame.offset, (frame.epoch,), (), str(error))
            raise corrupt(self.folder, problem) from error
        if stored is not self.stored and len(frame.table.schema):
            self.kinds = schemas.joined(self._known, stored)
            self.stored = stored
        table = frame.table
        self._page_kind.extend(table.page_kind)
        self._page_subject.extend(table.page_subject)
        self._deleted_at.extend(np.full(len(table.page_kind), NEVER, "<u8"))
        self._start.extend(table.delta_start)
        self._stop.extend(table.delta_stop)
        self._offset.extend(table.delta_offset)
        numbers = np.arange(len(self.batches), len(self.batches) + len(batches))
        self._batch.extend(np.repeat(numbers, [batch.deltas for batch in batches]))
        for batch in batches:
            if batch.tombstone:
                self._deleted_at.values[batch.pages()] = frame.epoch
        self.batches.extend(batches)
        self._page.extend(table.delta_page)
        self._pages_to.extend([len(self._page_kind.values)])
        self._deltas_to.extend([len(self._page.values)])
        self.frames.append(frame)

    def _schema(self, frame: Frame) -> tuple[Kind, ...]:
        try:
            return schemas.decode(frame.table.schema)
        except (ValueError, KeyError, TypeError) as error:
            raise Broken(f"its schemas cannot be read ({error})") from error

    def _check_pages(self, frame: Frame, stored: dict[int, Kind], batches: list[Batch]) -> None:
        table, before = frame.table, self.page_count
        if frame.first_page != before:
            raise Broken(f"it continues at page {frame.first_page}, not {before}")
        if not set(np.unique(table.page_kind).tolist()) <= stored.keys():
            raise Broken("it creates a page of a kind that no schema names")
        page_kind = np.concatenate([self._page_kind.values, table.page_kind])
        for batch in batches:
            pages = batch.pages()
            if len(pages) and int(pages.max()) >= len(page_kind):
                raise Broken("it writes to a page that does not exist")
            if (page_kind[pages] != batch.kind).any():
                raise Broken("it writes to a page of another kind")

    # What there is.

    @property
    def head(self) -> int:
        """The last epoch taken in."""
        return len(self.frames) - 1

    @property
    def page_count(self) -> int:
        """Pages ever created."""
        return self._pages_to.last

    @property
    def delta_count(self) -> int:
        """Deltas ever committed."""
        return self._deltas_to.last

    def unstored(self) -> list[Kind]:
        """Kinds that the log does not hold as they are shown; the next commit writes them."""
        return [kind for id, kind in self.kinds.items() if self.stored.get(id) != kind]

    def kind(self, kind: Kind | str | int) -> Kind:
        """The kind as this memory knows it; UnknownName. By id where a Kind is given."""
        if isinstance(kind, str):
            for shown in self.kinds.values():
                if shown.name == kind:
                    return shown
        else:
            found = self.kinds.get(kind if isinstance(kind, int) else kind.id)
            if found is not None:
                return found
        name = kind.name if isinstance(kind, Kind) else kind
        known = ", ".join(shown.name for shown in self.kinds.values())
        raise UnknownName(f"{self.folder} has no kind {name!r}; it has {known}")

    def column(self, kind: Kind, name: str) -> Column:
        """UnknownName if the kind has no such column."""
        try:
            return kind.column(name)
        except KeyError:
            names = ", ".join(column.name for column in kind.columns)
            raise UnknownName(
                f"kind {kind.name!r} has no column {name!r}; it has {names}"
            ) from None

    # Pages.

    def pages(self, kind: Kind, epoch: int) -> Array:
        """Live pages of the kind as of the epoch, u32, in creation order. O(pages)."""
        count = int(self._pages_to.values[epoch])
        live = (self._page_kind.values[:count] == kind.id) & (
            self._deleted_at.values[:count] > epoch
        )
        return np.flatnonzero(live).astype("<u4")

    def page_kinds(self) -> Array:
        """Kind id of every page, u16; of pages that are being added too."""
        return self._page_kind.values

    def page_subjects(self) -> Array:
        """Subject symbol of every page, u32."""
        return self._page_subject.values

    def deleted_at(self, page: int) -> int:
        """The epoch that deleted the page, or NEVER."""
        return int(self._deleted_at.values[page])

    def deleted_flags(self) -> Array:
        """For every page, or a few more, the epoch that deleted it, or NEVER; u64."""
        return self._deleted_at.values

    def row_counts(self, epoch: int) -> Array:
        """Rows of every page as of the epoch, u32. O(deltas)."""
        counts = np.zeros(int(self._pages_to.values[epoch]), "<u4")
        upto = int(self._deltas_to.values[epoch])
        np.maximum.at(counts, self._page.values[:upto], self._stop.values[:upto])
        return counts

    def batches_to(self, epoch: int) -> Iterator[Batch]:
        """Batches committed up to the epoch, oldest first."""
        return takewhile(lambda batch: batch.frame.epoch <= epoch, self.batches)

    def exists(self, page: int, epoch: int) -> bool:
        """Was the page created up to the epoch? It may be deleted since."""
        return 0 <= page < int(self._pages_to.values[epoch])

    def table_page(self, kind: Kind) -> int | None:
        """The one page of an append-only kind; None before its schema is stored."""
        count = self.page_count
        of_kind = self._page_kind.values[:count] == kind.id
        found = np.flatnonzero(of_kind & (self._page_subject.values[:count] == NONE_U32))
        return int(found[0]) if len(found) else None

    def page_of(self, kind: Kind, symbol: int, epoch: int) -> int | None:
        """The page of (kind, subject symbol) that is live as of the epoch, or None."""
        with self._lock:
            count = self.page_count
            for page in range(self._placed, count):
                key = int(self._page_kind.values[page]), int(self._page_subject.values[page])
                self._by_subject.setdefault(key, []).append(page)
            self._placed = count
            candidates = tuple(self._by_subject.get((kind.id, symbol), ()))
        for page in candidates:
            if self.exists(page, epoch) and self.deleted_at(page) > epoch:
                return page
        return None

    # Deltas.

    def deltas(self, page: int, epoch: int) -> Array:
        """Numbers of the page's deltas up to the epoch, increasing. O(log deltas + found)."""
        (order, pages), tail = self._settle()
        # (numbers of another type would make a copy of all pages)
        low, high = np.searchsorted(pages, np.array([page, page + 1], pages.dtype))
        found = order[low:high]
        if page in tail:
            found = np.append(found, tail[page])
        return found[: int(np.searchsorted(found, int(self._deltas_to.values[epoch])))]

    def _settle(self) -> tuple[tuple[Array, Array], dict[int, list[int]]]:
        with self._lock:
            count = self.delta_count
            waiting = count - len(self._sorted[0])
            if waiting > max(_TAIL, len(self._sorted[0])):
                pages = self._page.values[:count]
                order = np.argsort(pages, kind="stable")
                self._sorted, self._tail = (order, pages[order]), {}
            else:
                for number in range(self._settled, count):
                    self._tail.setdefault(int(self._page.values[number]), []).append(number)
            self._settled = count
            return self._sorted, self._tail

    def span(self, numbers: Array) -> tuple[Array, Array]:
        """First and one-past-last row of the deltas, u32."""
        return self._start.values[numbers], self._stop.values[numbers]

    def epochs(self, numbers: Array) -> Array:
        """The epoch that committed each delta, i64."""
        return np.searchsorted(self._deltas_to.values, numbers, side="right")

    def numbers(self, after: int, upto: int) -> range:
        """Deltas committed in epochs (after, upto]."""
        ends = self._deltas_to.values
        return range(int(ends[after]), int(ends[upto]))

    def batch(self, number: int) -> tuple[Batch, int, int, int]:
        """A delta's batch, its cells [begin, end) in it, and its page."""
        batch = self.batches[int(self._batch.values[number])]
        begin = int(self._offset.values[number])
        table, own = batch.frame.table.delta_offset, self._in_frame(number, batch)
        last = own + 1 == batch.first + batch.deltas
        return (
            batch,
            begin,
            batch.rows if last else int(table[own + 1]),
            int(self._page.values[number]),
        )

    def _in_frame(self, number: int, batch: Batch) -> int:
        epoch = batch.frame.epoch
        return number - (int(self._deltas_to.values[epoch - 1]) if epoch else 0)
