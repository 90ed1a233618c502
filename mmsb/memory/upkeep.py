"""What is done about an open memory's files, not about what they say: `Memory` is this too."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from mmsb.base.errors import NoSpace, ReadOnly, UsageError
from mmsb.memory import asked, compact, framing, recall, retention
from mmsb.memory.behind import Behind
from mmsb.memory.cells import whole
from mmsb.memory.compact import Codec, Compacted
from mmsb.memory.disk import Disk
from mmsb.memory.files import COMPRESSED, refused
from mmsb.memory.index import Index
from mmsb.memory.log import Log
from mmsb.memory.packed import CODECS
from mmsb.memory.reading import Reading
from mmsb.memory.writer import Writer


class Upkeep(Reading):
    """Keyframes, compaction, and retention, which alone forgets."""

    def __init__(self, log: Log, index: Index, writer: Writer | None, disk: Disk) -> None:
        super().__init__(log, index, writer)
        if writer is not None:
            framing.drop_later(index, disk)
        self._disk = disk
        #: Index files of sealed segments are written by it.
        self._behind = Behind()

    # What is derived.

    def keyframe(self, pages: Iterable[int] | None = None, epoch: int | None = None) -> int:
        """Writes keyframes of pages as of an epoch (default: the head), which is synced first;
        returns how many. Without ``pages``: where reading was measured to pay for it (see
        `mmsb.memory.framing`), which is also done behind whenever a commit seals a segment.
        Reads give the same with and without them. O(cells).

        ReadOnly, UnknownName, NoSpace, WriterFailed, CorruptData.
        """
        with self._lock:
            out = self._check_writable()
            snapshot = self.at(epoch)
            if snapshot.epoch > self.durable:
                out.sync()
            index = self._index
            wanted = (
                framing.chosen(index, snapshot.epoch)
                if pages is None
                else asked.ids(pages).tolist()
            )
            try:
                return framing.make(index, snapshot, wanted, self._disk)
            except OSError as error:
                raise NoSpace(
                    f"keyframes of {self.path} cannot be written ({error.strerror}); all reads go "
                    "on without them, free some space and try again"
                ) from error

    def drop_keyframes(self) -> int:
        """Deletes all keyframes; returns how many there were. ReadOnly."""
        self._behind.wait()  # while others commit
        with self._lock:
            self._check_writable()
            self._behind.wait()
            return framing.drop(self._index, self._disk)

    # Forgetting.

    def retain(self, from_epoch: int | None = None, *, epochs: int | None = None) -> int:
        """Forgets what was before ``from_epoch``, or all but the last ``epochs`` ones, and returns
        the first epoch that is left. It cannot be undone, and nothing else forgets, but `compact`
        where `keep_epochs` was called.

        All from that epoch on reads as before, but `written` and `blame` say that epoch of older
        writes. A crash leaves the old memory or the new one. Snapshots keep what was read of them;
        a reader's `refresh` follows. Changes and transactions begun before conflict.
        O(bytes), the state as of ``from_epoch`` in memory. UsageError, UnknownName, NoSpace,
        WriterFailed.
        """
        if (from_epoch is None) == (epochs is None):
            raise UsageError("say from which epoch on to keep, or how many epochs: one of the two")
        self._behind.wait()
        with self._compacting, self._lock:
            out = self._check_writable()
            if epochs is not None:
                from_epoch = max(self.head + 1 - _epochs(epochs), self.first)
            now = self.at(from_epoch)
            if now.epoch > self.first:
                self._behind.wait()
                self._writer, index = retention.retain(out, self._index, now, self._disk)
                self._take(self._writer.log, index)
            return now.epoch

    def keep_epochs(self, epochs: int | None) -> None:
        """From now on `compact` forgets all but the last ``epochs`` ones; None: nothing, as at
        first. Written down in this memory, durable when this returns; forks, checkpoints and
        salvaged memories keep all. UsageError, ReadOnly, NoSpace, WriterFailed.
        """
        wanted = None if epochs is None else _epochs(epochs)
        with self._compacting, self._lock:
            out = self._check_writable()
            try:
                out.say(keep=wanted)
            except OSError as error:
                raise refused(self.path, self.path / "manifest", error) from error

    def compact(self, *, codec: Codec = "auto", seal: bool = False) -> Compacted:
        """Compresses the sealed segments that are not yet, while others read and write. O(bytes).

        With ``seal`` also the one that is written to, which is sealed. All reads stay the same.
        Pages that were read much get keyframes, as they do whenever a commit seals a segment.
        "auto" takes a codec where it pays (`mmsb.memory.compact.choose`). Who has a segment open
        keeps its plain file, and that space. Where `keep_epochs` was called, older ones are
        forgotten first, as `retain` does. ReadOnly, UsageError, CorruptData, NoSpace,
        WriterFailed; the memory is whole whatever happens. `close` waits for it.
        """
        asked.one_of(codec, ("auto", *CODECS), "codec")
        seal = asked.flag(seal, "seal")
        with self._compacting:
            with self._lock:
                out = self._check_writable()
                if self.keep is not None:
                    self.retain(epochs=self.keep)
                    out = self._check_writable()
                self._frame_behind()
                if seal:
                    out.seal()
                    recall.write(self._index, *self._log.end, self._disk)

            def named() -> None:
                out.say(format=COMPRESSED)

            done = compact.compact(self._log, codec, self._disk, named)
            self._behind.wait()
            return done

    def _sealed(self, number: int, end: int) -> None:
        """A commit has sealed a segment, which ends there: writes what is derived, some behind."""
        index, disk = self._index, self._disk
        recall.write_sealed(index, number, end, disk, self._behind)
        self._frame_behind()

    def _frame_behind(self) -> None:
        """Keyframes of the last durable epoch for what was read much, made behind."""
        index = self._index
        if len(index.meter.heat) and self.durable >= self.first:
            self._behind.put(partial(framing.behind, index, self.at(self.durable), self._disk))

    def _check_writable(self) -> Writer:
        self._check_open()
        if self._writer is None:
            raise ReadOnly(f"{self.path} is open for reading; open it with write=True")
        return self._writer


def _epochs(count: int) -> int:
    if not 0 < whole(count, "epochs") < 2**62:
        raise UsageError(f"{count} epochs cannot be kept; keep one or more")
    return whole(count, "epochs")
