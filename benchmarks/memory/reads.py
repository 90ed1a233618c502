"""What the layouts of a shape are asked: answers, times, and bytes decompressed for them."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from benchmarks.harness import Array, Bench, Timing, Timings, evicted, once, same
from benchmarks.memory.layouts import Layout, Shape, halfway
from mmsb.memory import packed
from mmsb.memory.memory import Memory

NEAR = 100  # pages that are read together
IN_ORDER = 20  # epochs, one after another
STATES = "cold", "warm"
AGAIN = "again"

#: Answers are lists of arrays, the same in all layouts.
Ask = Callable[[Memory, Shape, Layout], list[Array]]
#: By question and layout.
Unpacked = dict[str, dict[str, int]]


def near(shape: Shape) -> range:
    """Neighbouring pages among all; the first is the one that is read alone."""
    count = len(shape.pages)
    first = count * 2 // 5 // NEAR * NEAR or count // 2
    return range(first, min(first + NEAR, count))


def _as_of_middle(memory: Memory, shape: Shape, layout: Layout, page: int) -> Array:
    snapshot = memory.at(int(layout.epochs[page][halfway(shape.deltas(page)) - 1]))
    return snapshot.column(shape.kind, int(shape.pages[page]), shape.column)


def _last(memory: Memory, shape: Shape, _: Layout) -> list[Array]:
    return [memory.at().column(shape.kind, int(shape.pages[near(shape)[0]]), shape.column)]


def _middle(memory: Memory, shape: Shape, layout: Layout) -> list[Array]:
    return [_as_of_middle(memory, shape, layout, near(shape)[0])]


def _history(memory: Memory, shape: Shape, _: Layout) -> list[Array]:
    page = int(shape.pages[near(shape)[0]])
    states = [columns[shape.column] for _, columns in memory.replay(page, 1, memory.head)]
    return [np.array([len(memory.at().written(page))]), *states]


def _neighbours(memory: Memory, shape: Shape, layout: Layout) -> list[Array]:
    return [_as_of_middle(memory, shape, layout, page) for page in near(shape)]


def _all(memory: Memory, shape: Shape, _: Layout) -> list[Array]:
    return [memory.at().gather(shape.kind, shape.column, pages=shape.pages)[0]]


def _diff(memory: Memory, shape: Shape, layout: Layout) -> list[Array]:
    return _in_order(memory, shape, layout, 1)


def _replay(memory: Memory, shape: Shape, layout: Layout) -> list[Array]:
    return _in_order(memory, shape, layout, IN_ORDER)


def _in_order(memory: Memory, shape: Shape, layout: Layout, count: int) -> list[Array]:
    """The cells that commits wrote, as they happened, from where they lie now: page and row."""
    assert layout.moments is not None
    found, first = [], len(layout.moments) * 2 // 5
    for at in range(first, min(first + count, len(layout.moments))):
        keys = [np.zeros(0, np.uint64)]
        for epoch in layout.moments[at].tolist():
            for each in memory.diff(epoch - 1, epoch, [shape.kind]):
                if each.page in shape.wrote[at]:
                    keys.append(np.uint64(each.page) << np.uint64(32) | each.rows.astype("<u8"))
        found.append(np.unique(np.concatenate(keys)))
    return found


ASKED: dict[str, Ask] = {
    "a page as of the last epoch": _last,
    "a page as of a middle epoch": _middle,
    "a page's whole history": _history,
    "neighbouring pages as of a middle epoch": _neighbours,
    "all pages as of the last epoch (`gather`)": _all,
    "what one epoch wrote (`diff`)": _diff,
    f"what {IN_ORDER} epochs wrote, one after another": _replay,
}
BETWEEN = _history, _diff, _replay
OF_PAGES = tuple(ASKED)[:4]


def knows(layout: Layout, ask: str) -> bool:
    """Not of states between two epochs, where several deltas of a page share one."""
    return layout.moments is not None or ASKED[ask] not in BETWEEN


def _truth(shape: Shape, ask: Ask) -> list[Array]:
    """What is known of an answer without asking a memory."""
    if shape.truth is None:
        return []
    pages, deltas = near(shape), shape.deltas(near(shape)[0])
    if ask is _last:
        return [shape.truth(pages[0], deltas)]
    if ask is _middle or ask is _neighbours:
        chosen = pages if ask is _neighbours else pages[:1]
        return [shape.truth(page, halfway(deltas)) for page in chosen]
    if ask is _history:
        states = [shape.truth(pages[0], count) for count in range(1, deltas + 1)]
        return [np.array([deltas]), *states]
    return []


@contextmanager
def _quiet() -> Iterator[None]:
    """What is there is left alone by collections, which come before each opening."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _opened(shape: Shape, layout: Layout, *, cold: bool) -> Memory:
    """A memory as a process finds it, but for its index, by which the first delta of the last page
    was read. Nobody else has it open, not even what is garbage."""
    gc.collect()
    for path in layout.folder.iterdir():
        if cold:
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)
        else:
            path.read_bytes()
    memory = Memory.open(layout.folder)
    page = int(shape.pages[-1])
    memory.at().written(page)
    memory.at(int(layout.epochs[-1][0])).column(shape.kind, page, shape.column)
    return memory


def _unpacked() -> int:
    """Bytes that the one open memory has decompressed."""
    return sum(one.resident for one in gc.get_objects() if isinstance(one, packed.Packed))


def checked(shape: Shape, layouts: list[Layout], questions: Iterable[str] = ASKED) -> Unpacked:
    """Ends unless all layouts give the same answers; the bytes that each decompressed."""
    found: Unpacked = {}
    for layout in layouts:
        evicted(layout.folder)  # from here on nothing of it waits to be written
    with _quiet():
        for name in questions:
            own, wanted = found.setdefault(name, {}), _truth(shape, ASKED[name])
            for layout in (each for each in layouts if knows(each, name)):
                with _opened(shape, layout, cold=False) as memory:
                    before = _unpacked()
                    answer = ASKED[name](memory, shape, layout)
                    own[layout.name] = _unpacked() - before
                del memory
                wanted = wanted or [cells.copy() for cells in answer]
                what = f"{shape.name}: {name}, {layout.name}"
                same(f"{what}: how many", len(wanted), len(answer))
                for truth, told in zip(wanted, answer, strict=True):
                    same(what, truth, told)
                del answer, told
    return found


def asked(bench: Bench, shape: Shape, layouts: list[Layout], ask: str) -> Timings:
    """One question to each layout, round after round: its files not in the page cache; once more,
    all that it needs at hand; and, where it is of some pages, with its files in the page cache."""
    found: Timings = {}
    states = STATES if ask in OF_PAGES else STATES[:1]
    with _quiet():
        for _ in range(bench.rounds):
            for layout in (each for each in layouts if knows(each, ask)):
                for state in states:
                    with _opened(shape, layout, cold=state == "cold") as memory:
                        for named in (state, AGAIN) if state == "cold" else (state,):
                            taken = once(partial(ASKED[ask], memory, shape, layout))
                            timing = found.setdefault(f"{layout.name}, {named}", Timing())
                            timing.rounds.append(np.array([taken]))
                    del memory
    return found
