"""Which window each new code object belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmsb.base.model import NONE_U64, OPEN_WORLD
from mmsb.capture.calls import called
from mmsb.capture.stream import Code

if TYPE_CHECKING:
    from mmsb.capture.scheduler import Part, Scheduler


class Placement:
    """Gives each new code object its window: by its place, else by who calls it."""

    def __init__(self, scheduler: Scheduler, part: Part) -> None:
        self.scheduler, self.part = scheduler, part
        whole = self.whole = scheduler.schedule
        self.placed: set[int] = set()
        self._unnamed: dict[str, Iterator[int]] = {}  # an instance's code, in its order
        self.lowest = {i: self._first(whole.codes[i]) for i in part.codes}
        self.highest = {i: self._last(i) for i in part.codes}
        for index in part.codes:
            whole.window_of[index] = self.lowest[index]
            order = whole.codes[index].order
            if order != NONE_U64:
                window = scheduler.window_at(part, order)
                window = max(self.lowest[index], min(window, self.highest[index]))
                whole.window_of[index] = window
                self.placed.add(index)

    def _first(self, code: Code) -> int:
        return self._of_world(max(code.min_world, code.method_world))

    def _last(self, index: int) -> int:
        """The window of the last world in which it could be called."""
        code = self.whole.codes[index]
        if self.scheduler.is_past(index):
            return self.part.windows.stop - 1
        if not self.whole.native:
            return self._of_world(code.asked_world)
        method = self.scheduler.stream.instances[code.instance].method
        own = self.scheduler.methods.get((method, code.method_world))
        last = OPEN_WORLD if own is None else own.last_world  # Julia caps no code of replaced ones
        return self._of_world(min(code.max_world, last))

    def _of_world(self, world: int) -> int:
        return max(self.whole.window_of_world(world), self.part.windows.start)

    def trace(self, place: int, instance: str) -> None:
        """A line of the trace file compiles the first of the instance's code that it can."""
        window = self.scheduler.window_at(self.part, place)
        for index in self.scheduler.of_instance(instance):
            if index in self.placed or index not in self.part.codes:
                continue
            fits = self.lowest[index] <= window <= self.highest[index]
            if fits and not self.whole.codes[index].cached:
                self.placed.add(index)
                self.whole.traced[index] = True
                self.whole.window_of[index] = window
                return

    def name(self, instance: str) -> None:
        """A line of the trace file says that machine code was made, and no more."""
        if instance not in self._unnamed:
            codes = self.whole.codes
            own = [i for i in self.scheduler.of_instance(instance) if i in self.part.codes]
            own = [i for i in own if not codes[i].cached]
            self._unnamed[instance] = iter(sorted(own, key=lambda i: codes[i].order))
        index = next(self._unnamed[instance], None)
        if index is not None:
            self.whole.traced[index] = True

    def settle(self) -> None:
        """What has no place was compiled no later than its first caller; what is known without a
        body is told where an image brought it."""
        waiting = {i for i in self.part.codes if not self._is_bare(i)} - self.placed
        if not waiting:
            return
        best: dict[int, int] = {}
        frontier = sorted((self.whole.window_of[i], i) for i in self.placed)
        while frontier:
            following: set[tuple[int, int]] = set()
            for window, caller in frontier:
                for callee in self._callees(caller):
                    if callee not in waiting:
                        continue
                    if not self.lowest[callee] <= window <= self.highest[callee]:
                        continue
                    if window < best.get(callee, len(self.whole.windows)):
                        best[callee] = window
                        following.add((window, callee))
            frontier = sorted(following)
        for index, window in best.items():
            self.whole.window_of[index] = window

    def _is_bare(self, index: int) -> bool:
        code = self.whole.codes[index]
        return code.cached and not code.bodies and not code.calls

    def _callees(self, index: int) -> list[int]:
        invoked, resolved = called(self.scheduler.stream, self.whole.codes[index])
        keys = invoked | {instance for _, instance in resolved}
        return [row for key in sorted(keys) for row in self.scheduler.of_instance(key)]
