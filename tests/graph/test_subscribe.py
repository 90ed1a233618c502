"""Subscriptions: what is told, when, in which order, and what an error in a callback hurts."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsb.base import schema
from mmsb.base.errors import UnknownName, UsageError
from mmsb.base.schema import Column, Kind
from mmsb.graph.subscribe import Changed
from mmsb.query.reader import Reader

THING = Kind(100, "thing", (Column(0, "x", "u32", 0), Column(1, "y", "u32", 0)))
OTHER = Kind(101, "other", (Column(0, "z", "u32", 0),))
KINDS = (*schema.KINDS, THING, OTHER)
F = "Main.f Core.Tuple{typeof(Main.f), Core.Any} @ Core.Tuple{typeof(Main.f), Core.Int64}"
G = "Main.g Core.Tuple{typeof(Main.g), Core.Any} @ Core.Tuple{typeof(Main.g), Core.Int64}"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Reader]:
    made = Reader.create(tmp_path / "m.mmsb", KINDS)
    assert isinstance(made, Reader)
    with made:
        yield made


def put(memory: Reader, kind: Kind, subject: str, **columns: list[int]) -> int:
    changes = memory.changes()
    changes.patch(kind, changes.page(kind, subject), columns)
    return memory.commit(changes)


class Heard(list[tuple[list[int], list[tuple[str, str, tuple[str, ...], list[int]]]]]):
    """What a callback was given, plainly."""

    def __call__(self, changed: Changed) -> None:
        assert changed.now.epoch == changed.new
        told = [(c.kind, c.subject, c.columns, c.rows.tolist()) for c in changed.changes]
        self.append((list(changed.epochs), told))


def test_each_commit_is_told_before_it_returns(memory: Reader) -> None:
    put(memory, THING, "before", x=[1])
    heard = Heard()
    memory.subscribe(None, None, heard)
    put(memory, THING, "a", x=[1, 2])
    assert heard == [([2], [("thing", "a", ("x",), [0, 1])])]
    page = memory.create_page(OTHER, "b")  # nothing is written yet
    memory.update_page(page, [3], {"z": [1]})
    with memory.transaction() as t:
        t.patch(THING, t.page(THING, "a"), {"y": [5]})
    memory.commit([])
    assert heard[1:] == [
        ([4], [("other", "b", ("z",), [3])]),
        ([5], [("thing", "a", ("y",), [0])]),
    ]


def test_kinds_and_functions(memory: Reader) -> None:
    by_kind, by_name, by_type, by_subject = Heard(), Heard(), Heard(), Heard()
    memory.subscribe(["other"], None, by_kind)
    memory.subscribe(None, ["f"], by_name)
    memory.subscribe([THING], ["f(::Float64)", "g(::Int64)"], by_type)
    memory.subscribe(None, [F, "a"], by_subject)
    put(memory, THING, F, x=[1])
    put(memory, OTHER, G, z=[1])
    put(memory, THING, "a", x=[1])
    assert [[c[1] for c in told] for _, told in by_kind] == [[G]]
    assert [[c[1] for c in told] for _, told in by_name] == [[F]]
    assert by_type == []
    assert [[c[1] for c in told] for _, told in by_subject] == [[F], ["a"]]


def test_rows_of_tables_count_where_they_name_a_function(memory: Reader) -> None:
    heard = Heard()
    memory.subscribe(["invalidation", "event"], ["f"], heard)
    changes = memory.changes()
    f, g = changes.symbol(F), changes.symbol(G)
    changes.append("event", {"subject": [g, g]})
    memory.commit(changes)
    assert heard == []
    changes = memory.changes()
    changes.append("event", {"subject": [g, f, g, f]})
    changes.append("invalidation", {"victim": [g], "via": [f]})
    memory.commit(changes)
    assert [(c[0], c[3]) for c in heard[0][1]] == [("event", [3, 5]), ("invalidation", [0])]


def test_a_batch_is_told_at_once_and_a_deletion_too(memory: Reader) -> None:
    heard = Heard()
    memory.subscribe(["thing"], None, heard)
    with memory.batch():
        put(memory, THING, "a", x=[1])
        with memory.batch():
            put(memory, THING, "b", x=[1])
        put(memory, THING, "a", y=[0, 2])
        assert heard == []
    told = [
        ("thing", "a", ("x",), [0]),
        ("thing", "a", ("y",), [0, 1]),
        ("thing", "b", ("x",), [0]),
    ]
    assert heard == [([1, 2, 3], told)]
    gone: list[bool] = []
    memory.subscribe(["thing"], None, lambda c: gone.extend(one.deleted for one in c.changes))
    changes = memory.changes()
    changes.delete(changes.page(THING, "b"))
    memory.commit(changes)
    assert gone == [True]


def test_an_error_is_told_and_hurts_nothing(
    memory: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()

    def broken(changed: Changed) -> None:
        raise ValueError(f"epoch {changed.new}")

    first = memory.subscribe(None, None, broken)
    memory.subscribe(None, None, heard)
    with caplog.at_level(logging.ERROR, "mmsb.graph"):
        assert put(memory, THING, "a", x=[1]) == 1
        assert put(memory, THING, "a", x=[2]) == 2
    assert [epochs for epochs, _ in heard] == [[1], [2]]
    assert str(first.error) == "epoch 2"
    assert [record.getMessage().split(" of ")[1] for record in caplog.records] == [
        "a subscription failed on epochs 1 … 1",
        "a subscription failed on epochs 2 … 2",
    ]


def test_closed_is_closed(memory: Reader) -> None:
    heard = Heard()
    with memory.subscribe(None, None, heard) as one:
        put(memory, THING, "a", x=[1])
    put(memory, THING, "a", x=[2])
    assert one.closed
    assert [epochs for epochs, _ in heard] == [[1]]


def test_a_callback_may_commit_and_is_told_of_it_after(memory: Reader) -> None:
    order: list[tuple[str, list[int]]] = []

    def copy(changed: Changed) -> None:
        order.append(("copy", list(changed.epochs)))
        for one in changed.changes:
            put(memory, OTHER, one.subject, z=[changed.new])
        order.append(("done", []))

    memory.subscribe(["thing"], None, copy)
    memory.subscribe(None, None, lambda c: order.append(("all", list(c.epochs))))
    put(memory, THING, "a", x=[1])
    assert order == [("copy", [1]), ("done", []), ("all", [1]), ("all", [2])]


def test_a_callback_that_waits_for_another_threads_commit_does_not_hang(memory: Reader) -> None:
    heard = Heard()

    def wait(changed: Changed) -> None:
        if changed.new == 1:
            thread = threading.Thread(target=put, args=(memory, OTHER, "b"), kwargs={"z": [1]})
            thread.start()
            thread.join(30)
            assert not thread.is_alive()

    first = memory.subscribe(None, None, wait)
    memory.subscribe(None, None, heard)
    put(memory, THING, "a", x=[1])
    assert first.error is None
    assert [epochs for epochs, _ in heard] == [[1], [2]]


def test_many_threads_each_epoch_once_in_order(memory: Reader) -> None:
    epochs: list[int] = []
    memory.subscribe(None, None, lambda c: epochs.extend(c.epochs))
    pages = [memory.create_page(THING, f"t{n}") for n in range(4)]

    def work(page: int) -> None:
        for value in range(25):
            memory.update_page(page, [0], {"x": [value]})

    threads = [threading.Thread(target=work, args=(page,)) for page in pages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert epochs == list(range(5, 105)) or epochs == list(range(epochs[0], 105))
    assert epochs[0] <= 5


def test_what_is_refused(memory: Reader) -> None:
    with pytest.raises(UnknownName, match="no kind 'nothing'"):
        memory.subscribe(["nothing"], None, print)
    with pytest.raises(UsageError, match="no function's name"):
        memory.subscribe(None, ["("], print)
    with pytest.raises(UsageError, match="a callback is a function"):
        memory.subscribe(None, None, 3)  # type: ignore[arg-type]


def test_epochs_that_a_retention_forgot_are_counted(memory: Reader) -> None:
    missed: list[tuple[int, int]] = []
    memory.subscribe(["thing"], None, lambda c: missed.append((c.forgotten, len(c.changes))))
    with memory.batch():
        for value in range(5):
            put(memory, THING, "a", x=[value])
        memory.retain(4)
    assert missed == [(4, 1)]


_WRITER = """
import sys
from mmsb.memory.memory import Memory
with Memory.open(sys.argv[1], write=True) as memory:
    print(memory.head, flush=True)
    for line in sys.stdin:
        page = memory.create_page("thing", line.strip())
        print(memory.update_page(page, [0], {"x": [7]}), flush=True)
"""


def test_a_reader_hears_of_another_process(memory: Reader) -> None:
    put(memory, THING, "a", x=[1])
    path = memory.path
    memory.close()
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert writer.stdout.readline() == "1\n"
    with Reader.open(path) as reader:
        assert isinstance(reader, Reader)
        heard = Heard()
        reader.subscribe(["thing"], None, heard)
        for subject in ("b", "c"):
            writer.stdin.write(f"{subject}\n")
            writer.stdin.flush()
            writer.stdout.readline()
        reader.refresh()
        assert [[c[1] for c in told] for _, told in heard] == [["b", "c"]]
        writer.stdin.write("d\n")
        writer.stdin.close()
        for _ in reader.follow(6, durable=False, timeout=30):
            if len(heard) > 1 and heard[-1][0][-1] == 7:
                break
        assert [c[1] for _, told in heard for c in told] == ["b", "c", "d"]
    assert writer.wait(30) == 0
