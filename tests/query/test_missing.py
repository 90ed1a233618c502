"""What an answer says, and exits with, where the recording lacks what it would be made of."""

from __future__ import annotations

import re
from typing import Any

import pytest
from building import Builder, instance_key

from mmsb.base import schema
from mmsb.base.errors import UnknownName
from mmsb.base.model import NONE_U32, EventKind, Provenance, Stage
from mmsb.query import functions
from mmsb.query.reader import Moment

KEY = instance_key("f", "Core.Int64")
KILLED = {"state": "incomplete", "reason": "the program was killed by signal 9"}
NATIVE = {"julia": "1.12.5", "tier": "native", "capture": "final", "state": "complete"}
REFLECT = {"julia": "1.12.5", "tier": "reflect", "capture": "reflect", "state": "complete"}
OLD = {"julia": "1.5.3", "tier_reason": "the inside of Julia 1.5.3 is not known"}
NEW = {"julia": "1.99.0", "tier_reason": "the inside of Julia 1.99.0 is not known"}
BROKE_OFF = "the recording is incomplete (the program was killed by signal 9)"


def recorded(builder: Builder, notes: dict[str, str], *, known: bool = True) -> Moment:
    """A recording that noted this of itself and holds code of one function, without IR."""
    with builder.epoch():
        if known:
            builder.instance(KEY, "f(::Int64)")
            builder.code(KEY, 0, min_world=1)
        builder.event(EventKind.ENDED, "", 1)
        builder.note(**notes)
    return builder.done().at()


def asked(moment: Moment, question: str) -> Any:
    about_f = question in ("decisions", "dependencies")
    return getattr(moment, question)(*(["f"] if about_f else []))


@pytest.mark.parametrize(
    ("question", "notes", "why"),
    [
        ("tree", NATIVE | KILLED, BROKE_OFF),
        ("tree", REFLECT, "--capture reflect sees none of it; record with --capture events"),
        ("tree", REFLECT | OLD, "record a Julia from 1.10 with --capture events"),
        ("tree", REFLECT | NEW, "the inside of Julia 1.99.0 is not known"),
        ("invalidations", NATIVE | KILLED, BROKE_OFF),
        ("invalidations", REFLECT, "--capture reflect sees none of it"),
        ("dependencies", NATIVE | KILLED, BROKE_OFF),
        ("dependencies", NATIVE | {"julia": "1.10.2"}, "Julia 1.10.2 does not keep them"),
        ("dependencies", REFLECT, "--capture reflect sees none of it"),
        ("decisions", NATIVE, "--capture final keeps none; record with --capture decisions"),
        ("decisions", NATIVE | {"capture": "decisions"} | KILLED, BROKE_OFF),
        ("decisions", REFLECT, "record with --capture decisions"),
        ("warn", NATIVE | {"capture": "events"}, "record with --capture final"),
        ("warn", NATIVE | {"min_inference_ms": "5.0"}, "less than 5.0 ms (--min-inference-ms)"),
        ("warn", NATIVE | {"functions": "g h"}, "only of g h (--function)"),
        ("warn", NATIVE | KILLED, BROKE_OFF),
    ],
)
def test_what_was_not_recorded(
    builder: Builder, question: str, notes: dict[str, str], why: str
) -> None:
    answer = asked(recorded(builder, notes), question)
    assert why in str(answer)
    assert answer.exit_code == 3


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("tree", "Nothing was inferred up to epoch 1."),
        ("invalidations", "Nothing was invalidated up to epoch 1."),
        ("dependencies", "is what no recorded code depends on"),
        ("decisions", "nothing was decided about it"),
    ],
)
def test_that_nothing_happened_is_an_answer(builder: Builder, question: str, says: str) -> None:
    answer = asked(recorded(builder, NATIVE | {"capture": "decisions"}), question)
    assert says in str(answer)
    assert answer.exit_code == 0


def test_of_one_function_nothing_is_said_of_the_others(builder: Builder) -> None:
    told = recorded(builder, NATIVE).invalidations("f")
    assert str(told) == "No invalidation tree names f up to epoch 1."


