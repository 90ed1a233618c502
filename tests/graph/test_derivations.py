"""What a derivation may be, when it is run, and what is told of it, one by one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from derived_model import KINDS, NEAR, RAW, SHAPE, SUMMARY, TOTAL, Calls

from mmsb.base import schema
from mmsb.base.errors import CycleError, ReadOnly, StateError, UnknownName, UsageError
from mmsb.base.schema import Kind
from mmsb.graph.derived import DERIVATION, DERIVED, DERIVED_FROM, READS, SOURCE, DerivedState, Given
from mmsb.graph.recompute import Recomputed
from mmsb.query.reader import Reader


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    made = Reader.create(tmp_path / "m.mmsb", KINDS)
    assert isinstance(made, Reader)
    with made:
        yield made


def put(memory: Reader, **x: list[int]) -> int:
    """Writes column x of some subjects."""
    changes = memory.changes()
    for subject, values in x.items():
        changes.patch(RAW, changes.page(RAW, subject), {"x": values})
    return memory.commit(changes)


def doubled(memory: Reader) -> Calls:
    """total = sum of x, which must not be 13; near = twice that, and the total of p."""
    calls: Calls = []

    @memory.derive(TOTAL, {"raw": "x"})
    def total(of: Given) -> Any:
        calls.append(("total", of.subject))
        found = int(of["raw"]["x"].sum())
        if found == 13:
            raise ArithmeticError("13 is\nunlucky")
        return {"sum": [found]}

    @memory.derive(NEAR, ["total"])
    def near(of: Given) -> Any:
        calls.append(("near", of.subject))
        of.read("total", "p")
        return {"sum": of["total"]["sum"] * 2}

    return calls


def cell(memory: Reader, kind: Kind, subject: str) -> int:
    page = memory.at().page(kind, subject)
    assert page is not None
    return int(memory.at().cell(kind, page, "sum", 0))


def told(done: Recomputed) -> list[tuple[str, str, str]]:
    return [(one.kind, one.subject, one.what) for wave in done.waves for one in wave.outcomes]


def test_a_run_is_a_commit_of_its_own_source(memory: Reader) -> None:
    doubled(memory)
    with memory.batch():
        assert put(memory, p=[1], q=[2]) == 1
        done = memory.recompute()
    assert (done.epoch, done.seen, memory.head) == (2, 1, 2)
    assert [wave.number for wave in done.waves] == [0, 1]
    assert told(done) == [
        (kind, subject, "made") for kind in ("total", "near") for subject in ("p", "q")
    ]
    assert (done.ran, done.count("made"), done.count("equal")) == (4, 4, 0)
    assert memory._index.runs[-1].table[-1][4] >> 48 & 0xFFFF == SOURCE
    assert memory.recompute() == Recomputed(None, 2, ())


def test_an_equal_result_keeps_its_epoch_and_stops_the_wave(memory: Reader) -> None:
    calls = doubled(memory)
    put(memory, p=[1, 2], q=[5])
    page = memory.at().page(TOTAL, "q")
    assert page is not None
    calls.clear()
    put(memory, q=[2, 3])  # the same sum
    assert calls == [("total", "q")]
    assert memory.at().written(page).tolist() == [2]


def test_only_cells_that_differ_are_written(memory: Reader) -> None:
    @memory.derive(SHAPE, ["raw"])
    def shape(of: Given) -> Any:
        return {"both": of["raw"]["x"], "real": [1.5] * len(of["raw"]["x"])}

    put(memory, p=[1, 2, 3])
    put(memory, p=[1, 7, 3])
    (one,) = (w for w in memory.diff(memory.head - 1, memory.head) if w.kind == SHAPE)
    assert (one.columns, one.rows.tolist()) == (("both",), [1])


def test_rows_that_a_page_has_no_longer_are_read_by_nobody(memory: Reader) -> None:
    @memory.derive(SHAPE, ["raw"])
    def shape(of: Given) -> Any:
        return {"both": of["raw"]["x"][of["raw"]["x"] > 0]}

    @memory.derive(SUMMARY, ["shape"], whole=True)
    def summary(of: Given) -> Any:
        _, _, offsets = of.all("shape")
        alone = of.read("shape", "p")
        assert alone is not None
        return {"rows": [len(alone["both"]), *offsets]}

    put(memory, p=[1, 2, 3])
    put(memory, p=[0, 2, 0])
    put(memory, q=[4])
    page = memory.at().page(SUMMARY, "")
    assert page is not None
    assert memory.query_page(page)["rows"].tolist() == [1, 0, 1, 2]
    shown = memory.at().page(SHAPE, "p")
    assert shown is not None
    assert memory.query_page(shown)["both"].tolist() == [2, 9, 9]  # fill behind


def test_a_failure_leaves_the_old_page_marked_and_the_rest_goes_on(memory: Reader) -> None:
    doubled(memory)
    put(memory, p=[1], q=[2], r=[3])
    put(memory, q=[13], r=[4])
    assert [cell(memory, TOTAL, s) for s in "pqr"] == [1, 2, 4]
    assert [cell(memory, NEAR, s) for s in "pqr"] == [2, 4, 8]
    unsound = [(one.kind, one.subject, one.error) for one in memory.derivations.unsound()]
    assert unsound == [("near", "q", ""), ("total", "q", "ArithmeticError: 13 is unlucky")]
    now = memory.at()
    book = now.page(DERIVED, "total")
    assert book is not None
    rows = now.columns(DERIVED, book)
    assert rows["state"].tolist() == [DerivedState.CURRENT, DerivedState.FAILED, 1]
    assert now.symbol(rows["error"][1]) == "ArithmeticError: 13 is unlucky"
    put(memory, q=[5])
    assert memory.derivations.unsound() == ()
    assert cell(memory, NEAR, "q") == 10


def test_what_reads_a_failed_page_elsewhere_is_marked_without_a_call(memory: Reader) -> None:
    calls = doubled(memory)
    put(memory, p=[1], q=[2])
    calls.clear()
    put(memory, p=[13])
    assert calls == [("total", "p")]
    assert [(o.kind, o.subject) for o in memory.derivations.unsound()] == [
        *(("near", "p"), ("near", "q"), ("total", "p")),
    ]
    calls.clear()
    put(memory, p=[1])  # as before: nothing but the marks changes
    assert calls == [("total", "p")]
    assert memory.derivations.unsound() == ()


def test_failures_and_marks_survive_a_restart(memory: Reader, tmp_path: Path) -> None:
    doubled(memory)
    put(memory, p=[13], q=[2])
    before = memory.derivations.unsound()
    memory.close()
    again = Reader.open(tmp_path / "m.mmsb", write=True, kinds=KINDS)
    assert isinstance(again, Reader)
    with again:
        calls = doubled(again)
        assert (again.recompute().ran, again.derivations.unsound()) == (0, before)
        put(again, p=[2])
        assert calls == [("total", "p"), ("near", "p"), ("near", "q")]


def test_a_changed_function_is_run_again(memory: Reader) -> None:
    doubled(memory)
    put(memory, p=[1], q=[2])

    @memory.derive(TOTAL, {"raw": "x"})
    def total(of: Given) -> Any:
        return {"sum": [max(1, int(of["raw"]["x"].sum()) - 1)]}

    assert told(memory.recompute()) == [
        ("total", "p", "equal"),
        ("total", "q", "changed"),
        ("near", "q", "changed"),
    ]

    @memory.derive(TOTAL, {"raw": "x"}, version="2")
    def same(of: Given) -> Any:
        return {"sum": [max(1, int(of["raw"]["x"].sum()) - 1)]}

    assert told(memory.recompute()) == [("total", "p", "equal"), ("total", "q", "equal")]
    memory.derive(TOTAL, {"raw": ("x", "y")}, version="2")(same)
    assert memory.recompute().count("equal") == 2


def test_what_depends_on_itself_is_refused(memory: Reader) -> None:
    doubled(memory)
    with pytest.raises(CycleError, match="'total' would depend on itself: total → near → total"):
        memory.derive(TOTAL, ["raw", "near"])(lambda of: {})
    with pytest.raises(CycleError) as found:
        memory.derive(SHAPE, [RAW, SHAPE])(lambda of: {})
    assert (found.value.code, found.value.cycle) == ("cycle", ["shape"])
    put(memory, p=[3])
    assert cell(memory, NEAR, "p") == 6  # and what there was goes on


def test_wave_by_wave(memory: Reader) -> None:
    doubled(memory)
    with memory.batch():
        put(memory, p=[1], q=[2])
        steps = memory.derivations.steps()
        first = next(steps)
        assert [(one.kind, one.subject) for one in first.outcomes] == [
            ("total", "p"),
            ("total", "q"),
        ]
        assert memory.at().pages(TOTAL).tolist() == []  # nothing is there until it ends
        with pytest.raises(StateError, match="end that run first"):
            memory.recompute()
        steps.close()
        assert memory.head == 1
        waves = list(memory.derivations.steps())
    assert [wave.number for wave in waves] == [0, 1]
    with memory.batch():
        put(memory, q=[4])
        second = list(memory.derivations.steps())
    because = [(one.subject, one.because) for wave in second for one in wave.outcomes]
    assert because == [("q", (("raw", "q"),)), ("q", (("total", "q"),))]


def test_a_commit_while_a_run_is_stepped_through_is_caught_up_with(memory: Reader) -> None:
    doubled(memory)
    with memory.batch():
        put(memory, p=[1])
    put(memory, q=[1])
    steps = memory.derivations.steps()
    assert list(steps) == []
    with memory.batch():
        put(memory, p=[2])
        steps = memory.derivations.steps()
        next(steps)
    put(memory, q=[5])
    assert cell(memory, TOTAL, "q") == 1
    for _ in steps:
        pass
    assert (cell(memory, NEAR, "p"), cell(memory, NEAR, "q")) == (4, 10)


def test_pages_that_somebody_else_wrote_are_made_again(memory: Reader) -> None:
    doubled(memory)
    put(memory, p=[1], q=[2])
    page = memory.at().page(TOTAL, "q")
    assert page is not None
    memory.update_page(page, [0, 4], {"sum": [77, 5]})
    assert memory.query_page(page)["sum"].tolist() == [2, 0, 0, 0, 0]
    memory.create_page(TOTAL, "stranger")
    assert memory.at().page(TOTAL, "stranger") is None


def test_a_conflict_is_tried_again(memory: Reader) -> None:
    """Another thread writes what a run is about to write."""
    once = []

    @memory.derive(TOTAL, {"raw": "x"})
    def total(of: Given) -> Any:
        if not once:
            once.append(memory.update_page(page, [0], {"sum": [3]}))
        return {"sum": [int(of["raw"]["x"].sum())]}

    once.append(0)
    put(memory, p=[1])
    page = memory.at().page(TOTAL, "p") or 0
    once.clear()
    put(memory, p=[9])
    assert len(once) == 1
    assert cell(memory, TOTAL, "p") == 9


def test_threads_that_commit_at_once_leave_nothing_behind(memory: Reader) -> None:
    """Whoever commits last, what is derived in the end is of the last state."""
    doubled(memory)
    put(memory, **{name: [0] for name in "pqrst"})

    def work(name: str) -> None:
        page = memory.at().page(RAW, name)
        assert page is not None
        for value in range(1, 12):
            memory.update_page(page, [0], {"x": [value]})

    threads = [threading.Thread(target=work, args=(name,)) for name in "pqrs"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [cell(memory, TOTAL, name) for name in "pqrst"] == [11, 11, 11, 11, 0]
    assert [cell(memory, NEAR, name) for name in "pqrst"] == [22, 22, 22, 22, 0]
    assert memory.recompute().ran == 0


def test_damage_and_the_like_are_no_fault_of_a_function(memory: Reader) -> None:
    @memory.derive(TOTAL, {"raw": "x"})
    def total(of: Given) -> Any:
        if of.subject == "q":
            raise StateError("not now")
        return {"sum": [1]}

    assert put(memory, p=[1], q=[1]) == memory.head == 1
    with pytest.raises(StateError, match="not now"):
        memory.recompute()
    assert memory.at().pages(TOTAL).tolist() == []


def test_what_a_function_returns_is_checked(memory: Reader) -> None:
    answers: dict[str, Any] = {
        "a": {"sums": [1]},
        "b": {"sum": [-1]},
        "c": [1],
        "d": {"sum": [[1]]},
        "e": {},
        "f": None,
    }
    memory.derive(TOTAL, ["raw"], version=1)(lambda of: answers[of.subject])
    put(memory, **{subject: [1] for subject in answers})
    errors = {one.subject: one.error.split(":")[0] for one in memory.derivations.unsound()}
    assert errors == dict.fromkeys("abcd", "UsageError")
    now = memory.at()
    assert now.subjects(now.pages(TOTAL)) == ["e"]


def test_reads_of_what_was_not_declared_fail(memory: Reader) -> None:
    memory.derive(TOTAL, {"raw": "x"})(lambda of: {"sum": of["code"]["state"]})
    put(memory, p=[1])
    (one,) = memory.derivations.unsound()
    assert one.error.startswith("UsageError: 'code' is no input of 'total'")


def test_tables_and_texts(memory: Reader) -> None:
    @memory.derive(SUMMARY, ["event"], whole=True)
    def summary(of: Given) -> Any:
        return {"rows": [len(of["event"]["kind"])]}

    for count in (1, 2):
        changes = memory.changes()
        changes.append("event", {"kind": [0]})
        memory.commit(changes)
        page = memory.at().page(SUMMARY, "")
        assert page is not None
        assert memory.query_page(page)["rows"].tolist() == [count]


def test_what_is_refused_at_once(memory: Reader) -> None:
    with pytest.raises(UsageError, match="others write it"):
        memory.derive(schema.CODE, ["raw"])
    with pytest.raises(UsageError, match="no inputs"):
        memory.derive(TOTAL, [])
    with pytest.raises(UsageError, match="whole=True"):
        memory.derive(TOTAL, ["event"])
    with pytest.raises(UnknownName, match="no kind 'nothing'"):
        memory.derive(TOTAL, ["nothing"])
    with pytest.raises(UsageError, match="no column 'z'"):
        memory.derive(TOTAL, {"raw": ["z"]})
    with pytest.raises(UsageError, match="tells of derived pages"):
        memory.derive(TOTAL, ["raw", DERIVATION.name])
    with pytest.raises(UsageError, match="pass version="):
        memory.derive(TOTAL, ["raw"])(dict)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="ids are never reused"):
        memory.derive(Kind(RAW.id, "other", RAW.columns), ["raw"])
    memory.close()
    with Reader.open(memory.path, kinds=KINDS) as reader:
        assert isinstance(reader, Reader)
        with pytest.raises(ReadOnly):
            reader.derive(TOTAL, ["raw"])


def test_after_a_retention_nothing_is_lost(memory: Reader) -> None:
    doubled(memory)
    put(memory, p=[1], q=[2])
    with memory.batch():
        put(memory, p=[5])
        for at in range(4):
            put(memory, r=[at])
        memory.retain(memory.head)
        done = memory.recompute()
    assert (done.count("changed"), done.count("made"), done.count("equal")) == (2, 2, 2)
    assert [cell(memory, NEAR, s) for s in "pqr"] == [10, 4, 6]


def test_who_reads_whom_is_an_edge_kind(memory: Reader) -> None:
    doubled(memory)
    put(memory, p=[1], q=[2])
    now = memory.at()
    page = now.page(DERIVED_FROM, "near")
    assert page is not None
    rows = now.columns(DERIVED_FROM, page)
    assert now.symbols(rows["output"]) == ["q"]  # its own subject's pages are declared, not listed
    assert now.symbols(rows["input"]) == ["p"]
    assert now.symbols(rows["kind"]) == ["total"]
    graph = memory.graph().at(kinds=READS)
    assert (graph.name(graph.out.neighbours(graph.node("p"))[0]), graph.size) == ("q", 1)
    changes = memory.changes()
    changes.delete(now.page(RAW, "q") or 0)
    memory.commit(changes)
    assert memory.query_page(page)["alive"].tolist() == [0]
    assert memory.graph().at(kinds=READS).size == 0
