"""Stages overlay: whatever came of passes, versions and late answers, each stage reads as told.

The oracle is plain: it holds every stage of every version whole.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telling import SELF, Recording, Statement, Told, read, seen

from mmsb.base import schema
from mmsb.base.model import (
    PASSES,
    STAGES,
    UNSET_U8,
    EventKind,
    Provenance,
    Stage,
)
from mmsb.base.schema import staged

Version = dict[Stage, Told]


@st.composite
def bodies(draw: st.DrawFn, lowered: int | None) -> Told:
    """A body; ``lowered``: how many statements its version's lowered form has, None for that."""
    count = draw(st.integers(1, 5))
    place = st.integers(0, count - 1)
    operand = st.one_of(
        st.sampled_from(["1", "2", '"x"']),
        st.tuples(st.sampled_from(["ssa", "edge"]), place),
        st.tuples(st.sampled_from(["1", "2"]), st.tuples(st.just("ssa"), place)),
    )
    told = []
    for at in range(count):
        inlined = lowered is not None and draw(st.booleans())
        told.append(
            Statement(
                draw(st.sampled_from(["call", "phi", "return", "goto"])),
                draw(st.sampled_from(["Core.Any", "Core.Int64", "Core.Float64"])),
                tuple(draw(st.lists(operand, max_size=3))),
                origin=at if lowered is None else draw(st.integers(0, 3)),
                scope=draw(st.integers(0, 1)) if inlined else SELF,
                flags=draw(st.integers(0, 2)),
            )
        )
    return told


LATER = [stage for stage in STAGES if stage is not Stage.LOWERED]


@st.composite
def versions(draw: st.DrawFn) -> Version:
    lowered = draw(bodies(None))
    stages = draw(st.lists(st.sampled_from(LATER), unique=True))
    return {Stage.LOWERED: lowered, **{s: draw(bodies(len(lowered))) for s in stages}}


def expected(version: Version, stage: Stage) -> list[Statement]:
    """The latest stage that the version has, up to this one."""
    told = [version[s] for s in STAGES[: STAGES.index(stage) + 1] if s in version]
    return seen(told[-1])


def check(recording: Recording, version: Version) -> None:
    now = recording.memory.at()
    for stage in STAGES:
        assert read(now, "f", stage) == expected(version, stage), stage


def begin(folder: str) -> Recording:
    recording = Recording(Path(folder) / "m.mmsb", origin="debuginfo", tier="native")
    recording.shim.scope("g", 0)
    recording.shim.scope("h", 1)
    recording.shim.method("f", 11)
    recording.shim.instance("f")
    return recording


@given(st.lists(versions(), min_size=1, max_size=4))
@settings(max_examples=30)
def test_every_stage_of_the_current_version_reads_as_told(told: list[Version]) -> None:
    """Versions replace each other, each with stages of its own."""
    with TemporaryDirectory() as folder:
        recording = begin(folder)
        for number, version in enumerate(told):
            recording.shim.code("f", 11, version, order=number, low=11 + number)
            recording.all()
            check(recording, version)
        recording.memory.close()


@given(st.lists(versions(), min_size=1, max_size=3))
@settings(max_examples=20)
def test_versions_of_one_window_are_told_one_after_another(told: list[Version]) -> None:
    with TemporaryDirectory() as folder:
        recording = begin(folder)
        for number, version in enumerate(told):
            recording.shim.code("f", 11, version, order=number, low=11 + number)
        recording.all()
        check(recording, told[-1])
        recording.memory.close()


