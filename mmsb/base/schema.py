"""The contract: every kind with its columns, as stored and as sent by the shim.

A *kind* is a table's schema. A *column* is one fixed-width attribute with a fill value; strings and
types are ``u32`` ids. Column ids are never reused. *Staged* columns exist once per compiler stage
(``opcode@lowered``, ``opcode@inferred``, …): a later stage's cell that holds the unset value reads
as the stage before it, so inference is a patch of the type column and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mmsb.base import model
from mmsb.base.errors import UnknownName, UsageError, quote
from mmsb.base.model import STAGES, Stage

#: name → (byte width, numpy character)
DTYPES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "u8": (1, "<u1"),
        "u16": (2, "<u2"),
        "u32": (4, "<u4"),
        "u64": (8, "<u8"),
        "i32": (4, "<i4"),
        "i64": (8, "<i8"),
        "f64": (8, "<f8"),
    }
)


def _check_id(id: object, where: str) -> None:
    if type(id) is not int or not 0 <= id < 0x1_0000:
        raise UsageError(f"{where} has id {quote(id)}; an id is an int in 0 … 65535")


def _are(type: type, *values: object) -> bool:
    return all(isinstance(value, type) for value in values)


def _fits(fill: object, dtype: str) -> bool:
    if not isinstance(fill, int):
        return dtype == "f64" and isinstance(fill, float)
    bits = 8 * DTYPES[dtype][0]
    half: int = 1 << (1023 if dtype == "f64" else bits - 1)
    return 0 <= fill < 2 * half if dtype[0] == "u" else -half <= fill < half


@dataclass(frozen=True, slots=True)
class Column:
    """One typed attribute.

    ``ref`` names the append-only kind that the ids in this column point into (``"symbol"``,
    ``"type"``, ``"file"``, ``"scope"``), or ``""`` for a plain number. ``digest`` is false for
    what differs between two recordings of one program (times, absolute worlds). UsageError.
    """

    id: int
    name: str
    dtype: str
    fill: int
    ref: str = ""
    digest: bool = True

    def __post_init__(self) -> None:
        where = f"column {quote(self.name)}"
        if not (_are(str, self.name, self.dtype, self.ref) and _are(bool, self.digest)):
            raise UsageError(f"{where}: name, dtype and ref are texts, digest True or False")
        if self.dtype not in DTYPES:
            known = ", ".join(DTYPES)
            raise UsageError(f"{where} has the unknown dtype {quote(self.dtype)}; use {known}")
        _check_id(self.id, where)
        if not _fits(self.fill, self.dtype):
            raise UsageError(f"{where}: its fill {quote(self.fill)} does not fit {self.dtype}")


@dataclass(frozen=True, slots=True)
class Kind:
    """A table's schema. An append-only kind has one page and each row is written once."""

    id: int
    name: str
    columns: tuple[Column, ...]
    append_only: bool = False
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        where, columns = f"kind {quote(self.name)}", self.columns
        if not _are(tuple, columns) or not _are(Column, *columns):
            raise UsageError(f"{where}: columns are a tuple of Column, not {quote(columns)}")
        if not (_are(str, self.name) and _are(bool, self.append_only)):
            raise UsageError(f"{where}: its name is a text, and append_only is True or False")
        _check_id(self.id, where)
        object.__setattr__(self, "_by_name", {column.name: column for column in columns})
        if not len(self._by_name) == len({column.id for column in columns}) == len(columns):
            raise UsageError(f"{where} uses a column id or name twice; give each its own")

    def column(self, name: str) -> Column:
        """The column called ``name``; UnknownName if there is none."""
        try:
            return self._by_name[name]
        except (KeyError, TypeError):
            raise UnknownName(
                f"kind {self.name!r} has no column {quote(name)}; it has {', '.join(self._by_name)}"
            ) from None


_UNSET = {
    "u8": model.UNSET_U8,
    "u16": model.UNSET_U16,
    "u32": model.UNSET_U32,
    "i32": model.UNSET_I32,
}
_STAGE_STRIDE = 256


