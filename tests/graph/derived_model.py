"""Four derivations, and a plain model of what their pages hold and which calls make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from mmsb.base import schema
from mmsb.base.schema import Column, Kind
from mmsb.graph.derived import DERIVED, Given
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
