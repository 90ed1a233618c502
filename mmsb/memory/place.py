"""Where a new memory appears: under its name when it is whole, and never over anything else."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mmsb.base.errors import MemoryLocked, NoSpace, NotAMemory, ReadOnly, UsageError
from mmsb.memory.disk import DISK

_OWN_FILES = re.compile(
    r"manifest(\..*)?|header|lock|segment-\d+(\.z(\.new)?)?|(index|keyframes)-\d+(\.new)?"
)
_LONGEST_NAME = 200  # bytes; a file system's limit is 255 and we add to it


def check_target(path: Path, *, replace: bool) -> Path:
    """``path``, normal, if a new memory may be written there.

    Raises UsageError (something is there, a name too long, no such parent), NotAMemory (``replace``
    of what is no memory) and ReadOnly.
    """
    path = Path(os.path.normpath(path))
    whole = Path(os.path.abspath(path))
    if not whole.name or len(os.fsencode(whole.name)) > _LONGEST_NAME:
        raise UsageError(f"{path} cannot name a memory: give a name of up to 200 bytes with -o")
    try:
        there = os.path.lexists(whole)
        if there and not replace:
            raise UsageError(
                f"{path} exists already: give another name, or replace it (--replace; replace=True "
                "in Python)"
            )
        if there:
            _must_be_replaceable(whole)
        elif not whole.parent.is_dir():
            raise UsageError(f"there is no folder {whole.parent} to write {path.name} into")
    except OSError as problem:
        raise UsageError(f"{path} cannot be used: {problem.strerror}; name another") from problem
    if there and not os.access(whole, os.W_OK):
        raise ReadOnly(f"{whole} cannot be written to, so it is not replaced: give another name")
    if not os.access(whole.parent, os.W_OK):
        raise ReadOnly(f"the folder {whole.parent} cannot be written to: name another with -o")
    return path


@contextlib.contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """An empty folder of its own beside ``path``; what is left in it at the end is removed.

    Raises ReadOnly and NoSpace.
    """
    parent = Path(os.path.abspath(path)).parent
    try:
        folder = Path(tempfile.mkdtemp(prefix=".mmsb-", suffix=".partial", dir=parent))
    except OSError as problem:
        if problem.errno == errno.ENOSPC:
            raise NoSpace(f"the disk of {parent} is full: free some space") from problem
        raise ReadOnly(f"{parent} cannot be written to ({problem.strerror})") from problem
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, path: Path, *, replace: bool) -> Path:
    """Gives a finished memory its name: ``path``, or where something came there, the next free one.

    Returns the name it got. With ``replace`` an older memory makes room: in one step on Linux,
    elsewhere in two, between which the name is free. Raises MemoryLocked if the older one is being
    written to, NotAMemory if it no longer is one.
    """
    folder.chmod(0o755)
    if replace and os.path.lexists(path):
        _must_be_replaceable(Path(os.path.abspath(path)))
        _must_not_be_written_to(path)
        with unfinished(path) as aside:
            if _exchanged(folder, path):
                os.rename(folder, aside / "old")
            else:  # a kill in between leaves the old one in the hidden folder beside
                os.rename(path, aside / "old")
                os.rename(folder, path)
            DISK.sync_folder(path.parent)
        return path
    number = 1
    while True:
        target = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        try:
            if not os.path.lexists(target):
                os.rename(folder, target)
                DISK.sync_folder(target.parent)
                return target
        except OSError as problem:
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        number += 1


def _exchanged(one: Path, two: Path) -> bool:
    """Swaps two names in one step, where that can be done: Linux, most file systems."""
    try:
        call = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    done: int = call(here, os.fsencode(one), here, os.fsencode(two), exchange)
    return done == 0


def _must_be_replaceable(whole: Path) -> None:
    if whole.is_symlink() or not whole.is_dir() or not (whole / "manifest").is_file():
        raise NotAMemory(f"{whole} is no memory, so it is not replaced: give another name with -o")
    strange = sorted(n for n in os.listdir(whole) if not _OWN_FILES.fullmatch(n))
    if strange:
        raise NotAMemory(
            f"{whole} holds {strange[0]!r}, which is not a memory's, so it is not replaced: move "
            "that away, or give another name with -o"
        )
    here = Path(os.path.abspath(os.curdir))
    if whole == here or whole in here.parents:
        raise UsageError(f"{whole} is or holds the current folder: replace it from elsewhere")


def _must_not_be_written_to(path: Path) -> None:
    try:
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        raise MemoryLocked(
            f"{path} is being written to, so it is not replaced: close its writer first"
        ) from problem
    finally:
        os.close(descriptor)
