"""The memory: one folder, one writer, any number of readers, each on a fixed epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter_ns
from typing import Any

from mmsb.base import schema
from mmsb.base.errors import Conflict, StateError, UsageError, quote
from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory import arrow_in, asked, budget, checkpoint, device, encode, equal, founding, recall
from mmsb.memory.batch import Batch
from mmsb.memory.cells import Array, no_room, whole
from mmsb.memory.changes import Changes
from mmsb.memory.checkpoint import Parts
from mmsb.memory.delta import Delta
from mmsb.memory.device import Copied
from mmsb.memory.disk import DISK, Disk
from mmsb.memory.files import Lock, read_manifest
from mmsb.memory.frame import ALIGN, Draft, Frame
from mmsb.memory.index import Index
from mmsb.memory.log import Log
from mmsb.memory.newpage import NewPage
from mmsb.memory.single import Single
from mmsb.memory.transaction import Transaction
from mmsb.memory.upkeep import Upkeep
from mmsb.memory.writer import Durability, Writer

Pathlike = str | os.PathLike[str]
SEGMENT_BYTES = 4 * 1024 * 1024


class Memory(Upkeep):
    """An open memory. ``torn`` says what tail a crash left, if it left one.

    Threads may read at will; commits of several threads are taken one after another.
    """

    def __init__(self, log: Log, index: Index, writer: Writer | None, disk: Disk = DISK) -> None:
        """Use ``Memory.create`` or ``Memory.open``."""
        super().__init__(log, index, writer, disk)
        self._single = Single(index)
        self._new_page = NewPage(index, self._symbols)

    @classmethod
    def create(
        cls,
        path: Pathlike,
        kinds: Iterable[Kind] = schema.KINDS,
        *,
        durability: Durability = "group",
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk = DISK,
    ) -> Memory:
        """Makes a memory in a new or empty folder and opens it for writing.

        UsageError if the folder holds something, ReadOnly, NoSpace.
        """
        known = asked.kinds(kinds)
        asked.durability(durability)
        if not 4096 <= whole(segment_bytes, "segment_bytes") < 2**40 or segment_bytes % ALIGN:
            raise UsageError(
                f"segment_bytes is {quote(segment_bytes)}; use a multiple of 64 from 4096 on, "
                "below 2**40"
            )
        if not {schema.HEAP, schema.SYMBOL} <= set(known):
            raise UsageError("a memory needs the kinds 'heap' and 'symbol'; add them to its kinds")
        founding.create(asked.folder(path), founding.birth(known), segment_bytes, disk)
        return cls.open(path, write=True, kinds=known, durability=durability, disk=disk)

    @classmethod
    def open(
        cls,
        path: Pathlike,
        write: bool = False,
        *,
        kinds: Iterable[Kind] = schema.KINDS,
        durability: Durability = "group",
        resident_bytes: int | None = None,
        disk: Disk = DISK,
    ) -> Memory:
        """Opens a memory; O(segments and pages, and frames that no index file tells of).

        With ``write`` takes the lock and cuts a torn tail.

        About ``resident_bytes`` of it stay in this process's memory (see `mmsb.memory.budget`).
        NotAMemory, NewerFormat, CorruptData; with ``write`` MemoryLocked, ReadOnly.
        """
        folder, kinds, write = asked.folder(path), asked.kinds(kinds), asked.flag(write, "write")
        asked.durability(durability)
        read_manifest(folder)
        lock = Lock(folder, disk) if write else None
        try:
            spill = resident_bytes is not None
            log, index = recall.opened(folder, kinds, beyond=write, spill=spill)
            writing = None if lock is None else Writer(log, lock, durability, disk)
            opened = cls(log, index, writing, disk)
            budget.limit(index, resident_bytes)
            return opened
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    def close(self) -> None:
        """Makes all durable (not under "none"), lets go of the lock. Snapshots live on."""
        with self._compacting, self._lock:
            if not self._closed:
                self._closed = True
                try:
                    self._behind.wait()
                    if self._writer is not None:
                        recall.write_tail(self._index, self._log, self._writer, self._disk)
                finally:
                    if self._writer is not None:
                        self._writer.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing.

    def changes(self) -> Changes:
        """Collects the next commit."""
        self._check_open()
        symbols = self._symbols
        return Changes(symbols.index, symbols)

    def commit(
        self,
        changes: Changes | Iterable[Delta],
        *,
        source: int = 0,
        drop_equal: bool = False,
        narrow: bool = False,
        to: Iterable[Copied] = (),
    ) -> int:
        """Writes all of it as one epoch and returns that epoch once it is visible to new readers.

        With ``drop_equal`` cells that equal what the head holds are not written again (see
        `mmsb.memory.equal`), so `written` and `blame` go on naming who wrote them first;
        CorruptData if what they are compared with does not hold. With ``narrow`` cells take as few
        bytes as hold them, and one for each delta where its cells are equal (see
        `mmsb.memory.shapes`): reading such a column copies it.

        ``to`` are device copies that are brought to it (see `bring`); if that fails, the commit is
        there all the same.

        O(bytes). Nothing of it is kept on NoSpace, Conflict or EnvironmentProblem (no memory is
        free). ReadOnly, WriterFailed, UsageError.
        """
        began, meter = perf_counter_ns(), self._index.meter
        if drop_equal is not False or narrow is not False:
            drop_equal, narrow = asked.flag(drop_equal, "drop_equal"), asked.flag(narrow, "narrow")
        copies = device.owned(self, to)
        with self._lock:
            out = self._check_writable()
            if not isinstance(changes, Changes):
                changes = self._from_deltas(changes)
            self._check_current(changes)
            _check_source(source)
            deltas, draft = self._write(out, changes, source, drop_equal, narrow)
            changes.told()
            out.settle()
            meter.committed(began, deltas, draft.size, draft.epoch)
            if copies:
                self.bring(copies, draft.epoch)
            return draft.epoch

    def transaction(self, *, source: int = 0) -> Transaction:
        """Reads and writes that become one epoch or nothing: ``with memory.transaction() as t:``.

        ReadOnly. What it promises, and when it conflicts: see `Transaction`.
        """
        self._check_writable()
        _check_source(source)
        return Transaction(self, self._lock, source)

    def commit_arrow(self, kind: Kind | str, data: Any, *, source: int = 0) -> int:
        """Commits the rows of an Arrow stream as one epoch: whatever has ``__arrow_c_stream__``.

        Columns go by name. Rows of an append-only kind are appended; others are written where their
        ``row`` and ``page`` (or ``subject``, made if there is none) say. A null is the fill value;
        columns that refer to symbols take texts. UsageError; as `commit`. O(bytes).
        """
        batches = arrow_in.read(data)
        with self._lock:
            changes = self.changes()
            arrow_in.put(changes, self._index.kind(kind), batches)
            return self.commit(changes, source=source)

    def sync(self) -> int:
        """Returns the head once all up to it is durable. ReadOnly, WriterFailed."""
        with self._lock:
            self._check_writable().sync()
            return self.head

    # Thin names.

    def create_page(self, kind: Kind | str, subject: str) -> int:
        """The page of a subject; a commit of its own if it is new. Raises as `commit` does."""
        meter = self._index.meter
        began = meter.begin_commit()
        with self._lock:
            self._check_open()
            index = self._index
            shown = index.kind(kind)
            plain = self._new_page.draft(shown, subject) if self._writer is not None else None
            if plain is None:
                changes = self.changes()
                page = changes.page(shown, subject)
                if page >= index.page_count:
                    self.commit(changes)
                return page
            out, new, (draft, *told) = self._check_writable(), self._new_page, plain
            self._append(out, draft, new.add, *told)
            out.settle()
            meter.committed(began, 2, draft.size, draft.epoch)
            return draft.first_page

    def update_page(
        self, page: int, rows: Any, columns: Mapping[str, Any], *, source: int = 0
    ) -> int:
        """One commit that writes the sorted ``rows`` (or `Rows`) of a page; returns its epoch.

        The quickest way to commit one delta. UsageError, UnknownName; else as `commit`.
        """
        meter = self._index.meter
        began = meter.begin_commit()
        with self._lock:
            out = self._check_writable()
            _check_source(source)
            plain = self._single.draft(page, rows, columns, source)
            if plain is not None:
                draft, shape, touched = plain
                self._append(out, draft, self._single.add, shape, touched)
                out.settle()
                meter.committed(began, 1, draft.size, draft.epoch)
                return draft.epoch
            changes = self.changes()
            kind = self.at().kind_of(page)
            if isinstance(rows, Rows):
                rows = range(rows.start, rows.stop)
            changes.patch_rows(kind, page, rows, columns)
            return self.commit(changes, source=source)

    def query_page(self, page: int, epoch: int | None = None) -> dict[str, Array]:
        """All columns of a page as of an epoch."""
        snapshot, number = self.at(epoch), whole(page, "page")
        return snapshot.columns(snapshot.kind_of(number), number)

    # Memories made from this one.

    def checkpoint(self, path: Pathlike, epoch: int | None = None) -> int:
        """Copies all epochs up to one (default: the head) to a new memory at ``path``.

        From a writer or a reader, while others write. The copy shares nothing with this memory, is
        durable when this returns, and appears whole or not at all. Returns the epoch. O(bytes).
        UsageError if something is at ``path``, UnknownName, NoSpace, ReadOnly.
        """
        target = asked.folder(path)
        self._behind.wait()  # while others commit
        with self._lock:
            held = self._parts(epoch)
        checkpoint.checkpoint(held, target, self._disk)
        return held.end.epoch

    @classmethod
    def restore(
        cls,
        checkpoint: Pathlike,
        path: Pathlike,
        *,
        kinds: Iterable[Kind] = schema.KINDS,
        durability: Durability = "group",
        disk: Disk = DISK,
    ) -> Memory:
        """Copies a checkpoint, which stays, to ``path`` and opens that for writing.

        Any memory will do for a checkpoint. Raises as `checkpoint` and `open` do.
        """
        known = asked.kinds(kinds)
        asked.durability(durability)
        with cls.open(checkpoint, kinds=known, disk=disk) as source:
            source.checkpoint(path)
        return cls.open(path, write=True, kinds=known, durability=durability, disk=disk)

    def fork(
        self, epoch: int | None, path: Pathlike, *, durability: Durability = "group"
    ) -> Memory:
        """A new memory at ``path``, open for writing, that goes on from an epoch of this one.

        It has all epochs up to that one and shares their segment files (hard links), so nothing is
        copied; where links are not possible, as on another file system, they are copied and a
        warning is logged. Neither sees what the other commits, and either may go away. Damage to
        a shared file is damage to both. An epoch that is not durable is synced first by the writer;
        a reader gets StateError. Raises as `checkpoint` does.
        """
        target = asked.folder(path)
        asked.durability(durability)
        self._behind.wait()
        with self._lock:
            held = self._parts(epoch)
            if self._writer is not None:
                if held.end.epoch > self.durable:
                    self._writer.sync()
            elif not self._log.holds_durably(held.end):
                raise StateError(
                    f"epoch {held.end.epoch} of {self.path} is not durable yet; sync it in the "
                    "process that writes, or fork an older epoch"
                )
        checkpoint.fork(held, target, self._disk)
        kinds = self.kinds.values()
        return type(self).open(target, True, kinds=kinds, durability=durability, disk=self._disk)

    # Inside.

    def _take(self, log: Log, index: Index) -> None:
        super()._take(log, index)
        self._single, self._new_page = Single(index), NewPage(index, self._symbols)

    def _parts(self, epoch: int | None) -> Parts:
        self._check_open()
        self._behind.wait()
        return checkpoint.parts(self._log, self._index, self._epoch(epoch))

    def _append(
        self, out: Writer, draft: Draft, add: Callable[..., None] | None = None, *told: Any
    ) -> list[Batch]:
        """Writes a frame and takes it in. ``add(draft, run, place, *told)`` does that for the
        segment's open run, without reading it again; else its batches are returned."""
        before = self._log.end
        segment, at = out.append(draft)
        run = self._index.open_run
        if add is not None and run is not None and run.segment is segment:
            add(draft, run, at, *told)
            return []
        batches = self._index.add(Frame(segment, at, at + draft.size))
        if segment.number != before[0]:  # the commit has sealed the one before
            self._sealed(*before)
        return batches

    def _check_current(self, changes: Changes) -> None:
        """Conflict, UsageError."""
        changes.check_owner(self._index)
        if changes.committed:
            raise UsageError("these changes are committed already; get new ones")
        reason = changes.conflict(self.head)
        if reason is not None:
            raise Conflict(
                f"epoch {self.head} of {self.path} came in since these changes began at epoch "
                f"{changes.base}, and {reason}; collect them again"
            )
        if changes.unknowing:
            why = "since these changes began; collect them again"
            raise Conflict(f"kinds were made known to {self.path} {why}")

    def _write(
        self, out: Writer, changes: Changes, source: int, drop_equal: bool, narrow: bool
    ) -> tuple[int, Draft]:
        """Writes the content of changes as the next epoch: how many deltas, and the frame."""
        try:
            made = None if drop_equal or narrow else changes.plain()
            plain = None if made is None else self._single.draft_many(made, source)
            if plain is None:
                content = changes.seal()
                if drop_equal:
                    content = equal.changed(content, self._index)
                epoch, first = self.head + 1, self._index.page_count
                draft = encode.draft(content, epoch, source, first, narrow=narrow)
        except MemoryError as error:
            raise no_room() from error
        if plain is None:
            return sum(batch.deltas for batch in self._append(out, draft)), draft
        draft, *told = plain
        self._append(out, draft, self._single.add_many, *told)
        return plain[2], draft

    def _from_deltas(self, deltas: Iterable[Delta]) -> Changes:
        changes = self.changes()
        for delta in asked.listed(deltas, "deltas"):
            if not isinstance(delta, Delta):
                raise UsageError(f"commit takes changes or deltas, not {quote(delta)}")
            changes.patch_rows(delta.kind, delta.page, delta.touched(), dict(delta.buffers))
        return changes


def _check_source(source: int) -> None:
    if type(source) is not int or not 0 <= source < 65536:
        raise UsageError(f"source {quote(source)} is no number in 0 … 65535; say who writes by one")
