"""Disks to put under a memory: one that is watched, and one that fails when it is told to."""

from __future__ import annotations

import os
from pathlib import Path

from mmsb.memory.disk import PAGE_BYTES, Disk, File, Page

#: What `Watched.saw` is told of; the others only take bytes or names that are there already.
CALLS = (
    "make",
    "write",
    "allocate",
    "truncate",
    "sync",
    "store",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "sync_folder",
)


class Watched(Disk):
    """Says what is about to be done. ``saw`` may write it down, raise, or both."""

    def saw(self, call: str, path: Path, *details: object) -> None:
        """Before each call that changes or syncs anything; ``details`` are its other arguments."""

    def open(self, path: Path) -> File:
        return _File(self, path, 0)

    def make(self, path: Path, *, anew: bool = True) -> File:
        self.saw("make", path)
        return _File(self, path, os.O_CREAT | (os.O_EXCL if anew else 0))

    def page(self, path: Path) -> Page:
        self.saw("allocate", path, PAGE_BYTES)
        return _Page(self, path)

    def rename(self, old: Path, new: Path) -> None:
        self.saw("rename", old, new)
        super().rename(old, new)

    def link(self, old: Path, new: Path) -> None:
        self.saw("link", old, new)
        super().link(old, new)

    def unlink(self, path: Path) -> None:
        self.saw("unlink", path)
        super().unlink(path)

    def mkdir(self, path: Path) -> None:
        self.saw("mkdir", path)
        super().mkdir(path)

    def sync_folder(self, path: Path) -> None:
        self.saw("sync_folder", path)
        super().sync_folder(path)


class _File(File):
    def __init__(self, disk: Watched, path: Path, flags: int) -> None:
        self.disk = disk
        super().__init__(path, flags)

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        try:
            self.disk.saw("write", self.path, bytes(data), offset)
        except OSError:
            os.pwrite(self.handle, data[: len(data) // 2], offset)  # as a full disk does
            raise
        super().write(data, offset)

    def allocate(self, size: int) -> None:
        self.disk.saw("allocate", self.path, size)
        super().allocate(size)

    def truncate(self, size: int) -> None:
        self.disk.saw("truncate", self.path, size)
        super().truncate(size)

    def sync(self) -> None:
        self.disk.saw("sync", self.path)
        super().sync()


class _Page(Page):
    def __init__(self, disk: Watched, path: Path) -> None:
        self.disk = disk
        super().__init__(path)

    def store(self, data: bytes, offset: int) -> None:
        self.disk.saw("store", self.path, data, offset)
        super().store(data, offset)

    def sync(self) -> None:
        self.disk.saw("sync", self.path)
        super().sync()


class Failing(Watched):
    """Calls named in ``calls`` raise OSError with ``number``; none until they are named."""

    def __init__(self, *calls: str, number: int = 0) -> None:
        self.calls, self.number = set(calls), number

    def fail(self, number: int, *calls: str) -> None:
        """From now on."""
        self.calls, self.number = set(calls), number

    def saw(self, call: str, path: Path, *details: object) -> None:
        if call in self.calls:
            raise OSError(self.number, os.strerror(self.number), str(path))


class FailsOnce(Watched):
    """The n-th call (from 0) raises; ``onward``: all from there on do. ``seen`` counts calls."""

    def __init__(self, at: int, number: int, *, onward: bool = False) -> None:
        self.at, self.number, self.onward = at, number, onward
        self.seen = 0

    @property
    def failed(self) -> bool:
        """Has the call come?"""
        return self.seen > self.at

    def saw(self, call: str, path: Path, *details: object) -> None:
        count, self.seen = self.seen, self.seen + 1
        if call != "store" and (count == self.at or (self.onward and count > self.at)):
            raise OSError(self.number, os.strerror(self.number), str(path))
