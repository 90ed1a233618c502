"""A memory in which ``g`` was redefined under its caller ``f``, and everything is known by heart.

g(x) = x + 1;  f(x) = g(x) * 2;  top(x) = f(x)        window 0, epochs 1 … 4
g(x) = x + 0.5                                        window 1, epochs 5 … 8
"""

from __future__ import annotations

from building import Builder, instance_key, integer, method_key

from mmsb.base.model import CallKind, CodeState, EventKind, Stage, Tag
from mmsb.query.reader import Reader

G, F, TOP = (instance_key(name, "Core.Int64") for name in ("g", "f", "top"))
METHOD_G = method_key("g", "Core.Any")


def redefinition(builder: Builder) -> Reader:
    """The memory, still open."""
    _first_window(builder)
    _second_window(builder)
    return builder.done()


def _first_window(b: Builder) -> None:
    with b.epoch():
        b.method("g", "Core.Any", world=101)
        b.method("f", "Core.Any", world=102, line=7)
        b.method("top", "Core.Any", world=103)
    with b.epoch():
        for key, name in ((F, "f"), (TOP, "top"), (G, "g")):
            b.instance(key, f"{name}(::Int64)")
            b.slots(key, "#self#", "x")
            b.code(key, 0, min_world=100, return_type="Core.Int64", definition=1, compiled=0)
        call_g = [(Tag.GLOBAL, "Main.g"), (Tag.SLOT, 1)]
        twice = [(Tag.GLOBAL, "Main.*"), (Tag.SSA, 0), integer(2)]
        alive = {"alive": 1, "slot": 0xFFFFFFFE, "line": 0}
        lowered = [
            {"row": 0, "position": 0, "opcode": "call", "operands": call_g, **alive},
            {"row": 1, "position": 1, "opcode": "call", "operands": twice, **alive},
            {"row": 2, "position": 2, "opcode": "return", "operands": [(Tag.SSA, 1)], **alive},
        ]
        b.body(F, Stage.LOWERED, lowered, blocks=[(0, 2)], world=103)
        call_f = [(Tag.GLOBAL, "Main.f"), (Tag.SLOT, 1)]
        b.body(
            TOP,
            Stage.LOWERED,
            [
                {"row": 0, "position": 0, "opcode": "call", "operands": call_f, **alive},
                {"row": 1, "position": 1, "opcode": "return", "operands": [(Tag.SSA, 0)], **alive},
            ],
            blocks=[(0, 1)],
            world=103,
        )
    with b.epoch():
        types = [{"row": row, "type": "Core.Int64"} for row in (0, 1)]
        b.body(F, Stage.INFERRED, types, world=103)
    with b.epoch():
        invoke = [(Tag.INSTANCE, G), (Tag.GLOBAL, "Main.g"), (Tag.ARGUMENT, 2)]
        multiply = [(Tag.GLOBAL, "Base.mul_int"), (Tag.SSA, 0), integer(2)]
        optimized = [
            {"row": 0, "opcode": "invoke", "operands": invoke},
            {"row": 1, "operands": multiply},
        ]
        b.body(F, Stage.OPTIMIZED, optimized, world=103)
        b.call(F, 0, 0, CallKind.INVOKE, Stage.OPTIMIZED)


def _second_window(b: Builder) -> None:
    with b.epoch():
        b.method("g", "Core.Any", world=104, definition=2)
        invalid, over = CodeState.INVALIDATED, CodeState.SUPERSEDED
        b.ended(F, METHOD_G, state=invalid, world=104, depth=1, window=1)
        b.ended(TOP, METHOD_G, state=invalid, world=104, depth=2, via=F, window=1)
        b.ended(G, METHOD_G, state=over, world=104, window=1)
        for key, state in ((F, invalid), (TOP, invalid), (G, over)):
            capped = {"max_world": 103} if state is invalid else {}
            b.code(key, 0, state=state, **capped)
            kind = EventKind.INVALIDATED if state is invalid else EventKind.SUPERSEDED
            b.event(kind, key, 104, 0, window=1)
    with b.epoch():
        b.code(F, 1, min_world=104, return_type="Core.Float64", definition=1, compiled=0)
        b.body(F, Stage.LOWERED, [], world=104, version=1)
    with b.epoch():
        types = [{"row": 0, "type": "Core.Any"}, {"row": 1, "type": "Core.Float64"}]
        b.body(F, Stage.INFERRED, types, world=104, version=1)
    with b.epoch():
        add = [(Tag.GLOBAL, "Base.add_float"), (Tag.ARGUMENT, 2)]
        dynamic = [(Tag.GLOBAL, "Main.*"), (Tag.SSA, 3), integer(2)]
        optimized = [
            {"row": 0, "alive": 0},
            {"row": 3, "alive": 1, "position": 0, "opcode": "call", "operands": add,
             "type": "Core.Any", "slot": 0xFFFFFFFE},
            {"row": 1, "operands": dynamic},
        ]  # fmt: skip
        b.body(F, Stage.OPTIMIZED, optimized, world=104, version=1)
        b.call(F, 1, 1, CallKind.DYNAMIC, Stage.OPTIMIZED)
    with b.epoch():
        b.event(EventKind.ENDED, "", 104, window=1)
