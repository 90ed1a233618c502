"""The order of what happened: windows, and which code object was compiled in which.

A *window* is an interval between groups of method definitions: it opens with the definitions that
follow a compilation and closes before the next such group. Inside it things are ordered by what
they are, never by when they were seen.

Places are numbers that grow. In the native tier they are places in the compiler's own queue of
inferred code: the method tracer notes how long it was at each definition. In the reflect tier they
are bytes of ``--trace-compile``'s file, whose lines stand for compilations.

A recording may come in several parts; each opens a window of its own after those before it.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmsb.base.model import NONE_U32, NONE_U64, OPEN_WORLD, EventKind
from mmsb.capture.placement import Placement
from mmsb.capture.stream import Code, Event, Method, Stream

_RECORDER = "MMSBShim."  # in a signature: the recorder's own code
_LINE = re.compile(r"precompile\((.*)\)\s*(#.*)?$")


def signature_hash(text: str) -> str:
    """``length:sha256`` of a signature as Julia prints it; what the shim sends for an instance."""
    data = text.encode("utf-8", "surrogateescape")
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Compilation:
    """A line of ``--trace-compile``: where it begins, and the signature it names."""

    offset: int
    signature: str


def compilations(trace: bytes, start: int, stop: int | None) -> list[Compilation]:
    """The whole lines of a trace file between two offsets. A torn last line is left out."""
    found = []
    at = 0
    for line in trace.splitlines(keepends=True):
        offset, at = at, at + len(line)
        if offset < start or (stop is not None and offset >= stop) or not line.endswith(b"\n"):
            continue
        match = _LINE.match(line.decode("utf-8", "surrogateescape").rstrip("\n"))
        if match and _RECORDER not in match[1]:
            found.append(Compilation(offset, match[1]))
    return found


@dataclass(slots=True)
class Window:
    """Worlds ``[first_world, next window's first_world)``, places from ``first_place`` on."""

    index: int
    first_world: int
    first_place: int
    definitions: list[int] = field(default_factory=list)  # rows of Stream.methods, in order
    deletions: list[int] = field(default_factory=list)  # the same
    codes: list[int] = field(default_factory=list)  # rows of Schedule.codes


@dataclass(slots=True)
class Schedule:
    """Windows in order; the code objects kept, each with its window and whether it was traced.

    Grows with every part of the recording; ``Part`` says what one part brought.
    """

    windows: list[Window] = field(default_factory=list)
    codes: list[Code] = field(default_factory=list)
    window_of: list[int] = field(default_factory=list)
    traced: list[bool] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)  # traced signatures out of scope
    native: bool = False  # placed by the compiler's queue

    def window_of_world(self, world: int) -> int:
        """The last window that opened in or before that world; 0 for an earlier one."""
        return max(0, bisect_right(self.windows, world, key=lambda w: w.first_world) - 1)


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a recording brought: rows of the schedule and of the stream."""

    windows: range
    codes: range
    again: dict[int, Code]  # known code objects of which something new was said: row → what
    inference: int  # the first row of Stream.inference


def schedule(stream: Stream, trace: Sequence[Compilation]) -> Schedule:
    """A recording that comes in one part. O(n log n) in what was recorded."""
    scheduler = Scheduler(stream)
    scheduler.advance(trace)
    return scheduler.schedule


class Scheduler:
    """Places every definition and code object of a stream, part by part."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.schedule = Schedule()
        self.methods: dict[tuple[str, int], Method] = {}  # (key, world) → the latest said of it
        self.row_of: dict[int, int] = {}  # row of Stream.codes → row of Schedule.codes
        self._rows: dict[tuple[str, int, int], int] = {}
        self._of_instance: dict[str, list[int]] = defaultdict(list)
        self._used: set[tuple[str, int]] = set()  # definitions that recorded code belongs to
        self._methods_read = self._codes_read = self._events_read = self._frames_read = 0
        self._events: dict[tuple[str, int], Event] = {}
        self._said: set[tuple[str, int]] = set()  # definitions of which this part says something
        self._deleted: set[tuple[str, int]] = set()
        self._past: dict[int, bool] = {}  # of native code objects
        self._reached: list[tuple[int, int]] = []  # place → the world that a definition began there
        self._ended: set[int] = set()
        self._last_world = int(stream.notes.get("first_world", "0"))

    def advance(self, trace: Sequence[Compilation] = ()) -> Part:
        """Takes in what the stream was given since; its windows follow the known ones."""
        whole = self.schedule
        first_window, first_code = len(whole.windows), len(whole.codes)
        if not first_window:
            self._last_world = int(self.stream.notes.get("first_world", "0"))
        again = self._take_codes()
        for index, code in again.items():
            whole.codes[index].max_world = code.max_world
        new = range(first_code, len(whole.codes))
        whole.native = (
            whole.native
            or self.stream.notes.get("tier") == "native"
            or any(whole.codes[i].order != NONE_U64 for i in new)
        )
        lines = self._lines(trace)
        if whole.native:
            queue = [(whole.codes[i].order, whole.codes[i].instance) for i in new]
            places = [(place, key) for place, key in queue if place != NONE_U64]
        else:
            places = lines
        defined, deleted = self._take_methods()
        for index in new:
            self._past[index] = self._began_past(whole.codes[index])
        self._open_windows(places, defined, deleted, self._ends([*new, *again]))
        part = Part(range(first_window, len(whole.windows)), new, again, self._frames_read)
        self._frames_read = len(self.stream.inference)
        placement = Placement(self, part)
        for place, key in lines:
            if whole.native:
                placement.name(key)
            else:
                placement.trace(place, key)
        placement.settle()
        for index in new:
            whole.windows[whole.window_of[index]].codes.append(index)
        for window in whole.windows[first_window:]:
            window.codes.sort(key=lambda i: whole.codes[i].identity)
        return part

    def is_past(self, index: int) -> bool:
        """Was it compiled, in the order of the compiler's queue, when its worlds were over? Code
        that runs in an older world asks for such."""
        return self._past.get(index, False)

    def _began_past(self, code: Code) -> bool:
        if code.order == NONE_U64:
            return False
        own = self.methods.get((self.stream.instances[code.instance].method, code.method_world))
        last = code.max_world if own is None else min(code.max_world, own.last_world)
        at = bisect_right(self._reached, (code.order, OPEN_WORLD)) - 1
        first = int(self.stream.notes.get("first_world", "0"))
        return last < max(first, self._reached[at][1] if at >= 0 else 0)

    def of_instance(self, key: str) -> list[int]:
        """Rows of an instance's code objects."""
        return self._of_instance.get(key, [])

    def window_at(self, part: Part, place: int) -> int:
        """The window of a place in one part; its first for one that is not known."""
        windows = self.schedule.windows[part.windows.start : part.windows.stop]
        at = bisect_right(windows, place, key=lambda w: w.first_place) - 1
        return part.windows.start + (max(0, at) if place != NONE_U64 else 0)

    # What came since.

    def _take_codes(self) -> dict[int, Code]:
        """New code objects in their order; what was said again of known ones."""
        again: dict[int, Code] = {}
        fresh: dict[tuple[str, int, int], Code] = {}
        rows = range(self._codes_read, len(self.stream.codes))
        for row in rows:
            code = self.stream.codes[row]
            known = self._rows.get(code.identity)
            if known is None:
                fresh[code.identity] = _united(fresh.get(code.identity), code)
            else:
                again[known] = _united(again.get(known), code)
        self._codes_read = rows.stop
        whole = self.schedule
        for identity in sorted(fresh):
            self._rows[identity] = len(whole.codes)
            self._of_instance[identity[0]].append(len(whole.codes))
            self._used.add((self.stream.instances[identity[0]].method, identity[1]))
            whole.codes.append(fresh[identity])
            whole.window_of.append(0)
            whole.traced.append(False)
        for row in rows:
            self.row_of[row] = self._rows[self.stream.codes[row].identity]
        return again

    def _take_methods(self) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
        """New definitions, and deletions, by world: rows of Stream.methods, by key."""
        recorded_from = int(self.stream.notes.get("first_world", "0"))
        for event in self.stream.events[self._events_read :]:
            if event.kind == EventKind.DEFINED:
                self._events[(event.subject, event.world)] = event
                if event.order != NONE_U64:
                    self._reached.append((event.order, event.world))
        self._events_read = len(self.stream.events)
        defined: dict[int, list[int]] = defaultdict(list)
        deleted: dict[int, list[int]] = defaultdict(list)
        rows = range(self._methods_read, len(self.stream.methods))
        for row in sorted(rows, key=lambda row: self.stream.methods[row].key):
            method = self.stream.methods[row]
            known = (method.key, method.world) in self.methods
            self.methods[(method.key, method.world)] = method
            self._said.add((method.key, method.world))
            if not known and recorded_from < method.world < OPEN_WORLD:
                defined[method.world].append(row)
            if method.deleted and (method.key, method.world) not in self._deleted:
                self._deleted.add((method.key, method.world))
                deleted[method.last_world + 1].append(row)
        self._methods_read = rows.stop
        self._reached.sort()
        return defined, deleted

    def _lines(self, trace: Sequence[Compilation]) -> list[tuple[int, str]]:
        """Where each line of the trace stands, and the instance it names."""
        by_signature = {i.trace: i.key for i in self.stream.instances.values() if i.trace}
        found = []
        for line in trace:
            key = by_signature.get(signature_hash(line.signature))
            if key is None:
                self.schedule.unmatched.append(line.signature)
            else:
                found.append((line.offset, key))
        return found

    # Windows.

    def _open_windows(
        self,
        places: list[tuple[int, str]],
        defined: dict[int, list[int]],
        deleted: dict[int, list[int]],
        ends: set[int],
    ) -> None:
        """``places``: of this part's compilations, with the instance; ``defined``, ``deleted``: as
        above; ``ends``: worlds in which code ended."""
        own = sorted(place for place, key in places if self.stream.instances[key].depth == 0)
        first = min((place for place, _ in places), default=NONE_U64)
        windows = self.schedule.windows
        # a part is a time of its own, and its places are compared with each other alone
        start = 0 if self.schedule.native else int(self.stream.notes.get("trace_start", "0"))
        windows.append(Window(len(windows), self._last_world, start))
        ends = {world for world in ends | set(deleted) if world > self._last_world}
        silent = self._silent(ends - set(defined), defined)
        reached = start
        # a later part begins with what happened first in it, and not with nothing
        blank = windows[-1].index > 0
        for world in sorted(ends | set(defined)):
            # a package image brings methods without the tracer: they stand where their world stands
            keys = [self.stream.methods[i].key for i in defined.get(world, [])]
            reached = max([reached, *(self._place(key, world, reached) for key in keys)])
            reached = max(reached, silent.get(world, start))
            # a world that ended code is a time of its own, whether its callers were traced or not
            blank = blank and reached <= first
            if blank:
                windows[-1].first_world = max(world, self._last_world)
            elif world in ends or _any(own, windows[-1].first_place, reached):
                windows.append(Window(len(windows), max(world, self._last_world), reached))
            windows[-1].definitions.extend(defined.get(world, []))
            windows[-1].deletions.extend(deleted.get(world, []))
            blank = False
        self._last_world = max([self._last_world, *ends, *defined])

    def _silent(self, worlds: set[int], defined: dict[int, list[int]]) -> dict[int, int]:
        """Where worlds stand that no definition began (a deletion's, a binding's): before the first
        code that was compiled for them, else after the last that they ended, and not behind the
        next definition."""
        if not worlds or not self.schedule.native:
            return {}
        codes = self.schedule.codes
        began = self._began()
        before: dict[int, int] = {}  # world → after the last that ended in it
        after: dict[int, int] = {}  # → where the first that is valid from it on began
        for index, code in enumerate(codes):
            if code.order == NONE_U64 or self.is_past(index):
                continue
            ended, place = code.max_world + 1, began.get(index, code.order)
            before[ended] = max(before.get(ended, 0), code.order + 1)
            after[code.min_world] = min(after.get(code.min_world, NONE_U64), place)
        defining = {
            at: min(self._place(self.stream.methods[r].key, at, NONE_U64) for r in rows)
            for at, rows in defined.items()
        }
        found = {}
        first = following = NONE_U64
        for world in sorted({*worlds, *after, *defining}, reverse=True):
            first = min(first, after.get(world, NONE_U64))
            if world in worlds:
                known = before.get(world, 0) if first == NONE_U64 else first
                found[world] = min(known, following)
            following = min(following, defining.get(world, NONE_U64))
        return found

    def _began(self) -> dict[int, int]:
        """Where the inference of each new code object began: at the first that it asked for."""
        frames = self.stream.inference
        lowest = {row: frames[row].order for row in range(self._frames_read, len(frames))}
        found = {}
        for row in reversed(lowest):
            parent, code = frames[row].parent, frames[row].code
            if parent in lowest:
                lowest[parent] = min(lowest[parent], lowest[row])
            if code != NONE_U32:
                found[self.row_of[code]] = lowest[row]
        return found

    def _place(self, key: str, world: int, otherwise: int) -> int:
        """Where a definition stands."""
        event = self._events.get((key, world))
        if event is None:
            return otherwise
        place = event.order if self.schedule.native else event.offset
        return otherwise if place == NONE_U64 else place

    def _ends(self, codes: Sequence[int]) -> set[int]:
        """The worlds, not told before, in which one of the code objects was no longer valid, or
        a recorded one no longer called."""
        said = [self.schedule.codes[index] for index in codes if not self.is_past(index)]
        ends = {code.max_world + 1 for code in said if code.max_world < OPEN_WORLD}
        for code in said:
            self._said.add((self.stream.instances[code.instance].method, code.method_world))
        for definition in self._said & self._used:
            method = self.methods.get(definition)
            if method is not None and method.last_world < OPEN_WORLD:
                ends.add(method.last_world + 1)
        self._said = set()
        fresh = ends - self._ended
        self._ended |= ends
        return fresh


def _united(earlier: Code | None, later: Code) -> Code:
    """Said twice of one code object: what the later says holds, bodies and lists are kept."""
    if earlier is not None:
        later.bodies = {**earlier.bodies, **later.bodies}
        later.dependencies = later.dependencies or earlier.dependencies
        later.decisions = later.decisions or earlier.decisions
        later.causes = later.causes or earlier.causes
    return later


def _any(sorted_places: list[int], low: int, high: int) -> bool:
    """Is one of the places in ``[low, high)``?"""
    at = bisect_right(sorted_places, low - 1)
    return at < len(sorted_places) and sorted_places[at] < high
