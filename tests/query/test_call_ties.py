"""Who calls whom where it is not one call of one other function: recursion, unions, dispatches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from building import Builder, instance_key, method_key

import mmsb
from mmsb.base import schema
from mmsb.base.errors import UsageError
from mmsb.base.model import NONE_U32, CallKind, Lattice, Stage
from mmsb.query.reader import Reader

INT, FLOAT, TEXT = "Core.Int64", "Core.Float64", "Core.String"
CLASS = "Core.Type{Main.W}"
UNION = "Union{Core.Float64, Core.Int64}"
FACT, EVEN, ODD, ANY, SPLIT = (instance_key(n, INT) for n in ("fact", "even", "odd", "any", "cut"))
US = [instance_key("us", type_) for type_ in (INT, FLOAT, TEXT)]
HOLDER = instance_key("holder", "Main.W")
DRAFT = instance_key("draft", INT)  # its final code is not known

TOUR = Path(mmsb.__file__).parent / "data" / "tour.mmsb"

Row = tuple[str, CallKind, Stage, str, str]
FOUND, RUNS = Stage.INFERRED, Stage.OPTIMIZED


def of(name: str, *types: str) -> str:
    return f"Core.Tuple{{{', '.join([f'typeof(Main.{name})', *types])}}}"


ROWS: list[Row] = [
    (FACT, CallKind.RESOLVED, FOUND, method_key("fact", "Core.Any"), of("fact", INT)),
    (FACT, CallKind.INVOKE, RUNS, FACT, ""),
    (EVEN, CallKind.INVOKE, RUNS, ODD, ""),
    (ODD, CallKind.INVOKE, RUNS, EVEN, ""),
    (ODD, CallKind.INVOKE, Stage.REDERIVED, ODD, ""),
    (HOLDER, CallKind.RESOLVED, FOUND, method_key("us", "Core.Any"), of("us", UNION)),
    (ANY, CallKind.UNRESOLVED, FOUND, "typeof(Main.us)", of("us", "Core.Any")),
    (ANY, CallKind.DYNAMIC, RUNS, "typeof(Main.us)", of("us", "Core.Any")),
    (SPLIT, CallKind.UNRESOLVED, FOUND, "typeof(Main.us)", of("us", UNION)),
    (SPLIT, CallKind.INVOKE, RUNS, US[0], ""),
    (DRAFT, CallKind.UNRESOLVED, FOUND, "typeof(Main.us)", of("us", UNION)),
    (DRAFT, CallKind.RESOLVED, FOUND, method_key("fact", "Core.Any"), of("fact", INT)),
    (US[0], CallKind.RESOLVED, FOUND, method_key("one", "Core.Any"), of("one", CLASS)),
]  # fmt: skip


@pytest.fixture
def made(builder: Builder) -> Reader:
    b = builder
    with b.epoch():
        b.note(julia="1.12.5", tier="native", capture="final")
        for key in (FACT, EVEN, ODD, ANY, SPLIT, HOLDER, DRAFT, *US):
            b.instance(key, _name(key))
            b.code(key, 0, exclusive_ns=1000)
            if key != DRAFT:
                b.row(schema.CODE, key, 0, **{"provenance@optimized": 0})
            b.add(schema.INFERENCE, instance=key, parent=NONE_U32, version=0, exclusive_ns=1000)
        b.instance(instance_key("one", "Core.Type{Main.V}"), "one(::Type{V})")
        for type_ in (INT, FLOAT, TEXT):
            b.type(type_)
        signatures = {types for *_, types in ROWS if types}
        ids = {types: _type(b, types) for types in sorted(signatures)}
        for row, (key, kind, stage, callee, types) in enumerate(ROWS):
            cells: dict[str, Any] = {"alive": 1, "kind": kind, "stage": stage, "callee": callee}
            b.row(schema.CALL, key, row, **cells, **({"signature": ids[types]} if types else {}))
    return b.done()


def _name(key: str) -> str:
    types = key.rpartition("Core.Tuple{")[2][:-1].split(", ")[1:]
    short = ", ".join(f"::{type_.rpartition('.')[2]}" for type_ in types)
    return f"{key.partition(' ')[0].removeprefix('Main.')}({short})"


def _type(b: Builder, text: str) -> int:
    """A call's types: concrete only where each is."""
    vague = any(word in text for word in ("Union{", "Core.Any", "Core.Type{"))
    lattice = Lattice.ABSTRACT if vague else Lattice.CONCRETE
    symbol = b.now.symbol(text)
    columns = {"name": [symbol], "lattice": [lattice], "widened": [symbol]}
    return int(b.now.append(schema.TYPE, columns))


def plain(view: Any) -> list[tuple[int, str, str]]:
    return [(one.depth, one.name, one.how) for one in view.calls]


