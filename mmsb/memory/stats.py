"""Counts and bytes of a memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmsb.memory import replay
from mmsb.memory.files import Manifest
from mmsb.memory.index import Index


def stats(folder: Path, index: Index, manifest: Manifest) -> dict[str, Any]:
    """Plain numbers. O(deltas + pages), reads no buffer.

    ``bytes``: all files, preallocation included. ``bytes_by_kind``: cells and row numbers stored
    for the kind over all epochs, without tables and checksums. ``rows``: rows (facts) by kind, as
    of the head, over live pages. ``pages``: live pages, tables of append-only kinds included.
    """
    head, catalog = index.head, index.catalog
    kinds = catalog.kinds.values[: index.page_count]
    live = np.ones(len(kinds), bool)
    # (a page made and deleted meanwhile is not among them)
    live[[page for page in tuple(catalog.deleted) if page < len(kinds)]] = False
    rows, sizes = {}, {}
    for kind in index.kinds.values():
        counts = replay.row_counts(index, kind, head)
        rows[kind.name] = int(counts[live & (kinds == kind.id)].sum())
        sizes[kind.name] = sum(run.cell_bytes(kind.id, index.widths(kind.id)) for run in index.runs)
    return {
        "bytes": sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        "bytes_by_kind": sizes,
        "rows": rows,
        "pages": int(live.sum()),
        "deltas": index.delta_count,
        "epochs": head,
        "frames": head + 1,
        "segments": len(manifest.segments),
    }
