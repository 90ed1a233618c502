"""The words of the data model: what an epoch, a row, a stage, a provenance is.

Numbers here are stored; a number is never given a second meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

#: Column value of a staged column that says "as in the stage before".
UNSET_U32 = 0xFFFF_FFFF
UNSET_U16 = 0xFFFF
UNSET_U8 = 0xFF
UNSET_I32 = -(2**31)
#: A row, id or subject that is not there.
NONE_U32 = UNSET_U32
#: A time or place that is not known.
NONE_U64 = 2**64 - 1
#: Julia's ``typemax(UInt)``: a world range that is still open.
OPEN_WORLD = 2**64 - 1


class Stage(IntEnum):
    """Where in the compiler a fact was seen. Later stages, in the order of ``STAGES``, are patches
    of earlier ones. The numbers are stored; they are no order."""

    LOWERED = 0
    INFERRED = 1
    OPTIMIZED = 2  # the final IR
    # after each pass of the optimiser, by Julia's own names and numbers (1 … 8)
    CONVERT = 3
    SLOT2REG = 4
    COMPACT1 = 5
    INLINING = 6
    COMPACT2 = 7
    SROA = 8
    ADCE = 9
    COMPACT3 = 10  # left out by Julia 1.11 and later where ADCE changed nothing
    REDERIVED = 11  # the final IR of the compiler asked again, where it differs from the native


#: The optimiser's passes in their order; pass k (1 … 8) is ``PASSES[k - 1]``.
PASSES = (
    Stage.CONVERT,
    Stage.SLOT2REG,
    Stage.COMPACT1,
    Stage.INLINING,
    Stage.COMPACT2,
    Stage.SROA,
    Stage.ADCE,
    Stage.COMPACT3,
)
#: All stages in the compiler's order: each reads as the one before it where it says nothing.
STAGES = (Stage.LOWERED, Stage.INFERRED, *PASSES, Stage.OPTIMIZED, Stage.REDERIVED)


class Provenance(IntEnum):
    """Who said it."""

    NATIVE = 0  # what really ran
    REDERIVED = 1  # the native compiler asked again, stopped after a pass
    SHADOW = 2  # our interpreter's run of the compiler
    REFLECTED = 3  # the public reflection API, asked late


class Identity(IntEnum):
    """How a statement's row was found."""

    EXACT = 0  # the compiler's own debug info named the origin
    GUESSED = 1  # matched against the predecessor, the last resort
    NEW = 2  # inserted: a φ-node, or inlined for the first time


class CodeState(IntEnum):
    """What became of a code object."""

    VALID = 0
    INVALIDATED = 1  # capped at world W by what was defined at W + 1
    SUPERSEDED = 2  # its method was replaced, which caps nothing
    PAST = 3  # compiled for worlds that were over: nothing ended it


class Compiled(IntEnum):
    """How far a code object came in the recorded process."""

    NATIVE = 0  # machine code was asked for while recording
    INFERRED = 1  # not named by --trace-compile: inlined, or compiled with its caller
    CACHED = 2  # was there before the recording began


class Lattice(IntEnum):
    """The lattice element a ``type`` row stands for."""

    CONCRETE = 0
    ABSTRACT = 1
    UNION = 2
    CONST = 3
    PARTIAL = 4  # PartialStruct, PartialTypeVar, PartialOpaque
    CONDITIONAL = 5
    BOTTOM = 6
    OTHER = 7


class Tag(IntEnum):
    """What an operand is; says how its ``value`` is read."""

    NONE = 0  # a list slot without value (an undefined φ value)
    SSA = 1  # value: row of the statement
    ARGUMENT = 2  # value: argument number, 1 is the function itself
    SLOT = 3  # value: row in ``slot``
    GLOBAL = 4  # value: symbol "Module.name"
    SPARAM = 5  # value: static parameter number
    LITERAL = 6  # value: symbol of the bits' text; type: its type
    TYPE = 7  # value: type id
    STRING = 8  # value: symbol of the text
    SYMBOL = 9  # value: symbol of the text
    LONG = 10  # a string or symbol over 64 bytes; value: symbol "length:sha256"
    STRUCT = 11  # isbits value or tuple; type: its type; children: fields
    SVEC = 12  # children: elements
    EXPR = 13  # nested expression; value: symbol of the head; children: arguments
    TARGET = 14  # jump target; value: row of the statement jumped to
    EDGE = 15  # φ predecessor; value: row of its last statement, NONE_U32 for entry
    INSTANCE = 16  # method instance; value: symbol of its key
    MODULE = 17  # value: symbol of its path
    QUOTE = 18  # QuoteNode; children: the one value
    OPAQUE = 19  # a value whose inside is not kept; type: its type
    FUNCTION = 20  # singleton instance; type: its type
    LINE = 21  # LineNumberNode; value: line; type: file id
    REDACTED = 22  # a literal under --no-literals; type: its type
    METHOD = 23  # value: symbol of its key


