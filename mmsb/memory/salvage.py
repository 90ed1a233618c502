"""Writes all that is whole of a damaged memory into a new one, and says what is lost.

Epochs keep their numbers, pages and symbols their ids. Up to the first loss the new memory is the
old one exactly. After it:

- A frame of which a bad block is the buffers' loses the columns of the deltas that lie there.
- A frame that cannot be read at all is an empty epoch. Whatever it wrote is missing from then on:
  pages read as if it had not written. Pages that it created are deleted, and what later epochs
  wrote to them is lost too. Symbols that it stored are question marks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmsb.base import schema
from mmsb.base.errors import CorruptData, UsageError
from mmsb.base.rect import Rows
from mmsb.base.schema import Kind
from mmsb.memory import asked
from mmsb.memory import kinds as schemas
from mmsb.memory.appearing import appearing
from mmsb.memory.batch import Batch, batches_of
from mmsb.memory.changes import Sealed
from mmsb.memory.check import lost_manifest, next_frame
from mmsb.memory.damage import Problem
from mmsb.memory.disk import DISK, Disk
from mmsb.memory.encode import draft as encoded
from mmsb.memory.files import Lock, Manifest, load_manifest, read_slots
from mmsb.memory.founding import birth, create
from mmsb.memory.frame import ALIGN, Broken, Draft, Frame, Moved
from mmsb.memory.index import Index
from mmsb.memory.log import Log
from mmsb.memory.mending import lost_rows, lost_symbols, mended
from mmsb.memory.placed import Placed
from mmsb.memory.segment import FIRST, Segment, file_name
from mmsb.memory.writer import Writer

#: Where a frame's header has its own checksum.
_CHECK = 56
_SEGMENT_BYTES = 4 * 1024 * 1024
#: What reading a frame that does not hold raises.
_UNREADABLE = (Broken, CorruptData, UsageError, ValueError, TypeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of a damaged memory. Up to epoch ``exact`` nothing is lost; ``head`` is the last.

    ``lost`` lists the losses in the order of the log.
    """

    exact: int
    head: int
    lost: tuple[Problem, ...]


def salvage(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    kinds: Iterable[Kind] = schema.KINDS,
    disk: Disk = DISK,
) -> Salvaged:
    """Writes what can be read of the memory at ``path`` to a new one at ``out``. O(bytes).

    The memory itself stays as it is; nobody should be writing to it. Its first frame says what all
    others mean: where it is hurt, but was that of a memory made with ``kinds``, it is made again;
    CorruptData if not. NotAMemory, NewerFormat; UsageError if something is at ``out``, NoSpace,
    ReadOnly.
    """
    folder, target, known = asked.folder(path), asked.folder(out), asked.kinds(kinds)
    try:
        manifest = load_manifest(folder)
    except Broken:
        manifest = lost_manifest(folder)
    slots = [slot for slot in read_slots(folder) if slot is not None]
    with appearing(target, disk) as new:
        rest = _Rest(folder, new, manifest.segment_bytes or _SEGMENT_BYTES, disk, manifest.base)
        try:
            _read(folder, manifest, rest, birth(known))
            rest.lacks(max((slot.visible.epoch for slot in slots), default=-1))
        finally:
            rest.close()
    return rest.told()


def _read(folder: Path, manifest: Manifest, rest: _Rest, first: Draft) -> None:
    """Every frame that can be found, in order."""
    for number, sealed in manifest.segments:
        try:
            segment = Segment(folder, number, sound=False)
        except (OSError, Broken) as error:
            rest.missing(file_name(number), 0, f"the segment cannot be read ({error})")
            continue
        end = len(segment.bytes) if sealed is None else min(sealed, len(segment.bytes))
        at = FIRST
        while at < end:
            try:
                frame = Frame(segment, at, end)
            except Broken as error:
                if not rest.base and (number, at) == (1, FIRST) and _is_known(segment, first):
                    rest.begin(first)
                    at += first.size
                    continue
                if segment.packed is not None or segment.bytes[at : at + ALIGN].any():
                    rest.missing(segment.name, at, f"the frame there: {error}")
                at = next_frame(segment, at + ALIGN, end)
            else:
                rest.take(frame)
                at += frame.size


def _is_known(segment: Segment, first: Draft) -> bool:
    """Was this the frame that begins a segment? Its checksums or its content prove it."""
    raw = bytes(first.render(segment.number, FIRST))
    with suppress(Broken):
        segment.ensure(FIRST, min(FIRST + len(raw), len(segment.bytes)))
    if segment.packed is not None:
        segment.packed.fill()
    held = segment.bytes[FIRST : FIRST + len(raw)].tobytes()
    return held[: first.at] == raw[: first.at] or held[first.at :] == raw[first.at :]


