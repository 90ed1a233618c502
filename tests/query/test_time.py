"""Questions about change: diff, log, blame, why, warn, story."""

from __future__ import annotations

import pytest
from building import Builder, instance_key, integer
from redefinition import METHOD_G, F

from mmsb.base.errors import UnknownName
from mmsb.base.model import NONE_U32, CodeState, EventKind, Stage, Tag
from mmsb.query import diff, history, overview, story, warn, why
from mmsb.query.reader import Reader


def changes(view: diff.DiffView) -> list[tuple[int, str, tuple[str, ...]]]:
    return [(s.row, s.change, s.columns) for s in view.statements]


def test_a_type_that_changed_is_a_change_of_the_type_alone(memory: Reader) -> None:
    view = diff.diff(memory, "f", 4, 8, stage=Stage.INFERRED)
    assert changes(view) == [(0, "changed", ("type",)), (1, "changed", ("type",)), (2, "kept", ())]
    assert "- 1 ─ %1 = Main.g(x)::Int64" in str(view)
    assert "+ 1 ─ %1 = Main.g(x)::Any   (type)" in str(view)


def test_rows_that_came_and_went(memory: Reader) -> None:
    view = diff.diff(memory, "f", 4, 8)
    assert view.stage is Stage.OPTIMIZED
    assert changes(view) == [
        (0, "removed", ()),
        (3, "added", ()),
        (1, "changed", ("operands", "type")),
        (2, "kept", ()),
    ]
    assert view.counts == {"kept": 1, "changed": 1, "removed": 1, "added": 1}


def test_nothing_differs_within_one_version(memory: Reader) -> None:
    view = diff.diff(memory, "f", 4, 5)
    assert view.equal
    assert "No statement differs" in str(view)


def test_a_statement_that_only_moved_is_kept(builder: Builder) -> None:
    key = instance_key("k", "Core.Int64")
    at = {"alive": 1, "slot": NONE_U32 - 1}
    returned = {"row": 0, "position": 0, "opcode": "return", "operands": [integer(1)], **at}
    with builder.epoch():
        builder.instance(key, "k(::Int64)")
        builder.code(key, 0, min_world=1)
        builder.body(key, Stage.LOWERED, [returned], blocks=[(0, 0)])
    with builder.epoch():
        before = {"row": 1, "position": 0, "opcode": "nothing", **at}
        builder.body(key, Stage.LOWERED, [before, {"row": 0, "position": 1}], blocks=[(0, 1)])
    with builder.done() as memory:
        view = diff.diff(memory, "k", 1, 2)
        assert changes(view) == [(1, "added", ()), (0, "kept", ())]


def test_log_counts_what_each_epoch_holds(memory: Reader) -> None:
    entries = history.log(memory).entries
    assert [entry.epoch for entry in entries] == list(range(1, 10))
    assert entries[0].events == {"defined": 3}
    assert (entries[0].first_world, entries[0].last_world) == (101, 103)
    assert entries[4].events == {"defined": 1, "invalidated": 2, "superseded": 1}
    assert entries[4].functions == ("g(::Any)", "f(::Int64)", "top(::Int64)", "g(::Int64)")
    assert entries[1].statements == 5
    assert entries[6].statements == 2


def test_log_filters(memory: Reader) -> None:
    f = history.log(memory, function="f").entries
    assert [entry.epoch for entry in f] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [e.epoch for e in history.log(memory, stage=Stage.INFERRED).entries] == [3, 7]
    assert [e.epoch for e in history.log(memory, kind=EventKind.SUPERSEDED).entries] == [5]
    assert [e.epoch for e in history.log(memory, function="f", at=3).entries] == [1, 2, 3]
    with pytest.raises(UnknownName):
        history.log(memory, function="nobody")


def test_an_empty_log_speaks_of_a_filter_where_there_is_one(builder: Builder) -> None:
    with builder.done() as empty:
        assert str(history.log(empty)).strip() == "No epoch has an event."
        filtered = history.log(empty, kind=EventKind.SUPERSEDED)
        assert str(filtered).strip() == "No epoch has such an event."


def test_blame_names_the_epoch_of_the_last_change(memory: Reader) -> None:
    inferred = history.blame(memory, "f", stage=Stage.INFERRED)
    assert [s.epoch for s in inferred.statements] == [7, 7, 2]
    assert inferred.statements[0].what == "inferred, version 2"
    optimized = history.blame(memory, "f", at=4)
    assert [s.epoch for s in optimized.statements] == [4, 4, 2]