#: What an operand's ``value`` is an id of, by its tag; a plain number for the others.
VALUE_OF: Mapping[Tag, str] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                *(Tag.GLOBAL, Tag.LITERAL, Tag.STRING, Tag.SYMBOL, Tag.LONG, Tag.EXPR),
                *(Tag.INSTANCE, Tag.MODULE, Tag.FUNCTION, Tag.METHOD),
            ),
            "symbol",
        ),
        Tag.TYPE: "type",
    }
)


class Dependency(IntEnum):
    """How code depends on another thing: a forward edge of a code object."""

    CODE = 0  # on a code object that inference used; target: key of the instance
    INVOKE = 1  # the same through `invoke` with a signature
    DISPATCH = 2  # on which methods fit a call; target: the call's type
    BINDING = 3  # on a global's value or type; target: "Module.name"


class Cause(IntEnum):
    """Why an invalidation tree began."""

    INSERTED = 0  # a method was defined
    DELETED = 1  # a method was deleted or replaced
    BINDING = 2  # a constant, type or import was replaced (Julia 1.12 and later)
    LOADED = 3  # a package image's code was found stale when it was loaded
    UNKNOWN = 4  # the log says none
    BOUND = 5  # a name that had no value got one (Julia 1.12 and later)


class TreeNode(IntEnum):
    """What stands at a node of an invalidation tree."""

    ROOT = 0  # the cause: a method, a binding, an image
    CALLEE = 1  # the replaced callee's instance, whose callers follow ("backedge")
    MISSING = 2  # a call's type that nothing, or another method, fitted ("missing backedge")
    CALLER = 3  # invalidated code


class Inference(IntEnum):
    """What a frame of the inference tree is."""

    NORMAL = 0
    CONSTANT = 1  # constant propagation into a frame already inferred


class Kept(IntEnum):
    """What the compiler kept of a code object's final IR."""

    DISCARDED = 0
    KEPT = 1
    CONSTANT = 2  # nothing to keep: the result is a constant
    UNKNOWN = 3


class Rederived(IntEnum):
    """What came of asking the compiler again for a code object's final IR."""

    NOT_ASKED = 0
    EQUAL = 1
    DIFFERS = 2
    ALONE = 3  # there is no native IR to compare with


class Decision(IntEnum):
    """What the compiler decided at a statement."""

    INLINED = 0
    NOT_INLINED = 1  # reason says why
    UNION_SPLIT = 2  # outcome: number of cases
    CONSTANT = 3  # the call was replaced by its result
    CONST_PROP = 4  # inferred again with constant arguments; outcome 1: it was of use
    CONCRETE_EVAL = 5  # run at compile time
    SEMI_CONCRETE = 6  # interpreted with what is constant
    EFFECT = 7  # took effects away from its function; effects: raw bits, what it left
    REMARK = 8  # inference's own words; reason holds them


class EventKind(IntEnum):
    """What happened."""

    DEFINED = 0  # a method definition
    LOWERED = 1
    INFERRED = 2
    OPTIMIZED = 3
    INVALIDATED = 4
    SUPERSEDED = 5
    DELETED = 6  # a method was deleted
    COMPILED = 7  # machine code was asked for (from --trace-compile)
    LOADED = 8  # a root module was loaded
    ENDED = 9  # the program ended
    PASSES = 10  # the compiler was asked again, pass by pass
    DECIDED = 11  # the shadow compiler's decisions


class CallKind(IntEnum):
    """How a call site reaches its callee."""

    INVOKE = 0  # static: one method instance
    DYNAMIC = 1  # runtime dispatch
    BUILTIN = 2  # intrinsic or builtin
    INLINED = 3  # the callee's statements stand here now
    FOREIGN = 4  # ccall
    RESOLVED = 5  # inferred stage: one method fits; callee is its key
    UNRESOLVED = 6  # inferred stage: several methods fit, or none
