"""The wire format, against an encoder written from its description."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsb.base.errors import CorruptData, MmsbError, NewerFormat
from mmsb.base.schema import DTYPES
from mmsb.base.wire import WIRE_BY_NAME, WIRE_VERSION
from mmsb.capture.frames import FrameReader
from mmsb.capture.stream import Stream


def encode(tables: dict[str, dict[str, list[int]]], version: int = WIRE_VERSION) -> bytes:
    payload = b""
    for name, columns in tables.items():
        kind = WIRE_BY_NAME[name]
        rows = len(next(iter(columns.values())))
        payload += struct.pack("<HHI", kind.id, len(columns), rows)
        for index, column in enumerate(kind.columns):
            width, dtype = DTYPES[column.dtype]
            data = np.array(columns[column.name], dtype).tobytes()
            payload += struct.pack("<HHIQ", index, width, 0, len(data))
            payload += data + bytes(-len(data) % 8)
    return b"MMSBWIRE" + struct.pack("<IIQ", version, len(tables), len(payload)) + payload


def texts(*words: str) -> dict[str, dict[str, list[int]]]:
    data = [word.encode() for word in words]
    ends = np.cumsum([len(d) for d in data]).tolist()
    return {
        "heap": {"byte": list(b"".join(data))},
        "symbol": {
            "offset": [end - len(d) for end, d in zip(ends, data, strict=True)],
            "length": [len(d) for d in data],
        },
    }


SAMPLE = {**texts("julia", "1.12.5", "é"), "recording": {"key": [0], "value": [1]}}


@given(st.lists(st.integers(1, 60), max_size=40))
def test_frames_arrive_whole_however_the_bytes_are_cut(cuts: list[int]) -> None:
    data = encode(SAMPLE) + encode({"block": {"first": [0, 3], "last": [2, 9]}})
    reader, frames, at = FrameReader(), [], 0
    for cut in [*cuts, len(data)]:
        frames += list(reader.feed(data[at : at + cut]))
        at += cut
    assert [sorted(frame.tables) for frame in frames] == [
        ["heap", "recording", "symbol"],
        ["block"],
    ]
    assert frames[1].tables["block"]["last"].tolist() == [2, 9]
    assert reader.leftover == 0


def test_a_stream_resolves_its_symbols() -> None:
    stream = Stream()
    for frame in FrameReader().feed(encode(SAMPLE)):
        stream.add(frame)
    assert stream.symbols == ["julia", "1.12.5", "é"]
    assert stream.notes == {"julia": "1.12.5"}


def test_a_torn_frame_is_counted_not_read() -> None:
    reader = FrameReader()
    data = encode(SAMPLE)
    assert list(reader.feed(data[:-1])) == []
    assert reader.leftover == len(data) - 1


def test_another_version_is_named() -> None:
    with pytest.raises(NewerFormat, match="version 99"):
        list(FrameReader().feed(encode(SAMPLE, version=99)))


def test_bytes_that_are_no_frame_are_named() -> None:
    with pytest.raises(CorruptData, match="byte 0"):
        list(FrameReader().feed(b"ERROR: something else wrote here"))


def test_a_reference_to_nothing_is_named() -> None:
    (frame,) = FrameReader().feed(encode({"recording": {"key": [0], "value": [7]}}))
    with pytest.raises(CorruptData, match="never sent"):
        Stream().add(frame)


@given(st.integers(0, 200), st.integers(0, 255))
def test_any_changed_byte_ends_in_data_or_a_named_error(at: int, value: int) -> None:
    data = bytearray(encode(SAMPLE))
    data[at % len(data)] = value
    try:
        stream = Stream()
        for frame in FrameReader().feed(bytes(data)):
            stream.add(frame)
    except MmsbError:
        pass


@given(st.binary(max_size=300))
def test_any_payload_ends_in_data_or_a_named_error(payload: bytes) -> None:
    data = b"MMSBWIRE" + struct.pack("<IIQ", WIRE_VERSION, 2, len(payload)) + payload
    try:
        stream = Stream()
        for frame in FrameReader().feed(data):
            stream.add(frame)
    except MmsbError:
        pass