def staged(name: str, stage: Stage) -> str:
    """The name of a staged column: ``staged("opcode", Stage.LOWERED) == "opcode@lowered"``."""
    return f"{name}@{stage.name.lower()}"


def _staged(*attributes: tuple[int, str, str, str]) -> tuple[Column, ...]:
    return tuple(
        Column(_STAGE_STRIDE * (stage + 1) + id_, staged(name, stage), dtype, _UNSET[dtype], ref)
        for stage in STAGES
        for id_, name, dtype, ref in attributes
    )


NONE = model.NONE_U32
NONE_U64 = model.NONE_U64

# Append-only kinds: each row is written once; the row number is the id.
HEAP = Kind(0, "heap", (Column(0, "byte", "u8", 0),), append_only=True)
SYMBOL = Kind(
    1, "symbol", (Column(0, "offset", "u64", 0), Column(1, "length", "u32", 0)), append_only=True
)
TYPE = Kind(
    2,
    "type",
    (
        Column(0, "name", "u32", NONE, "symbol"),
        Column(1, "lattice", "u8", 0),
        Column(2, "widened", "u32", NONE, "symbol"),  # Julia's type, where name is a constant
    ),
    append_only=True,
)
FILE = Kind(
    3,
    "file",
    (
        Column(0, "content", "u32", NONE, "symbol"),  # sha256 of the bytes; "" if not readable
        Column(1, "name", "u32", NONE, "symbol"),  # sha256 of the name; names are not kept
        Column(2, "lines", "u32", 0),
    ),
    append_only=True,
)
SCOPE = Kind(
    4,
    "scope",  # an inlined frame; 0xFFFFFFFF is the method itself
    (
        Column(0, "parent", "u32", NONE, "scope"),
        Column(1, "method", "u32", NONE, "symbol"),  # the inlined callee's name
        Column(2, "file", "u32", NONE, "file"),
        Column(3, "line", "i32", 0),  # of the call, in the parent
        Column(4, "origin", "u32", NONE),  # the call's lowered statement (or line) in the parent
    ),
    append_only=True,
)
EVENT = Kind(
    5,
    "event",
    (
        Column(0, "window", "u32", 0),  # the quiet interval it belongs to
        Column(1, "kind", "u8", 0),  # model.EventKind
        Column(2, "subject", "u32", NONE, "symbol"),  # key of the instance or method
        Column(3, "world", "u64", 0, digest=False),
        Column(4, "version", "u32", NONE),  # row in the subject's code page, if any
        Column(5, "detail", "u32", NONE, "symbol"),
    ),
    append_only=True,
)
INVALIDATION = Kind(
    6,
    "invalidation",
    (
        Column(0, "victim", "u32", NONE, "symbol"),  # key of the method instance
        Column(1, "version", "u32", NONE),  # row in its code page
        Column(2, "state", "u8", 0),  # model.CodeState: INVALIDATED or SUPERSEDED
        Column(3, "cause", "u32", NONE, "symbol"),  # key of the method; NONE: no method at W + 1
        Column(4, "via", "u32", NONE, "symbol"),  # key of the callee instance it came through
        Column(5, "depth", "u32", 0),  # calls between victim and replaced method; 0 unknown
        Column(6, "world", "u64", 0, digest=False),  # W + 1
        Column(7, "window", "u32", 0),
        Column(8, "tree", "u32", NONE),  # row in invalidation_tree that says so; NONE: worked out
        Column(9, "lost_ns", "u64", NONE_U64, digest=False),  # inference time thrown away
    ),
    append_only=True,
)
RECORDING = Kind(
    7,
    "recording",  # what is known of the recording as a whole: key and value
    (
        Column(0, "key", "u32", NONE, "symbol"),
        Column(1, "value", "u32", NONE, "symbol"),
    ),
    append_only=True,
)

