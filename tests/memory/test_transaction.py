"""Transactions: all or nothing, isolated, and never in each other's way without need."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mmsb.base import errors, schema
from mmsb.base.model import Tag
from mmsb.base.rect import Rows
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL, THING


@pytest.fixture
def memory(path: Path) -> Iterator[Memory]:
    known = (*KINDS, schema.OPERAND, schema.INVALIDATION_TREE, schema.INFERENCE)
    with Memory.create(path, known) as made:
        yield made


def put(memory: Memory, subject: str, *values: int) -> int:
    changes = memory.changes()
    page = changes.page(SMALL, subject)
    changes.patch(SMALL, page, {"value": values})
    memory.commit(changes)
    return page


def cells(memory: Memory, page: int) -> list[int]:
    found: list[int] = memory.at().column(SMALL, page, "value").tolist()
    return found


def test_all_of_it_is_one_epoch(memory: Memory) -> None:
    with memory.transaction(source=7) as t:
        f, g = t.page(SMALL, "f"), t.page(SMALL, "g")
        t.patch(SMALL, f, {"value": [1, 2]})
        t.patch_rows(SMALL, g, [0, 5], {"value": [3, 4]})
        row = t.append("type", {"name": [t.symbol("Int64")]})
        assert memory.head == 0
    assert t.epoch == memory.head == 1
    assert (cells(memory, f), cells(memory, g)) == ([1, 2], [3, 0, 0, 0, 0, 4])
    assert memory.at().symbol(int(memory.at().table("type")["name"][row])) == "Int64"
    assert memory.at(0).pages(SMALL).tolist() == []
    assert [t.final("page", f), t.final("type", row)] == [f, row]


def test_nothing_is_written_on_an_exception(memory: Memory, path: Path) -> None:
    put(memory, "f", 1)
    memory.sync()
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    t = memory.transaction()

    def fails_inside() -> None:
        with t:
            t.patch(SMALL, t.page(SMALL, "f"), {"value": [9]})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_inside()
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert (memory.head, t.epoch) == (1, None)
    for late in (lambda: t.symbol("x"), t.commit, lambda: t.final("page", 0)):
        with pytest.raises(errors.UsageError, match="transaction"):
            late()


def test_a_commit_that_found_no_space_can_be_done_again(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    t = memory.transaction()
    page = t.page(SMALL, "f")
    t.patch(SMALL, page, {"value": [1]})

    def full(*_: object, **__: object) -> int:
        raise errors.NoSpace("no room")

    with monkeypatch.context() as patched:
        patched.setattr(memory, "commit", full)
        with pytest.raises(errors.NoSpace):
            t.commit()
    put(memory, "g", 5)
    assert t.commit() == 2
    assert cells(memory, t.final("page", page)) == [1]


def test_reads_inside_see_own_writes_and_no_others(memory: Memory) -> None:
    f = put(memory, "f", 1, 2, 3)
    with memory.transaction() as t:
        t.patch(SMALL, f, {"value": [8, 9]}, start=2)
        g = put(memory, "g", 7)
        now = t.at()
        assert now.column(SMALL, f, "value").tolist() == [1, 2, 8, 9]
        assert now.column(SMALL, f, "value", Rows(1, 6)).tolist() == [2, 8, 9, 0, 0]
        assert now.row_count(SMALL, f) == 4
        assert not now.column(SMALL, f, "value").flags.writeable
        assert now.pages(SMALL).tolist() == [f]
        assert now.page(SMALL, "g") is None
        mine = t.page(SMALL, "mine")
        assert now.page(SMALL, "mine") == mine
        assert (now.subject(mine), now.kind_of(mine).name) == ("mine", "small")
        assert now.columns(SMALL, mine)["value"].tolist() == []
        with pytest.raises(errors.UnknownName):
            now.column(SMALL, mine, "nothing")
        with pytest.raises(errors.UsageError, match="is of kind"):
            now.column(THING, f, "byte")
        t.append("event", {"kind": [1, 2]})
        t.append("event", {"window": [3]})
        assert now.table("event")["kind"].tolist() == [1, 2, 0]
        assert now.symbols([t.symbol("f"), t.symbol("new")]) == ["f", "new"]
        t.delete(f)
        assert now.pages(SMALL).tolist() == [mine]
        with pytest.raises(errors.UnknownName, match="deleted"):
            now.column(SMALL, f, "value")
        assert t.base.column(SMALL, f, "value").tolist() == [1, 2, 3]
    assert cells(memory, g) == [7]
    assert cells(memory, t.final("page", mine)) == []


def test_two_that_write_one_page_conflict(memory: Memory) -> None:
    f, g = put(memory, "f", 1), put(memory, "g", 1)
    one, two = memory.transaction(), memory.transaction()
    for t in (one, two):
        t.patch(SMALL, f, {"value": [t.at().column(SMALL, f, "value")[0] + 1]})
    two.patch(SMALL, g, {"value": [5]})
    assert one.commit() == 3
    with pytest.raises(errors.Conflict, match=rf"epochs 3 … 3 .* page {f} \('f'\);") as caught:
        two.commit()
    assert caught.value.pages == (f,)
    assert (cells(memory, f), cells(memory, g), memory.head) == ([2], [1], 3)


def test_two_that_make_and_write_one_page_conflict(memory: Memory) -> None:
    one, two, three = (memory.transaction() for _ in range(3))
    for t in (one, two, three):
        t.page(SMALL, "f")
    one.patch(SMALL, one.page(SMALL, "f"), {"value": [1]})
    two.patch(SMALL, two.page(SMALL, "f"), {"value": [2]})
    three.patch(SMALL, three.page(SMALL, "other"), {"value": [3]})
    put(memory, "before", 0)
    one.commit()
    with pytest.raises(errors.Conflict, match="'f'"):
        two.commit()
    three.commit()  # it made that page too, but wrote nothing there
    found = memory.at().page(SMALL, "f")
    assert found is not None
    assert cells(memory, found) == [1]
    assert len(memory.at().pages(SMALL)) == 3


@pytest.mark.parametrize("first", ["delete", "patch"])
def test_a_page_deleted_and_written_conflicts(memory: Memory, first: str) -> None:
    f = put(memory, "f", 1)
    deletes, patches = memory.transaction(), memory.transaction()
    deletes.delete(f)
    patches.patch(SMALL, f, {"value": [2]})
    order = (deletes, patches) if first == "delete" else (patches, deletes)
    order[0].commit()
    with pytest.raises(errors.Conflict):
        order[1].commit()


def test_ids_taken_by_others_move(memory: Memory) -> None:
    old = put(memory, "old", 1)
    changes = memory.changes()
    changes.append("type", {"name": [0]})
    memory.commit(changes)
    with memory.transaction() as t:
        name, shared = t.symbol("mine"), t.symbol("shared")
        kind = t.append("type", {"name": [name, shared], "widened": [shared, 0]})
        page = t.page(THING, "thing")
        t.patch(THING, page, {"name": [name, 0, 77], "type": [kind + 1, 0, 7], "big": [name] * 3})
        t.patch_rows(THING, page, [5, 9], {"type": [kind, 2**32 - 1]})
        changes = memory.changes()  # takes the same ids first
        changes.append("type", {"name": [changes.symbol("theirs"), changes.symbol("shared")]})
        changes.patch(SMALL, changes.page(SMALL, "their page"), {"value": [4]})
        memory.commit(changes)
    now = memory.at()
    texts = now.symbols(range(5))
    assert texts == ["old", "theirs", "shared", "their page", "mine"]
    assert t.final("symbol", [name, shared, 0]).tolist() == [4, 2, 0]
    assert t.final("type", kind) == 3
    assert now.table("type")["name"].tolist() == [0, 1, 2, 4, 2]
    assert now.table("type")["widened"].tolist()[3:] == [2, 0]
    final = t.final("page", page)
    assert final != page
    assert now.subject(final) == "thing"
    assert now.column(THING, final, "name").tolist()[:3] == [4, 0, 77]
    assert now.column(THING, final, "type").tolist()[:3] == [4, 0, 7]
    assert now.column(THING, final, "type").tolist()[5] == 3
    assert now.column(THING, final, "big").tolist()[:3] == [name] * 3  # no reference: a number
    assert t.final("page", old) == old


def test_ids_move_in_operands_by_their_tag(memory: Memory) -> None:
    with memory.transaction() as t:
        name = t.symbol("mine")
        kind = t.append("type", {"name": [name]})
        file = t.append("file", {"lines": [3]})
        page = t.page("operand", "f")
        # The tag of the last row is said later than its value.
        t.patch(
            "operand",
            page,
            {
                "tag": [Tag.GLOBAL, Tag.TYPE, Tag.SSA, Tag.LINE, 0],
                "value": [name, kind, name, 0, name],
                "type": [kind, 99, kind, file, kind],
            },
        )
        t.patch_rows("operand", page, [4], {"tag": [Tag.STRING]})
        changes = memory.changes()
        for text in ("a", "b"):
            changes.append("type", {"name": [changes.symbol(text)]})
        changes.append("file", {"lines": [1, 2, 3]})
        memory.commit(changes)
    now = memory.at()
    symbol, kind, file = (
        t.final(what, id) for what, id in (("symbol", name), ("type", kind), ("file", file))
    )
    assert (symbol, kind, file) == (2, 2, 3)
    held = now.columns("operand", t.final("page", page))
    assert held["value"].tolist() == [symbol, kind, name, 0, symbol]
    assert held["type"].tolist() == [kind, 99, kind, file, kind]


def test_many_at_once(memory: Memory) -> None:
    old = put(memory, "old", 5)
    with memory.transaction() as t:
        names = t.symbols(["old", "new", "newer", "new"])
        assert names.tolist() == [0, 1, 2, 1]
        pages = t.pages(THING, ["f", "old", "f"])
        assert len(set(pages.tolist())) == 2
        t.patch_many(THING, pages, {"name": names[[1, 1, 2, 2, 0]]}, [0, 1, 4], [2, 2, 1])
        operands = t.pages("operand", ["f", "g"])
        tags = [Tag.GLOBAL, Tag.SSA]
        t.patch_many("operand", operands, {"tag": tags * 2, "value": [names[1]] * 4})
        now = t.at()
        assert now.column(THING, int(pages[0]), "name").tolist()[:2] == [1, 1]
        assert now.column(THING, int(pages[0]), "name", Rows(4, 6)).tolist() == [0, 2**32 - 1]
        assert now.row_count(THING, int(pages[1])) == 3
        t.delete(int(pages[1]))
        put(memory, "other", 1)
        with pytest.raises(errors.UsageError, match="earlier patch_many"):
            t.patch(THING, int(pages[0]), {"name": [0]})
    now = memory.at()
    assert now.pages(THING).tolist() == [t.final("page", int(pages[0]))]
    new, newer = t.final("symbol", names[[1, 2]])
    assert (new, newer) != (names[1], names[2])
    held = now.column(THING, int(now.pages(THING)[0]), "name")
    assert held.tolist() == [new, new, 2**32 - 1, 2**32 - 1, 0]
    for page in now.pages("operand").tolist():
        assert now.column("operand", page, "value").tolist() == [new, names[1]]
    assert cells(memory, old) == [5]


def test_many_at_once_conflict_too(memory: Memory) -> None:
    pages = [put(memory, name, 1) for name in "abc"]
    t = memory.transaction()
    t.patch_many(SMALL, pages, {"value": [2, 3, 4]})
    memory.update_page(pages[1], [0], {"value": [9]})
    with pytest.raises(errors.Conflict) as caught:
        t.commit()
    assert caught.value.pages == (pages[1],)


def test_rows_that_name_rows_move_with_them(memory: Memory) -> None:
    none = 2**32 - 1
    with memory.transaction() as t:
        trees = t.append("invalidation_tree", {"parent": [none, 0]})
        t.append("invalidation", {"tree": [trees + 1, none]})
        t.append("inference", {"parent": [none, 0, 1]})
        changes = memory.changes()
        changes.append("invalidation_tree", {"parent": [none, 0, 1]})
        changes.append("inference", {"parent": [none]})
        memory.commit(changes)
    now = memory.at()
    assert now.table("invalidation_tree")["parent"].tolist() == [none, 0, 1, none, 3]
    assert now.table("invalidation")["tree"].tolist() == [4, none]
    assert now.table("inference")["parent"].tolist() == [none, none, 1, 2]


def test_every_column_of_ids_says_of_what(memory: Memory) -> None:
    """Columns of 32 bits without a reference, each looked at once: these hold no id that moves."""
    plain = {
        f"{kind.name}.{column.name.split('@')[0]}"
        for kind in schema.KINDS
        for column in kind.columns
        if column.dtype == "u32" and not column.ref
    }
    numbers = "lines window depth arguments definition effects position operands slot flags start "
    numbers += "count first last outcome cost threshold length version origin derived_from "
    rows_of_pages = {"edge.source", "edge.target", "call.statement", "decision.statement"}
    moved = {"inference.parent", "invalidation_tree.parent", "invalidation.tree", "operand.value"}
    left = {name for name in plain if name.split(".")[1] not in numbers.split()}
    assert left == rows_of_pages | moved


def test_what_others_made_meanwhile_is_taken_over(memory: Memory) -> None:
    with memory.transaction() as t:
        page, name = t.page(SMALL, "f"), t.symbol("text")
        put(memory, "f", 1)
    assert t.epoch == 2
    found = memory.at().page(SMALL, "f")
    assert t.final("page", page) == found
    assert len(memory.at().pages(SMALL)) == 1
    assert memory.at().symbols([t.final("symbol", name)]) == ["text"]


def test_one_that_wrote_nothing_is_no_epoch(memory: Memory) -> None:
    f = put(memory, "f", 1)
    with memory.transaction() as t:
        assert t.at().column(SMALL, f, "value").tolist() == [1]
        assert t.page(SMALL, "f") == f
        t.patch(SMALL, f, {"value": []})
    assert (t.epoch, memory.head) == (None, 1)


def test_a_page_can_be_deleted_and_made_again(memory: Memory) -> None:
    f = put(memory, "f", 1)
    with memory.transaction() as t:
        t.delete(f)
        again = t.page(SMALL, "f")
        t.patch(SMALL, again, {"value": [2]})
        gone = t.page(SMALL, "gone")
        t.patch(SMALL, gone, {"value": [2]})
        t.delete(gone)
        put(memory, "g", 1)
    assert again != f
    assert cells(memory, t.final("page", again)) == [2]
    assert len(memory.at().pages(SMALL)) == 2


def test_a_reader_has_no_transactions(memory: Memory, path: Path) -> None:
    with Memory.open(path) as reader, pytest.raises(errors.ReadOnly):
        reader.transaction()


def test_what_is_refused_leaves_no_trace(memory: Memory) -> None:
    with memory.transaction() as t:
        f = t.page(SMALL, "f")
        for columns in ({"value": [-1]}, {"nothing": [1]}, {}):
            with pytest.raises(errors.UsageError):
                t.patch(SMALL, f, columns)
        with pytest.raises(errors.UsageError):
            t.patch_rows(SMALL, f, [2, 1], {"value": [1, 2]})
        with pytest.raises(errors.UsageError):
            t.append(SMALL, {"value": [1]})
        assert t.at().row_count(SMALL, f) == 0
        put(memory, "g", 1)
    assert memory.at().row_count(SMALL, t.final("page", f)) == 0


def test_what_the_caller_keeps_can_change_later(memory: Memory) -> None:
    values, rows = np.array([1, 2], "<u4"), np.array([0, 2], "<u4")
    with memory.transaction() as t:
        f = t.page(SMALL, "f")
        t.patch_rows(SMALL, f, rows, {"value": values})
        values[:] = 0
        rows[:] = 0
        assert t.at().column(SMALL, f, "value").tolist() == [1, 0, 2]
        put(memory, "g", 1)
    assert cells(memory, t.final("page", f)) == [1, 0, 2]


def test_threads_lose_no_increment(memory: Memory) -> None:
    """Counters that all threads raise, and pages and names of each thread's own."""
    counters = [put(memory, name, 0) for name in "ab"]
    start = threading.Barrier(4)

    def work(number: int) -> list[tuple[tuple[int, ...], int]]:
        start.wait()
        conflicts = []
        for turn in range(30):
            while True:
                try:
                    with memory.transaction() as t:
                        page = counters[(turn + number) % 2]
                        value = int(t.at().column(SMALL, page, "value")[0])
                        t.patch(SMALL, page, {"value": [value + 1]})
                        name = t.symbol(f"{number} at {turn}")
                        row = t.append("type", {"name": [name]})
                        own = t.page(THING, f"{number} at {turn}")
                        t.patch(THING, own, {"type": [row], "name": [name]})
                    break
                except errors.Conflict as error:
                    conflicts.append((error.pages, page))
        return conflicts

    with ThreadPoolExecutor(4) as pool:
        conflicts = [each for found in pool.map(work, range(4)) for each in found]
    assert all(pages == (page,) for pages, page in conflicts)
    now = memory.at()
    assert sum(cells(memory, page)[0] for page in counters) == 120
    assert memory.head == 122
    assert len(now.table("type")["name"]) == 120
    for page in now.pages(THING).tolist():
        row = int(now.column(THING, page, "type")[0])
        name = int(now.table("type")["name"][row])
        assert now.symbol(name) == now.subject(page)
        assert int(now.column(THING, page, "name")[0]) == name


def test_what_final_is_not_asked(memory: Memory) -> None:
    with memory.transaction() as t:
        page, name = t.page(SMALL, "f"), t.symbol("name")
        row = t.append("type", {"name": [name, name]})
    assert t.final("page", [page, 0]).tolist() == [page, 0]
    assert t.final("type", np.array([row, row + 1])).tolist() == [row, row + 1]
    for what, ids in (
        *(("page", "x"), ("page", None), ("page", -1), ("page", 1.5), ("page", [True])),
        *(("pages", page), ("small", page), (None, page), ([], page), (SMALL, page)),
        *(("page", page + 1), ("symbol", [name, name + 1]), ("type", row + 2), ("file", 10**6)),
    ):
        with pytest.raises(errors.UsageError):
            t.final(what, ids)  # type: ignore[arg-type]
