"""Questions about what the compiler did inside: passes, times, trees, decisions, dependencies."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from building import Builder, method_key
from pipeline import EFFECTS_TEXT, FAR, METHOD_G, F, G, pipeline

from mmsb.base import schema
from mmsb.base.errors import UnknownName, UsageError
from mmsb.base.model import (
    Cause,
    CodeState,
    Decision,
    Dependency,
    Inference,
    Provenance,
    Rederived,
    Stage,
    TreeNode,
)
from mmsb.query import (
    decisions,
    deps,
    diff,
    history,
    invalidations,
    ir,
    overview,
    passes,
    rederived,
    stages,
    story,
    tree,
    warn,
    why,
)
from mmsb.query.header import BareView
from mmsb.query.reader import Reader


@pytest.fixture
def native(builder: Builder) -> Iterator[Reader]:
    with pipeline(builder) as made:
        yield made


@pytest.mark.parametrize("text", ["inlining", "Inlining", "pass 4", "4", "PASS 4"])
def test_a_pass_by_name_or_number(text: str) -> None:
    assert stages.parse(text) is Stage.INLINING


def test_names_with_spaces_and_names_that_are_none() -> None:
    assert stages.parse("compact 1") is Stage.COMPACT1
    assert stages.parse("8") is Stage.COMPACT3
    for wrong in ("9", "0", "nonsense", ""):
        with pytest.raises(UsageError, match=r"inlining \(pass 4\)"):
            stages.parse(wrong)


def test_every_stage_is_shown_with_who_said_it(native: Reader) -> None:
    told = ir.show(native, "f", stage=Stage.INLINING)
    assert isinstance(told, ir.IRView)
    assert told.provenance is Provenance.REDERIVED
    assert [s.text for s in told.statements] == [
        "Base.add_int(x, 1)", "Base.mul_int(%1, 2)", "return %2",
    ]  # fmt: skip
    assert "inlining (pass 4)" in str(told)
    before = ir.show(native, "f", stage=Stage.CONVERT)
    assert isinstance(before, ir.IRView)
    assert before.statements[0].text == "Main.g(x)"
    final = ir.show(native, "f")
    assert isinstance(final, ir.IRView)
    assert (final.stage, final.provenance) == (Stage.OPTIMIZED, Provenance.NATIVE)
    assert final.statements[1].type == "Int64"


def test_a_stage_that_is_missing_says_why(native: Reader) -> None:
    with pytest.raises(UnknownName, match="of this code the recording has none; known are lowered"):
        ir.show(native, "f", stage=Stage.SROA)
    with pytest.raises(UnknownName, match="leaves this pass out where ADCE changed nothing"):
        ir.show(native, "f", stage=Stage.COMPACT3)
    with pytest.raises(UnknownName, match="first seen so at epoch 4"):
        ir.show(native, "f", at=2, stage=Stage.INLINING)


def test_the_header_tells_types_effects_and_times(native: Reader) -> None:
    told = ir.show(native, "f")
    assert isinstance(told, ir.IRView)
    head = told.header
    assert (head.effects, head.exception_type) == (EFFECTS_TEXT, "Core.MethodError")
    assert (head.inclusive_ns, head.exclusive_ns, head.compile_ns) == (900, 500, None)
    assert f"Throws MethodError, effects {EFFECTS_TEXT}." in str(told)
    assert "inferred in 900 ns (500 ns of it itself)" in str(told).lower()


def test_an_instance_out_of_scope_is_found_but_not_counted(native: Reader) -> None:
    told = ir.show(native, "far")
    assert isinstance(told, BareView)
    assert told.function.depth is None
    assert "out of the recording's scope; record with --module Main" in str(told)
    counts = overview.stats(native)
    assert (counts.functions, counts.far) == (2, 1)
    assert warn.warn(native, at=5).checked == 1
    assert "far(::Int64)" in str(tree.tree(native))


def test_passes_as_patches(native: Reader) -> None:
    steps = {step.stage: step for step in passes.passes(native, "f").steps}
    assert list(steps) == [
        Stage.LOWERED, Stage.INFERRED, Stage.CONVERT, Stage.INLINING, Stage.ADCE, Stage.OPTIMIZED,
    ]  # fmt: skip
    counts = {s: (x.statements, x.added, x.removed, x.changed) for s, x in steps.items()}
    assert counts[Stage.LOWERED] == (3, 0, 0, 0)
    assert counts[Stage.INFERRED] == (3, 0, 0, 2)
    assert counts[Stage.CONVERT] == (3, 0, 0, 0)
    assert counts[Stage.INLINING] == (3, 1, 1, 1)
    assert counts[Stage.OPTIMIZED] == (3, 0, 0, 0)
    assert steps[Stage.INLINING].columns == {"operands": 1}
    assert steps[Stage.INLINING].number == 4


def test_two_stages_compared(native: Reader) -> None:
    view = diff.stages(native, "f", Stage.INFERRED, Stage.INLINING)
    assert [(s.row, s.change) for s in view.statements] == [
        (0, "removed"), (3, "added"), (1, "changed"), (2, "kept"),
    ]  # fmt: skip
    assert "inferred → inlining (pass 4), version 1" in str(view)
    assert diff.stages(native, "f", Stage.INLINING, Stage.ADCE).equal


def test_where_the_compiler_asked_again_differs_both_are_shown(native: Reader) -> None:
    told = passes.provenance(native, "f")
    assert told.rederived is Rederived.DIFFERS
    assert told.header.stages["optimized"] is Provenance.NATIVE
    assert told.difference is not None
    assert [s.columns for s in told.difference.statements if s.change == "changed"] == [("type",)]
    assert "Base.mul_int(%1, 2)::Integer   (type)" in str(told)


def test_against_julia(native: Reader) -> None:
    told = rederived.against_julia(native)
    assert (told.equal, told.differs, told.alone, told.not_asked) == (1, 1, 0, 1)
    assert [(d.function.key, d.version) for d in told.differing] == [(F, 1)]
    assert told.exit_code == 1


def test_against_julia_without_anything_asked(memory: Reader) -> None:
    told = rederived.against_julia(memory)
    assert told.compared == 0
    assert told.exit_code == 3
    assert "Nothing could be compared" in str(told)


def test_the_inference_tree(native: Reader) -> None:
    told = tree.tree(native)
    assert [(f.key, f.level, f.kind) for f in told.frames] == [
        (F, 0, Inference.NORMAL),
        (G, 1, Inference.NORMAL),
        (G, 1, Inference.CONSTANT),
        (FAR, 0, Inference.NORMAL),
    ]
    assert (told.roots, told.total_frames, told.total_functions, told.total_ns) == (2, 4, 3, 1000)
    recorded = tree.tree(native, order="recorded", depth=1)
    assert [(f.key, f.hidden) for f in recorded.frames] == [(FAR, 0), (F, 2)]
    under = tree.tree(native, "g")
    assert [(f.level, f.asked_by) for f in under.frames] == [(0, "f(::Int64)")] * 2
    # what the headline counts is not the part that is shown
    assert str(told).startswith("4 frames")
    assert str(under).startswith("The whole tree: 4 frames")


def test_a_tree_that_was_not_recorded(memory: Reader) -> None:
    assert "No inference tree was recorded" in str(tree.tree(memory))


def test_invalidation_trees_biggest_first(native: Reader) -> None:
    told = invalidations.invalidations(native)
    assert [(t.root, t.victims, t.depth, t.lost_ns) for t in told.trees] == [
        (METHOD_G, 2, 2, 1000),
        ("Main.K", 0, 0, None),
    ]
    assert "g(::Any) was defined: 2 invalidated (2 functions, depth 2" in str(told)
    assert [t.root for t in invalidations.invalidations(native, "far").trees] == [METHOD_G]
    assert invalidations.invalidations(native, at=5).trees == ()


def test_why_follows_the_compilers_own_tree(native: Reader) -> None:
    (fate,) = why.why(native, "f").fates
    (reason,) = fate.reasons
    assert [node.subject for node in reason.chain] == [METHOD_G, G, F]
    assert (reason.what, reason.depth, reason.lost_ns) == ("g(::Any) was defined", 1, 900)
    text = str(why.why(native, "f"))
    assert "g(::Any) was defined (definition 2) → the replaced g(::Int64) → f(::Int64)" in text
    assert "900 ns of inference lost" in text


def test_a_callee_that_a_more_specific_method_overtook_was_not_replaced(builder: Builder) -> None:
    tree = {"window": 1, "cause": Cause.INSERTED, "world": 2}
    with builder.epoch():
        builder.instance(F, "f(::Int64)")
        builder.instance(G, "g(::Int64)")
        root = builder.add(
            schema.INVALIDATION_TREE,
            node=TreeNode.ROOT,
            subject=method_key("g", "Core.Int64"),
            **tree,
        )
        old = builder.add(
            schema.INVALIDATION_TREE, node=TreeNode.CALLEE, subject=G, parent=root, **tree
        )
        builder.add(schema.INVALIDATION_TREE, node=TreeNode.CALLER, subject=F, parent=old, **tree)
    with builder.done() as memory:
        told = str(why.why(memory, "f"))
        assert "g(::Int64) was defined → g(::Int64) of g(::Any), which was overtaken → f(" in told
        listed = str(invalidations.invalidations(memory))
        assert "  callers of g(::Int64) of g(::Any), which was overtaken\n" in listed
        assert "replaced" not in told + listed


def test_why_of_code_that_only_the_log_names(native: Reader) -> None:
    (fate,) = why.why(native, "far").fates
    (reason,) = fate.reasons
    assert (reason.state, reason.version, reason.depth) == (CodeState.INVALIDATED, 1, 2)
    assert [cause.definition for cause in reason.causes] == [2]


def test_decisions_stand_at_their_statements(native: Reader) -> None:
    told = decisions.decisions(native, "f")
    assert [(d.kind, d.number, d.text) for d in told.decisions] == [
        (Decision.INLINED, 1, "Main.g(x)"),
        (Decision.NOT_INLINED, 2, "%1 * 2"),
        (Decision.REMARK, None, ""),
    ]
    assert told.decisions[0].callee == "g(::Int64)"
    assert "not inlined, cost 140 of 100: too costly" in str(told)
    assert "nothing was decided about it" in str(decisions.decisions(native, "g"))


def test_dependencies_both_ways(native: Reader) -> None:
    told = deps.deps(native, "f")
    assert (told.on[0].kind, told.on[0].target) == (Dependency.CODE, G)
    assert [e.name for e in told.on] == ["g(::Int64)", "Tuple{typeof(g), Int64}", "Main.K"]
    assert [(e.target, e.version) for e in deps.deps(native, "g").dependents] == [(F, 1)]
    assert [e.target for e in deps.deps(native, "K").dependents] == [F]
    with pytest.raises(UnknownName):
        deps.deps(native, "Nobody")


def test_dependents_whose_code_ended_say_so(native: Reader) -> None:
    """f's code is invalidated in epoch 6."""
    valid, ended = deps.deps(native, "g", at=5), deps.deps(native, "g")
    for told, state in ((valid, CodeState.VALID), (ended, CodeState.INVALIDATED)):
        assert [(edge.target, edge.version, edge.state) for edge in told.dependents] == [
            (F, 1, state)
        ]
        assert told.to_dict()["dependents"][0]["state"] == state.name.lower()
    assert "no longer" not in str(valid)
    assert "invalidated" not in str(valid)
    assert "g(::Int64)  is what the code of 1 function depends on; of 1 it is no longer" in str(
        ended
    )
    assert "\n  f(::Int64)  version 1 (invalidated)\n" in f"{ended}\n"
    own = deps.deps(native, "f")
    assert {edge.state for edge in own.on} == {own.state} == {CodeState.INVALIDATED}
    assert "version 1 (invalidated) as of epoch" in str(own)
    assert "version 1 (invalidated)" in str(deps.deps(native, "K"))


def test_stats_tell_the_tier_and_what_is_not_deterministic(native: Reader) -> None:
    told = overview.stats(native)
    assert told.provenance == {"native": 3, "rederived": 0, "shadow": 0, "reflected": 0}
    assert (told.kept["discarded"], told.rederived["equal"], told.bodies["inlining"]) == (1, 1, 1)
    text = str(told)
    assert "tier native, capture passes" in text
    assert "Not deterministic, because code was chosen by the time" in text


def test_log_names_what_was_asked_again(native: Reader) -> None:
    told = history.log(native, stage=Stage.INLINING)
    assert [entry.epoch for entry in told.entries] == [4]
    assert "taken through the passes" in str(told)


def test_every_answer_is_plain_data(native: Reader) -> None:
    now = native.at()
    answers = [
        now.passes("f"), now.provenance("f"), now.tree(), now.invalidations(), now.why("f"),
        now.decisions("f"), now.dependencies("f"), now.compare_stages("f", "1", "inlining"),
        now.show("far"), native.against_julia(), story.story(native),
    ]  # fmt: skip
    for answer in answers:
        assert json.loads(json.dumps(answer.to_dict())) == answer.to_dict()
        assert answer._repr_html_().startswith("<div")
