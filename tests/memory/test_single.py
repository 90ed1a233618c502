"""A commit of one delta takes a shorter way: the bytes are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from mmsb.base import errors
from mmsb.base.rect import Rows
from mmsb.memory.changes import Changes
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL, THING, columns, row_lists


class Whole(Changes):
    """Changes that take the long way."""

    @classmethod
    def of(cls, memory: Memory) -> Whole:
        return cls(memory._index, memory._symbols)

    def plain(self) -> None:
        return None


@given(st.lists(row_lists().flatmap(lambda r: st.tuples(st.just(r), columns(THING, len(r))))))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_short_way_writes_what_the_long_way_does(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[list[int], dict[str, Any]]]
) -> None:
    folder = tmp_path_factory.mktemp("single")
    for name in ("short", "long"):
        with Memory.create(folder / name, KINDS, segment_bytes=4096) as memory:
            page = memory.create_page(THING, "f")
            for rows, held in writes:
                if name == "short":
                    memory.update_page(page, rows, held, source=40_000)
                else:
                    changes = Whole.of(memory)
                    changes.patch_rows(THING, page, rows, held)
                    memory.commit(changes, source=40_000)
            table = memory._index.runs[-1].table.copy()
        with Memory.open(folder / name, kinds=KINDS) as again:
            assert np.array_equal(again._index.runs[-1].table, table)
    names = sorted(file.name for file in (folder / "short").iterdir())
    assert names == sorted(file.name for file in (folder / "long").iterdir())
    for name in names:
        assert (folder / "short" / name).read_bytes() == (folder / "long" / name).read_bytes()


_many = st.integers(1, 4).flatmap(
    lambda each: st.tuples(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=5),
        st.integers(each, each),
        st.randoms(use_true_random=False),
    )
)


@given(st.lists(_many, max_size=6), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_patches_of_one_call_are_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, writes: list[Any], one: bool
) -> None:
    folder = tmp_path_factory.mktemp("many")
    for name in ("short", "long"):
        with Memory.create(folder / name, KINDS, segment_bytes=4096) as memory:
            made = memory.changes()
            pages = made.pages(THING, [f"f{at}" for at in range(6)])
            memory.commit(made)
            for where, each, random in writes:
                state = random.getstate()
                changes = memory.changes() if name == "short" else Whole.of(memory)
                if one:
                    ((at, start), *_), count = where, each
                    cells = np.array([random.randrange(2**63) for _ in range(count)])
                    held = {"big": cells, "byte": (cells & 255).astype("u1")}
                    changes.patch(THING, int(pages[at]), held, start)
                else:
                    at, starts = (np.array(part) for part in zip(*where, strict=True))
                    cells = np.array([random.randrange(2**63) for _ in range(each * len(at))])
                    held = {"byte": (cells & 255).astype("u1"), "big": cells}
                    changes.patch_many(THING, pages[at], held, starts)
                random.setstate(state)
                assert memory.commit(changes, source=9) == memory.head
                with pytest.raises(errors.UsageError, match="committed already"):
                    memory.commit(changes)
            tables = [run.table.copy() for run in memory._index.runs]
            read = {page: memory.query_page(int(page)) for page in pages}
        with Memory.open(folder / name, kinds=KINDS) as again:
            assert all(map(np.array_equal, tables, (run.table for run in again._index.runs)))
            for page, held in read.items():
                for column, values in again.query_page(int(page)).items():
                    assert values.tobytes() == held[column].tobytes()
    names = sorted(file.name for file in (folder / "short").iterdir())
    assert names == sorted(file.name for file in (folder / "long").iterdir())
    for name in names:
        assert (folder / "short" / name).read_bytes() == (folder / "long" / name).read_bytes()


@pytest.mark.parametrize("rows", [Rows(3, 6), range(3, 6), [3, 4, 5], np.array([3, 4, 5])])
def test_rows_may_be_given_in_any_way(path: Path, rows: Any) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(THING, "f")
        memory.update_page(page, rows, {"big": [7, 8, 9], "byte": np.array([1, 2, 3], "u1")})
        found = memory.query_page(page)
        assert found["big"][3:].tolist() == [7, 8, 9]
        assert found["byte"].tolist() == [0, 0, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("rows", "held", "error"),
    [
        ([0, 1], {"byte": [1]}, errors.UsageError),
        ([1, 0], {"byte": [1, 2]}, errors.UsageError),
        ([2**27], {"byte": [1]}, errors.UsageError),
        ([0], {"byte": [256]}, errors.UsageError),
        ([0], {"none such": [1]}, errors.UnknownName),
        ([0], {}, errors.UsageError),
    ],
)
def test_what_is_wrong_is_refused_as_ever(
    path: Path, rows: Any, held: Any, error: type[errors.MmsbError]
) -> None:
    with Memory.create(path, KINDS) as memory:
        page = memory.create_page(THING, "f")
        with pytest.raises(error):
            memory.update_page(page, rows, held)
        assert memory.head == 1
        with pytest.raises(errors.UnknownName):
            memory.update_page(page + 1, [0], {"byte": [1]})


def test_a_new_page_alone_is_the_same_bytes(tmp_path: Path) -> None:
    subjects = ["f", "g" * 7, "h" * 8, "i" * 9, "é", "f", "", "x" * 5000, "last"]
    made: dict[str, list[int]] = {"short": [], "long": []}
    for name, pages in made.items():
        with Memory.create(tmp_path / name, KINDS, segment_bytes=4096) as memory:
            for subject in subjects:
                for kind in (THING, SMALL):
                    if name == "short":
                        pages.append(memory.create_page(kind, subject))
                    else:
                        changes = memory.changes()
                        pages.append(changes.page(kind, subject))
                        if pages[-1] >= memory._index.page_count:
                            memory.commit(changes)
                    assert memory.at().page(kind, subject) == pages[-1]
                    assert memory.at().subject(pages[-1]) == subject
            tables = [run.table.copy() for run in memory._index.runs]
        with Memory.open(tmp_path / name, kinds=KINDS) as again:
            assert all(map(np.array_equal, tables, (run.table for run in again._index.runs)))
            assert again.at().symbols(range(2)) == subjects[:2]
    assert made["short"] == made["long"]
    for file in (tmp_path / "short").iterdir():
        assert file.read_bytes() == (tmp_path / "long" / file.name).read_bytes()


def test_a_symbol_that_was_just_made_is_not_read_back(path: Path) -> None:
    with Memory.create(path, KINDS) as memory:
        changes = memory.changes()
        made = [changes.symbol(text) for text in ("one", "zwei", "é")]
        memory.commit(changes)
        assert memory.changes().symbols(["zwei", "é", "one"]).tolist() == [
            made[1],
            made[2],
            made[0],
        ]
        with Memory.open(path, kinds=KINDS) as reader:
            assert reader.at().symbols(made) == ["one", "zwei", "é"]