def test_a_function_that_calls_itself_is_its_own_caller_and_callee(made: Reader) -> None:
    with made as memory:
        now = memory.at()
        assert plain(now.callees("fact")) == [(1, "fact(::Int64)", "invoke")]
        assert (1, "fact(::Int64)", "invoke") in plain(now.callers("fact"))
        assert plain(now.callees("even")) == [(1, "odd(::Int64)", "invoke")]
        for ask in (now.callees, now.callers):
            found = ask("even", depth=3)
            assert plain(found) == [(1, "odd(::Int64)", "invoke"), (2, "even(::Int64)", "invoke")]
            assert found.calls[1].through == "odd(::Int64)"


def test_a_call_with_a_union_reaches_the_instances_of_its_parts(made: Reader) -> None:
    with made as memory:
        now = memory.at()
        both = [(1, "us(::Float64)", "inlined"), (1, "us(::Int64)", "inlined")]
        assert plain(now.callees("holder")) == both
        assert (1, "holder(::W)", "inlined") in plain(now.callers("us"))
        came = {one.name for one in memory.reached(0, 1, start="holder").came}
        assert came >= {"us(::Int64)", "us(::Float64)"}
        assert "us(::String)" not in came
        assert [one.name for one in now.callees("us(::Int64)").calls] == ["one(::Type{W})"]


def test_a_dispatch_is_one_that_the_final_code_has(made: Reader) -> None:
    with made as memory:
        now = memory.at()
        types = ("Float64", "Int64", "String")
        dispatched = [(1, f"us(::{type_})", "dynamic dispatch") for type_ in types]
        assert plain(now.callees("any")) == dispatched
        assert plain(now.callees("cut")) == [
            (1, "us(::Float64)", "split or inlined"),
            (1, "us(::Int64)", "invoke"),
        ]
        assert plain(now.callees("draft")) == [
            (1, "fact(::Int64)", "resolved"),
            (1, "us(::Float64)", "unresolved"),
            (1, "us(::Int64)", "unresolved"),
        ]


def agrees(memory: Reader, keys: list[str]) -> int:
    """The graph's neighbours of each key are the commands' answers; how many there were."""
    now, seen = memory.at(), 0
    graph = now.call_graph()
    assert graph.epoch == now.epoch
    for key in keys:
        node = graph.node(key)
        for ask, side in ((now.callers, graph.into), (now.callees, graph.out)):
            near = graph.nodes.texts(side.neighbours(node))
            assert sorted(one.key for one in ask(key).calls) == sorted(near), key
            seen += len(near)
    return seen


def test_the_graph_of_calls_has_the_edges_of_the_commands(made: Reader) -> None:
    with made as memory:
        agrees(memory, [FACT, EVEN, ODD, ANY, SPLIT, HOLDER, DRAFT, *US])
        graph = memory.at().call_graph()
        us = graph.nodes.texts(graph.out.neighbours(graph.node(HOLDER)))
        assert sorted(us) == sorted(US[:2])
        rows = memory.graph().at()
        assert rows.nodes.texts(rows.out.neighbours(rows.node(ODD))) == [EVEN]  # not rederived
        said = memory.graph().at(stage=Stage.REDERIVED)
        assert said.nodes.texts(said.out.neighbours(said.node(ODD))) == [ODD]


def test_the_graph_of_a_recordings_calls_has_the_edges_of_the_commands() -> None:
    with mmsb.open(TOUR) as memory:
        keys = [function.key for function in memory.at().functions()][::3]
        assert agrees(memory, keys) > len(keys) > 10


def test_what_is_no_question_is_refused_in_a_sentence(made: Reader) -> None:
    with made as memory:
        now: Any = memory.at()
        asked: list[Callable[[Any], Any]] = [now.impact, now.cause, now.callers, now.callees]
        for ask in (*asked, lambda name: memory.reached(0, 1, start=name)):
            for name in (5, b"fact", ["fact"]):
                with pytest.raises(UsageError, match=r"asked for by its name, as f\(::Int64\), no"):
                    ask(name)
        with pytest.raises(UsageError, match="most is 0; ask for 1 method or more"):
            now.dominators(most=0)
        with pytest.raises(UsageError, match="most: pass a whole number, not 'x'"):
            now.dominators(most="x")
        with pytest.raises(UsageError, match="depth: pass a whole number"):
            now.callers("fact", depth="x")


def test_names_of_dominators_are_whole_however_long(builder: Builder) -> None:
    long = instance_key("long", *["Core.Int64"] * 200, method=("Core.Int64",) * 200)
    with builder.epoch():
        builder.note(julia="1.12.5", tier="native", capture="final")
        builder.instance(long, "long(…)")
        builder.add(schema.INFERENCE, instance=long, parent=NONE_U32, exclusive_ns=1000)
    with builder.done() as memory:
        found = memory.at().dominators()
    assert len(found.found[0].name) > 1000
    assert str(found).endswith(found.found[0].name)
