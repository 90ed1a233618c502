"""Any bytes end in data or in a named error: no crash, no hang, no allocation without a bound.

Checksums are made right after each mutation. Each example runs in a child process.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from mmsb.base.errors import CorruptData
from mmsb.memory import sidecar
from mmsb.memory.files import HEADER_BYTES
from mmsb.memory.frame import HEADER, table_places
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import fill
from mmsb.testing.forge import (
    edit,
    frames,
    mark_of,
    seal_frame,
    seal_index,
    seal_keyframes,
    seal_manifest,
    seal_slot,
)
from mmsb.testing.strategies import KINDS, SMALL, THING
from mmsb.testing.survival import anew, fuzz, read_everything, survives

EXAMPLES = pytest.mark.parametrize(
    "examples", [12, pytest.param(500, marks=pytest.mark.long)], ids=["some", "many"]
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed memory with some of everything; the kernels are loaded."""
    path = tmp_path_factory.mktemp("fuzz") / "a.mmsb"
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, 9)
        memory.update_page(memory.create_page(SMALL, "one"), [1, 5], {"value": [1, 2]})
        memory.keyframe(memory.at().pages(THING).tolist())
    read_everything(path)
    assert list(path.glob("index-*"))
    assert list(path.glob("keyframes-*"))
    return path


@pytest.fixture(scope="module")
def copy(base: Path) -> Iterator[Path]:
    shm = Path("/dev/shm") if Path("/dev/shm").is_dir() else base.parent
    folder = shm / f"mmsb-fuzz-{os.getpid()}"
    yield folder / "a.mmsb"
    shutil.rmtree(folder, ignore_errors=True)


#: Numbers near all edges, and small ones that mean something.
edges = (7, 8, 15, 16, 27, 31, 32, 40, 62, 63)
near = st.sampled_from([2**bits + off for bits in edges for off in (-1, 0, 1)])
numbers = st.integers(0, 40) | near | st.integers(0, 2**64 - 1)
FIELDS = [
    *("page_subject", "batch_deltas", "batch_rows", "batch_columns", "delta_page", "delta_start"),
    *("span_stop", "span_offset", "page_kind", "batch_kind", "batch_flags", "column_id"),
]


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, int, int, int]:
    """(where, a number that chooses the place, what is written, bytes of it)."""
    where = draw(st.sampled_from([*FIELDS, *FIELDS, "counts", "header", "buffers", "schema"]))
    value = draw(numbers)
    return where, draw(st.integers(0, 2**16)), value, draw(st.sampled_from([1, 2, 4, 8]))


@EXAMPLES
def test_frames_with_wrong_numbers(base: Path, copy: Path, examples: int) -> None:
    def body(which: int, changes: list[tuple[str, int, int, int]]) -> None:
        anew(base, copy)
        chosen = frames(base)
        frame = chosen[which % len(chosen)]
        path = copy / frame.segment.name
        raw, places = bytearray(path.read_bytes()), table_places(frame.table)
        for where, choice, value, width in changes:
            if where in places:
                array = getattr(frame.table, where)
                if len(array):
                    at = frame.at + places[where] + choice % len(array) * array.itemsize
                    edit(raw, at, value, array.itemsize)
                continue
            split = frame.at + frame.table_bytes
            low, high, step = {
                "counts": (frame.at, frame.at + 32, 4),
                "header": (frame.offset + 8, frame.offset + 48, 4),
                "buffers": (split, frame.at + frame.payload, 4),
                "schema": (split - len(frame.table.schema) - 8, split, 1),
            }[where]
            if low + step < high:
                edit(raw, low + choice * step % (high - low), value, width)
        seal_frame(raw, frame.segment.number, frame.offset)
        path.write_bytes(raw)
        survives(copy)

    fuzz(examples, body, st.integers(0, 20), st.lists(edits(), min_size=1, max_size=4))


