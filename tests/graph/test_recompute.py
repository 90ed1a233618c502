"""Derived pages beside a plain model: the same cells as from scratch, and no call too many."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsb.base import schema
from mmsb.base.errors import CycleError, ReadOnly, StateError, UnknownName, UsageError
from mmsb.base.schema import Column, Kind
from mmsb.graph.derived import DERIVATION, DERIVED, DERIVED_FROM, READS, SOURCE, DerivedState, Given
from mmsb.graph.recompute import Recomputed
from mmsb.query.reader import Reader

NONE = 0xFFFFFFFF
RAW = Kind(
    100,
    "raw",
    (Column(0, "x", "u32", 0), Column(1, "y", "u32", 5), Column(2, "link", "u32", NONE, "symbol")),
)
TOTAL = Kind(101, "total", (Column(0, "sum", "u64", 0),))
SHAPE = Kind(102, "shape", (Column(0, "both", "u64", 9), Column(1, "real", "f64", 0)))
NEAR = Kind(103, "near", (Column(0, "sum", "u64", 0), Column(1, "who", "u32", NONE, "symbol")))
SUMMARY = Kind(104, "summary", (Column(0, "near", "u64", 0), Column(1, "rows", "u64", 0)))
DERIVED_KINDS = (TOTAL, SHAPE, NEAR, SUMMARY)
KINDS = (*schema.KINDS, RAW)
SUBJECTS = ("p", "q", "r", "s")

Calls = list[tuple[str, str]]
#: subject → rows of (x, y, link)
Raw = dict[str, list[tuple[int, int, str]]]


def register(memory: Reader, calls: Calls, *, unlucky: int = -1) -> None:
    """Four derivations; each call is noted. A total that leaves ``unlucky`` by 5 fails."""

    @memory.derive(TOTAL, {"raw": ["x"]}, version=unlucky)
    def total(of: Given) -> Mapping[str, Any] | None:
        calls.append(("total", of.subject))
        found = int(of["raw"]["x"].sum())
        if found % 5 == unlucky:
            raise ArithmeticError(f"{object()} is unlucky")
        return None if found % 7 == 3 else {"sum": [found]}

    @memory.derive(SHAPE, ["raw"])
    def shape(of: Given) -> Mapping[str, Any]:
        calls.append(("shape", of.subject))
        x, y = (of["raw"][name].astype(np.uint64) for name in ("x", "y"))
        return {"both": (x + y)[y > 0], "real": [-0.0] * int((y > 0).sum())}

    @memory.derive(NEAR, {"raw": ["link"], "total": None})
    def near(of: Given) -> Mapping[str, Any]:
        calls.append(("near", of.subject))
        own = of["total"]["sum"]
        found = int(own[0]) if len(own) else 1000
        links = of.texts(of["raw"]["link"])
        for link in links[:1]:
            page = of.read("total", link) if link else None
            found += 0 if page is None else int(page["sum"][0])
        return {"sum": [found], "who": [links[0] or None if links else None]}

    @memory.derive(SUMMARY, ["near", "shape"], whole=True)
    def summary(of: Given) -> Mapping[str, Any]:
        calls.append(("summary", of.subject))
        _, columns, _ = of.all("near")
        subjects, rows, offsets = of.all("shape")
        assert list(subjects) == sorted(subjects)
        assert len(rows["both"]) == offsets[-1]
        return {"near": [int(columns["sum"].sum())], "rows": [len(rows["both"])]}


class Model:
    """The same in dictionaries. What a page was made from is looked at whole, each time."""

    def __init__(self, unlucky: int) -> None:
        self.unlucky = unlucky
        self.failed: set[str] = set()  # totals
        self.raw: Raw = {}
        self.made: dict[str, dict[str, Any]] = {kind.name: {} for kind in DERIVED_KINDS}
        self.reads: dict[str, str] = {}  # near's own link

    def commit(self, steps: Iterable[Any]) -> Calls:
        """Does the steps; returns the calls that are needed."""
        touched: dict[str, set[str]] = {}  # subject → columns written; "*": it came or went
        for subject, rows, columns in steps:
            if rows is None:
                if self.raw.pop(subject, None) is not None:
                    touched.setdefault(subject, set()).add("*")
                continue
            if subject not in self.raw:
                touched.setdefault(subject, set()).add("*")
            held = self.raw.setdefault(subject, [])
            for at, (x, y, link) in enumerate(rows):
                before = held[at] if at < len(held) else (0, 5, "")
                now = {"x": x, "y": y, "link": link}
                new = [now[n] if n in columns else b for n, b in zip(now, before, strict=True)]
                held[at : at + 1] = [(new[0], new[1], new[2])]
            touched.setdefault(subject, set()).update(columns if rows else ())
        return self.follow(touched)

    def follow(self, touched: dict[str, set[str]]) -> Calls:
        calls: Calls = []
        changed: dict[str, set[str]] = {kind.name: set() for kind in DERIVED_KINDS}

        def run(kind: str, subject: str, make: Callable[[], Any]) -> None:
            before = self.made[kind].get(subject)
            if subject in self.raw or kind == "summary":
                calls.append((kind, subject))
                after = make()
            else:
                after = None
            if after != before:
                changed[kind].add(subject)
                self.made[kind][subject] = after
            if after is None:
                self.made[kind].pop(subject, None)

        for subject in sorted(touched):
            if touched[subject] & {"x", "*"}:
                self.failed.discard(subject)
                run("total", subject, lambda s=subject: self._total(s))  # type: ignore[misc]
            if touched[subject]:
                run("shape", subject, lambda s=subject: self._shape(s))  # type: ignore[misc]
        for subject in sorted({*self.raw, *touched}):
            hit = touched.get(subject, set()) & {"link", "*"} or subject in changed["total"]
            if hit or self.reads.get(subject) in changed["total"]:
                run("near", subject, lambda s=subject: self._near(s))  # type: ignore[misc]
        if changed["near"] or changed["shape"] or (touched and not self.made["summary"]):
            run("summary", "", self._summary)
        return calls

    def unsound(self) -> set[tuple[str, str]]:
        """What failed, and what reads it."""
        near = {s for s in self.raw if s in self.failed or self.reads.get(s) in self.failed}
        found = {("total", s) for s in self.failed} | {("near", s) for s in near}
        return found | ({("summary", "")} if near else set())

    def _total(self, subject: str) -> Any:
        found = sum(x for x, _, _ in self.raw[subject])
        if found % 5 == self.unlucky:
            self.failed.add(subject)
            return self.made["total"].get(subject)
        return None if found % 7 == 3 else found

    def _shape(self, subject: str) -> Any:
        return [x + y for x, y, _ in self.raw[subject] if y > 0]

    def _near(self, subject: str) -> Any:
        own = self.made["total"].get(subject, 1000)
        link = self.raw[subject][0][2] if self.raw[subject] else ""
        self.reads[subject] = link
        return own + (self.made["total"].get(link, 0) if link else 0), link

    def _summary(self) -> Any:
        near = sum(own for own, _ in self.made["near"].values())
        return near, sum(map(len, self.made["shape"].values()))


def pages(memory: Reader) -> dict[str, dict[str, Any]]:
    """Every derived page, without the fill behind its rows, bit by bit."""
    now, found = memory.at(), {}
    for kind in DERIVED_KINDS:
        book = now.page(DERIVED, kind.name)
        rows: dict[str, int] = {}
        if book is not None:
            told = now.columns(DERIVED, book)
            rows = dict(zip(now.symbols(told["output"]), told["rows"].tolist(), strict=True))
        held = {}
        for page in now.pages(kind).tolist():
            subject = now.subject(page)
            columns = now.columns(kind, page)
            cut = {name: cells[: rows[subject]] for name, cells in columns.items()}
            for column in kind.columns:  # behind its rows there is fill
                behind = columns[column.name][rows[subject] :]
                assert (behind == column.fill).all()
            if "who" in cut:
                texts = [None if id == NONE else now.symbol(id) for id in cut.pop("who").tolist()]
                held[subject] = ({n: c.tobytes() for n, c in cut.items()}, texts)
            else:
                held[subject] = {name: cells.tobytes() for name, cells in cut.items()}
        found[kind.name] = held
    return found


def modelled(model: Model) -> dict[str, dict[str, Any]]:
    """The model's, as `pages` gives them."""

    def u8(*values: int) -> bytes:
        return np.array(values, "<u8").tobytes()

    made = model.made
    return {
        "total": {s: {"sum": u8(v)} for s, v in made["total"].items()},
        "shape": {
            s: {"both": u8(*v), "real": np.full(len(v), -0.0).tobytes()}
            for s, v in made["shape"].items()
        },
        "near": {s: ({"sum": u8(v)}, [link or None]) for s, (v, link) in made["near"].items()},
        "summary": {s: {"near": u8(n), "rows": u8(r)} for s, (n, r) in made["summary"].items()},
    }