@dataclass(slots=True)
class _Rest:
    """The new memory as it grows."""

    folder: Path
    new: Path
    segment_bytes: int
    disk: Disk
    base: int
    writer: Writer | None = None
    lost: list[Problem] = field(default_factory=list)
    first_lost: int | None = None
    gone: set[int] = field(default_factory=set)  # pages whose creation is lost
    where: tuple[str, int, str] = ("manifest", 0, "")
    #: Takes in every frame before it is written: what it refuses is lost.
    index: Index = field(init=False)

    def __post_init__(self) -> None:
        self.index = Index(self.folder, (), self.base)

    def missing(self, file: str, at: int, what: str) -> None:
        """Something that is no frame; how many epochs it was, the next frame tells."""
        self.where = (file, at, what)

    def take(self, frame: Frame) -> None:
        """The next frame that can be read."""
        if self.index.head < self.base != frame.epoch:
            raise CorruptData(
                f"{self.folder}: its first frame is lost, which says what all others mean, so "
                "nothing can be salvaged; restore the memory from a copy"
            )
        try:
            if frame.epoch <= self.index.head:
                raise Broken(f"it says epoch {frame.epoch} once more")
            stored = self._stored(frame)
            batches = batches_of(frame, stored)
            if frame.epoch > self.index.head + 1:
                self._bridge(frame, batches)
            self._keep(frame, batches)
        except _UNREADABLE as error:
            self.missing(frame.segment.name, frame.offset, f"the frame there: {error}")

    def begin(self, draft: Draft) -> None:
        """The first frame, made again."""
        self._add(draft)

    def _stored(self, frame: Frame) -> dict[int, Kind]:
        if not frame.table.schema:
            return dict(self.index.stored)
        return schemas.replaced(self.index.stored, schemas.decode(frame.table.schema))

    def _keep(self, frame: Frame, batches: list[Batch]) -> None:
        pages = np.unique(frame.table.delta_page).tolist()
        if not frame.unsound(0, frame.payload) and self.gone.isdisjoint(pages):
            self.index.add(frame)
            self._append(Moved(frame))
            return
        left = mended(frame, batches, self._stored(frame), self.gone)
        self._add(encoded(left.content, frame.epoch, frame.source, frame.first_page))
        self._lose(
            frame.segment.name, frame.offset, "cells are lost", frame.epoch, pages=left.pages
        )

    def _bridge(self, frame: Frame, batches: list[Batch]) -> None:
        """Empty epochs for those that are lost, the last with the pages and rows that they made."""
        first, before = self.index.head + 1, self.index.page_count
        made = range(before, frame.first_page)
        content = self._made_meanwhile(made, batches)
        nothing = Sealed((), np.zeros(0, "<u2"), np.zeros(0, "<u4"), (), ())
        for epoch in range(first, frame.epoch):
            last = epoch == frame.epoch - 1
            self._add(encoded(content if last else nothing, epoch, 0, before))
        self.gone |= {*made}
        file, at, what = self.where
        epochs = range(first, frame.epoch)
        self._lose(file, at, what or "epochs are missing", *epochs, pages=tuple(made))
        self.where = (frame.segment.name, frame.offset + frame.size, "")

    def _made_meanwhile(self, made: range, batches: list[Batch]) -> Sealed:
        paged = [kind.id for kind in self.index.stored.values() if not kind.append_only]
        if len(made) and not paged:
            raise Broken("what pages there are before it is lost")
        grown: dict[int, Rows] = {}
        for batch in batches:
            kind = self.index.stored.get(batch.kind)
            if kind is not None and kind.append_only and batch.deltas:
                rows = Rows(
                    self.index.tables.rows(kind.id, self.index.head), int(batch.starts()[0])
                )
                if rows.stop > rows.start:
                    grown.setdefault(kind.id, rows)
        deltas = []
        for id, rows in sorted(grown.items()):
            kind, page = self.index.stored[id], self._table_page(id)
            if id == schema.SYMBOL.id:
                heap = grown.get(schema.HEAP.id, Rows(0, 0))
                deltas.append(lost_symbols(page, kind, rows, heap))
            else:
                deltas.append(lost_rows(page, kind, rows))
        kinds = np.full(len(made), paged[0] if paged else 0, "<u2")
        deleted = tuple((paged[0], page) for page in made)
        return Sealed((), kinds, np.zeros(len(made), "<u4"), tuple(deltas), deleted)

    def _table_page(self, kind: int) -> int:
        return int(np.flatnonzero(self.index.catalog.kinds.values == kind)[0])

    def _add(self, draft: Draft) -> None:
        """A frame that is made here."""
        held = np.frombuffer(bytes(FIRST) + draft.render(1, FIRST), np.uint8)
        self.index.add(Frame(Segment.of(held), FIRST, len(held)))
        self._append(draft)

    def _append(self, draft: Placed) -> None:
        if self.writer is not None:
            self.writer.append(draft)
            return
        create(self.new, draft, self.segment_bytes, self.disk)
        log = Log(self.new)
        for _ in log.scan(beyond=True):
            pass
        self.writer = Writer(log, Lock(self.new, self.disk), "group", self.disk)

    def _lose(
        self, file: str, at: int, what: str, *epochs: int, pages: tuple[int, ...] = ()
    ) -> None:
        self.lost.append(Problem(file, at, epochs, pages, what))
        if self.first_lost is None:
            self.first_lost = epochs[0]

    def lacks(self, visible: int) -> None:
        """Is there all that the header told of?"""
        head = self.index.head
        if head < self.base:
            raise CorruptData(
                f"{self.folder}: no frame of it can be read, so nothing can be salvaged; restore "
                "the memory from a copy"
            )
        if visible > head:
            file, at, what = self.where
            self._lose(file, at, what or "the log ends early", *range(head + 1, visible + 1))

    def close(self) -> None:
        """Makes durable what there is."""
        if self.writer is not None:
            self.writer.close()

    def told(self) -> Salvaged:
        """What became of it."""
        head = self.index.head
        exact = head if self.first_lost is None else self.first_lost - 1
        return Salvaged(exact, head, tuple(self.lost))