@pytest.mark.parametrize("field", [24, 32], ids=["payload", "table"])
def test_lengths_that_no_frame_has(base: Path, copy: Path, field: int) -> None:
    """Behind checksums that hold, and in a frame that its index file lets opening pass over."""
    anew(base, copy)
    frame = frames(base)[1]
    path = copy / frame.segment.name
    raw = bytearray(path.read_bytes())
    edit(raw, frame.offset + field + 4, 1, 4)  # 4 GiB more
    seal_frame(raw, frame.segment.number, frame.offset)
    path.write_bytes(raw)
    survives(copy)


@pytest.mark.parametrize("compiled", [True, False])
def test_offsets_that_do_not_start_at_zero(base: Path, copy: Path, compiled: bool) -> None:
    """An index file lets opening pass over them too."""
    told = 0
    for frame in frames(base):
        if not len(frame.table.span_offset):
            continue
        anew(base, copy)
        path = copy / frame.segment.name
        raw = bytearray(path.read_bytes())
        edit(raw, frame.at + table_places(frame.table)["span_offset"], 1, 4)
        seal_frame(raw, frame.segment.number, frame.offset)
        path.write_bytes(raw)
        try:
            with Memory.open(copy, kinds=KINDS) as memory:
                memory._index.compiled = compiled
                for kind in KINDS:
                    memory.at().gather_columns(kind)
        except CorruptData:
            told += 1
        else:
            pytest.fail(f"the frame at {frame.offset} of {path.name} was believed")
    assert told > 3


@EXAMPLES
def test_any_bytes_where_a_frame_was(base: Path, copy: Path, examples: int) -> None:
    def body(data: bytes, which: int, at: int) -> None:
        anew(base, copy)
        chosen = frames(base)
        frame = chosen[which % len(chosen)]
        path = copy / frame.segment.name
        raw = bytearray(path.read_bytes())
        start = frame.offset + HEADER.size + at % (frame.size - HEADER.size)
        raw[start : start + len(data)] = data
        seal_frame(raw, frame.segment.number, frame.offset)
        path.write_bytes(raw)
        survives(copy)

    fuzz(
        examples,
        body,
        st.binary(min_size=1, max_size=400),
        st.integers(0, 20),
        st.integers(0, 2**12),
    )


json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
segments = st.lists(st.lists(numbers | st.none(), min_size=2, max_size=2), max_size=4)


@EXAMPLES
def test_manifests(base: Path, copy: Path, examples: int) -> None:
    def body(body: Any) -> None:
        anew(base, copy)
        if isinstance(body, bytes):
            line = body.replace(b"\n", b"")
        else:
            whole = json.loads((base / "manifest").read_bytes().partition(b"\n")[0])
            line = json.dumps(whole | body if isinstance(body, dict) else body).encode()
        (copy / "manifest").write_bytes(seal_manifest(line))
        survives(copy)

    fuzz(
        examples,
        body,
        st.fixed_dictionaries(
            {},
            optional={
                "format": json_values,
                "magic": json_values,
                "segment_bytes": json_values,
                "segments": json_values | segments,
            },
        )
        | json_values
        | st.integers(1, 10**5).map(lambda depth: b"[" * depth)
        | st.binary(max_size=60),
    )


slots = st.tuples(st.sampled_from([1, 1, 1, 0, 2]), *([numbers] * 7))


