"""What is largest, oddest and most often: a hundredth of it, and all in `make test-long`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mmsb.base import errors
from mmsb.base.rect import Rows
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL, THING

ROWS = 2**27
PART = pytest.mark.parametrize(
    "part", [100, pytest.param(1, marks=pytest.mark.long)], ids=["hundredth", "all"]
)
#: Signalling and quiet NaNs with payloads, both zeros, the least, the largest, infinities.
BITS = [
    *(0x7FF0_0000_0000_0001, 0x7FF8_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0x7FF4_DEAD_BEEF_0001),
    *(0x8000_0000_0000_0000, 0, 1, 0x8000_0000_0000_0001, 0x7FEF_FFFF_FFFF_FFFF),
    *(0x7FF0_0000_0000_0000, 0xFFF0_0000_0000_0000),
]


@pytest.fixture(params=[True, False], ids=["compiled", "plain"])
def memory(request: pytest.FixtureRequest, path: Path) -> Iterator[Memory]:
    with Memory.create(path, KINDS, durability="none") as made:
        made._index.compiled = request.param
        yield made


def again(memory: Memory) -> Memory:
    """The same, opened by another reader."""
    other = Memory.open(memory.path, kinds=KINDS)
    other._index.compiled = memory._index.compiled
    return other


def test_floats_keep_their_bits(memory: Memory) -> None:
    values = np.array(BITS, "<u8").view("<f8")
    page = memory.create_page(THING, "f")
    memory.update_page(page, range(len(BITS)), {"real": values})
    rows = list(range(20, 20 + 2 * len(BITS), 2))
    changes = memory.changes()
    changes.patch_rows(THING, page, rows, {"real": values})
    changes.patch_many(THING, [page], {"real": values}, 100)
    memory.commit(changes)
    memory.sync()
    memory.keyframe([page])
    for side in (memory, again(memory)):
        snapshot = side.at()
        column = snapshot.column(THING, page, "real")
        assert column[: len(BITS)].view("<u8").tolist() == BITS
        assert column[rows].view("<u8").tolist() == BITS
        assert column[100:].view("<u8").tolist() == BITS
        assert snapshot.gather(THING, "real")[0].tobytes() == column.tobytes()
        found = snapshot.cells(THING, "real", [page] * len(rows), rows)
        assert found.view("<u8").tolist() == BITS
        cell = snapshot.cell(THING, page, "real", 3)
        assert np.float64(cell).view("<u8") == BITS[3]
    digests = set()
    for bits in BITS:
        memory.update_page(page, [0], {"real": np.array([bits], "<u8").view("<f8")})
        digests.add(memory.digest())
    assert len(digests) == len(BITS)


def test_the_last_rows_and_the_largest_numbers(memory: Memory) -> None:
    page = memory.create_page(SMALL, "far")
    last = [ROWS - 3, ROWS - 1]
    memory.update_page(page, last, {"value": [2**32 - 1, 2**32 - 2]})
    for side in (memory, again(memory)):
        snapshot = side.at()
        assert snapshot.row_count(SMALL, page) == ROWS
        end = snapshot.column(SMALL, page, "value", Rows(ROWS - 4, ROWS))
        assert end.tolist() == [0, 2**32 - 1, 0, 2**32 - 2]
        rows = [0, ROWS - 3, ROWS - 2, ROWS - 1, ROWS, 2**32 - 1]
        found = snapshot.cells(SMALL, "value", [page] * len(rows), rows)
        assert found.tolist() == [0, 2**32 - 1, 0, 2**32 - 2, 0, 0]
        beyond = snapshot.column(SMALL, page, "value", Rows(2**32 - 3, 2**32 - 1))
        assert beyond.tolist() == [0, 0]
        assert [w.rows.tolist() for w in side.diff(1, 2)] == [last]
    for rows in ([ROWS], [2**32 - 2], range(ROWS, ROWS + 1)):
        with pytest.raises(errors.UsageError, match="outside"):
            memory.update_page(page, rows, {"value": [1]})
    with pytest.raises(errors.UsageError):
        memory.update_page(page, [2**32 - 1], {"value": [1]})
    for beyond_all in (2**32 - 1, 2**32, 2**63, -1):
        with pytest.raises(errors.UsageError):
            memory.at().cells(SMALL, "value", [beyond_all], [0])
        with pytest.raises(errors.UsageError):
            memory.update_page(beyond_all, [0], {"value": [1]})


def test_what_is_none_of_these_is_refused(memory: Memory) -> None:
    page = memory.create_page(SMALL, "f")
    snapshot, head = memory.at(), memory.head
    wrong: list[Callable[[], object]] = [
        lambda: snapshot.cell(None, page, "value", 1),  # type: ignore[arg-type]
        lambda: snapshot.cells(SMALL, "value", page, 1),
        lambda: snapshot.gather(SMALL, "value", 3),  # type: ignore[arg-type]
        lambda: snapshot.symbols("ab"),  # type: ignore[arg-type]
        lambda: memory.commit(3),  # type: ignore[arg-type]
        lambda: memory.commit([3]),  # type: ignore[list-item]
        lambda: memory.changes().patch_many(SMALL, [], {"value": [1]}),
        lambda: memory.changes().patch_many(SMALL, [page] * 2, {"value": [1, 2, 3]}),
    ]
    for call in wrong:
        with pytest.raises(errors.UsageError):
            call()
    assert memory.head == head


def test_a_page_of_a_million_rows(memory: Memory) -> None:
    count = 10**6
    truth = np.arange(count, dtype="<u4")
    page = memory.create_page(SMALL, "long")
    memory.update_page(page, Rows(0, count), {"value": truth})
    draws = np.random.default_rng(0)
    for _ in range(10):
        rows = np.unique(draws.integers(0, count, 1000)).astype("<u4")
        truth[rows] = draws.integers(0, 2**32, len(rows))
        memory.update_page(page, rows, {"value": truth[rows]})
    for side in (memory, again(memory)):
        assert np.array_equal(side.at().column(SMALL, page, "value"), truth)
        assert np.array_equal(side.at().gather(SMALL, "value")[0], truth)
        first = side.at(2).column(SMALL, page, "value")
        assert np.array_equal(first, np.arange(count))
        assert not first.flags.writeable


@PART
def test_a_million_pages_of_five_rows(memory: Memory, part: int) -> None:
    count = 10**6 // part
    truth = np.arange(5 * count, dtype="<u4")
    changes = memory.changes()
    pages = changes.pages(SMALL, [f"p{n}" for n in range(count)])
    changes.patch_many(SMALL, pages, {"value": truth})
    memory.commit(changes)
    changes = memory.changes()
    changes.patch_many(SMALL, pages[::3], {"value": np.zeros(len(pages[::3]), "<u4")}, 2)
    memory.commit(changes)
    after = truth.copy()
    after.reshape(count, 5)[::3, 2] = 0
    for side in (memory, again(memory)):
        for epoch, wanted in ((1, truth), (2, after)):
            values, offsets = side.at(epoch).gather(SMALL, "value")
            assert np.array_equal(values, wanted)
            assert np.array_equal(offsets, np.arange(0, 5 * count + 1, 5))
        assert side.at().page(SMALL, f"p{count - 1}") == pages[-1]
        assert side.at().column(SMALL, int(pages[3]), "value").tolist() == [15, 16, 0, 18, 19]


@PART
def test_a_million_redefinitions_of_one_page(memory: Memory, part: int) -> None:
    count = 10**6 // part
    page = memory.create_page(SMALL, "f")
    for number in range(count):
        memory.update_page(page, range(number % 7, number % 7 + 2), {"value": [number, number]})
    truth = np.zeros(8, "<u4")
    for number in range(count - 20, count):
        truth[number % 7 : number % 7 + 2] = number
    for side in (memory, again(memory)):
        snapshot = side.at()
        assert snapshot.epoch == count + 1
        assert np.array_equal(snapshot.column(SMALL, page, "value"), truth)
        assert np.array_equal(snapshot.written(page), np.arange(2, count + 2))
        middle = count // 2
        assert side.at(middle + 2).cell(SMALL, page, "value", middle % 7) == middle
        assert len(side.diff(count - 3, count + 1)) == 1


@PART
def test_ten_million_symbols(memory: Memory, part: int) -> None:
    count, step = 10**7 // part, 10**6 // part
    for first in range(0, count, step):
        changes = memory.changes()
        ids = changes.symbols([f"symbol {n}" for n in range(first, first + step)])
        assert ids.tolist() == list(range(first, first + step))
        memory.commit(changes)
    asked = np.random.default_rng(0).integers(0, count, 1000)
    for side in (memory, again(memory)):
        assert side.at().symbols(asked) == [f"symbol {n}" for n in asked.tolist()]
        assert side.at(1).symbol_count == step
        with pytest.raises(errors.UnknownName):
            side.at(1).symbols([step])
    changes = memory.changes()
    assert changes.symbol(f"symbol {count // 2}") == count // 2
    assert changes.symbol("one more") == count
