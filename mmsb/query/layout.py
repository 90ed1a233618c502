"""Statements as Julia prints them: the text of operands and statements, block marks, ``%n``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property

from mmsb.base.model import Lattice, Stage, Tag
from mmsb.query.body import Body, Operand, Statement
from mmsb.query.document import Line, Role, Span, line
from mmsb.query.facts import TypeText
from mmsb.query.juliatext import (
    OPERATORS,
    base_name,
    character,
    global_name,
    method_path,
    parameters,
    short,
)
from mmsb.query.spelling import key_types

#: Opcodes whose value nobody reads: no type is printed for them.
SILENT = frozenset({"goto", "gotoifnot", "return", "unreachable", "enter", "pi", "newvar"})
_SMALL_UNION = 4
_EXACT = frozenset({"Core.Int64", "Core.Float64", "Core.Bool", "Core.Char", "Core.Nothing"})


class Layout:
    """The texts of one body. Texts are of a stage: only statements alive in it have a number."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self._positions = body.positions()
        self._block_of = _block_numbers(body)
        self._slots = _slot_names([slot.name for slot in body.slots])

    @cached_property
    def used(self) -> frozenset[int]:
        """Rows of statements whose value another statement reads."""
        found: set[int] = set()
        for statement in self.body.statements:
            _collect(statement.operands, found)
        return frozenset(found)

    def ssa(self, row: int | None) -> str:
        """``%n``; ``%?`` for a statement that is not in this stage."""
        at = None if row is None else self._positions.get(row)
        return "%?" if at is None else f"%{at + 1}"

    def block(self, row: int | None) -> str:
        """``#n``, the block a statement is in; ``#0`` is the entry."""
        return "#0" if row is None else f"#{self._block_of.get(row, '?')}"

    def slot(self, number: int | None) -> str:
        if number is None or number >= len(self._slots):
            return "_?" if number is None else f"_{number + 1}"
        return self._slots[number]

    # Operands.

    def operand(self, value: Operand) -> str:
        """An operand as Julia prints it inside a call."""
        tag = value.tag
        if tag is Tag.SSA:
            return self.ssa(value.number)
        if tag in (Tag.TARGET, Tag.EDGE):
            return self.block(value.number)
        if tag is Tag.SLOT:
            return self.slot(value.number)
        if tag is Tag.ARGUMENT:
            return self.slot((value.number or 1) - 1)
        if tag is Tag.SPARAM:
            return f"$(Expr(:static_parameter, {value.number}))"
        if tag is Tag.EXPR:
            text = self.expression(value.text, value.children)
            return text if value.text in ("Const",) or text.startswith("$(") else f":({text})"
        if tag is Tag.QUOTE and value.children:
            inner = self.operand(value.children[0])
            return inner if value.children[0].tag is Tag.SYMBOL else f"$(QuoteNode({inner}))"
        return constant(value, [self.operand(child) for child in value.children])

    def quoted(self, value: Operand) -> str:
        """An operand inside ``$(Expr(…))``, where references are quoted."""
        text = self.operand(value)
        return f":({text})" if value.tag in (Tag.SSA, Tag.SLOT, Tag.ARGUMENT, Tag.GLOBAL) else text

    # Statements.

    def text(self, statement: Statement) -> str:
        """The statement without its number and type: ``y = Main.g(x)``."""
        text = self.expression(statement.opcode, statement.operands)
        return text if statement.slot is None else f"{self.slot(statement.slot)} = {text}"

    def expression(self, opcode: str, operands: Sequence[Operand]) -> str:
        """An opcode with its operands; ``$(Expr(…))`` where Julia has no other way to print it."""
        writer = _WRITERS.get(opcode)
        if writer is not None and len(operands) >= writer[0]:
            return writer[1](self, operands)
        inside = ", ".join([f":{opcode}", *map(self.quoted, operands)])
        return f"$(Expr({inside}))"

    def _call(self, operands: Sequence[Operand]) -> str:
        function, arguments = operands[0], [self.operand(value) for value in operands[1:]]
        operator = _operator(operands)
        if operator is not None:
            return (":" if operator == ":" else f" {operator} ").join(arguments)
        return f"{self._callee(function)}({', '.join(arguments)})"

    def _callee(self, function: Operand) -> str:
        text = self.operand(function)
        return text if function.tag in (Tag.GLOBAL, Tag.FUNCTION, Tag.TYPE) else f"({text})"

    def _invoke(self, operands: Sequence[Operand]) -> str:
        if len(operands) < 2:
            return f"invoke {', '.join(map(self.operand, operands))}"
        types = key_types(operands[0].text)[1:]
        arguments = [
            f"{self.operand(value)}::{short(types[at])}" if at < len(types) else self.operand(value)
            for at, value in enumerate(operands[2:])
        ]
        text = self.operand(operands[1])
        return f"invoke {text}({', '.join(arguments)})"

    def _new(self, operands: Sequence[Operand]) -> str:
        return f"%new({', '.join(map(self.operand, operands))})"

    def _goto(self, operands: Sequence[Operand]) -> str:
        return f"goto {self.operand(operands[0])}"

    def _gotoifnot(self, operands: Sequence[Operand]) -> str:
        target = self.operand(operands[1]) if len(operands) > 1 else "#?"
        return f"goto {target} if not {self.operand(operands[0])}"

    def _return(self, operands: Sequence[Operand]) -> str:
        return f"return {self.operand(operands[0])}" if operands else "return"

    def _phi(self, operands: Sequence[Operand]) -> str:
        texts = list(map(self.operand, operands))
        pairs = zip(texts[::2], texts[1::2], strict=False)
        return f"φ ({', '.join(f'{edge} => {value}' for edge, value in pairs)})"

    def _phic(self, operands: Sequence[Operand]) -> str:
        return f"φᶜ ({', '.join(map(self.operand, operands))})"

    def _upsilon(self, operands: Sequence[Operand]) -> str:
        return f"ϒ ({', '.join(map(self.operand, operands))})"

    def _pi(self, operands: Sequence[Operand]) -> str:
        return f"π ({', '.join(map(self.operand, operands))})"

    def _newvar(self, operands: Sequence[Operand]) -> str:
        return f"Core.NewvarNode(:({self.operand(operands[0])}))"

    def _assign(self, operands: Sequence[Operand]) -> str:
        return f"{self.operand(operands[0])} = {self.operand(operands[1])}"

    def _value(self, operands: Sequence[Operand]) -> str:
        return self.operand(operands[0])

    def _const(self, operands: Sequence[Operand]) -> str:
        return f"Core.Const({self.operand(operands[0])})"

    # Lines.

    def type_span(self, statement: Statement) -> Span | None:
        """``::T``, or None where Julia prints no type."""
        if (
            self.body.stage is Stage.LOWERED
            or statement.opcode in SILENT
            or not statement.type.text
        ):
            return None
        read = statement.row in self.used or statement.slot is not None
        return Span(f"::{lattice(statement.type)}", type_role(statement.type) if read else "dim")

    def marks(self) -> list[str]:
        """What stands left of each statement: ``1 ─ ``, ``│   ``, ``└── ``."""
        blocks = self.body.blocks
        width = len(str(len(blocks)))
        marks = [f"│  {' ' * width}"] * len(self.body.statements)
        entered = _predecessors(self.body)
        for at, block in enumerate(blocks):
            if block.last < len(marks):
                marks[block.last] = f"└──{'─' * (width - 1)} "
            if block.first < len(marks):
                stroke = "┄" if entered[at] > 1 else "─"
                pad = "─" * (width - len(str(at + 1)))
                marks[block.first] = f"{at + 1} {stroke}{pad} "
        return marks

    def lines(self) -> list[Line]:
        """One line a statement, numbers aligned, as ``code_typed`` prints them."""
        digits = max((len(self.ssa(row)) - 1 for row in self.used), default=0)
        return [
            line(mark, *self._after_mark(statement, digits))
            for mark, statement in zip(self.marks(), self.body.statements, strict=True)
        ]

    def _after_mark(self, statement: Statement, digits: int) -> list[Span]:
        number = self.ssa(statement.row) if statement.row in self.used else ""
        left = f"{number:<{digits + 1}} {'=' if number else ' '} "
        text, type_ = self.text(statement), self.type_span(statement)
        if type_ is None:
            return [Span(left, "dim"), Span(text)]
        infix = statement.slot is not None or _is_infix(statement)
        shown = f"({text})" if infix else text
        return [Span(left, "dim"), Span(shown), type_]