def test_why_tells_cause_way_and_world(memory: Reader) -> None:
    (fate,) = why.why(memory, "top").fates
    (reason,) = fate.reasons
    assert reason.state is CodeState.INVALIDATED
    assert (reason.last_world, reason.world, reason.epoch, reason.depth) == (103, 104, 5, 2)
    assert [(cause.method, cause.definition) for cause in reason.causes] == [(METHOD_G, 2)]
    assert reason.via == ("f(::Int64)",)
    assert not fate.valid
    assert "invalidated" in str(why.why(memory, "top"))


def test_superseded_is_another_word_than_invalidated(memory: Reader) -> None:
    (fate,) = why.why(memory, "g").fates
    (reason,) = fate.reasons
    assert reason.state is CodeState.SUPERSEDED
    assert fate.versions[0].max_world is None
    text = str(why.why(memory, "g"))
    assert "superseded" in text
    assert "invalidated" not in text


def test_before_the_redefinition_nothing_had_ended(memory: Reader) -> None:
    (fate,) = why.why(memory, "f", at=4).fates
    assert fate.reasons == ()
    assert fate.valid
    assert "Nothing invalidated" in str(why.why(memory, "f", at=4))


def test_warn_finds_what_inference_lost(memory: Reader) -> None:
    assert warn.warn(memory, "f", at=4).functions == ()
    (found,) = warn.warn(memory, "f").functions
    assert [(u.what, u.type, u.small) for u in found.unstable] == [("%1", "Any", False)]
    assert [(d.number, d.text) for d in found.dispatches] == [(2, "%1 * 2")]


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("Core.Union{Core.Float64, Core.Int64}", [("%1", True)]),
        ("Core.Union{Core.Any, Core.Int64}", [("%1", False)]),
        ("Core.Union{Core.Nothing, Core.Tuple{Core.Int64, Core.Int64}}", []),  # a loop's own
        ("Core.Box", [("%1", False)]),
        ("Core.Int64", []),
    ],
)
def test_warn_by_type(builder: Builder, type_: str, expected: list[tuple[str, bool]]) -> None:
    key = instance_key("k", "Core.Int64")
    at = {"alive": 1, "slot": NONE_U32 - 1}
    call = [(Tag.GLOBAL, "Main.h")]
    with builder.epoch():
        builder.instance(key, "k(::Int64)")
        builder.code(key, 0, min_world=1, return_type="Core.Int64")
        statements = [
            {"row": 0, "position": 0, "opcode": "call", "operands": call, "type": type_, **at},
            {"row": 1, "position": 1, "opcode": "return", "operands": [(Tag.SSA, 0)], **at},
        ]
        builder.body(key, Stage.INFERRED, statements, blocks=[(0, 1)])
    with builder.done() as memory:
        found = [u for w in warn.warn(memory, "k").functions for u in w.unstable]
        assert [(u.what, u.small) for u in found] == expected


def test_story_is_about_the_function_that_was_invalidated_and_came_back(memory: Reader) -> None:
    told = story.story(memory)
    assert told.diff is not None
    assert told.diff.function.key == F
    assert [view.stage for view in told.stages] == [Stage.LOWERED, Stage.INFERRED, Stage.OPTIMIZED]
    assert len(told.ended) == 3
    assert told.past is not None
    assert told.past.now.count > told.past.then.count
    assert "What to try next" in str(told)


def test_story_of_a_memory_without_redefinition(builder: Builder) -> None:
    with builder.epoch():
        builder.method("g", "Core.Any", world=1)
    with builder.done() as memory:
        told = story.story(memory)
        assert told.diff is None
        assert "1 defined" in str(told)


def test_stats_say_what_is_not_seen(memory: Reader) -> None:
    told = overview.stats(memory)
    assert told.functions == 3
    assert told.rows["statement"] == 6
    assert any("machine code" in limit for limit in told.limits)
    assert "The memory is healthy." in str(told)


def test_stats_show_what_was_measured(memory: Reader) -> None:
    now = memory.at()
    page = int(now.pages("instance")[0])
    now.column("instance", page, "name")
    told = memory.overview()
    assert told.vitals.latency["column"]["count"] >= 1
    shown = str(told)
    assert "read most" in shown
    assert f"{now.subject(page)} " in shown


@pytest.mark.parametrize("question", ["story", "overview", "log"], ids=["story", "overview", "log"])
def test_answers_turn_into_plain_data(memory: Reader, question: str) -> None:
    import json

    answer = getattr(memory, question)()
    assert json.loads(json.dumps(answer.to_dict())) == answer.to_dict()
    assert answer._repr_html_().startswith("<div")
