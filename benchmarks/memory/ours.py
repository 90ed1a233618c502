"""Memories for the benchmarks: their kinds, and many small patches in one commit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmsb.base import schema
from mmsb.base.schema import Column, Kind
from mmsb.memory.memory import Memory

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


def new_pages(memory: Memory, kind: Kind, count: int, prefix: str = "s") -> Array:
    """Pages of ``count`` new subjects, in one commit."""
    changes = memory.changes()
    pages = changes.pages(kind, [f"{prefix}{at}" for at in range(count)])
    memory.commit(changes)
    return pages


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
    counts = np.full(len(pages), count, np.uint32)
    changes.patch_many(kind, pages, columns, starts, counts)
    return memory.commit(changes)
