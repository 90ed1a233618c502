"""Which memory a command means, and opening it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mmsb.base.errors import NotAMemory, UsageError
from mmsb.memory.asked import folder as folder_of
from mmsb.query.reader import Reader

SUFFIX = ".mmsb"
VARIABLE = "MMSB_MEMORY"


def locate(
    given: str | os.PathLike[str] | None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """``given``, else MMSB_MEMORY, else the only ``*.mmsb`` in the folder (default: the current).

    UsageError where there are none or several; never a guess by time.
    """
    if given is not None:
        return folder_of(given)
    named = (os.environ if environment is None else environment).get(VARIABLE)
    if named:
        return Path(named)
    here = Path() if folder is None else folder
    found = sorted(
        path for path in here.glob(f"*{SUFFIX}") if path.is_dir() and path.name[0] != "."
    )
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            "there is no *.mmsb here; name a memory with -m, or make one with `mmsb record`"
        )
    names = ", ".join(path.name for path in found)
    raise UsageError(f"there are {len(found)} memories here ({names}); name one with -m")


def open_memory(
    path: str | os.PathLike[str] | None = None,
    *,
    write: bool = False,
    resident_bytes: int | None = None,
) -> Reader:
    """Opens a memory for reading, or for writing too; without a path as `locate` finds it.

    ``resident_bytes``: about so much of it stays in this process's memory; None: no limit.
    NotAMemory, NewerFormat, CorruptData; with ``write`` MemoryLocked, ReadOnly.
    """
    found = locate(path)
    if not found.is_dir():
        what = "is a file, not a folder" if found.exists() else "does not exist"
        raise NotAMemory(f"{found} {what}: a memory is a folder that `mmsb record` makes")
    opened = Reader.open(found, write=write, resident_bytes=resident_bytes)
    assert isinstance(opened, Reader)
    return opened
