from __future__ import annotations

import pytest
from building import Builder, instance_key, integer
from redefinition import G

from mmsb.base.errors import UnknownName
from mmsb.base.model import NONE_U32, CodeState, Stage, Tag
from mmsb.query import ir
from mmsb.query.document import text_of
from mmsb.query.header import BareView
from mmsb.query.reader import Reader


def lines(view: ir.IRView) -> list[str]:
    return [text_of(line).rstrip() for line in view.lines]


def test_each_stage_is_a_patch_of_the_one_before(memory: Reader) -> None:
    assert lines(ir.show(memory, "f", at=4, stage=Stage.LOWERED)) == [
        "1 ─ %1 = Main.g(x)",
        "│   %2 = %1 * 2",
        "└──      return %2",
    ]
    assert lines(ir.show(memory, "f", at=4, stage=Stage.INFERRED)) == [
        "1 ─ %1 = Main.g(x)::Int64",
        "│   %2 = (%1 * 2)::Int64",
        "└──      return %2",
    ]
    assert lines(ir.show(memory, "f", at=4)) == [
        "1 ─ %1 = invoke Main.g(x::Int64)::Int64",
        "│   %2 = Base.mul_int(%1, 2)::Int64",
        "└──      return %2",
    ]


def test_the_past_stays_what_it_was(memory: Reader) -> None:
    then = ir.show(memory, "f", at=5)
    assert (then.written_epoch, then.version, then.return_type) == (4, 1, "Core.Int64")
    assert (then.state, then.max_world) == (CodeState.INVALIDATED, 103)
    now = ir.show(memory, "f")
    assert (now.written_epoch, now.version, now.state) == (8, 2, CodeState.VALID)
    assert lines(now)[0] == "1 ─ %1 = Base.add_float(x)::Any"


def test_one_version_does_not_leak_into_another(memory: Reader) -> None:
    """At epoch 6 only the lowered stage of version 2 is known; the newest inferred one is old."""
    assert lines(ir.show(memory, "f", at=6))[0] == "1 ─ %1 = Main.g(x)"
    inferred = ir.show(memory, "f", at=6, stage=Stage.INFERRED)
    assert (inferred.version, inferred.written_epoch) == (1, 3)


def test_a_stage_not_seen_says_when_it_was(memory: Reader) -> None:
    with pytest.raises(UnknownName, match="not seen in stage 'optimized' at epoch 3"):
        ir.show(memory, "f", at=3, stage=Stage.OPTIMIZED)
    with pytest.raises(UnknownName, match="this memory holds no recording"):
        ir.show(memory, "g", stage=Stage.LOWERED)


def test_without_any_body_the_code_is_told(memory: Reader) -> None:
    told = ir.show(memory, "g")
    assert isinstance(told, BareView)
    assert [version.return_type for version in told.versions] == ["Core.Int64"]
    assert "This memory holds no recording" in str(told)


def test_an_epoch_that_does_not_exist(memory: Reader) -> None:
    with pytest.raises(UnknownName, match="epoch 99 does not exist"):
        ir.show(memory, "f", at=99)


def test_calls_one_can_descend_into(memory: Reader) -> None:
    calls = ir.show(memory, "f", at=4).calls
    assert calls == ()  # the call has no callee recorded
    assert G in {function.key for function in memory.at().functions()}


def test_an_answer_is_plain_data_and_shows_itself(memory: Reader) -> None:
    view = ir.show(memory, "f", at=4)
    data = view.to_dict()
    assert data["stage"] == "optimized"
    assert data["statements"][0]["text"] == "invoke Main.g(x::Int64)"
    assert data["statements"][0]["type"] == "Int64"
    assert "lines" not in data
    assert "1 ─ %1 = invoke" in str(view)
    assert "<pre" in view._repr_html_()


def test_html_is_escaped(builder: Builder) -> None:
    key = instance_key("k", "Core.Int64")
    with builder.epoch():
        builder.instance(key, "k(::<b>)")
        builder.code(key, 0, min_world=1, return_type="Core.Int64")
        returned = {"row": 0, "alive": 1, "position": 0, "opcode": "return",
                    "operands": [(Tag.STRING, "<script>")]}  # fmt: skip
        builder.body(key, Stage.LOWERED, [returned], blocks=[(0, 0)])
    with builder.done() as memory:
        shown = ir.show(memory, "k")._repr_html_()
        assert "<script>" not in shown
        assert "&lt;script&gt;" in shown


def test_control_flow_in_julias_layout(builder: Builder) -> None:
    """A loop with a φ-node, a handler, and everything that points at statements by row."""
    key = instance_key("k", "Core.Int64")
    at = {"alive": 1, "slot": NONE_U32 - 1}
    # rows are given out of order on purpose: what is printed is the position
    statements = [
        {"row": 9, "position": 0, "opcode": "nothing", "type": "Core.Nothing"},
        {"row": 4, "position": 1, "opcode": "phi", "type": "Core.Int64",
         "operands": [(Tag.EDGE, 9), integer(1), (Tag.EDGE, 7), (Tag.SSA, 6)]},
        {"row": 5, "position": 2, "opcode": "gotoifnot",
         "operands": [(Tag.SSA, 4), (Tag.TARGET, 8)]},
        {"row": 6, "position": 3, "opcode": "pi", "type": "Core.Int64",
         "operands": [(Tag.SSA, 4), (Tag.TYPE, "Core.Int64")]},
        {"row": 7, "position": 4, "opcode": "goto", "operands": [(Tag.TARGET, 4)]},
        {"row": 8, "position": 5, "opcode": "return", "operands": [(Tag.SSA, 4)]},
    ]  # fmt: skip
    with builder.epoch():
        builder.instance(key, "k(::Int64)")
        builder.code(key, 0, min_world=1, return_type="Core.Int64")
        builder.body(
            key,
            Stage.OPTIMIZED,
            [statement | at for statement in statements],
            blocks=[(0, 0), (1, 2), (3, 4), (5, 5)],
            edges=[(0, 1), (1, 2), (1, 3), (2, 1)],
        )
    with builder.done() as memory:
        assert lines(ir.show(memory, "k")) == [
            "1 ─      nothing::Nothing",
            "2 ┄ %2 = φ (#1 => 1, #3 => %4)::Int64",
            "└──      goto #4 if not %2",
            "3 ─ %4 = π (%2, Int64)",
            "└──      goto #2",
            "4 ─      return %2",
        ]


def test_a_jump_to_another_statement_of_the_same_number_says_so(builder: Builder) -> None:
    key = instance_key("jump")
    for at, end in enumerate((2, 9)):
        with builder.epoch():
            builder.instance(key, "jump()")
            body = [
                {"row": 1, "position": 0, "opcode": "goto", "operands": [(Tag.TARGET, end)]},
                {"row": end, "position": 1, "opcode": "return", "operands": [integer(1)]},
            ]
            body = [{"alive": 1, "slot": NONE_U32 - 1} | statement for statement in body]
            body += [{"row": 2, "alive": 0}] if at else []
            blocks = [(0, 0), (1, 1)]
            builder.code(key, at, min_world=1 + at)
            builder.body(key, Stage.OPTIMIZED, body, blocks=blocks, version=at, world=1 + at)
    with builder.done() as memory:
        told = str(memory.compare("jump", 1, 2))
    assert "goto #2   (operands: the same number, of another statement)" in told
