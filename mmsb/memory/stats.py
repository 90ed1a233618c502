"""Counts and bytes of a memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmsb.memory.files import Manifest
from mmsb.memory.index import NEVER, Index


def stats(folder: Path, index: Index, manifest: Manifest) -> dict[str, Any]:
    """Plain numbers. O(deltas + pages), reads no buffer.

    ``bytes``: all files, preallocation included. ``bytes_by_kind``: cells and row numbers stored
    for the kind over all epochs, without tables and checksums. ``rows``: rows (facts) by kind, as
    of the head, over live pages. ``pages``: live pages, tables of append-only kinds included.
    """
    head = index.head
    rows = index.row_counts(head)
    live = index.deleted_flags()[: len(rows)] == NEVER
    kinds = index.page_kinds()[: len(rows)].astype(np.int64)
    by_kind = np.bincount(kinds[live], weights=rows[live], minlength=max(index.kinds) + 1)
    sizes = dict.fromkeys((kind.name for kind in index.kinds.values()), 0)
    for batch in index.batches_to(head):
        sizes[index.kind(batch.kind).name] += batch.size(index.kind(batch.kind))
    return {
        "bytes": sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
        "bytes_by_kind": sizes,
        "rows": {kind.name: int(by_kind[id]) for id, kind in index.kinds.items()},
        "pages": int(live.sum()),
        "deltas": index.delta_count,
        "epochs": head,
        "frames": head + 1,
        "segments": len(manifest.segments),
    }
