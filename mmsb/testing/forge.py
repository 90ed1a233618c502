"""Memories whose checksums are right and whose numbers are not: what a decoder must survive.

Edits are made to the bytes of segments, then every checksum that covers them is made right again,
so that they reach the bounds checks behind the checksums.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from mmsb.memory import keyframes, packed, sidecar
from mmsb.memory.frame import BLOCK, HEADER, Frame, padded
from mmsb.memory.log import Log

_PAYLOAD, _TABLE, _SUMS, _CHECK = 24, 32, 48, 56
_U64 = struct.Struct("<Q")


def frames(folder: Path) -> list[Frame]:
    """All frames up to the visible mark."""
    return list(Log(folder).scan(beyond=False))


def edit(raw: bytearray, at: int, value: int, width: int) -> None:
    """Stores the lowest ``width`` bytes of a number; nothing where it does not fit."""
    if 0 <= at <= len(raw) - width:
        raw[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")


def seal_frame(raw: bytearray, segment: int, offset: int) -> None:
    """Makes the checksums of the frame at ``offset`` right, as its header says it is laid out."""
    payload, table = (_U64.unpack_from(raw, offset + at)[0] for at in (_PAYLOAD, _TABLE))
    if table <= payload <= len(raw):
        sums = [(at, min(at + BLOCK, table)) for at in range(0, table, BLOCK)]
        sums += [(at, min(at + BLOCK, payload)) for at in range(table, payload, BLOCK)]
        begin = offset + HEADER.size
        base = begin + 8 * len(sums)
        for number, (low, high) in enumerate(sums):
            found = xxh3_64_intdigest(bytes(raw[base + low : base + high]))
            edit(raw, begin + 8 * number, found, 8)
        edit(raw, offset + _SUMS, xxh3_64_intdigest(bytes(raw[begin:base])), 8)
    place = segment << 40 | offset
    edit(raw, offset + _CHECK, xxh3_64_intdigest(bytes(raw[offset : offset + _CHECK]), place), 8)


def seal_index(raw: bytearray) -> None:
    """Makes the checksums of an index file right, as its header says it is laid out."""
    split = sidecar.split_of(raw)
    if split <= len(raw):
        edit(raw, sidecar.HEADER.size - 24, xxh3_64_intdigest(raw[sidecar.HEADER.size : split]), 8)
        edit(raw, sidecar.HEADER.size - 16, xxh3_64_intdigest(raw[split:]), 8)
    edit(raw, sidecar.HEADER.size - 8, xxh3_64_intdigest(raw[: sidecar.HEADER.size - 8]), 8)


def mark_of(raw: bytes | bytearray, offset: int) -> int:
    """By what an index file knows its segment: the checksum of its last frame's header."""
    return int(_U64.unpack_from(raw, offset + _CHECK)[0])


def seal_keyframes(raw: bytearray) -> None:
    """Makes the checksums of a file of keyframes right, but for those of cells."""
    _, _, pages, columns, *_ = keyframes.HEADER.unpack_from(raw)
    at = keyframes.HEADER.size
    for _, dtype, which in keyframes.DIRECTORY:
        at += padded(np.dtype(dtype).itemsize * (pages, columns)[which], 8)
    if at <= len(raw):
        found = xxh3_64_intdigest(raw[keyframes.HEADER.size : at])
        edit(raw, keyframes.HEADER.size - 16, found, 8)
    edit(raw, keyframes.HEADER.size - 8, xxh3_64_intdigest(raw[: keyframes.HEADER.size - 8]), 8)


def seal_packed(raw: bytearray) -> None:
    """Makes the checksums of a compressed segment right, as its header and list say it lies."""
    block, size = packed.HEADER.unpack_from(raw)[4:6]
    at, count = packed.HEADER.size, -(-size // max(block, 1))
    start = at + 16 * count
    if start <= len(raw):
        edges = [0, *(_U64.unpack_from(raw, at + 16 * own)[0] for own in range(count))]
        for own in range(count):
            part = raw[start + min(edges[own], len(raw)) : start + min(edges[own + 1], len(raw))]
            edit(raw, at + 16 * own + 8, xxh3_64_intdigest(bytes(part)), 8)
        edit(raw, at - 16, xxh3_64_intdigest(bytes(raw[at:start])), 8)
    edit(raw, at - 8, xxh3_64_intdigest(bytes(raw[: at - 8])), 8)


def seal_manifest(line: bytes) -> bytes:
    """A manifest that holds this line."""
    return line + b"\n" + xxh3_64_hexdigest(line).encode() + b"\n"


def seal_slot(numbers: tuple[int, ...]) -> bytes:
    """A header slot: format, sequence, and two marks of epoch, segment, offset."""
    head = struct.pack("<4sI7Q", b"mmsb", *(number & 2**64 - 1 for number in numbers))
    return head + _U64.pack(xxh3_64_intdigest(head))
