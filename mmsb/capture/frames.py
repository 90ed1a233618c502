"""Bytes from a shim to tables of columns: the wire format, read side.

A frame is the magic ``MMSBWIRE``, u32 version, u32 number of tables, u64 payload bytes; then each
table: u16 kind id, u16 columns, u32 rows, and for each column u16 index, u16 width, u32 zero,
u64 bytes, the values, zeros up to a multiple of 8. Little-endian. ``julia/MMSBShim/src/wire.jl``
is the write side, ``mmsb/base/wire.py`` the tables.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsb.base.errors import CorruptData, NewerFormat
from mmsb.base.schema import DTYPES, Kind
from mmsb.base.wire import WIRE_BY_ID, WIRE_VERSION

MAGIC = b"MMSBWIRE"
_HEAD = struct.Struct("<8sIIQ")
_TABLE = struct.Struct("<HHI")
_COLUMN = struct.Struct("<HHIQ")

Columns = dict[str, NDArray[Any]]


@dataclass(slots=True)
class Frame:
    """One frame: kind name → column name → values, all of one table equally long."""

    tables: dict[str, Columns] = field(default_factory=dict)


@dataclass(slots=True)
class FrameReader:
    """Cuts a byte stream into frames; ``feed`` any number of bytes at a time."""

    _buffer: bytearray = field(default_factory=bytearray)
    _offset: int = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that ``data`` completes. Raises CorruptData and NewerFormat."""
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            magic, version, count, size = _HEAD.unpack_from(self._buffer)
            if magic != MAGIC:
                raise CorruptData(
                    f"the recorder's stream holds no frame at byte {self._offset}; something else "
                    "wrote to its pipe: record again"
                )
            if version != WIRE_VERSION:
                raise NewerFormat(
                    f"the recorder speaks version {version} of the wire format and this mmsb "
                    f"version {WIRE_VERSION}: install the two together"
                )
            end = _HEAD.size + size
            if len(self._buffer) < end:
                return
            yield self._decode(bytes(self._buffer[_HEAD.size : end]), count)
            del self._buffer[:end]
            self._offset += end

    @property
    def leftover(self) -> int:
        """Bytes of a frame that never ended: the process was killed while it wrote."""
        return len(self._buffer)

    def _decode(self, payload: bytes, count: int) -> Frame:
        frame = Frame()
        at = 0
        try:
            for _ in range(count):
                kind_id, columns, rows = _TABLE.unpack_from(payload, at)
                at += _TABLE.size
                kind = WIRE_BY_ID[kind_id]
                table, at = _decode_columns(payload, at, kind, columns, rows)
                frame.tables[kind.name] = table
        except (struct.error, KeyError, ValueError, IndexError) as problem:
            raise CorruptData(
                f"the frame at byte {self._offset} of the recorder's stream cannot be read "
                f"({problem}): record again"
            ) from problem
        return frame


def _decode_columns(
    payload: bytes, at: int, kind: Kind, columns: int, rows: int
) -> tuple[Columns, int]:
    table: Columns = {}
    for _ in range(columns):
        index, width, _zero, size = _COLUMN.unpack_from(payload, at)
        at += _COLUMN.size
        column = kind.columns[index]
        expected, dtype = DTYPES[column.dtype]
        if width != expected or size != rows * width or at + size > len(payload):
            raise ValueError(f"column {kind.name}.{column.name} has {size} bytes for {rows} rows")
        table[column.name] = np.frombuffer(payload, dtype, rows, at)
        at += size + (-size % 8)
    if len(table) != len(kind.columns):
        raise ValueError(f"table {kind.name} has {len(table)} columns")
    return table, at