def commit(memory: Reader, steps: Iterable[Any]) -> None:
    changes = memory.changes()
    gone: set[str] = set()
    for subject, rows, columns in steps:
        page = changes.page(RAW, subject)
        if rows is None:
            changes.delete(page)
            gone.add(subject)
        elif rows:
            cells = {
                "x": [x for x, _, _ in rows],
                "y": [y for _, y, _ in rows],
                "link": [changes.symbol(link) if link else NONE for _, _, link in rows],
            }
            changes.patch(RAW, page, {name: cells[name] for name in columns})
    memory.commit(changes)


_row = st.tuples(st.integers(0, 9), st.integers(0, 2), st.sampled_from(["", *SUBJECTS]))
_columns = st.sets(st.sampled_from(["x", "y", "link"]), min_size=1)
_write = st.tuples(st.sampled_from(SUBJECTS), st.lists(_row, max_size=3), _columns)
_delete = st.tuples(st.sampled_from(SUBJECTS), st.none(), st.just(set()))
_steps = st.lists(
    _write | _write | _write | _delete, min_size=1, max_size=3, unique_by=lambda s: s[0]
)
_how = st.sampled_from(["commit", "commit", "commit", "restart", "together"])


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(_how, st.lists(_steps, min_size=1, max_size=3)), max_size=8),
    st.sampled_from([-1, -1, 0, 3]),
)
def test_incremental_is_from_scratch_and_no_call_is_too_many(
    tasks: list[tuple[str, list[list[Any]]]], unlucky: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        calls: Calls = []
        model = Model(unlucky)
        memory = Reader.create(Path(folder) / "a.mmsb", KINDS)
        assert isinstance(memory, Reader)
        register(memory, calls, unlucky=unlucky)
        memory.recompute()
        assert calls == [("summary", "")]
        model.follow({"": set()})
        for how, commits in tasks:
            if how == "restart":
                memory.close()
                memory = _open(folder, calls, unlucky)
            calls.clear()
            needed: Calls = []
            if how == "together":
                with memory.batch():
                    for steps in commits:
                        commit(memory, steps)
                    assert calls == []
                _check_pages(memory, model, commits)
                continue
            for steps in commits:
                commit(memory, steps)
                needed += model.commit(steps)
            assert sorted(calls) == sorted(needed)
            assert pages(memory) == modelled(model)
            unsound = {(one.kind, one.subject) for one in memory.derivations.unsound()}
            assert unsound == model.unsound()
        before, failed = pages(memory), memory.derivations.unsound()
        memory.close()
        memory = _open(folder, calls, unlucky)
        calls.clear()
        assert memory.recompute().epoch is None
        assert calls == []  # what is current is known
        assert memory.derivations.unsound() == failed
        digest = memory.digest()
        memory.close()
        if unlucky >= 0:
            return  # from scratch there is no older page to stay
        scratch = _replayed(Path(folder) / "b.mmsb", tasks)
        assert pages(scratch) == before
        assert scratch.digest() == digest
        scratch.close()


def _open(folder: str, calls: Calls, unlucky: int) -> Reader:
    opened = Reader.open(Path(folder) / "a.mmsb", write=True, kinds=KINDS)
    assert isinstance(opened, Reader)
    register(opened, calls, unlucky=unlucky)
    return opened


def _check_pages(memory: Reader, model: Model, commits: list[list[Any]]) -> None:
    """After a batch: the pages alone, which are those of its last state."""
    for steps in commits:
        model.commit(steps)
    assert pages(memory) == modelled(model)


def _replayed(path: Path, tasks: list[tuple[str, list[list[Any]]]]) -> Reader:
    """The same commits, and then everything derived at once."""
    scratch = Reader.create(path, KINDS)
    assert isinstance(scratch, Reader)
    for _, commits in tasks:
        for steps in commits:
            commit(scratch, steps)
    register(scratch, [])
    scratch.recompute()
    return scratch


# One by one.


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