INVALIDATION_TREE = Kind(
    8,
    "invalidation_tree",  # the compiler's own log, in pre-order; a ROOT row begins a tree
    (
        Column(0, "window", "u32", 0),
        Column(1, "parent", "u32", NONE),  # row here
        Column(2, "node", "u8", 0),  # model.TreeNode
        Column(3, "cause", "u8", 0),  # model.Cause, of the whole tree
        Column(4, "subject", "u32", NONE, "symbol"),  # key of method or instance, type, binding
        Column(5, "depth", "u32", 0),  # as Julia counts it: 1 calls the replaced method
        Column(6, "version", "u32", NONE),  # row in the subject's code page, of a CALLER
        Column(7, "world", "u64", 0, digest=False),  # of the cause
        Column(8, "lost_ns", "u64", NONE_U64, digest=False),  # of a CALLER
    ),
    append_only=True,
)
INFERENCE = Kind(
    9,
    "inference",  # the inference tree; a row is a frame, a window's rows are in the order of keys
    (
        Column(0, "window", "u32", 0),
        # row here; NONE: asked for by running code. Threads that infer at once race for it.
        Column(1, "parent", "u32", NONE, digest=False),
        Column(2, "instance", "u32", NONE, "symbol"),  # key
        Column(3, "version", "u32", NONE),  # row in its code page
        Column(4, "kind", "u8", 0),  # model.Inference
        Column(5, "inclusive_ns", "u64", NONE_U64, digest=False),
        Column(6, "exclusive_ns", "u64", NONE_U64, digest=False),
    ),
    append_only=True,
)

