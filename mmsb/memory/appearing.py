"""Making a folder that appears under its name whole and durable, or not at all.

It is made beside, as ``.NAME.partial-PID-N``, held with ``flock`` by its maker, and renamed at the
end. What a maker that was killed left there is removed by the next one of the same name.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from mmsb.base.errors import EnvironmentProblem, MmsbError, NoSpace, UsageError
from mmsb.memory.disk import Disk
from mmsb.memory.files import denied

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


@contextmanager
def appearing(path: Path, disk: Disk) -> Iterator[Path]:
    """Yields the folder to fill; its files are to be synced, its names and its own are synced here.

    UsageError if something is at ``path`` (an empty folder is replaced) or its folder is missing;
    NoSpace, ReadOnly, EnvironmentProblem. On any error nothing is left.
    """
    path = Path(os.path.abspath(path))
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder; make it first, or choose another path")
    if os.path.lexists(path) and not _is_empty_folder(path):
        raise _taken(path)
    try:
        _remove_left(path, disk)
        folder, handle = _claim(path, disk)
    except OSError as error:
        raise _failed(path, error) from error
    try:
        yield folder
        disk.sync_folder(folder)
        disk.rename(folder, path)
        folder = path
        disk.sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            _remove(folder, disk)
        if isinstance(error, OSError) and not isinstance(error, MmsbError):
            raise _failed(path, error) from error
        raise
    finally:
        os.close(handle)


def _claim(path: Path, disk: Disk) -> tuple[Path, int]:
    """A new folder that nobody else will take for left behind, and the handle that says so."""
    for number in count():
        folder = path.with_name(f".{path.name}.partial-{os.getpid()}-{number}")
        try:
            disk.mkdir(folder)
        except FileExistsError:
            continue
        handle = _held(folder)
        if handle is not None:
            return folder, handle
    raise AssertionError("unreachable")


def _held(folder: Path) -> int | None:
    """A handle that holds the folder; None if another process does, or has removed it."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(folder)):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _remove_left(path: Path, disk: Disk) -> None:
    for folder in sorted(path.parent.glob(f".{_literal(path.name)}.partial-*")):
        handle = _held(folder)
        if handle is not None:
            try:
                with suppress(OSError):  # somebody else's: it takes no name away
                    _remove(folder, disk)
            finally:
                os.close(handle)


def _literal(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _remove(folder: Path, disk: Disk) -> None:
    for file in folder.iterdir():
        disk.unlink(file)
    os.rmdir(folder)


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def _taken(path: Path) -> UsageError:
    return UsageError(f"{path} is taken; choose a new path, or remove what is there")


def _failed(path: Path, error: OSError) -> MmsbError:
    if error.errno in _FULL:
        return NoSpace(f"no room for {path} ({error.strerror}); nothing of it was kept")
    if error.errno in _TAKEN:
        return _taken(path)
    return denied(path.parent, error) or EnvironmentProblem(
        f"{path} cannot be made ({error}); nothing of it was kept, choose another place"
    )
