"""The pages of a memory: kind, subject, when created and when deleted."""

from __future__ import annotations

import threading

import numpy as np

from mmsb.base.model import NONE_U32
from mmsb.base.schema import HEAP, SYMBOL, Kind
from mmsb.memory.cells import Array
from mmsb.memory.forked import locks
from mmsb.memory.grow import Grow
from mmsb.memory.sidecar import Opening

NEVER = 2**64 - 1
#: New pages that may wait in a dictionary before all are sorted again.
_WAITING = 4096
#: Pages that are looked up one by one among the deleted ones.
_FEW = 64


class Catalog:
    """All pages ever created, in order. One thread adds while others read.

    Readers go by how many pages there were as of their epoch, which is told last.
    """

    def __init__(self, base: int = 0) -> None:
        """``base`` is the first epoch there is."""
        self.base = base
        self.kinds, self.subjects = Grow("<u2"), Grow("<u4")
        self._upto = Grow("<i8")  # by epoch: how many there are
        #: Pages ever created, and the last epoch taken in (-1 before the first).
        self.count, self.head = 0, base - 1
        self.deleted: dict[int, int] = {}  # page → the epoch of its tombstone
        # (kind id, subject) as one number, sorted, and whose page it is; at most one lives at once.
        self._keys: Array = np.zeros(0, "<u8")
        self._pages: Array = np.zeros(0, "<u4")
        self._waiting: dict[int, list[int]] = {}
        self._placed = 0
        self._text_pages: tuple[int, int] | None = None
        self._lock: threading.Lock
        locks(self, "_lock")

    def add(self, kinds: Array, subjects: Array, dead: Array, epoch: int) -> None:
        """One epoch's new pages and deleted pages."""
        if len(kinds):
            self.kinds.extend(kinds)
            self.subjects.extend(subjects)
        for page in dead.tolist():
            self.deleted[page] = epoch
        self.seal()

    def recall(self, held: Opening) -> None:
        """Several epochs' pages at once, as an index file has them."""
        self.kinds.extend(held.page_kind)
        self.subjects.extend(held.page_subject)
        self.deleted |= dict(zip(held.dead_page.tolist(), held.dead_epoch.tolist(), strict=True))
        self._upto.extend(held.upto)
        self.count = self.kinds.count
        self.head += len(held.upto)

    def during(self, first: int, last: int) -> dict[str, Array]:
        """What an index file holds of the epochs first … last."""
        low, high = self.counted(first - 1), self.counted(last)
        dead = [(gone, at) for gone, at in tuple(self.deleted.items()) if first <= at <= last]
        return {
            "upto": self._upto.values[first - self.base : last + 1 - self.base],
            "page_kind": self.kinds.values[low:high],
            "page_subject": self.subjects.values[low:high],
            "dead_page": np.array([gone for gone, _ in dead], "<u4"),
            "dead_epoch": np.array([at for _, at in dead], "<i8"),
        }

    def add_one(self, kind: int, subject: int) -> int:
        """An epoch that makes one page and deletes none; the page."""
        page = self.count
        self.kinds.append(kind)
        self.subjects.append(subject)
        self.seal()
        return page

    def seal(self) -> None:
        """The epoch is complete: its pages count from now on."""
        count = self.kinds.count
        self._upto.append(count)
        self.count = count
        self.head += 1

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        grown = (self.kinds, self.subjects, self._upto)
        return sum(grow.held.nbytes for grow in grown) + self._keys.nbytes + self._pages.nbytes

    def counts_at(self, epochs: Array) -> Array:
        """`counted` for many epochs, i64."""
        upto = self._upto.values
        found: Array = upto[np.minimum(epochs, len(upto) - 1)]
        return found

    def counted(self, epoch: int) -> int:
        """Pages created up to the epoch; none before the first one."""
        at = epoch - self.base
        return self._upto.items[at] if at >= 0 else 0

    def live(self, kind: int, epoch: int) -> Array:
        """Live pages of the kind as of the epoch, u32, in creation order. O(pages)."""
        live = self.kinds.values[: self.counted(epoch)] == kind
        dead = [page for page, at in tuple(self.deleted.items()) if at <= epoch]
        if dead:
            gone = np.array(dead, np.int64)
            live[gone[gone < len(live)]] = False
        return np.flatnonzero(live).astype("<u4")

    def deleted_at(self, page: int) -> int:
        """The epoch that deleted the page, or NEVER."""
        return self.deleted.get(page, NEVER)

    def dead_among(self, pages: Array, epoch: int) -> list[int]:
        """Those of the pages that were deleted up to the epoch. O(pages there are) of many."""
        if len(pages) < _FEW:
            return [page for page in pages.tolist() if self.deleted_at(page) <= epoch]
        dead = [page for page, at in tuple(self.deleted.items()) if at <= epoch]
        if not dead:
            return []
        gone = np.zeros(self.count, bool)
        gone[dead] = True
        known = pages[pages < len(gone)]  # those that a commit makes are not here yet
        return [int(page) for page in known[gone[known]]]

    def exists(self, page: int, epoch: int) -> bool:
        """Was the page created up to the epoch? It may be deleted since."""
        return 0 <= page < self.counted(epoch)

    def table_page(self, kind: Kind) -> int | None:
        """The one page of an append-only kind; None before its schema is stored."""
        return self.page_of(kind.id, NONE_U32, self.head)

    @property
    def text_pages(self) -> tuple[int, int] | None:
        """The pages of the kinds that hold text: of their bytes, and of symbols."""
        if self._text_pages is None:
            heap, symbol = self.table_page(HEAP), self.table_page(SYMBOL)
            if heap is not None and symbol is not None:
                self._text_pages = heap, symbol
        return self._text_pages

    def page_of(self, kind: int, symbol: int, epoch: int) -> int | None:
        """The page of (kind, subject symbol) live as of the epoch, or None. O(log pages)."""
        key = kind << 32 | symbol
        with self._lock:
            self._place()
            low, high = np.searchsorted(self._keys, np.array([key, key + 1], "<u8")).tolist()
            candidates = [*self._pages[low:high].tolist(), *self._waiting.get(key, ())]
        for page in candidates:
            if self.exists(page, epoch) and self.deleted_at(page) > epoch:
                return int(page)
        return None

    def pages_of(self, kind: int, symbols: Array, epoch: int) -> Array:
        """`page_of` for many subjects: i64, -1 where there is none. O(log pages) for each."""
        with self._lock:
            self._place(every=True)
            keys, pages = self._keys, self._pages
        wanted = np.uint64(kind << 32) | symbols.astype("<u8")
        low = np.searchsorted(keys, wanted)
        found = np.full(len(wanted), -1, np.int64)
        count = self.counted(epoch)
        while True:
            hit = low < len(keys)
            hit[hit] = keys[low[hit]] == wanted[hit]
            hit &= found < 0
            if not hit.any():
                return found
            page = pages[low[hit]].astype(np.int64)
            lives = page < count
            if self.deleted:
                gone = [self.deleted_at(own) > epoch for own in page.tolist()]
                lives &= np.array(gone, bool)
            found[np.flatnonzero(hit)[lives]] = page[lives]
            low[hit] += 1

    def _place(self, every: bool = False) -> None:
        count = self.count
        fresh = count - len(self._pages)
        if fresh > max(_WAITING, len(self._pages) // 4) or (every and fresh):
            kinds, subjects = self.kinds.values[:count], self.subjects.values[:count]
            keys = kinds.astype("<u8") << np.uint64(32) | subjects
            order = np.argsort(keys, kind="stable")
            self._keys, self._pages = keys[order], order.astype("<u4")
            self._waiting = {}
        else:
            for page in range(self._placed, count):
                key = int(self.kinds.values[page]) << 32 | int(self.subjects.values[page])
                self._waiting.setdefault(key, []).append(page)
        self._placed = count