#: Opcode → (how many operands it needs at least, how it is printed).
_WRITERS: dict[str, tuple[int, Callable[[Layout, Sequence[Operand]], str]]] = {
    "call": (1, Layout._call),
    "invoke": (1, Layout._invoke),
    "new": (1, Layout._new),
    "goto": (1, Layout._goto),
    "gotoifnot": (1, Layout._gotoifnot),
    "enter": (1, lambda layout, operands: f"enter {', '.join(map(layout.operand, operands))}"),
    "return": (0, Layout._return),
    "phi": (0, Layout._phi),
    "phic": (0, Layout._phic),
    "upsilon": (0, Layout._upsilon),
    "pi": (1, Layout._pi),
    "newvar": (1, Layout._newvar),
    "value": (1, Layout._value),
    "Const": (1, Layout._const),
    "=": (2, Layout._assign),
    "nothing": (0, lambda layout, operands: "nothing"),
    "unreachable": (0, lambda layout, operands: "unreachable"),
}


def _is_infix(statement: Statement) -> bool:
    if statement.opcode == "=":
        return True
    return statement.opcode == "call" and _operator(statement.operands) is not None


def _operator(call: Sequence[Operand]) -> str | None:
    """The operator a call is written with: ``a + b``, ``a + b + c``, ``low:step:high``."""
    function, arguments = call[0], len(call) - 1
    if function.tag not in (Tag.GLOBAL, Tag.FUNCTION):
        return None
    name = base_name(function.text)
    if name not in OPERATORS or arguments < 2:
        return None
    if arguments > 2 and name not in ("+", "*") and not (name == ":" and arguments == 3):
        return None
    return name


