"""What the shadow compiler tells of its decisions, against what Julia shows of their outcome."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass

import live
import pytest

from mmsb.base.model import Decision
from mmsb.capture.julia import Candidate
from mmsb.interfaces import render
from mmsb.query.decisions import Decided, DecisionsView, decisions

PROGRAM = str(live.HERE / "decided.jl")

INLINED, NOT_INLINED = Decision.INLINED, Decision.NOT_INLINED
#: By hand, of ``decided.jl``: at which callee what is decided, and why.
BY_HAND = {
    "calls_fixed": [("fixed", NOT_INLINED, "declared @noinline")],
    "calls_small": [("small", INLINED, "")],
    "keeps_small": [("small", NOT_INLINED, "declared @noinline at the call")],
    "calls_dear": [("dear", NOT_INLINED, r"cost \d+ over 100")],
    "takes_dear": [("dear", INLINED, "")],
    "countdown": [("countdown", NOT_INLINED, "recursive")],
    "splits": [
        ("kind(::String)", NOT_INLINED, "declared @noinline"),
        ("kind", Decision.UNION_SPLIT, "every case"),
        ("kind(::Int64)", Decision.CONSTANT, ""),
    ],
    "knows": [("chosen", Decision.CONSTANT, ""), ("chosen", Decision.CONCRETE_EVAL, "")],
    "given": [("scaled", INLINED, ""), ("scaled", Decision.CONST_PROP, "")],
    "calls_grown": [("grown", INLINED, "")],
    "calls_anything": [("anything", Decision.CONSTANT, "")],
    "late": [("fixed_or", NOT_INLINED, "dynamic dispatch: 5 methods match")],
    "fails": [
        ("ArgumentError", NOT_INLINED, "its result is known, and cannot stand in code"),
        ("ArgumentError", Decision.CONCRETE_EVAL, ""),
    ],
}
#: Statements by which a function loses effects, by hand: what its text has, the letter. (1.12 makes
#: a statement of each name that is called.)
TAKES = {
    "countdown": (r"countdown\(%|\(%\d+\)\(%\d+\)", "t"),
    "bumps": ("setindex!", "e"),
    "fails": (r"throw\(%|\(%\d+\)\(%\d+\)", "n"),
    "dear": ("goto", "t"),
}


@dataclass
class Told:
    """A recording with its decisions, and what Julia's reflection says of the same functions."""

    made: live.Recorded
    truth: dict[str, dict[str, list[str]]]

    def view(self, function: str) -> DecisionsView:
        return decisions(self.made.memory, f"Main.{function}")

    def of(self, function: str, *kinds: Decision) -> list[Decided]:
        return [d for d in self.view(function).decisions if not kinds or d.kind in kinds]


@pytest.fixture(scope="module")
def told(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Told:
    if live.version(julia) < (1, 10):
        pytest.skip(f"no decisions are recorded of Julia {julia.version}")
    output = tmp_path_factory.mktemp("decided") / "decided.mmsb"
    made = live.record(julia, output, [PROGRAM], depth=1, capture="decisions")
    truth: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for said in live.said(julia, [PROGRAM, "truth"]).splitlines():
        function, what, value = said.split("\t")
        truth[function][what].append(value)
    return Told(made, truth)


def plain(callee: str) -> str:
    """``fixed`` of ``Main.fixed(::Int64)``."""
    return callee.split("(", maxsplit=1)[0].rsplit(".", 1)[-1]


@pytest.mark.parametrize("function", BY_HAND)
def test_decisions_are_those_written_by_hand(told: Told, function: str) -> None:
    made = [
        d
        for d in told.of(function)
        if d.kind not in (Decision.REMARK, Decision.EFFECT) and not d.callee.startswith("Base.")
    ]
    expected = BY_HAND[function]
    own = [d for d in made if plain(d.callee) in {plain(callee) for callee, _, _ in expected}]
    assert len(own) == len(expected)
    for d, (callee, kind, reason) in zip(own, expected, strict=True):
        assert (d.callee if "(" in callee else plain(d.callee)) == callee
        assert d.kind is kind
        assert re.fullmatch(reason, d.reason)


def test_inlined_is_gone_and_not_inlined_is_called(told: Told) -> None:
    """In the final IR, as ``code_typed`` has it."""
    found = 0
    for function, truth in told.truth.items():
        inlined = {plain(d.callee) for d in told.of(function, INLINED)}
        kept = told.of(function, NOT_INLINED)
        dynamic = {plain(d.callee) for d in kept if d.reason.startswith("dynamic")}
        called = {plain(d.callee) for d in kept} - dynamic
        assert called <= set(truth["invoke"]), function
        assert dynamic == set(truth["call"]), function
        assert not (inlined - called) & {*truth["invoke"], *truth["call"]}, function
        found += len(called) + len(inlined)
    assert found > 30


def test_costs_are_the_compilers(told: Told) -> None:
    counted = 0
    for function in told.truth:
        for d in told.of(function, INLINED, NOT_INLINED):
            truth = told.truth.get(plain(d.callee))
            if truth is None or d.cost is None or d.threshold is None:
                continue
            (cost,) = map(int, truth["cost"])  # 65535: too dear, and not counted further
            assert d.cost == cost or (cost == 65535 and d.cost > d.threshold)
            counted += 1
    assert counted >= 4


def test_constants_are_those_of_inference(told: Told) -> None:
    kinds = (Decision.CONSTANT, Decision.CONCRETE_EVAL, Decision.SEMI_CONCRETE)
    for function in ("knows", "calls_anything", "dear"):
        found = {d.type for d in told.of(function, *kinds)}
        known = [v for v in told.truth[function]["constant"] if v in ("1", "true", "false")]
        assert known
        assert {f"Const({value})" for value in known} <= found


def test_lost_effects_are_those_julia_prints(told: Told) -> None:
    """Each of the function's lost effects is taken by a statement, and no other one is."""
    for function, truth in told.truth.items():
        (printed,) = truth["effects"]
        lost = {e[-1] for e in printed.split(",") if not e.startswith("+")}
        taken = {
            e[-1] for d in told.of(function, Decision.EFFECT) for e in str(d.effects).split(",")
        }
        assert taken == lost, function


@pytest.mark.parametrize("function", TAKES)
def test_the_statement_that_takes_an_effect_is_named(told: Told, function: str) -> None:
    text, letter = TAKES[function]
    (taking,) = [d for d in told.of(function, Decision.EFFECT) if letter in str(d.effects)]
    assert re.search(text, taking.text)


def test_remarks_are_the_compilers_own_words(told: Told) -> None:
    said = {d.reason for d in told.of("late", Decision.REMARK)}
    assert "Too many methods matched" in said


def test_a_type_that_recursion_limited_is_no_fault(told: Told) -> None:
    head = told.made.head
    wrapped = [page for page in head.pages("decision") if "wrapped" in head.subject(int(page))]
    assert len(wrapped) > 2


def test_shown_and_as_json(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    view = told.view("calls_dear")
    render.show(view)
    assert re.search(
        r"dear\(::Float64\) not inlined, cost \d+ of 100: cost", capsys.readouterr().out
    )
    render.show(view, as_json=True)
    said = json.loads(capsys.readouterr().out)
    (dear,) = [d for d in said["decisions"] if d["callee"] == "dear(::Float64)" and d["cost"]]
    assert dear["threshold"] == 100 < dear["cost"]