@given(versions(), st.lists(versions(), min_size=1, max_size=3), versions())
@settings(max_examples=30)
def test_what_comes_late_changes_no_stage_that_was_there(
    first: Version, late: list[Version], successor: Version
) -> None:
    """Answers come by and by; after each commit all stages of the version read as told so far."""
    with TemporaryDirectory() as folder:
        recording = begin(folder)
        recording.shim.code("f", 11, first, order=0)
        recording.all()
        have = dict(first)
        for more in late:
            recording.shim.code("f", 11, more, order=0)
            before = dict(have)
            have = {**more, **have}  # what is there already stays
            for _ in recording.drain():
                now = recording.memory.at()
                for stage, body in before.items():
                    assert read(now, "f", stage) == seen(body), stage
            check(recording, have)
        recording.shim.code("f", 11, successor, order=1, low=12)
        recording.all()
        check(recording, successor)
        recording.memory.close()


LOWERED = [
    Statement("call", operands=("1",)),
    Statement("return", operands=(("ssa", 0),), origin=1),
]
TYPED = [
    Statement("call", "Core.Int64", ("1",)),
    Statement("return", operands=(("ssa", 0),), origin=1),
]
FINAL = [Statement("return", operands=("2",), origin=1)]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return begin(str(tmp_path))


def events(recording: Recording) -> list[tuple[EventKind, str | None]]:
    return [(EventKind(row["kind"]), row["detail"]) for row in recording.table(schema.EVENT)]


def test_all_passes_of_a_window_are_one_epoch_between_inferred_and_optimized(
    recording: Recording,
) -> None:
    passes = {stage: TYPED for stage in PASSES if stage is not Stage.COMPACT3}
    told = {Stage.LOWERED: LOWERED, Stage.INFERRED: TYPED, **passes, Stage.OPTIMIZED: FINAL}
    recording.shim.code("f", 11, told, order=0)
    assert len(recording.all()) == 5
    names = "convert slot2reg compact1 inlining compact2 sroa adce"
    assert events(recording) == [
        (EventKind.DEFINED, None),
        (EventKind.LOWERED, None),
        (EventKind.INFERRED, None),
        (EventKind.PASSES, names),
        (EventKind.OPTIMIZED, None),
    ]
    [row] = recording.page(schema.CODE, "f")
    assert row[staged("provenance", Stage.ADCE)] == Provenance.NATIVE
    assert row[staged("provenance", Stage.COMPACT3)] == UNSET_U8


def test_a_second_answer_is_in_the_epoch_of_the_final_ir(recording: Recording) -> None:
    told = {Stage.LOWERED: LOWERED, Stage.OPTIMIZED: FINAL, Stage.REDERIVED: TYPED}
    recording.shim.code("f", 11, told, order=0)
    recording.all()
    assert events(recording)[-2:] == [(EventKind.LOWERED, None), (EventKind.OPTIMIZED, "rederived")]


def test_a_pass_that_changes_nothing_writes_nothing(recording: Recording) -> None:
    told = {Stage.LOWERED: LOWERED, Stage.INFERRED: TYPED, Stage.OPTIMIZED: FINAL}
    recording.shim.code("f", 11, {**told, **dict.fromkeys(PASSES, TYPED)}, order=0)
    recording.all()
    page = recording.page(schema.STATEMENT, "f")
    assert {row[staged("opcode", stage)] for row in page for stage in PASSES} == {None}
    assert len(recording.page(schema.OPERAND, "f")) == 3


def test_passes_of_replaced_code_are_left_out_and_counted(recording: Recording) -> None:
    told = {Stage.LOWERED: LOWERED, Stage.OPTIMIZED: FINAL}
    recording.shim.code("f", 11, told, order=0)
    recording.all()
    newer = {Stage.LOWERED: TYPED, Stage.OPTIMIZED: TYPED}
    recording.shim.code("f", 11, newer, order=1, low=12)
    recording.all()
    recording.shim.code("f", 11, {Stage.SROA: FINAL}, order=0)
    recording.all()
    check(recording, newer)
    assert EventKind.PASSES not in dict(events(recording))
    epoch = recording.memory.changes()
    recording.translator.finish({"state": "complete"})(epoch)
    recording.memory.commit(epoch)
    facts = {row["key"]: row["value"] for row in recording.table(schema.RECORDING)}
    assert facts["passes_of_replaced_code_left_out"] == "1"
