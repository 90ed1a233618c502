"""Rows of the append-only tables: events, what ended, the compiler's trees. A commit's at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mmsb.base import schema
from mmsb.base.model import NONE_U32, EventKind
from mmsb.capture.causes import Fate
from mmsb.capture.intern import Sink
from mmsb.capture.stream import Stream
from mmsb.capture.trees import inference_order, log_order

#: Row of Stream.codes → row of the instance's code page, or NONE.
VersionOf = Callable[[int], int]


@dataclass(slots=True)
class EventRow:
    """One row of ``event``."""

    window: int
    kind: EventKind
    subject: str
    world: int
    version: int = NONE_U32
    detail: str = ""


def _optional(sink: Sink, text: str) -> int:
    return sink.symbol(text) if text else NONE_U32


def write_events(sink: Sink, events: Sequence[EventRow]) -> None:
    """Append what happened."""
    if not events:
        return
    sink.append(
        schema.EVENT,
        {
            "window": [e.window for e in events],
            "kind": [int(e.kind) for e in events],
            "subject": [sink.symbol(e.subject) for e in events],
            "world": [e.world for e in events],
            "version": [e.version for e in events],
            "detail": [_optional(sink, e.detail) for e in events],
        },
    )


def write_fates(
    sink: Sink,
    window: int,
    ended: Sequence[tuple[Fate, str, int]],
    stored: dict[int, int],
) -> None:
    """Append why code ended. ``ended``: with the instance's key and the version; ``stored``: row
    of Stream.log → row of ``invalidation_tree``."""
    rows = [(cause, *one) for one in ended for cause in one[0].causes]
    if not rows:
        return
    sink.append(
        schema.INVALIDATION,
        {
            "victim": [sink.symbol(key) for _, _, key, _ in rows],
            "version": [version for *_, version in rows],
            "state": [int(fate.state) for _, fate, *_ in rows],
            "cause": [_optional(sink, cause) for cause, *_ in rows],
            "via": [_optional(sink, fate.via) for _, fate, *_ in rows],
            "depth": [fate.depth for _, fate, *_ in rows],
            "world": [fate.world for _, fate, *_ in rows],
            "window": [window] * len(rows),
            "tree": [stored.get(fate.node, NONE_U32) for _, fate, *_ in rows],
            "lost_ns": [fate.lost_ns for _, fate, *_ in rows],
        },
    )


def write_log(
    sink: Sink, stream: Stream, window: int, trees: Iterable[list[int]], version_of: VersionOf
) -> dict[int, int]:
    """Append trees of the compiler's log; row of Stream.log → row of ``invalidation_tree``."""
    ordered = log_order(stream, trees)
    if not ordered:
        return {}
    first = _next_row(sink, schema.INVALIDATION_TREE)
    nodes = [stream.log[row] for row, _ in ordered]
    sink.append(
        schema.INVALIDATION_TREE,
        {
            "window": [window] * len(nodes),
            "parent": [_moved(parent, first) for _, parent in ordered],
            "node": [n.node for n in nodes],
            "cause": [n.cause for n in nodes],
            "subject": [_optional(sink, n.subject) for n in nodes],
            "depth": [n.depth for n in nodes],
            "version": [version_of(n.code) for n in nodes],
            "world": [n.world for n in nodes],
            "lost_ns": [n.lost_ns for n in nodes],
        },
    )
    return {row: first + at for at, (row, _) in enumerate(ordered)}


def write_inference(
    sink: Sink, stream: Stream, window: int, trees: Iterable[list[int]], version_of: VersionOf
) -> None:
    """Append frames of the inference tree."""
    ordered = inference_order(stream, trees, version_of)
    if not ordered:
        return
    first = _next_row(sink, schema.INFERENCE)
    frames = [stream.inference[row] for row, _ in ordered]
    sink.append(
        schema.INFERENCE,
        {
            "window": [window] * len(frames),
            "parent": [_moved(parent, first) for _, parent in ordered],
            "instance": [_optional(sink, f.instance) for f in frames],
            "version": [version_of(f.code) for f in frames],
            "kind": [f.kind for f in frames],
            "inclusive_ns": [f.inclusive_ns for f in frames],
            "exclusive_ns": [f.exclusive_ns for f in frames],
        },
    )


def _next_row(sink: Sink, kind: schema.Kind) -> int:
    """The row that the next append will give out; an append of nothing says so."""
    return sink.append(kind, {kind.columns[0].name: []})


def _moved(place: int, first: int) -> int:
    return place if place == NONE_U32 else first + place
