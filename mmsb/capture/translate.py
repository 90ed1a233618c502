"""A recording to commits: for each window what was defined and what became of older code, then
what was lowered, inferred, optimised. Pure: it reads a stream and fills sinks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mmsb.base import schema
from mmsb.base.model import NONE_U32, STAGES, CodeState, Compiled, EventKind, Stage
from mmsb.base.schema import staged
from mmsb.capture.bodies import InstancePages
from mmsb.capture.causes import Fate, fates
from mmsb.capture.intern import Intern, Sink
from mmsb.capture.scheduler import Compilation, Schedule, Window, schedule
from mmsb.capture.staged import PlainPage
from mmsb.capture.stream import Code, Stream

#: One commit: fills a sink.
Step = Callable[[Sink], None]

_EVENT_OF = {
    Stage.LOWERED: EventKind.LOWERED,
    Stage.INFERRED: EventKind.INFERRED,
    Stage.OPTIMIZED: EventKind.OPTIMIZED,
}


@dataclass(slots=True)
class _EventRow:
    window: int
    kind: EventKind
    subject: str
    world: int
    version: int = NONE_U32
    detail: str = ""


class Translator:
    """The commits of one recording, in order. ``steps()`` is consumed once."""

    def __init__(self, stream: Stream, trace: list[Compilation], facts: dict[str, str]) -> None:
        self.stream = stream
        self.facts = facts
        self.schedule: Schedule = schedule(stream, trace)
        self._fates: dict[int, list[Fate]] = defaultdict(list)
        self._intern = Intern(stream)
        self._instances: dict[str, InstancePages] = {}
        self._methods: dict[str, PlainPage] = {}
        self._exact = stream.notes.get("origin") in ("tagged", "debuginfo")
        self._definition_of = self._number_definitions()
        worlds = [window.first_world for window in self.schedule.windows]
        for fate in fates(stream, self.schedule):
            at = int(np.searchsorted(worlds, fate.world, side="right")) - 1
            # a code object cannot end before it began
            at = max(at, self.schedule.window_of[fate.code], 0)
            self._fates[at].append(fate)

    def steps(self) -> Iterator[Step]:
        """The commits, to be applied in this order, each to a sink of its own."""
        for step in self._steps():

            def whole(sink: Sink, step: Step = step) -> None:
                step(sink)
                self._intern.flush(sink)

            yield whole

    def _steps(self) -> Iterator[Step]:
        for window in self.schedule.windows:
            early = [f for f in self._fates[window.index] if not self._opens_here(f, window)]
            late = [f for f in self._fates[window.index] if self._opens_here(f, window)]
            if window.definitions or early:
                yield lambda sink, w=window, e=early: self._define(sink, w, e)  # type: ignore[misc]
            for stage in STAGES:
                codes = [i for i in window.codes if stage in self.schedule.codes[i].bodies]
                if stage == Stage.LOWERED:
                    codes = window.codes
                if codes:
                    yield lambda sink, w=window, s=stage, c=codes: self._compile(sink, w, s, c)  # type: ignore[misc]
            if late:
                yield lambda sink, w=window, e=late: self._end(sink, w, e)  # type: ignore[misc]
        yield self._finish

    def _opens_here(self, fate: Fate, window: Window) -> bool:
        return self.schedule.window_of[fate.code] == window.index

    def _number_definitions(self) -> dict[tuple[str, int], int]:
        worlds: dict[str, set[int]] = defaultdict(set)
        for method in self.stream.methods:
            worlds[method.key].add(method.world)
        return {
            (key, world): number
            for key, seen in worlds.items()
            for number, world in enumerate(sorted(seen), 1)
        }

    # One window.

    def _define(self, sink: Sink, window: Window, ended: list[Fate]) -> None:
        events = []
        for index in window.definitions:
            method = self.stream.methods[index]
            self._write_method(sink, index)
            events.append(_EventRow(window.index, EventKind.DEFINED, method.key, method.world))
            if method.deleted:
                last = method.last_world + 1
                events.append(_EventRow(window.index, EventKind.DELETED, method.key, last))
        self._write_events(sink, events)
        self._end(sink, window, ended)

    def _end(self, sink: Sink, window: Window, ended: list[Fate]) -> None:
        events = []
        for fate in ended:
            code = self.schedule.codes[fate.code]
            pages = self._instances[code.instance]
            version = pages.version_of[fate.code]
            pages.code.update(
                sink, {"state": [int(fate.state)], "max_world": [code.max_world]}, version
            )
            self._write_fate(sink, fate, code, version, window)
            kind = (
                EventKind.INVALIDATED
                if fate.state == CodeState.INVALIDATED
                else EventKind.SUPERSEDED
            )
            events.append(_EventRow(window.index, kind, code.instance, fate.world, version))
        self._write_events(sink, events)

    def _write_fate(self, sink: Sink, fate: Fate, code: Code, version: int, window: Window) -> None:
        for cause in fate.causes:
            sink.append(
                schema.INVALIDATION,
                {
                    "victim": [sink.symbol(code.instance)],
                    "version": [version],
                    "state": [int(fate.state)],
                    "cause": [sink.symbol(cause) if cause else NONE_U32],
                    "via": [sink.symbol(fate.via) if fate.via else NONE_U32],
                    "depth": [fate.depth],
                    "world": [fate.world],
                    "window": [window.index],
                },
            )

    def _compile(self, sink: Sink, window: Window, stage: Stage, codes: list[int]) -> None:
        events = []
        for index in codes:
            code = self.schedule.codes[index]
            if stage == Stage.LOWERED:
                self._open_version(sink, index, code)
            pages = self._instances[code.instance]
            version = pages.version_of[index]
            body = code.bodies.get(stage)
            if body is not None:
                definition = self._definition(code)
                pages.commit(sink, stage, body, definition, self._exact)
                events.append(
                    _EventRow(
                        window.index, _EVENT_OF[stage], code.instance, code.asked_world, version
                    )
                )
            if stage == Stage.LOWERED and self.schedule.traced[index]:
                events.append(
                    _EventRow(
                        window.index, EventKind.COMPILED, code.instance, code.asked_world, version
                    )
                )
        self._write_events(sink, events)

    def _definition(self, code: Code) -> int:
        method = self.stream.instances[code.instance].method
        return self._definition_of.get((method, code.method_world), 0)

    def _open_version(self, sink: Sink, index: int, code: Code) -> None:
        instance = self.stream.instances[code.instance]
        pages = self._instances.get(code.instance)
        if pages is None:
            pages = InstancePages(sink, code.instance, self.stream, self._intern)
            self._instances[code.instance] = pages
            if instance.method not in self._methods:
                self._write_method_of(sink, instance.method)
            pages.instance.update(
                sink,
                {
                    "method": [sink.symbol(instance.method)],
                    "signature": [self._intern.type(sink, instance.signature)],
                    "name": [sink.symbol(instance.name)],
                    "depth": [instance.depth],
                    "module": [sink.symbol(instance.module)],
                },
            )
        version = pages.versions
        pages.versions += 1
        pages.version_of[index] = version
        compiled = Compiled.CACHED if code.cached else Compiled.INFERRED
        pages.code.update(
            sink,
            {
                "min_world": [code.min_world],
                "max_world": [schema.CODE.column("max_world").fill],
                "return_type": [self._intern.type(sink, code.return_type)],
                "state": [int(CodeState.VALID)],
                "compiled": [int(Compiled.NATIVE if self.schedule.traced[index] else compiled)],
                "provenance": [code.provenance],
                "definition": [self._definition(code)],
                "asked_world": [code.asked_world],
                **{staged("provenance", s): [b.provenance] for s, b in code.bodies.items()},
            },
            version,
        )

    # Methods, events, the end.

    def _write_method_of(self, sink: Sink, key: str) -> None:
        for index, method in enumerate(self.stream.methods):
            if method.key == key:
                self._write_method(sink, index)
                return

    def _write_method(self, sink: Sink, index: int) -> None:
        method = self.stream.methods[index]
        page = self._methods.get(method.key)
        if page is None:
            names = [column.name for column in schema.METHOD.columns]
            page = PlainPage(schema.METHOD, sink.page(schema.METHOD, method.key), names)
            self._methods[method.key] = page
        page.update(
            sink,
            {
                "name": [sink.symbol(method.name)],
                "module": [sink.symbol(method.module)],
                "signature": [self._intern.type(sink, method.signature)],
                "file": [self._intern.file(sink, method.file)],
                "line": [method.line],
                "world": [method.world],
                "arguments": [method.arguments],
                "definition": [self._definition_of[(method.key, method.world)]],
            },
        )

    def _write_events(self, sink: Sink, events: list[_EventRow]) -> None:
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
                "detail": [sink.symbol(e.detail) if e.detail else NONE_U32 for e in events],
            },
        )

    def _finish(self, sink: Sink) -> None:
        """Signatures out of scope are kept only where nothing better survived."""
        window = self.schedule.windows[-1].index
        events = []
        if self.facts.get("state") == "incomplete":
            events = [
                _EventRow(window, EventKind.COMPILED, signature, 0)
                for signature in self.schedule.unmatched
            ]
        world = int(self.stream.notes.get("last_world", "0"))
        self._write_events(sink, [*events, _EventRow(window, EventKind.ENDED, "", world)])
        facts = {**self.stream.notes, **self.facts}
        for name in ("trace_start", "trace_end", "ended", "fault"):
            facts.pop(name, None)
        sink.append(
            schema.RECORDING,
            {
                "key": [sink.symbol(key) for key in facts],
                "value": [sink.symbol(value) for value in facts.values()],
            },
        )
