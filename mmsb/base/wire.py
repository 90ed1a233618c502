"""What the shim sends: the tables of the wire, column by column.

``julia/MMSBShim/src/buffers.jl`` holds the same literals; a test that runs Julia holds them equal.
Ids of ``symbol``, ``type``, ``file`` and ``scope`` count from 0 in order of first use over the
whole stream; every other number is local to its frame. A frame (``mmsb/capture/frames.py``) holds
any number of these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mmsb.base.schema import Column, Kind

#: Raised when a table or column changes its meaning; a shim that sends another one is refused.
WIRE_VERSION = 2


def _table(id_: int, name: str, *columns: tuple[str, str]) -> Kind:
    return Kind(id_, name, tuple(Column(i, n, t, 0) for i, (n, t) in enumerate(columns)))


WIRE_KINDS: tuple[Kind, ...] = (
    _table(0, "heap", ("byte", "u8")),
    _table(1, "symbol", ("offset", "u64"), ("length", "u32")),
    _table(2, "type", ("name", "u32"), ("lattice", "u8"), ("widened", "u32")),
    # path is for the host's own hints; it is never stored
    _table(3, "file", ("content", "u32"), ("name", "u32"), ("lines", "u32"), ("path", "u32")),
    _table(
        4,
        "scope",
        ("parent", "u32"),
        ("method", "u32"),
        ("file", "u32"),
        ("line", "i32"),
        ("origin", "u32"),
    ),
    # what the method tracer saw, in its order; offset: bytes of --trace-compile written before it;
    # order: code objects inferred before it (NONE_U64 in the reflect tier)
    _table(
        5,
        "event",
        ("kind", "u8"),
        ("subject", "u32"),
        ("world", "u64"),
        ("offset", "u64"),
        ("order", "u64"),
    ),
    _table(7, "recording", ("key", "u32"), ("value", "u32")),
    _table(
        16,
        "method",
        ("key", "u32"),
        ("name", "u32"),
        ("module", "u32"),
        ("signature", "u32"),
        ("file", "u32"),
        ("line", "i32"),
        ("world", "u64"),
        ("last_world", "u64"),  # before it was replaced or deleted
        ("arguments", "u32"),
        ("deleted", "u8"),
    ),
    _table(
        17,
        "instance",
        ("key", "u32"),
        ("method", "u32"),  # symbol of the method's key
        ("signature", "u32"),
        ("name", "u32"),
        ("depth", "u32"),
        ("module", "u32"),
        ("trace", "u32"),  # symbol of the line --trace-compile writes for it
    ),
    _table(
        18,
        "code",
        ("instance", "u32"),  # symbol of the instance's key
        ("method_world", "u64"),  # which definition of its method
        ("min_world", "u64"),
        ("max_world", "u64"),
        ("asked_world", "u64"),
        ("return_type", "u32"),
        ("cached", "u8"),
        ("provenance", "u8"),
        ("exception_type", "u32"),
        ("return_lattice", "u32"),
        ("effects", "u32"),
        ("kept", "u8"),
        ("rederived", "u8"),
        ("order", "u64"),  # place in the compiler's queue of inferred code; NONE_U64: not in it
        ("inclusive_ns", "u64"),
        ("exclusive_ns", "u64"),
        ("compile_ns", "u64"),
    ),
    # one compiled body at one stage: rows of the tables below, in this frame
    _table(
        25,
        "body",
        ("code", "u32"),  # row in this stream's ``code`` tables, counted from the start
        ("stage", "u8"),
        ("provenance", "u8"),
        ("statements", "u32"),  # how many rows of each follow, in order of bodies
        ("blocks", "u32"),
        ("edges", "u32"),
        ("calls", "u32"),
        ("slots", "u32"),
    ),
    _table(
        19,
        "statement",
        ("opcode", "u32"),
        ("type", "u32"),
        ("operands", "u32"),
        ("operand_count", "u32"),
        ("slot", "u32"),
        ("scope", "u32"),
        ("line", "i32"),
        ("origin", "u32"),
        ("flags", "u32"),
    ),
    _table(
        20,
        "operand",
        ("tag", "u8"),
        ("value", "u32"),
        ("type", "u32"),
        ("start", "u32"),
        ("count", "u32"),
    ),
    _table(21, "block", ("first", "u32"), ("last", "u32")),
    _table(22, "edge", ("source", "u32"), ("target", "u32")),
    _table(
        23,
        "call",
        ("statement", "u32"),
        ("kind", "u8"),
        ("callee", "u32"),
        ("signature", "u32"),
    ),
    _table(24, "slot", ("name", "u32"), ("type", "u32")),
    # a method of the world after a code object's last that one of its calls can reach
    _table(26, "cause", ("code", "u32"), ("method", "u32")),
    # a code object's forward edges
    _table(27, "dependency", ("code", "u32"), ("kind", "u8"), ("target", "u32")),
    # the inference tree in pre-order. parent: row of this table counted over the whole stream
    _table(
        28,
        "inference",
        ("parent", "u32"),
        ("instance", "u32"),  # symbol of its key
        ("code", "u32"),  # row in the stream's ``code`` tables; NONE: a frame that left none
        ("kind", "u8"),
        ("order", "u64"),  # of its root: code objects inferred before the tree began
        ("inclusive_ns", "u64"),
        ("exclusive_ns", "u64"),
    ),
    # the compiler's invalidation log as trees in pre-order. parent: as above
    _table(
        29,
        "invalidation_tree",
        ("parent", "u32"),
        ("node", "u8"),
        ("cause", "u8"),
        ("subject", "u32"),  # symbol of a key, a type, a binding's name
        ("depth", "u32"),
        ("code", "u32"),  # of a CALLER: row in the stream's ``code`` tables
        ("world", "u64"),
        ("lost_ns", "u64"),
    ),
    # what the shadow compiler decided
    _table(
        30,
        "decision",
        ("code", "u32"),  # row in the stream's ``code`` tables
        ("kind", "u8"),
        ("origin", "u32"),  # lowered statement (0-based) in ``scope``
        ("scope", "u32"),
        ("callee", "u32"),
        ("outcome", "u32"),
        ("cost", "u32"),
        ("threshold", "u32"),
        ("reason", "u32"),
        ("effects", "u32"),
        ("type", "u32"),
    ),
)
WIRE_BY_NAME: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in WIRE_KINDS})
WIRE_BY_ID: Mapping[int, Kind] = MappingProxyType({kind.id: kind for kind in WIRE_KINDS})
