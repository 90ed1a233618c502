"""The numbers by which runs are described to the kernels: what each says, and where it stands."""

from __future__ import annotations

from struct import Struct

#: What a batch row says, i64 each. Places are bytes from the start of the segment; -1: none.
BATCH_FIELDS = (
    "epoch",
    "first",  # number of its first delta
    "deltas",
    "rows",  # cells in each buffer
    "meta",  # kind, flags << 16, columns << 32, source << 48
    "ids",  # place of its column ids, u16
    "pages",  # place of its deltas' pages, u32
    "starts",  # place of its deltas' first rows, u32
    "stops",  # place of the rows they stop before, u32; -1: UNIFORM
    "offsets",  # place of their first cells, u32; -1: UNIFORM
    "sparse",  # place of the row numbers, u32; -1: dense
    "cells",  # place of its first column's buffer
    "buffers",  # place where its frame's buffers begin
    "block",  # number, in the run, of its frame's first block of buffers
    "frame",  # place of its frame
    "end",  # place where its frame's buffers end
)
EPOCH, FIRST, DELTAS, ROWS, META, IDS, PAGES, STARTS = range(8)
STOPS, OFFSETS, SPARSE_AT, CELLS, BUFFERS, BLOCK, FRAME, END = range(8, 16)
ROW = Struct("<4qQ11q")

#: What an order says, i64 each; of a whole run only those that are no order's. Addresses in bytes.
ORDER_FIELDS = (
    "segment",  # address of its segment's bytes
    "table",  # address of the batch rows
    "batches",  # how many there are
    "sorted",  # address of the deltas' numbers, sorted by page, u32
    "named",  # how many distinct pages they have
    "begins",  # address of where each page's begin, u32, one more than pages
    "names",  # address of the pages, u32; 0: they have no gap
    "lowest",  # the first page
    "seen",  # address of a byte for each block of buffers: 1 if it is verified
    "checked",  # address of a byte for each batch: 1 if its table is verified
    "since",  # the epoch of its first delta
)
SEGMENT, TABLE, BATCHES, SORTED, NAMED, BEGINS, NAMES, LOWEST = range(8)
SEEN, CHECKED, SINCE = range(8, 11)