# Kinds with one page per subject.
METHOD = Kind(
    16,
    "method",  # subject: the method's key; row 0
    (
        Column(0, "name", "u32", NONE, "symbol"),
        Column(1, "module", "u32", NONE, "symbol"),
        Column(2, "signature", "u32", NONE, "type"),
        Column(3, "file", "u32", NONE, "file"),
        Column(4, "line", "i32", 0),
        Column(5, "world", "u64", 0, digest=False),
        Column(6, "arguments", "u32", 0),
        Column(7, "definition", "u32", 0),  # 1 for the first definition seen, 2 for its successor
    ),
)
INSTANCE = Kind(
    17,
    "instance",  # subject: the instance's key; row 0
    (
        Column(0, "method", "u32", NONE, "symbol"),
        Column(1, "signature", "u32", NONE, "type"),
        Column(2, "name", "u32", NONE, "symbol"),  # as people write it: "f(::Int64)"
        Column(3, "depth", "u32", 0),  # calls away from the user's modules
        Column(4, "module", "u32", NONE, "symbol"),
    ),
)
CODE = Kind(
    18,
    "code",  # subject: the instance's key; a row for each code object
    (
        Column(0, "min_world", "u64", 0, digest=False),
        Column(1, "max_world", "u64", model.OPEN_WORLD, digest=False),
        Column(2, "return_type", "u32", NONE, "type"),
        Column(3, "state", "u8", 0),  # model.CodeState
        Column(4, "compiled", "u8", 0, digest=False),  # model.Compiled
        Column(5, "provenance", "u8", 0),
        Column(6, "definition", "u32", 0),  # of its method
        Column(7, "asked_world", "u64", 0, digest=False),
        Column(8, "exception_type", "u32", NONE, "type"),
        Column(9, "return_lattice", "u32", NONE, "type"),  # what callers see: a constant, partial
        Column(10, "effects", "u32", 0),  # raw ipo_purity_bits of this Julia
        Column(11, "kept", "u8", model.Kept.UNKNOWN),  # model.Kept, of its final IR
        Column(12, "rederived", "u8", 0),  # model.Rederived
        Column(13, "inclusive_ns", "u64", NONE_U64, digest=False),  # inference, with callees
        Column(14, "exclusive_ns", "u64", NONE_U64, digest=False),
        Column(15, "compile_ns", "u64", NONE_U64, digest=False),  # code generation
        # who said a stage (model.Provenance); UNSET: this version has none
        *_staged((0, "provenance", "u8", "")),
    ),
)
STATEMENT = Kind(
    19,
    "statement",  # subject: the instance's key; a row is a statement's identity
    (
        Column(0, "derived_from", "u32", NONE),  # row
        Column(1, "identity", "u8", 0),  # model.Identity
        *_staged(
            (0, "alive", "u8", ""),
            (1, "position", "u32", ""),  # 0-based place in this stage's order
            (2, "opcode", "u32", "symbol"),
            (3, "type", "u32", "type"),
            (4, "operands", "u32", ""),  # first row in ``operand``
            (5, "operand_count", "u16", ""),
            (6, "slot", "u32", ""),  # row in ``slot`` assigned to; NONE - 1: none
            (7, "scope", "u32", "scope"),  # inlined frame; NONE - 1: the method itself
            (8, "line", "i32", ""),  # from the method's line; absolute where inlined
            (9, "origin", "u32", ""),  # lowered statement (or line) in its scope
            (10, "flags", "u32", ""),  # raw ssaflags of this Julia
        ),
    ),
)
OPERAND = Kind(
    20,
    "operand",  # subject: the instance's key; a changed list appends new rows
    (
        Column(0, "tag", "u8", 0),  # model.Tag
        Column(1, "value", "u32", NONE),
        Column(2, "type", "u32", NONE, "type"),
        Column(3, "start", "u32", 0),  # children: rows [start, start + count)
        Column(4, "count", "u32", 0),
    ),
)
BLOCK = Kind(
    21,
    "block",  # subject: the instance's key; row: block number - 1
    _staged(
        (0, "alive", "u8", ""),
        (1, "first", "u32", ""),  # positions in the stage's order
        (2, "last", "u32", ""),
    ),
)
EDGE = Kind(
    22,
    "edge",  # subject: the instance's key; a control-flow edge
    _staged(
        (0, "alive", "u8", ""),
        (1, "source", "u32", ""),  # block rows
        (2, "target", "u32", ""),
    ),
)
CALL = Kind(
    23,
    "call",  # subject: the instance's key; a call site
    (
        Column(0, "alive", "u8", 0),
        Column(1, "statement", "u32", NONE),  # row
        Column(2, "kind", "u8", 0),  # model.CallKind
        Column(3, "callee", "u32", NONE, "symbol"),  # key of the instance or method, or its name
        Column(4, "signature", "u32", NONE, "type"),
        Column(5, "stage", "u8", 0),  # INFERRED: what dispatch finds; OPTIMIZED: what runs
    ),
)
SLOT = Kind(
    24,
    "slot",  # subject: the instance's key; row: slot number - 1
    (
        Column(0, "name", "u32", NONE, "symbol"),
        Column(1, "type", "u32", NONE, "type"),
        Column(2, "alive", "u8", 0),
    ),
)
DEPENDENCY = Kind(
    25,
    "dependency",  # subject: the instance's key; a forward edge of one of its code objects
    (
        Column(0, "version", "u32", NONE),  # row in the code page
        Column(1, "kind", "u8", 0),  # model.Dependency
        Column(2, "target", "u32", NONE, "symbol"),
    ),
)
DECISION = Kind(
    26,
    "decision",  # subject: the instance's key; what the shadow compiler decided, in order
    (
        Column(0, "kind", "u8", 0),  # model.Decision
        Column(1, "statement", "u32", NONE),  # row of the statement
        Column(2, "callee", "u32", NONE, "symbol"),  # key of the instance, or the function's name
        Column(3, "outcome", "u32", NONE),
        Column(4, "cost", "u32", NONE),  # of inlining, as the compiler counts it
        Column(5, "threshold", "u32", NONE),
        Column(6, "reason", "u32", NONE, "symbol"),
        Column(7, "effects", "u32", 0),
        Column(8, "type", "u32", NONE, "type"),  # the result's
        Column(9, "version", "u32", NONE),  # row in the code page
    ),
)

KINDS: tuple[Kind, ...] = (
    *(HEAP, SYMBOL, TYPE, FILE, SCOPE),
    *(EVENT, INVALIDATION, RECORDING, INVALIDATION_TREE, INFERENCE),
    *(METHOD, INSTANCE, CODE, STATEMENT, OPERAND, BLOCK, EDGE, CALL, SLOT, DEPENDENCY, DECISION),
)
BY_NAME: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in KINDS})
