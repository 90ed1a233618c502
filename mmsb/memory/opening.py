"""Opening the files of a memory: never hangs, and says whether file, rights or machine is amiss."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from pathlib import Path

import numpy as np

from mmsb.base.errors import EnvironmentProblem, MmsbError, StateError
from mmsb.memory.cells import Array
from mmsb.memory.frame import Broken

_DENIED = (errno.EACCES, errno.EPERM)
_EXHAUSTED = (errno.EMFILE, errno.ENFILE)


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """A handle of a regular file; Broken if something else is there.

    FileNotFoundError, NotADirectoryError; StateError if it may not be read, EnvironmentProblem.
    """
    try:
        handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise (unreadable(path, error) or Broken(f"it cannot be opened ({error})")) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Broken("it is not a regular file")
    return handle


def mapped(path: Path, least: int) -> Array:
    """All bytes of a file, mapped read-only; Broken if they are fewer than ``least``.

    Raises as `open_file`.
    """
    handle = open_file(path)
    try:
        size = os.fstat(handle).st_size
        if size < least:
            raise Broken("it is too short")
        held = mmap.mmap(handle, size, prot=mmap.PROT_READ)
    except OSError as error:
        raise Broken(f"it cannot be mapped ({error})") from error
    finally:
        os.close(handle)
    return np.frombuffer(held, np.uint8)


def read_start(path: Path, limit: int) -> bytes:
    """The first ``limit`` bytes of a file, or all that it has; as `open_file`."""
    handle = open_file(path)
    try:
        return os.pread(handle, limit, 0)
    except OSError as error:
        raise Broken(f"it cannot be read ({error})") from error
    finally:
        os.close(handle)


def unreadable(path: Path, error: OSError) -> MmsbError | None:
    """The error for what is no damage: missing rights, or a limit of the machine."""
    if error.errno in _DENIED:
        return StateError(
            f"{path} cannot be read ({error.strerror}); check its permissions and its folder's"
        )
    if error.errno in _EXHAUSTED:
        return EnvironmentProblem(
            f"{path} cannot be opened ({error.strerror}); a memory needs a file descriptor for "
            "each segment: close other files or raise the limit with `ulimit -n`"
        )
    if error.errno == errno.ENOMEM:
        return EnvironmentProblem(
            f"{path} cannot be mapped ({error.strerror}): a memory's segments are mapped whole, so "
            "raise the limit on address space (`ulimit -v`), or close other memories"
        )
    return None
