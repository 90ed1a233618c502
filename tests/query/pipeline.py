"""A memory of the native tier in which everything is known by heart.

    g(x) = x + 1;  f(x) = g(x) * 2;  far(x) lies out of scope         world 101, 102
    g(x) = x + 5 ends f and g's callers                               world 103

f is inferred in 900 ns (500 of them itself), and goes through four passes: convert leaves it as it
is, inlining puts ``x + 1`` in place of the call, adce drops nothing, the final IR is native. Asked
again, the compiler folds nothing new but types the product as Integer.
"""

from __future__ import annotations

from building import SELF, Builder, instance_key, integer, method_key

from mmsb.base import schema
from mmsb.base.model import (
    NONE_U32,
    Cause,
    CodeState,
    Decision,
    Dependency,
    EventKind,
    Inference,
    Kept,
    Provenance,
    Rederived,
    Stage,
    Tag,
    TreeNode,
)
from mmsb.query.reader import Reader

G, F, FAR = (instance_key(name, "Core.Int64") for name in ("g", "f", "far"))
METHOD_G = method_key("g", "Core.Any")
CALL_TYPE = "Core.Tuple{typeof(Main.g), Core.Int64}"
#: Julia 1.12 prints these bits as (+c,+e,!n,+t,+s,+m,+u,+o,+r).
EFFECTS, EFFECTS_TEXT = 0b100000011000000, "(+c,+e,!n,+t,+s,+m,+u,+o,+r)"


def pipeline(builder: Builder) -> Reader:
    """The memory, still open. Epochs: 1 defined, 2 … 5 stages of f, 6 redefined, 7 the end."""
    b = builder
    with b.epoch():
        b.method("g", "Core.Any", world=101)
        b.method("f", "Core.Any", world=102)
    _compiled(b)
    _redefined(b)
    with b.epoch():
        b.event(EventKind.ENDED, "", 103, window=1)
        b.note(julia="1.12.5", tier="native", capture="passes", threads="1", state="complete")
        b.note(min_inference_ms="0.5", dropped="0")
    return b.done()


def _compiled(b: Builder) -> None:
    native, again = Provenance.NATIVE, Provenance.REDERIVED
    at = {"alive": 1, "slot": SELF}
    with b.epoch():
        for key, name, depth in ((F, "f", 0), (G, "g", 0), (FAR, "far", NONE_U32)):
            b.instance(key, f"{name}(::Int64)", depth=depth)
            b.slots(key, "#self#", "x")
            b.code(key, 0, min_world=100, return_type="Core.Int64", provenance=native)
        b.code(F, 0, exception_type="Core.MethodError", effects=EFFECTS, kept=Kept.KEPT,
               rederived=Rederived.DIFFERS, inclusive_ns=900, exclusive_ns=500)  # fmt: skip
        b.code(G, 0, rederived=Rederived.EQUAL, kept=Kept.DISCARDED, return_lattice="Const(1)")
        call = [(Tag.GLOBAL, "Main.g"), (Tag.ARGUMENT, 2)]
        twice = [(Tag.GLOBAL, "Main.*"), (Tag.SSA, 0), integer(2)]
        lowered = [
            {"row": 0, "position": 0, "opcode": "call", "operands": call, **at},
            {"row": 1, "position": 1, "opcode": "call", "operands": twice, **at},
            {"row": 2, "position": 2, "opcode": "return", "operands": [(Tag.SSA, 1)], **at},
        ]
        b.body(F, Stage.LOWERED, lowered, blocks=[(0, 2)], world=102, said=native)
    with b.epoch():
        types = [{"row": row, "type": "Core.Int64"} for row in (0, 1)]
        b.body(F, Stage.INFERRED, types, world=102, said=again)
    with b.epoch():
        add = [(Tag.GLOBAL, "Base.add_int"), (Tag.ARGUMENT, 2), integer(1)]
        multiply = [(Tag.GLOBAL, "Base.mul_int"), (Tag.SSA, 3), integer(2)]
        inlined = [
            {"row": 0, "alive": 0},
            {"row": 3, "alive": 1, "position": 0, "opcode": "call", "operands": add,
             "type": "Core.Int64", "slot": SELF},
            {"row": 1, "operands": multiply},
        ]  # fmt: skip
        b.body(F, Stage.CONVERT, [], world=102, said=again)
        b.body(F, Stage.INLINING, inlined, world=102, said=again)
        b.body(F, Stage.ADCE, [], world=102, said=again)
    with b.epoch():
        b.body(F, Stage.OPTIMIZED, [], world=102, said=native)
        b.body(F, Stage.REDERIVED, [{"row": 1, "type": "Core.Integer"}], world=102, said=again)
        _facts(b)


def _facts(b: Builder) -> None:
    frame = {"kind": Inference.NORMAL, "version": 0}
    far = b.add(schema.INFERENCE, instance=FAR, **frame, inclusive_ns=100, exclusive_ns=100)
    root = b.add(schema.INFERENCE, instance=F, **frame, inclusive_ns=900, exclusive_ns=500)
    b.add(schema.INFERENCE, parent=root, instance=G, **frame, inclusive_ns=300, exclusive_ns=300)
    b.add(schema.INFERENCE, parent=root, instance=G, version=NONE_U32, kind=Inference.CONSTANT,
          inclusive_ns=100, exclusive_ns=100)  # fmt: skip
    assert (far, root) == (0, 1)
    edges = ((Dependency.CODE, G), (Dependency.DISPATCH, CALL_TYPE), (Dependency.BINDING, "Main.K"))
    for row, (kind, target) in enumerate(edges):
        b.row(schema.DEPENDENCY, F, row, version=0, kind=kind, target=target)
    decided = (
        {"kind": Decision.INLINED, "statement": 0, "callee": G, "cost": 5, "threshold": 100},
        {"kind": Decision.NOT_INLINED, "statement": 1, "callee": "Main.*", "reason": "too costly",
         "cost": 140, "threshold": 100},
        {"kind": Decision.REMARK, "reason": "nothing to say"},
    )  # fmt: skip
    for row, cells in enumerate(decided):
        b.row(schema.DECISION, F, row, version=0, **cells)


def _redefined(b: Builder) -> None:
    with b.epoch():
        b.method("g", "Core.Any", world=103, definition=2)
        tree = {"window": 1, "cause": Cause.INSERTED, "world": 103}
        root = b.add(schema.INVALIDATION_TREE, node=TreeNode.ROOT, subject=METHOD_G, **tree)
        old = b.add(schema.INVALIDATION_TREE, node=TreeNode.CALLEE, subject=G, parent=root, **tree)
        victim = b.add(schema.INVALIDATION_TREE, node=TreeNode.CALLER, subject=F, parent=old,
                       depth=1, version=0, lost_ns=900, **tree)  # fmt: skip
        b.add(schema.INVALIDATION_TREE, node=TreeNode.CALLER, subject=FAR, parent=victim,
              depth=2, version=0, lost_ns=100, **tree)  # fmt: skip
        other = {"window": 1, "cause": Cause.BINDING, "world": 103}
        b.add(schema.INVALIDATION_TREE, node=TreeNode.ROOT, subject="Main.K", **other)
        b.ended(F, METHOD_G, state=CodeState.INVALIDATED, world=103, depth=1, window=1,
                tree=victim, lost_ns=900)  # fmt: skip
        b.code(F, 0, state=CodeState.INVALIDATED, max_world=102)
        b.event(EventKind.INVALIDATED, F, 103, 0, window=1)