def _collect(operands: Sequence[Operand], found: set[int]) -> None:
    for value in operands:
        if value.tag is Tag.SSA and value.number is not None:
            found.add(value.number)
        _collect(value.children, found)


def _block_numbers(body: Body) -> dict[int, int]:
    """Row of a statement → number of its block."""
    found: dict[int, int] = {}
    for at, block in enumerate(body.blocks):
        for statement in body.statements[block.first : block.last + 1]:
            found[statement.row] = at + 1
    return found


def _predecessors(body: Body) -> list[int]:
    """How many ways lead into each block; a handler counts the way from outside, as in Julia."""
    count = [0] * len(body.blocks)
    numbers = _block_numbers(body)
    for _, target in body.edges:
        count[target] += 1
    for statement in body.statements:
        if statement.opcode == "enter" and statement.operands:
            handler = numbers.get(statement.operands[0].number or 0)
            if handler is not None:
                count[handler - 1] += 1
    return count


def _slot_names(names: Sequence[str]) -> list[str]:
    """Names as Julia prints them: ``x``, ``x@_3`` where it is not alone, ``@_4`` without one."""
    return [
        f"@_{at + 1}" if not name else name if names.count(name) == 1 else f"{name}@_{at + 1}"
        for at, name in enumerate(names)
    ]


