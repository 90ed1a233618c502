"""The order of what happened: windows, and which code object was compiled in which.

A *window* is an interval between groups of method definitions: it opens with the definitions that
follow a compilation and closes before the next such group. Inside it things are ordered by what
they are, never by when they were seen. Definitions come from the method tracer with the length
that ``--trace-compile``'s file had then, which places its lines between them.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from mmsb.base.model import OPEN_WORLD, CallKind, EventKind, Stage
from mmsb.capture.stream import Code, Stream

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
    """Worlds ``[first_world, next window's first_world)``."""

    index: int
    first_world: int
    first_offset: int
    definitions: list[int] = field(default_factory=list)  # rows of Stream.methods, in order
    codes: list[int] = field(default_factory=list)  # rows of Schedule.codes


@dataclass(slots=True)
class Schedule:
    """Windows in order; the code objects kept, each with its window and whether it was traced."""

    windows: list[Window]
    codes: list[Code]
    window_of: list[int]
    traced: list[bool]
    unmatched: list[str]  # traced signatures outside the recorded scope


def schedule(stream: Stream, trace: list[Compilation]) -> Schedule:
    """Places every definition and code object of ``stream``. O(n log n) in what was recorded."""
    codes = _distinct(stream.codes)
    by_signature = {
        instance.trace: instance for instance in stream.instances.values() if instance.trace
    }
    lines = [(line.offset, by_signature.get(signature_hash(line.signature))) for line in trace]
    own = [offset for offset, instance in lines if instance is not None and instance.depth == 0]
    windows = _windows(stream, own)
    placed = _Placement(stream, codes, windows)
    for offset, instance in lines:
        if instance is not None:
            placed.trace(offset, instance.key)
    placed.settle()
    for index, at in enumerate(placed.window_of):
        windows[at].codes.append(index)
    for window in windows:
        window.codes.sort(key=lambda i: _code_order(codes[i]))
    unmatched = [
        line.signature for line, (_, instance) in zip(trace, lines, strict=True) if instance is None
    ]
    return Schedule(windows, codes, placed.window_of, placed.traced, unmatched)


def _code_order(code: Code) -> tuple[str, int, int]:
    return (code.instance, code.method_world, code.min_world)


def _distinct(codes: list[Code]) -> list[Code]:
    """One entry for each code object: asked twice, the later answer about its worlds holds."""
    latest: dict[tuple[str, int, int], Code] = {}
    for code in codes:
        known = latest.get(_code_order(code))
        if known is not None and not code.bodies:
            code.bodies = known.bodies
        latest[_code_order(code)] = code
    return [latest[key] for key in sorted(latest)]


def _windows(stream: Stream, compiled: list[int]) -> list[Window]:
    offsets = {
        (event.subject, event.world): event.offset
        for event in stream.events
        if event.kind == EventKind.DEFINED
    }
    first_world = int(stream.notes.get("first_world", "0"))
    start = int(stream.notes.get("trace_start", "0"))
    windows = [Window(0, first_world, start)]
    defined: dict[int, list[int]] = defaultdict(list)
    for i in sorted(range(len(stream.methods)), key=lambda i: stream.methods[i].key):
        if first_world < stream.methods[i].world < OPEN_WORLD:
            defined[stream.methods[i].world].append(i)
    ends = {world for world in _ends(stream) if world > first_world}
    reached = start
    for world in sorted(ends | set(defined)):
        # a package image brings methods without the tracer: they stand where their world stands
        seen = [offsets.get((stream.methods[i].key, world), reached) for i in defined[world]]
        reached = max([reached, *seen])
        window = windows[-1]
        # a world that ended code is a time of its own, whether its callers were traced or not
        if world in ends or _any(compiled, window.first_offset, reached):
            windows.append(Window(len(windows), world, reached))
        windows[-1].definitions.extend(defined[world])
    return windows


def _ends(stream: Stream) -> set[int]:
    """The worlds in which a recorded code object was no longer valid, or no longer called."""
    ends = {code.max_world + 1 for code in stream.codes if code.max_world < OPEN_WORLD}
    used = {(stream.instances[code.instance].method, code.method_world) for code in stream.codes}
    for method in stream.methods:
        if method.last_world < OPEN_WORLD and (method.key, method.world) in used:
            ends.add(method.last_world + 1)
    return ends


def _any(sorted_offsets: list[int], low: int, high: int) -> bool:
    """Is one of the offsets in ``[low, high)``?"""
    at = bisect_right(sorted_offsets, low - 1)
    return at < len(sorted_offsets) and sorted_offsets[at] < high


class _Placement:
    """Gives each code object its window: by its trace line, else by who calls it."""

    def __init__(self, stream: Stream, codes: list[Code], windows: list[Window]) -> None:
        self.stream = stream
        self.codes = codes
        self.windows = windows
        self.worlds = [window.first_world for window in windows]
        self.offsets = [window.first_offset for window in windows]
        self.traced = [False] * len(codes)
        self.lowest = [self._window_of_world(max(c.min_world, c.method_world)) for c in codes]
        self.highest = [self._window_of_world(c.asked_world) for c in codes]
        self.window_of = list(self.lowest)
        self.of_instance: dict[str, list[int]] = {}
        for index, code in enumerate(codes):
            self.of_instance.setdefault(code.instance, []).append(index)

    def _window_of_world(self, world: int) -> int:
        return max(0, bisect_right(self.worlds, world) - 1)

    def trace(self, offset: int, instance: str) -> None:
        window = max(0, bisect_right(self.offsets, offset) - 1)
        for index in self.of_instance.get(instance, []):
            fits = self.lowest[index] <= window <= self.highest[index]
            if fits and not self.traced[index] and not self.codes[index].cached:
                self.traced[index] = True
                self.window_of[index] = window
                return

    def settle(self) -> None:
        """What no line names was compiled no later than its first caller."""
        calls = [self._callees(index) for index in range(len(self.codes))]
        waiting = {i for i, traced in enumerate(self.traced) if not traced}
        best: dict[int, int] = {}
        frontier = sorted((self.window_of[i], i) for i in range(len(self.codes)) if self.traced[i])
        while frontier:
            following: list[tuple[int, int]] = []
            for window, caller in frontier:
                for callee in calls[caller]:
                    if callee not in waiting:
                        continue
                    if not self.lowest[callee] <= window <= self.highest[callee]:
                        continue
                    if window < best.get(callee, len(self.windows)):
                        best[callee] = window
                        following.append((window, callee))
            frontier = sorted(set(following))
        for index, window in best.items():
            self.window_of[index] = window

    def _callees(self, index: int) -> list[int]:
        found: list[int] = []
        keys = self._called_instances(self.codes[index])
        for key in keys:
            found.extend(self.of_instance.get(key, []))
        return found

    def _called_instances(self, code: Code) -> list[str]:
        s = self.stream.symbols
        keys: set[str] = set()
        for stage, body in sorted(code.bodies.items()):
            if stage == Stage.LOWERED or not body.call:
                continue
            wanted = CallKind.INVOKE if stage == Stage.OPTIMIZED else CallKind.RESOLVED
            for at in np.flatnonzero(body.call["kind"] == wanted).tolist():
                callee = s[int(body.call["callee"][at])]
                if wanted == CallKind.RESOLVED:
                    row = self.stream.types[int(body.call["signature"][at])]
                    callee = f"{callee} @ {s[row[0]]}"
                keys.add(callee)
        return sorted(keys)
