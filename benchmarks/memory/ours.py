"""Memories for the benchmarks: their kinds, and many small patches in one commit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmsb.base import schema
from mmsb.base.rect import Rows
from mmsb.base.schema import Column, Kind
from mmsb.memory.changes import Changes
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot

Array = npt.NDArray[Any]

SERIES = Kind(200, "series", (Column(0, "a", "i64", 0), Column(1, "b", "f64", 0)))
SMALL = Kind(201, "small", (Column(0, "value", "u32", 0),))
QUAD = Kind(202, "quad", tuple(Column(at, name, "i64", 0) for at, name in enumerate("abcd")))
KINDS = (schema.HEAP, schema.SYMBOL, SERIES, SMALL, QUAD)


def create(folder: Path, durability: Any = "none", **settings: Any) -> Memory:
    """A memory that knows the kinds of the benchmarks, and no others but those of text."""
    return Memory.create(folder, KINDS, durability=durability, **settings)


def open_(folder: Path, write: bool = False, durability: Any = "none") -> Memory:
    """The same memory again."""
    return Memory.open(folder, write, kinds=KINDS, durability=durability)


CORES = len(os.sched_getaffinity(0))
# What this memory can do already; where it cannot, a goal reads "not built".
FAST = hasattr(Changes, "patch_many")  # millions of deltas take minutes without
CELL, CELLS = hasattr(Snapshot, "cell"), hasattr(Snapshot, "cells")
REPLAY, KEYFRAME = hasattr(Memory, "replay"), hasattr(Memory, "keyframe")


def new_pages(memory: Memory, kind: Kind, count: int, prefix: str = "s") -> Array:
    """Pages of ``count`` new subjects, in one commit."""
    changes = memory.changes()
    pages = make_pages(changes, kind, [f"{prefix}{at}" for at in range(count)])
    memory.commit(changes)
    return pages


def make_pages(changes: Changes, kind: Kind, subjects: list[str]) -> Array:
    """One call where there is one."""
    if hasattr(changes, "pages"):
        found: Array = changes.pages(kind, subjects)
        return found
    return np.array([changes.page(kind, subject) for subject in subjects], np.uint32)


def patch_many(
    changes: Changes,
    kind: Kind,
    pages: Array,
    columns: dict[str, Array],
    *,
    starts: Array,
    count: int,
) -> None:
    """A patch of ``count`` rows for each of ``pages``, from row ``starts[i]`` on."""
    if FAST:
        counts = np.full(len(pages), count, np.uint32)
        changes.patch_many(kind, pages, columns, starts=starts, counts=counts)  # type: ignore[attr-defined]
        return
    for at, (page, start) in enumerate(zip(pages.tolist(), starts.tolist(), strict=True)):
        part = {name: values[at * count : (at + 1) * count] for name, values in columns.items()}
        changes.patch(kind, page, part, start)


def commit_many(
    memory: Memory,
    kind: Kind,
    pages: Array,
    columns: dict[str, Array],
    *,
    starts: Array,
    count: int,
) -> int:
    """The same as one commit; its epoch."""
    changes = memory.changes()
    patch_many(changes, kind, pages, columns, starts=starts, count=count)
    return memory.commit(changes)


def cell(snapshot: Snapshot, kind: Kind, page: int, name: str, row: int) -> Any:
    """One cell, by the call for it where there is one."""
    if CELL:
        return snapshot.cell(kind, page, name, row)  # type: ignore[attr-defined]
    return snapshot.column(kind, page, name, Rows(row, row + 1))[0]