def constant(value: Operand, children: Sequence[str]) -> str:
    """An operand that is data or names something outside the body."""
    tag, text = value.tag, value.text
    inside = ", ".join(children)
    if tag is Tag.STRUCT:
        if value.type == "Core.GotoNode":
            return f":(goto %{inside})"
        single = "," if len(children) == 1 else ""
        head, _ = parameters(value.type)
        return f"({inside}{single})" if head == "Core.Tuple" else f"{short(value.type)}({inside})"
    written = {
        Tag.NONE: "#undef",
        Tag.TYPE: element_text(value.type),
        Tag.SVEC: f"svec({inside})",
        Tag.MODULE: text,
        Tag.OPAQUE: f"‹{short(value.type)}›",
        Tag.REDACTED: f"‹{short(value.type)}›",
        Tag.LINE: f"#= line {value.number} =#",
        Tag.INSTANCE: short(text.rpartition(" @ ")[2]),
        Tag.METHOD: method_path(text),
    }.get(tag)
    if written is not None:
        return written
    if tag is Tag.GLOBAL:
        return global_name(text)
    if tag is Tag.FUNCTION:
        name = text.replace("Core.Intrinsics.", "Base.")
        return global_name(name)
    if tag is Tag.STRING:
        return '"' + text.translate(_ESCAPES) + '"'
    if tag is Tag.SYMBOL:
        return f":{text}" if text.isidentifier() else f'Symbol("{text.translate(_ESCAPES)}")'
    if tag is Tag.LONG:
        return long_text(text)
    return literal(text, value.type)


_ESCAPES = str.maketrans(
    {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "$": "\\$"}
)


def long_text(text: str) -> str:
    """``"String:812:ab12…"`` → what it was, how long, and the start of its hash."""
    what, _, rest = text.partition(":")
    length, _, digest = rest.partition(":")
    return f"‹{what or 'String'} of {length} bytes, sha256 {digest[:8]}…›"


def literal(text: str, type_: str) -> str:
    """A number or character as one types it in."""
    if type_ == "Core.Char" and text.startswith("'0x"):
        return character(text)
    if type_ == "Core.Float32" and not text.startswith("0x"):
        return text.replace("e", "f") if "e" in text else f"{text}f0"
    if type_ in _EXACT or text.startswith("0x") or not type_:
        return text
    return f"{short(type_)}({text})"


def lattice(type_: TypeText) -> str:
    """Short text of a type or lattice element: ``Core.Const(2)``, ``Vector{Int64}``."""
    return element_text(type_.text)


_ELEMENT = re.compile(r"(?<![\w.])(Const|PartialStruct|PartialTypeVar|PartialOpaque)\(")


def element_text(text: str) -> str:
    """Short text, with ``Core.`` before the names of lattice elements."""
    shown = short(text)
    if text.startswith(("Const(", "Partial", "Conditional(", "InterConditional(")):
        shown = _ELEMENT.sub(r"Core.\1(", shown)
    return shown


def type_role(type_: TypeText) -> Role:
    """How alarming an inferred type is: ``bad``, ``warn`` (a small union), or ``type``."""
    if type_.lattice is Lattice.UNION:
        return "warn" if is_small_union(type_.text) else "bad"
    if type_.lattice is Lattice.ABSTRACT:
        return "type" if is_type_type(type_.text) else "bad"
    if type_.text == "Core.Box":
        return "bad"
    return "type"


def is_small_union(text: str) -> bool:
    """A union that the compiler splits: at most four members, none of them abstract at sight."""
    head, members = parameters(text)
    if head != "Union" or members is None or len(members) > _SMALL_UNION:
        return False
    return not any(" where " in member or member in ABSTRACT for member in members)


ABSTRACT = frozenset(
    {"Core.Any", "Core.Real", "Core.Number", "Core.Integer", "Core.Signed", "Core.Unsigned"}
    | {"Core.AbstractFloat", "Core.AbstractString", "Core.Function", "Core.Exception", "Core.Type"}
)


def is_type_type(text: str) -> bool:
    """``Type{T}`` of one T is as good as concrete."""
    head, found = parameters(text)
    return head in ("Core.Type", "Type") and bool(found) and " where " not in text