@pytest.mark.parametrize(
    ("notes", "why"),
    [
        (NATIVE, "--capture final keeps none; record with --capture passes"),
        (
            NATIVE | {"capture": "decisions"},
            "--capture decisions keeps none; record with --capture",
        ),
        (NATIVE | {"capture": "passes"} | KILLED, BROKE_OFF),
        (REFLECT, "--capture reflect sees none of it; record with --capture passes"),
        (REFLECT | OLD, "record a Julia from 1.10 with --capture passes"),
    ],
)
def test_a_pass_that_was_not_recorded(builder: Builder, notes: dict[str, str], why: str) -> None:
    with builder.epoch():
        builder.instance(KEY, "f(::Int64)")
        builder.body(KEY, Stage.LOWERED, [], said=Provenance.NATIVE)
    with pytest.raises(UnknownName, match=re.escape(why) + ".*; known are lowered"):
        recorded(builder, notes, known=False).show("f", "sroa")


def test_warnings_of_a_program_without_code(builder: Builder) -> None:
    found = recorded(builder, NATIVE, known=False).warn()
    assert "Nothing could be checked: no function of the program was compiled" in str(found)
    assert found.exit_code == 3


def test_warnings_of_a_killed_program(builder: Builder) -> None:
    assert BROKE_OFF in str(recorded(builder, NATIVE | KILLED, known=False).warn())


def test_warnings_count_what_could_not_be_checked(builder: Builder) -> None:
    other = instance_key("f", "Core.Float64")
    with builder.epoch():
        builder.instance(other, "f(::Float64)")
        builder.code(other, 0, min_world=1, return_type="Core.Int64")
        builder.body(other, Stage.INFERRED, [])
    found = recorded(builder, NATIVE | {"min_inference_ms": "5.0"}).warn("f")
    assert (found.checked, found.not_checked, found.exit_code) == (1, 1, 0)
    assert str(found).splitlines()[1].startswith("1 more could not be checked: no body recorded")


def test_an_earlier_epoch_lacks_nothing(builder: Builder) -> None:
    with builder.epoch():
        builder.event(EventKind.DEFINED, KEY, 1)
    memory = recorded(builder, NATIVE)._memory
    assert str(memory.at(1).tree()) == "Nothing was inferred up to epoch 1."


def test_no_hint_at_passes_that_changed_nothing(builder: Builder) -> None:
    with builder.epoch():
        builder.instance(KEY, "f(::Int64)")
        for stage in (Stage.INFERRED, Stage.CONVERT, Stage.OPTIMIZED):
            builder.body(KEY, stage, [], said=Provenance.NATIVE)
    assert "as a patch" not in str(builder.done().at().passes("f"))


@pytest.mark.parametrize(
    "question", ["dominators", "tree", "invalidations", "warn", "reached", "functions", "show"]
)
def test_a_memory_without_a_recording_says_how_to_make_one(builder: Builder, question: str) -> None:
    said: Any
    with builder.done() as memory:
        ask: dict[str, Any] = {
            "reached": lambda: memory.reached(0, 0),
            "functions": lambda: functions.functions(memory),
            "show": lambda: memory.at().show("f"),
        }
        try:
            said = ask[question]() if question in ask else getattr(memory.at(), question)()
            assert said.exit_code == 3
        except UnknownName as refused:
            said = refused
    assert "`mmsb record -o NAME.mmsb script.jl` makes one" in str(said)


def test_dominators_without_times(builder: Builder) -> None:
    with builder.epoch():
        builder.note(**NATIVE)
        builder.add(schema.INFERENCE, instance=KEY, parent=NONE_U32)
    with builder.done() as memory:
        told = memory.at().dominators()
    assert told.exit_code == 3
    assert "No inference times were recorded of what Julia 1.12.5 inferred; `mmsb rec" in str(told)


def test_decisions_come_without_passes_and_stats_says_so(builder: Builder) -> None:
    found = recorded(builder, NATIVE | {"capture": "decisions"})._memory.overview()
    assert "--capture passes keeps them" in str(found)
