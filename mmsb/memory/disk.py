"""The one layer through which a memory writes: files, names, syncs, and the header's mapped page.

Everything that must survive a crash passes here, in order, so that a test can write it down or make
it fail: `Memory.create` and `Memory.open` take another `Disk` by keyword. Reading does not.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

PAGE_BYTES = 4096


class File:
    """A file open for writing. It closes with its last reference, so a sync may outlive its user.

    Every method raises OSError as the system says.
    """

    __slots__ = ("handle", "path")

    def __init__(self, path: Path, flags: int) -> None:
        self.path, self.handle = path, -1
        self.handle = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC, 0o666)

    @property
    def size(self) -> int:
        """Bytes it has now."""
        return os.fstat(self.handle).st_size

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """All of ``data`` at ``offset``; how much of it is there after an error is not known."""
        count = os.pwrite(self.handle, data, offset)
        if count != len(data):
            view = memoryview(data)
            while count != len(view):
                count += os.pwrite(self.handle, view[count:], offset + count)

    def allocate(self, size: int) -> None:
        """Makes it at least ``size`` bytes long, on disk blocks of its own."""
        os.posix_fallocate(self.handle, 0, size)

    def truncate(self, size: int) -> None:
        """Makes it ``size`` bytes long; bytes that come new are zero."""
        os.ftruncate(self.handle, size)

    def sync(self) -> None:
        """Returns when all that was written to it, and its size, survives the loss of power."""
        os.fdatasync(self.handle)

    def close(self) -> None:
        """Lets go; again does nothing."""
        handle, self.handle = self.handle, -1
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        with suppress(OSError):
            self.close()


class Page(File):
    """A file of one page, mapped writable: a store into it costs no system call.

    Its block is allocated first, so that a full disk is an error here and never a signal later.
    """

    __slots__ = ("_map",)

    def __init__(self, path: Path) -> None:
        super().__init__(path, 0)
        self.allocate(PAGE_BYTES)
        self._map = mmap.mmap(self.handle, PAGE_BYTES)

    def store(self, data: bytes, offset: int) -> None:
        """Seen by all processes at once; on the disk whenever the system likes, or at `sync`."""
        self._map[offset : offset + len(data)] = data

    def close(self) -> None:
        """Lets go; again does nothing."""
        with suppress(AttributeError):  # the file could not be opened
            self._map.close()
        super().close()


class Disk:
    """The operating system's. Names that change are durable after `sync_folder`, not before."""

    def open(self, path: Path) -> File:
        """A file that is there."""
        return File(path, 0)

    def make(self, path: Path, *, anew: bool = True) -> File:
        """A new, empty file: FileExistsError if the name is taken, or that file if not ``anew``."""
        return File(path, os.O_CREAT | (os.O_EXCL if anew else 0))

    def page(self, path: Path) -> Page:
        """A file that is there, as one page mapped writable."""
        return Page(path)

    def rename(self, old: Path, new: Path) -> None:
        """Gives a file another name, in the place of what has it."""
        os.replace(old, new)

    def link(self, old: Path, new: Path) -> None:
        """Gives a file a second name; FileExistsError."""
        os.link(old, new)

    def unlink(self, path: Path) -> None:
        """Takes a name away; FileNotFoundError."""
        os.unlink(path)

    def mkdir(self, path: Path) -> None:
        """One folder; FileExistsError."""
        os.mkdir(path)

    def sync_folder(self, path: Path) -> None:
        """Returns when the names in a folder survive the loss of power."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def put_derived(self, path: Path, data: bytes) -> None:
        """A whole file that can be made again: under its name at once, not synced; or nothing."""
        new = path.with_name(path.name + ".new")
        try:
            self.write_file(new, data, anew=False, sync=False)
            self.rename(new, path)
        except BaseException:
            with suppress(OSError):
                self.unlink(new)
            raise

    def write_file(
        self, path: Path, data: bytes | memoryview, *, anew: bool = True, sync: bool = True
    ) -> None:
        """A whole file, its content synced if asked, its name not."""
        file = self.make(path, anew=anew)
        try:
            file.truncate(0)
            file.write(data, 0)
            if sync:
                file.sync()
        finally:
            file.close()


DISK = Disk()
