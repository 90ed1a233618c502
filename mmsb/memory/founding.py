"""A new memory's folder: its first segment with its first frame, header, lock and manifest."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from mmsb.base.errors import UsageError
from mmsb.base.model import NONE_U32
from mmsb.base.schema import Kind
from mmsb.memory import encode
from mmsb.memory.changes import Sealed
from mmsb.memory.disk import DISK, Disk
from mmsb.memory.files import (
    HEADER_BYTES,
    Manifest,
    Mark,
    Marks,
    pack_marks,
    refused,
    write_manifest,
)
from mmsb.memory.frame import Draft
from mmsb.memory.placed import Placed
from mmsb.memory.segment import FIRST, file_name, header


def create(folder: Path, draft: Placed, segment_bytes: int, disk: Disk = DISK) -> None:
    """Makes the folder with its first frame, all of it durable; the manifest comes last.

    UsageError if something is there already, ReadOnly, NoSpace.
    """
    try:
        _make_folder(folder, disk)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; open the memory there or choose a new path")
        first = header(1) + bytes(draft.render(1, FIRST))
        mark = Mark(1, FIRST + draft.size, draft.epoch)
        slots = bytearray(HEADER_BYTES)
        for sequence in (0, 1):
            slot, at = pack_marks(Marks(sequence, mark, mark))
            slots[at : at + len(slot)] = slot
        for name, data in ((file_name(1), first), ("header", bytes(slots)), ("lock", b"")):
            disk.write_file(folder / name, data)
        write_manifest(folder, Manifest(segment_bytes, ((1, None),), base=draft.epoch), disk)
        disk.sync_folder(folder)
    except FileExistsError as error:
        raise UsageError(
            f"{folder} is being made by someone else; open it, or choose a new path"
        ) from error
    except OSError as error:
        # The segment was made here and not before, so what lies there is of this attempt.
        for left in ("manifest", "manifest.new", "header", "lock", file_name(1)):
            with suppress(OSError):
                disk.unlink(folder / left)
        raise refused(folder, folder, error) from error


def _make_folder(folder: Path, disk: Disk) -> None:
    """The folder and those above it, each with a durable name."""
    if not folder.is_dir():
        _make_folder(folder.parent, disk)
        with suppress(FileExistsError):
            disk.mkdir(folder)
        disk.sync_folder(folder.parent)


def birth(kinds: Iterable[Kind]) -> Draft:
    """Epoch 0: the schemas, and the one page of each append-only kind."""
    known = tuple(kinds)
    tables = [kind.id for kind in sorted(known, key=lambda kind: kind.id) if kind.append_only]
    subjects = np.full(len(tables), NONE_U32, "<u4")
    content = Sealed(known, np.array(tables, "<u2"), subjects, (), ())
    return encode.draft(content, 0, 0, 0)
