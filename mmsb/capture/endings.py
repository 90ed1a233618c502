"""Where in the order each end of code stands, with the compiler's log that tells of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from mmsb.base.model import NONE_U32, OPEN_WORLD, CodeState, TreeNode
from mmsb.capture.causes import Fate, fates
from mmsb.capture.scheduler import Part, Scheduler
from mmsb.capture.trees import roots


@dataclass(slots=True)
class Ending:
    """What ended at one place: fates, code objects (rows of Schedule.codes) that were capped after
    they were superseded, and trees of the compiler's log."""

    fates: list[Fate] = field(default_factory=list)
    capped: list[int] = field(default_factory=list)
    trees: list[list[int]] = field(default_factory=list)


class Endings:
    """Finds the ends that each part of a recording tells of, once each."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.schedule, self.stream = scheduler.schedule, scheduler.stream
        self._ended: set[int] = set()
        self._uncapped: set[int] = set()  # superseded, and not known to be capped since
        self._log_read = 0

    def place(self, part: Part) -> tuple[dict[int, Ending], dict[int, Ending]]:
        """By window: what ended before the window's code was compiled, and what after."""
        early: dict[int, Ending] = defaultdict(Ending)
        late: dict[int, Ending] = defaultdict(Ending)
        named, place_of = self._named(part, early, late)
        codes = range(len(self.schedule.codes))
        known = [index for index in codes if index not in self._ended]
        for fate in fates(self._scheduler, known, named):
            self._ended.add(fate.code)
            if fate.node in place_of:
                at, is_late = place_of[fate.node]
            else:
                at, is_late = self._place_of(part, fate.world, [fate.code])
            (late if is_late else early)[at].fates.append(fate)
            if fate.state == CodeState.SUPERSEDED:
                self._uncapped.add(fate.code)
        for index in sorted(self._uncapped):
            last = self.schedule.codes[index].max_world
            if last != OPEN_WORLD:
                self._uncapped.remove(index)
                at, is_late = self._place_of(part, last + 1, [index])
                (late if is_late else early)[at].capped.append(index)
        return early, late

    def _place_of(self, part: Part, world: int, codes: Iterable[int]) -> tuple[int, bool]:
        """Where something that ended code in a world stands, and whether that code begins there:
        a code object cannot end before it began."""
        began = [self.schedule.window_of[index] for index in codes]
        at = max(part.windows.start, self.schedule.window_of_world(world), *began, 0)
        return at, at in began

    def _opened(self, at: int) -> int:
        """The last world of what a window begins with."""
        window = self.schedule.windows[at]
        methods = self.stream.methods
        began = (methods[row].world for row in window.definitions)
        ended = (methods[row].last_world + 1 for row in window.deletions)
        return max([window.first_world, *began, *ended])

    def _named(
        self, part: Part, early: dict[int, Ending], late: dict[int, Ending]
    ) -> tuple[dict[int, int], dict[int, tuple[int, bool]]]:
        """Puts the log's new trees in their places. Returns which of its rows names a code object,
        and where each row stands."""
        log, first = self.stream.log, self._log_read
        self._log_read = len(log)
        named: dict[int, int] = {}
        place_of: dict[int, tuple[int, bool]] = {}
        for root, rows in roots((node.parent for node in log[first:]), first).items():
            victims = {row: index for row in rows if (index := self._victim(row)) is not None}
            at, is_late = self._place_of(part, log[root].world, victims.values())
            # of no recorded code, and not by what the window begins with
            is_late = is_late or log[root].world > self._opened(at)
            (late if is_late else early)[at].trees.append(rows)
            for row, index in victims.items():
                named.setdefault(index, row)
                place_of[row] = (at, is_late)
        return named, place_of

    def _victim(self, row: int) -> int | None:
        """The code object that a row of the log names: row of Schedule.codes."""
        node = self.stream.log[row]
        if node.node != TreeNode.CALLER:
            return None
        if node.code != NONE_U32:
            return self._scheduler.row_of[node.code]
        for index in self._scheduler.of_instance(node.subject):
            if self.schedule.codes[index].max_world + 1 == node.world:
                return index
        return None
