"""The compiler's own trees, inference and invalidation, in the order in which they are stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from mmsb.base.model import NONE_U32
from mmsb.capture.scheduler import Part, Scheduler
from mmsb.capture.stream import Stream

#: Row of a table, and the place of its parent among the rows in the new order, or NONE.
Ordered = list[tuple[int, int]]


def roots(parents: Iterable[int], first: int) -> dict[int, list[int]]:
    """Root → its rows with itself, in order; ``parents`` are those of rows ``first``, ….

    A row whose parent was told in an earlier part of the recording begins a tree.
    """
    root_of: dict[int, int] = {}
    found: dict[int, list[int]] = {}
    for row, parent in enumerate(parents, first):
        root = root_of.get(parent, row)
        root_of[row] = root
        found.setdefault(root, []).append(row)
    return found


def inference_trees(scheduler: Scheduler, part: Part) -> dict[int, list[list[int]]]:
    """A part's trees of inference by window: that of their place, but not before their code's."""
    frames, first = scheduler.stream.inference, part.inference
    found: dict[int, list[list[int]]] = defaultdict(list)
    for root, rows in roots((frame.parent for frame in frames[first:]), first).items():
        at = scheduler.window_at(part, frames[root].order)
        for row in rows:
            if frames[row].code != NONE_U32:
                at = max(at, scheduler.schedule.window_of[scheduler.row_of[frames[row].code]])
        found[at].append(rows)
    return found


def inference_order(
    stream: Stream, trees: Iterable[list[int]], version_of: Callable[[int], int]
) -> Ordered:
    """Frames by instance. What is alike in that stays as it came, which is the compiler's own
    order; whose child a frame is does not count, since threads that infer at once race for it."""

    def key(row: int) -> tuple[str, int, int]:
        frame = stream.inference[row]
        return frame.instance, version_of(frame.code), frame.kind

    rows = sorted((row for tree in trees for row in tree), key=key)
    place = {row: at for at, row in enumerate(rows)}
    return [(row, place.get(stream.inference[row].parent, NONE_U32)) for row in rows]


def log_order(stream: Stream, trees: Iterable[list[int]]) -> Ordered:
    """Trees of the invalidation log as they stand in it."""
    place: dict[int, int] = {}
    ordered: Ordered = []
    for rows in trees:
        for row in rows:
            place[row] = len(ordered)
            ordered.append((row, place.get(stream.log[row].parent, NONE_U32)))
    return ordered
