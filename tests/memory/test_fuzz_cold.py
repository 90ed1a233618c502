"""Compressed segments and a log that retention wrote anew, with anything in them behind checksums
that are right: data as they were, or a named error, in a child process that must live.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from mmsb.base.errors import MmsbError
from mmsb.memory import packed
from mmsb.memory.files import HEADER_BYTES
from mmsb.memory.frame import BLOCK
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import dump, fill
from mmsb.testing.forge import edit, seal_manifest, seal_packed, seal_slot
from mmsb.testing.strategies import KINDS, SMALL, THING
from mmsb.testing.survival import anew, fuzz, read_everything, survives

EXAMPLES = pytest.mark.parametrize(
    "examples", [10, pytest.param(400, marks=pytest.mark.long)], ids=["some", "many"]
)
BASE, CODECS = 4, ("lz4", "zstd", "lz4")
edges = (3, 7, 8, 15, 16, 20, 31, 32, 40, 62, 63)
near = st.sampled_from([2**bits + off for bits in edges for off in (-1, 0, 1)])
numbers = st.integers(0, 40) | near | st.integers(0, 2**64 - 1)


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Epochs 4 on of a memory, in compressed segments of several blocks, and in an open one."""
    path = tmp_path_factory.mktemp("fuzz") / "a.mmsb"
    chance = np.random.default_rng(0)
    with Memory.create(path, KINDS, segment_bytes=4 * BLOCK) as memory:
        fill(memory, 6)
        memory.retain(BASE)
        for codec in CODECS:
            changes = memory.changes()
            page = changes.page(SMALL, "long")
            # A block of noise among others: it is stored as it is.
            values = np.arange(3 * BLOCK // 4, dtype="<u4") // 9
            values[: BLOCK // 4] = chance.integers(0, 2**32, BLOCK // 4)
            changes.patch(SMALL, page, {"value": values})
            memory.commit(changes)
            assert memory.compact(codec=codec, seal=True).segments  # type: ignore[arg-type]
        memory.update_page(page, [1, 5], {"value": [1, 2]})
    read_everything(path)
    return path


@pytest.fixture(scope="module")
def truth(cold: Path) -> dict[object, bytes]:
    with Memory.open(cold, kinds=KINDS) as memory:
        return dump(memory)


@pytest.fixture(scope="module")
def copy(cold: Path) -> Iterator[Path]:
    shm = Path("/dev/shm") if Path("/dev/shm").is_dir() else cold.parent
    folder = shm / f"mmsb-fuzz-cold-{os.getpid()}"
    yield folder / "a.mmsb"
    shutil.rmtree(folder, ignore_errors=True)


def never_wrong(truth: dict[object, bytes]) -> Callable[[Path], None]:
    """Reads everything, and what can be read at all is the truth."""

    def read(path: Path) -> None:
        read_everything(path)
        with suppress(MmsbError), Memory.open(path, kinds=KINDS) as memory:
            for key, cells in dump(memory).items():
                assert truth[key] == cells, key

    return read


places = st.tuples(
    st.sampled_from(["header", "list", "list", "blocks"]),
    st.integers(0, 2**12),
    numbers,
    st.sampled_from([1, 2, 4, 8, 8, 8]),
)


@EXAMPLES
def test_compressed_segments(
    cold: Path, copy: Path, truth: dict[object, bytes], examples: int
) -> None:
    whole = sorted(cold.glob("segment-*.z"))
    assert len(whole) >= len(CODECS)

    def body(which: int, changes: list[tuple[str, int, int, int]], seal: bool) -> None:
        anew(cold, copy)
        path = copy / whole[which % len(whole)].name
        raw = bytearray(path.read_bytes())
        size = packed.HEADER.unpack_from(raw)[5]
        start = packed.HEADER.size + 16 * -(-size // BLOCK)
        for where, choice, value, width in changes:
            low, high = {
                "header": (8, packed.HEADER.size - 16),
                "list": (packed.HEADER.size, start),
                "blocks": (start, len(raw)),
            }[where]
            edit(raw, low + choice * 4 % (high - low), value, width)
        if seal:
            seal_packed(raw)
        path.write_bytes(raw)
        survives(copy, never_wrong(truth))

    fuzz(
        examples,
        body,
        st.integers(0, 9),
        st.lists(places, min_size=1, max_size=3),
        st.sampled_from([True, True, True, False]),
    )


@EXAMPLES
def test_any_bytes_for_a_compressed_segment(
    cold: Path, copy: Path, truth: dict[object, bytes], examples: int
) -> None:
    whole = sorted(cold.glob("segment-*.z"))

    def body(which: int, data: bytes | int, other: int, seal: bool) -> None:
        anew(cold, copy)
        path = copy / whole[which % len(whole)].name
        held = bytearray(whole[other % len(whole)].read_bytes())
        raw = held[: data % len(held)] if isinstance(data, int) else bytearray(data)
        if seal and len(raw) >= packed.HEADER.size:
            seal_packed(raw)
        path.write_bytes(raw)
        survives(copy, never_wrong(truth))

    kinds = st.integers(0, 2**20) | st.binary(max_size=400)
    fuzz(examples, body, st.integers(0, 9), kinds, st.integers(0, 9), st.booleans())


@EXAMPLES
def test_what_retention_says(
    cold: Path, copy: Path, truth: dict[object, bytes], examples: int
) -> None:
    whole = json.loads((cold / "manifest").read_bytes().partition(b"\n")[0])
    assert (whole["base"], whole["format"], len(whole["end"])) == (BASE, 3, 3)

    def body(changes: dict[str, Any], slots: list[tuple[int, ...]]) -> None:
        anew(cold, copy)
        line = json.dumps(whole | changes).encode()
        (copy / "manifest").write_bytes(seal_manifest(line))
        page = bytearray((cold / "header").read_bytes())
        for number, slot in enumerate(slots):
            at = number * HEADER_BYTES // 2
            page[at : at + 72] = seal_slot((1, *slot))
        (copy / "header").write_bytes(page)
        survives(copy, never_wrong(truth))

    small = st.integers(-1, 12)
    place = st.integers(0, 2**19) | st.sampled_from([64, 65, 128]) | numbers
    fuzz(
        examples,
        body,
        st.fixed_dictionaries(
            {},
            optional={
                "base": small | numbers | st.none() | st.text(max_size=2),
                "end": st.lists(small | place, min_size=2, max_size=4) | st.none(),
                "format": st.integers(1, 4),
                "segments": st.permutations(whole["segments"]),
            },
        ),
        st.lists(st.tuples(small.map(abs), *[small.map(abs) | place] * 6), max_size=2),
    )


@EXAMPLES
def test_files_gone_or_swapped(
    cold: Path, copy: Path, truth: dict[object, bytes], examples: int
) -> None:
    names = sorted(file.name for file in cold.iterdir() if file.stat().st_size)

    def body(moves: list[tuple[int, int, int]]) -> None:
        anew(cold, copy)
        for how, one, two in moves:
            left, right = copy / names[one % len(names)], copy / names[two % len(names)]
            if not left.exists():
                continue
            if how == 0:
                left.unlink()
            elif how == 1:
                right.write_bytes(left.read_bytes())
            else:  # a compressed one under a plain one's name, or the other way
                name = left.name.removesuffix(".z") if left.suffix else left.name + ".z"
                left.rename(copy / name)
        survives(copy, never_wrong(truth))

    move = st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 30))
    fuzz(examples, body, st.lists(move, min_size=1, max_size=3))


def test_some_of_it_is_read(cold: Path, truth: dict[object, bytes]) -> None:
    survives(cold, never_wrong(truth))
    with Memory.open(cold, kinds=KINDS) as memory:
        assert (memory._index.base, memory.head) == (BASE, 6 + len(CODECS) + 1)
        assert memory.stats()["compressed"]["segments"] >= len(CODECS)
        assert len(memory.at().pages(THING))
