"""Arrow out and in: others read what a snapshot reads, and give it back as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsb.base import errors
from mmsb.base.schema import Column, Kind
from mmsb.memory import arrow
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import fill
from mmsb.testing.oracle import Oracle
from mmsb.testing.strategies import KINDS, SMALL, THING, Operation, commits, play


@pytest.fixture
def memory(path: Path) -> Iterator[Memory]:
    with Memory.create(path, KINDS) as made:
        yield made


def expected(snapshot: Any, kind: Kind) -> dict[str, list[Any]]:
    """The columns as plain lists, cell by cell, from any snapshot: the oracle's too."""
    pages = snapshot.pages(kind).tolist()
    counts = [snapshot.row_count(kind, page) for page in pages]
    out: dict[str, list[Any]] = {}
    if not kind.append_only:
        out["page"] = [p for p, n in zip(pages, counts, strict=True) for _ in range(n)]
        subjects = [snapshot.subject(page) for page in pages]
        out["subject"] = [s for s, n in zip(subjects, counts, strict=True) for _ in range(n)]
    out["row"] = [row for n in counts for row in range(n)]
    for column in kind.columns:
        cells = [v for p in pages for v in snapshot.column(kind, p, column.name).tolist()]
        if column.ref == "symbol":
            known = snapshot.symbol_count
            cells = [snapshot.symbols([id])[0] if id < known else None for id in cells]
        out[column.name] = [_bits(value) for value in cells]
    return out


def _bits(value: Any) -> Any:
    return np.float64(value).tobytes() if isinstance(value, float) else value


def lists(table: pa.Table) -> dict[str, list[Any]]:
    return {n: [_bits(v) for v in table.column(n).to_pylist()] for n in table.column_names}


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=st.lists(commits, min_size=1, max_size=3), data=st.data())
def test_a_stream_says_what_the_oracle_says(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[Operation]], data: st.DataObject
) -> None:
    oracle, path = Oracle(KINDS), tmp_path_factory.mktemp("m") / "a.mmsb"
    # Few rows make many batches, and pages with batches of their own.
    with (
        pytest.MonkeyPatch.context() as patched,
        Memory.create(path, KINDS, durability="none") as memory,
    ):
        patched.setattr(arrow, "BATCH_ROWS", data.draw(st.sampled_from([1, 5, 1000])))
        patched.setattr(arrow, "MANY_ROWS", data.draw(st.sampled_from([2, 6, 1000])))
        for operations in history:
            for side in (memory, oracle):
                changes = side.changes()
                play(operations, changes)
                side.commit(changes)  # type: ignore[arg-type]
        epoch = data.draw(st.integers(0, oracle.head))
        for kind in (THING, SMALL, *(k for k in oracle.kinds.values() if k.name == "type")):
            table = pa.table(memory.at(epoch).arrow(kind))
            table.validate(full=True)
            assert lists(table) == expected(oracle.at(epoch), kind)


def as_pandas(stream: Any) -> pd.DataFrame:
    if hasattr(pd.DataFrame, "from_arrow"):  # from pandas 3 on
        return pd.DataFrame.from_arrow(stream)
    return pa.table(stream).to_pandas()


def by_pandas(stream: Any, folder: Path) -> dict[str, list[Any]]:
    frame = as_pandas(stream)
    plain = frame.astype(dict.fromkeys(frame.select_dtypes("category"), object))
    return {name: plain[name].where(plain[name].notna(), None).tolist() for name in plain}


def by_polars(stream: Any, folder: Path) -> dict[str, list[Any]]:
    polars = pytest.importorskip("polars", reason="polars is not installed: pip install polars")
    return {s.name: s.to_list() for s in polars.DataFrame(stream)}


def by_duckdb(stream: Any, folder: Path) -> dict[str, list[Any]]:
    relation = duckdb.sql("select * from stream")
    rows = relation.fetchall()
    return {name: [row[at] for row in rows] for at, name in enumerate(relation.columns)}