@EXAMPLES
def test_header_slots(base: Path, copy: Path, examples: int) -> None:
    def body(one: tuple[int, ...], two: tuple[int, ...] | None, which: int) -> None:
        anew(base, copy)
        page = bytearray((base / "header").read_bytes())
        chosen = frames(base)
        frame = chosen[which % len(chosen)]
        for at, numbers in ((0, one), (HEADER_BYTES // 2, two)):
            if numbers is not None:
                mark = (frame.epoch, frame.segment.number, frame.offset + frame.size)
                own = (*numbers[:2], *mark, *numbers[5:]) if which % 3 else numbers
                page[at : at + 72] = seal_slot(own)
        (copy / "header").write_bytes(page)
        survives(copy)

    fuzz(examples, body, slots, slots | st.none(), st.integers(0, 20))


@EXAMPLES
def test_files_cut_or_replaced(base: Path, copy: Path, examples: int) -> None:
    def body(files: dict[str, int | bytes]) -> None:
        anew(base, copy)
        for name, what in files.items():
            held = (copy / name).read_bytes()
            (copy / name).write_bytes(held[:what] if isinstance(what, int) else what)
        survives(copy)

    fuzz(
        examples,
        body,
        st.dictionaries(
            st.sampled_from(["segment-000001", "header", "manifest"]),
            st.integers(0, 2**14) | st.binary(max_size=300),
            min_size=1,
        ),
    )


def edit_some(raw: bytearray, changes: list[tuple[bool, int, int, int]], split: int) -> None:
    """Writes numbers before (true) or behind a place."""
    for front, choice, value, width in changes:
        low, high = (8, split) if front else (split, len(raw))
        if high - low >= 8:
            edit(raw, low + choice * 2 % (high - low), value, width)


places = st.tuples(
    st.booleans(), st.integers(0, 2**12), numbers, st.sampled_from([1, 2, 4, 8, 8, 8])
)


@EXAMPLES
def test_index_files(base: Path, copy: Path, examples: int) -> None:
    def body(which: int, changes: list[tuple[bool, int, int, int]]) -> None:
        anew(base, copy)
        names = sorted(copy.glob("index-*"))
        path = names[which % len(names)]
        raw = bytearray(path.read_bytes())
        edit_some(raw, changes, sidecar.split_of(raw))
        seal_index(raw)
        path.write_bytes(raw)
        survives(copy)

    fuzz(examples, body, st.integers(0, 3), st.lists(places, min_size=1, max_size=3))


@EXAMPLES
def test_frames_behind_index_files_that_hold(base: Path, copy: Path, examples: int) -> None:
    # Opening reads none of them; what reading meets was not checked before.
    def body(field: str, which: int, choice: int, value: int) -> None:
        anew(base, copy)
        chosen = [frame for frame in frames(base) if len(getattr(frame.table, field))]
        frame = chosen[which % len(chosen)]
        path = copy / frame.segment.name
        raw, array = bytearray(path.read_bytes()), getattr(frame.table, field)
        at = frame.at + table_places(frame.table)[field] + choice % len(array) * array.itemsize
        edit(raw, at, value, array.itemsize)
        seal_frame(raw, frame.segment.number, frame.offset)
        path.write_bytes(raw)
        index = copy / frame.segment.name.replace("segment", "index")
        if index.exists():  # it was made for this segment, it says
            head = bytearray(index.read_bytes())
            last = [own for own in frames(base) if own.segment.name == frame.segment.name][-1]
            edit(head, 16 + 8 * sidecar.COUNTS.index("mark"), mark_of(raw, last.offset), 8)
            seal_index(head)
            index.write_bytes(head)
        survives(copy)

    fuzz(examples, body, st.sampled_from(FIELDS), st.integers(0, 9), st.integers(0, 99), numbers)


@EXAMPLES
def test_keyframe_files(base: Path, copy: Path, examples: int) -> None:
    def body(which: int, changes: list[tuple[bool, int, int, int]]) -> None:
        anew(base, copy)
        names = sorted(copy.glob("keyframes-*"))
        path = names[which % len(names)]
        raw = bytearray(path.read_bytes())
        edit_some(raw, changes, len(raw) // 2)
        seal_keyframes(raw)
        path.write_bytes(raw)
        survives(copy)

    fuzz(examples, body, st.integers(0, 3), st.lists(places, min_size=1, max_size=3))


def test_the_children_see_what_kills_them(base: Path) -> None:
    with pytest.raises(AssertionError, match="-11"):
        survives(base, lambda path: os.kill(os.getpid(), signal.SIGSEGV))
