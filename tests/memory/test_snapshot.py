"""Reads at an epoch: what comes back without a copy, what is filled, what is refused."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from mmsb.base import errors
from mmsb.base.model import NONE_U32
from mmsb.base.rect import Rows
from mmsb.memory import segment
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import fill, same
from mmsb.testing.strategies import KINDS, SMALL, THING


def base_of(array: np.ndarray) -> object:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base


def test_one_covering_patch_is_a_view_of_the_map(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        changes = memory.changes()
        page = changes.page(SMALL, "f")
        changes.patch(SMALL, page, {"value": np.arange(100)})
        memory.commit(changes)
        memory.update_page(page, Rows(50, 60), {"value": [0] * 10})
        snapshot = memory.at()
        mapped = base_of(memory._index.runs[0].segment.bytes)
        for rows in (Rows(0, 50), Rows(10, 20), Rows(50, 60), Rows(60, 100)):
            view = snapshot.column(SMALL, page, "value", rows)
            assert base_of(view) is mapped, rows
            assert not view.flags.writeable
        assert base_of(memory.at(1).column(SMALL, page, "value")) is mapped
        assert base_of(snapshot.column(SMALL, page, "value")) is not mapped
        with pytest.raises(ValueError, match="read-only"):
            snapshot.column(SMALL, page, "value")[0] = 1


def test_what_was_never_written_is_fill(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        changes = memory.changes()
        page, empty = changes.page(THING, "f"), changes.page(THING, "empty")
        changes.patch_rows(THING, page, [2, 5], {"byte": [1, 2]})
        memory.commit(changes)
        snapshot = memory.at()
        assert snapshot.row_count(THING, page) == 6
        assert snapshot.column(THING, page, "byte").tolist() == [0, 0, 1, 0, 0, 2]
        assert snapshot.column(THING, page, "name").tolist() == [NONE_U32] * 6
        assert snapshot.column(THING, page, "big").tolist() == [2**64 - 1] * 6
        assert snapshot.column(THING, page, "line", Rows(9, 11)).tolist() == [-(2**31)] * 2
        assert snapshot.row_count(THING, empty) == 0
        assert snapshot.columns(THING, empty, ["real"])["real"].dtype == np.float64
        assert snapshot.blame(THING, page, ["byte"]).tolist() == [0, 0, 1, 0, 0, 1]
        assert snapshot.blame(THING, page, "name").tolist() == [0] * 6


def test_a_deleted_page_is_gone_and_its_past_is_not(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(SMALL, "f")
        memory.update_page(page, [0], {"value": [7]})
        changes = memory.changes()
        changes.delete(page)
        memory.commit(changes)
        again = memory.create_page(SMALL, "f")
        assert again != page
        assert memory.at().pages(SMALL).tolist() == [again]
        assert memory.at(2).pages(SMALL).tolist() == [page]
        assert [memory.at(epoch).page(SMALL, "f") for epoch in range(5)] == [
            None,
            page,
            page,
            None,
            again,
        ]
        assert memory.at().written(page).tolist() == [2, 3]
        with pytest.raises(errors.UnknownName, match="deleted in epoch 3; read it at 2"):
            memory.at().column(SMALL, page, "value")
        assert memory.at(2).column(SMALL, page, "value").tolist() == [7]
        with pytest.raises(errors.UsageError, match="is deleted"):
            memory.update_page(page, [0], {"value": [8]})


@pytest.mark.parametrize("compiled", [False, True])
def test_gather_goes_into_an_array_that_is_there(filled: Path, compiled: bool) -> None:
    with Memory.open(filled, kinds=KINDS) as memory:
        memory._index.compiled = compiled
        snapshot = memory.at()
        truth, offsets = snapshot.gather(THING, "byte")
        held = np.full(len(truth) + 3, 77, truth.dtype)
        values, again = snapshot.gather(THING, "byte", out=held)
        assert np.shares_memory(values, held)
        assert (values.tolist(), again.tolist()) == (truth.tolist(), offsets.tolist())
        assert held[len(truth) :].tolist() == [77] * 3
        page = int(snapshot.pages(THING)[0])
        frozen = np.zeros(len(truth), truth.dtype)
        frozen.setflags(write=False)
        for wrong in (
            held[: len(truth) - 1],
            held.astype("i8"),
            held[::2],
            frozen,
            [0],
            held[None],
        ):
            before = np.array(wrong)
            with pytest.raises(errors.UsageError, match="out"):
                snapshot.gather(THING, "byte", out=wrong)  # type: ignore[arg-type]
            assert np.array_equal(np.array(wrong), before)
        with pytest.raises(errors.UsageError, match="once"):
            snapshot.gather(THING, "byte", [page, page], out=held)


def test_gather_puts_pages_end_to_end(filled: Path) -> None:
    with Memory.open(filled, kinds=KINDS) as memory:
        snapshot = memory.at(1)
        values, offsets = snapshot.gather(THING, "byte")
        assert offsets.tolist() == [0, 19, 38, 57]
        assert values.tolist()[:6] == [0, 1, 1, 1, 1, 0]
        pages = snapshot.pages(THING)[1:2]
        values, offsets = snapshot.gather(THING, "name", pages)
        assert snapshot.symbol(int(values[1])) == "name of 1 at 1"
        assert offsets.tolist() == [0, 19]
        values, offsets = memory.at(0).gather(THING, "name")
        assert (len(values), values.dtype, offsets.tolist()) == (0, np.dtype("<u4"), [0])


def test_tables_of_append_only_kinds(filled: Path) -> None:
    with Memory.open(filled, kinds=KINDS) as memory:
        table = memory.at(2).table("type")
        assert memory.at(2).symbols(table["name"]) == ["Int64", "Vector{1}", "Int64", "Vector{2}"]
        assert table["lattice"].tolist() == [0, 1, 0, 1]
        assert table["widened"].tolist() == [NONE_U32] * 4
        assert len(memory.at(0).table("type")["name"]) == 0
        with pytest.raises(errors.UsageError, match="gather"):
            memory.at().table(SMALL)


def test_names_that_do_not_exist(filled: Path) -> None:
    with Memory.open(filled, kinds=KINDS) as memory:
        snapshot = memory.at(1)
        page = int(snapshot.pages(THING)[0])
        assert snapshot.page(THING, "nothing") is None
        for ask in (
            lambda: snapshot.pages("nothing"),
            lambda: snapshot.column(THING, page, "nothing"),
            lambda: snapshot.column(THING, 99, "byte"),
            lambda: snapshot.subject(99),
            lambda: snapshot.symbols([0, 10_000]),
            lambda: memory.at(0).symbol(0),
            lambda: memory.at(0).column(THING, page, "byte"),
        ):
            with pytest.raises(errors.UnknownName):
                ask()
        with pytest.raises(errors.UsageError, match="of kind 'thing'"):
            snapshot.column(SMALL, page, "value")


def test_any_text_can_be_a_symbol(path: Path) -> None:
    texts = [
        "",
        "f(::Int64)",
        "ünïcödé",
        "𝔘",
        "a\0b",
        b"\xff\xfe".decode("utf-8", "surrogateescape"),
    ]
    with Memory.create(path, KINDS) as memory:
        changes = memory.changes()
        ids = [changes.symbol(text) for text in texts]
        assert ids == list(range(len(texts)))
        # The same bytes, said in another way, are the same symbol.
        assert changes.symbol("\udcc3\udcbc") == changes.symbol("ü")
        with pytest.raises(errors.UsageError, match="UTF-8"):
            changes.symbol("\ud800")
        memory.commit(changes)
    with Memory.open(path, write=True, kinds=KINDS) as memory:
        assert memory.at().symbols(ids) == texts
        assert [memory.changes().symbol(text) for text in texts] == ids


def test_threads_read_while_one_writes(path: Path) -> None:
    wrong: list[object] = []
    with Memory.create(path, KINDS, segment_bytes=4096) as memory:
        fill(memory, 2)
        expected = memory.digest(2)
        stop = threading.Event()

        def read() -> None:
            try:
                while not stop.is_set():
                    if memory.digest(2) != expected:
                        wrong.append("digest")
                    head = memory.at()
                    names = head.gather(THING, "name")[0]
                    head.symbols(names[names != NONE_U32])
                    assert head.page(THING, "Main.f1(::Int64)") is not None
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(60):
            changes = memory.changes()
            page = changes.page(THING, "Main.f1(::Int64)")
            changes.patch(THING, page, {"name": [changes.symbol(f"s{number}")]})
            memory.commit(changes)
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("number", "size"), [(1, 4096), (2, 8192), (5, 65536), (40, segment.LARGEST)]
)
def test_segments_grow_by_doubling(number: int, size: int) -> None:
    assert segment.capacity(number, 4096) == size
    assert segment.capacity(number, 4096, 10**9) >= 10**9


def test_a_device_that_is_not_there_is_named(filled: Path) -> None:
    with Memory.open(filled, kinds=KINDS) as memory:
        snapshot = memory.at()
        expected = snapshot.gather(THING, "big")
        for device in ("cpu", "auto"):
            found = snapshot.gather(THING, "big", device=device)  # type: ignore[arg-type]
            assert all(map(same, found, expected))
        with pytest.raises(errors.MissingExtra, match="device='cpu'"):
            snapshot.gather(THING, "big", device="gpu")
        with pytest.raises(errors.UsageError, match="no device 'tpu'"):
            snapshot.gather(THING, "big", device="tpu")  # type: ignore[arg-type]