def by_parquet(stream: Any, folder: Path) -> dict[str, list[Any]]:
    reader = pa.RecordBatchReader.from_stream(stream)
    with pyarrow.parquet.ParquetWriter(folder / "a.parquet", reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    table = pyarrow.parquet.read_table(folder / "a.parquet")
    return {name: table.column(name).to_pylist() for name in table.column_names}


READERS: dict[str, Callable[[Any, Path], dict[str, list[Any]]]] = {
    "pandas": by_pandas,
    "polars": by_polars,
    "duckdb": by_duckdb,
    "parquet": by_parquet,
}
NAMED = ["subject", "row", "byte", "name", "big", "line", "real"]


@pytest.mark.parametrize("reader", READERS)
def test_others_take_the_stream(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    fill(memory)
    monkeypatch.setattr(arrow, "BATCH_ROWS", 30)  # several batches, each with texts of its own
    names = [*NAMED[:3], NAMED[3], NAMED[5]] if reader == "pandas" else NAMED
    stream = memory.at().arrow(THING, names)
    assert len(list(stream.batches())) > 1
    found = READERS[reader](stream, tmp_path)
    wanted = expected(memory.at(), THING)
    assert list(found) == names
    assert {name: [_bits(v) for v in found[name]] for name in names} == {
        name: wanted[name] for name in names
    }
    assert READERS[reader](stream, tmp_path) == found  # it can be read again


def test_large_values_survive_pandas(memory: Memory, tmp_path: Path) -> None:
    page = memory.create_page(THING, "f")
    memory.update_page(page, [0, 1], {"big": [2**64 - 1, 2**63 + 1], "real": [0.1, -0.0]})
    found = by_pandas(memory.at().arrow(THING, ["big", "real"]), tmp_path)
    assert found["big"] == [2**64 - 1, 2**63 + 1]
    assert list(map(_bits, found["real"])) == list(map(_bits, [0.1, -0.0]))


def test_a_covering_patch_is_not_copied(memory: Memory) -> None:
    page = memory.create_page(SMALL, "f")
    memory.update_page(page, range(200_000), {"value": np.arange(200_000)})
    own = memory.at().column(SMALL, page, "value")
    (batch,) = memory.at().arrow(SMALL).batches()
    assert batch.column("value").buffers()[1].address == own.__array_interface__["data"][0]
    assert batch.column("value").to_pylist()[-1] == 199_999
    again = pa.RecordBatchReader.from_stream(memory.at().arrow(SMALL)).read_all()
    assert again.column("value").chunk(0).buffers()[1].address == own.ctypes.data
    memory.close()
    assert batch.column("value").to_pylist()[-1] == 199_999  # the map outlives the memory


def test_a_stream_is_of_its_epoch(memory: Memory) -> None:
    page = memory.create_page(SMALL, "f")
    memory.update_page(page, [0], {"value": [1]})
    stream = memory.at().arrow(SMALL)
    memory.update_page(page, [0, 1], {"value": [2, 3]})
    assert pa.table(stream).column("value").to_pylist() == [1]


def test_columns_and_pages_can_be_chosen(memory: Memory) -> None:
    fill(memory)
    snapshot = memory.at()
    first, second, *_ = snapshot.pages(THING).tolist()
    table = pa.table(snapshot.arrow("thing", ["row", "name", "page"], [second], texts=False))
    assert table.column_names == ["row", "name", "page"]
    assert set(table.column("page").to_pylist()) == {second}
    assert table.column("name").to_pylist() == snapshot.column(THING, second, "name").tolist()
    assert pa.table(snapshot.arrow("thing", pages=[])).num_rows == 0
    assert pa.table(snapshot.arrow("type")).column_names[:2] == ["row", "name"]
    assert pa.schema(snapshot.arrow("thing")) == pa.table(snapshot.arrow("thing")).schema
    for wrong in (["nothing"], ["row", "row"]):
        with pytest.raises(errors.UsageError):
            snapshot.arrow("thing", wrong)
    with pytest.raises(errors.UsageError):
        snapshot.arrow("type", ["page"])
    with pytest.raises(errors.UsageError):
        snapshot.arrow(SMALL, pages=[first])


def test_a_column_of_the_kind_hides_a_place(path: Path) -> None:
    odd = Kind(60, "odd", (Column(0, "page", "u8", 0), Column(1, "value", "u8", 0)))
    with Memory.create(path, (*KINDS, odd)) as memory:
        changes = memory.changes()
        changes.patch(odd, changes.page(odd, "f"), {"page": [7], "value": [8]})
        memory.commit(changes)
        table = pa.table(memory.at().arrow(odd))
        assert table.to_pylist() == [{"subject": "f", "row": 0, "page": 7, "value": 8}]


def test_bytes_that_are_no_text_can_be_told(memory: Memory) -> None:
    changes = memory.changes()
    changes.append("type", {"name": [changes.symbol("a\udcffb"), changes.symbol("ünï")]})
    memory.commit(changes)
    assert pa.table(memory.at().arrow("type")).column("name").to_pylist() == ["a\\xffb", "ünï"]


def test_damage_is_no_data(memory: Memory, path: Path) -> None:
    page = memory.create_page(SMALL, "f")
    memory.update_page(page, range(200_000), {"value": np.arange(200_000)})
    memory.close()
    segment = path / "segment-000001"
    held = bytearray(segment.read_bytes())
    held[-100_000] ^= 1
    segment.write_bytes(held)
    with Memory.open(path, kinds=KINDS) as reader, pytest.raises(Exception, match="checksum"):
        pa.table(reader.at().arrow(SMALL))


# Arrow in.


def test_what_came_out_goes_in_again(memory: Memory, path: Path) -> None:
    fill(memory)
    with Memory.create(path.with_name("b.mmsb"), KINDS) as other:
        names = ["subject", "row", "byte", "name", "big", "real", "line"]
        assert other.commit_arrow(THING, memory.at().arrow(THING, names)) == 1
        assert other.commit_arrow("type", memory.at().arrow("type", ["name", "lattice"])) == 2
        there = expected(other.at(), THING)
        here = expected(memory.at(), THING)
        assert {n: there[n] for n in names} == {n: here[n] for n in names}
        assert (
            expected(other.at(), memory.kinds["type"])["name"]
            == (expected(memory.at(), memory.kinds["type"])["name"])
        )


SOURCES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "pyarrow": pa.table,
    "batch": pa.record_batch,
    "pandas": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "duckdb": lambda columns: duckdb.from_arrow(pa.table(columns)),
    "polars": lambda columns: pytest.importorskip("polars").DataFrame(columns),
}


@pytest.mark.parametrize("source", SOURCES)
def test_from_anything_that_gives_a_stream(memory: Memory, source: str) -> None:
    columns: dict[str, list[Any]] = {
        "subject": ["g", "f", "f", "g", "f"],
        "row": [3, 0, 1, 0, 1],
        "byte": [1, 2, 3, 4, 5],
        "name": ["a", None, "b", "a", "c"],
        "line": [-1, -2, None, -4, -5],
    }
    if source == "pandas" and not hasattr(pd.DataFrame, "__arrow_c_stream__"):
        pytest.skip("pandas older than 2.2 gives no __arrow_c_stream__")
    assert memory.commit_arrow("thing", SOURCES[source](columns)) == 1
    now = memory.at()
    f, g = now.page(THING, "f"), now.page(THING, "g")
    assert f is not None
    assert g is not None
    assert now.column(THING, f, "byte").tolist() == [2, 5]  # of one row twice the later wins
    assert now.column(THING, g, "byte").tolist() == [4, 0, 0, 1]
    none = 2**32 - 1
    names = now.column(THING, f, "name").tolist() + now.column(THING, g, "name").tolist()
    assert [None if n == none else now.symbol(n) for n in names] == [
        *(None, "c"),
        *("a", None, None, "a"),
    ]
    assert now.column(THING, f, "line").tolist() == [-2, -5]
    assert now.column(THING, g, "line").tolist() == [-4, -(2**31), -(2**31), -1]


def test_several_batches_are_one_commit(memory: Memory) -> None:
    page = memory.create_page(SMALL, "f")
    parts = [{"page": [page], "row": [n % 2], "value": [n]} for n in range(5)]
    table = pa.concat_tables([pa.table(part) for part in parts])
    assert memory.commit_arrow(SMALL, table) == 2
    assert memory.at().column(SMALL, page, "value").tolist() == [4, 3]
    assert memory.at().written(page).tolist() == [2]
    assert memory.commit_arrow(SMALL, table.slice(0, 0)) == 3
    rows = pa.table({"lattice": pa.chunked_array([[1, 2], [3]])})
    memory.commit_arrow("type", rows)
    assert memory.at().table("type")["lattice"].tolist() == [1, 2, 3]


def test_into_a_transaction(memory: Memory) -> None:
    from mmsb.memory import arrow_in

    rows = arrow_in.read(pa.table({"subject": ["f"], "row": [0], "value": [4]}))
    with memory.transaction() as t:
        assert arrow_in.put(t, memory.kinds["small"], rows) == 1
        page = t.page(SMALL, "f")
        assert t.at().column(SMALL, page, "value").tolist() == [4]


REFUSED: list[tuple[str, Any, str]] = [
    ("small", {"row": [0], "value": [1]}, "either 'page' or 'subject'"),
    ("small", {"page": ["f's"], "value": [1]}, "either 'page' or 'subject'"),
    ("small", {"page": ["f's"], "subject": ["f"], "row": [0], "value": [1]}, "either 'page'"),
    ("small", {"page": ["f's"], "row": [0]}, "nothing to write"),
    ("small", {"page": ["f's"], "row": [0], "nothing": [1]}, "no column 'nothing'"),
    ("small", {"page": [99], "row": [0], "value": [1]}, "page 99"),
    ("small", {"page": [None], "row": [0], "value": [1]}, "page: a row has none"),
    ("small", {"page": ["f's"], "row": [None], "value": [1]}, "row: a row has none"),
    ("small", {"page": ["f's"], "row": [-1], "value": [1]}, "row: some values do not fit"),
    ("small", {"subject": [None], "row": [0], "value": [1]}, "subject: pass texts"),
    ("small", {"subject": ["f", None], "row": [0, 0], "value": [1, 1]}, "subject: a row has none"),
    ("small", {"subject": [5], "row": [0], "value": [1]}, "subject: pass texts"),
    ("small", {"page": ["f's"], "row": [0], "value": [-1]}, "small.value: some values"),
    ("small", {"page": ["f's"], "row": [0], "value": [2**32]}, "small.value: some values"),
    ("small", {"page": ["f's"], "row": [0], "value": [0.5]}, "small.value: some values"),
    ("small", {"page": ["f's"], "row": [0], "value": ["a"]}, "holds numbers, not texts"),
    ("small", {"page": ["f's"], "row": [0], "value": [[1]]}, "pass numbers, not list"),
    ("type", {"row": [0], "lattice": [1]}, "leave out 'row'"),
    ("type", {"nothing": [0]}, "no column 'nothing'"),
    ("symbol", {"length": [0]}, "use symbol"),
    ("nothing", {"length": [0]}, "nothing"),
]


@pytest.mark.parametrize(("kind", "columns", "words"), REFUSED)
def test_what_does_not_fit_is_refused_whole(
    memory: Memory, kind: str, columns: dict[str, list[Any]], words: str
) -> None:
    page = memory.create_page(SMALL, "f")
    given = {n: [page if v == "f's" else v for v in values] for n, values in columns.items()}
    with pytest.raises(errors.UsageError, match=words):
        memory.commit_arrow(kind, pa.table(given))
    assert memory.head == 1


def test_what_is_no_stream_is_refused(memory: Memory) -> None:
    with pytest.raises(errors.UsageError, match="__arrow_c_stream__"):
        memory.commit_arrow(SMALL, {"page": [1]})
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["lattice", "lattice"])
    with pytest.raises(errors.UsageError, match="twice"):
        memory.commit_arrow("type", twice)
    with Memory.open(memory.path, kinds=KINDS) as reader, pytest.raises(errors.ReadOnly):
        reader.commit_arrow("type", pa.table({"lattice": [1]}))
