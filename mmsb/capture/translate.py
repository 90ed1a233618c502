"""A recording to commits: for each window what was defined and what became of older code, then
what was lowered, inferred, seen after each pass, optimised, decided. Pure: it reads a stream and
fills sinks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmsb.base import schema
from mmsb.base.model import NONE_U32, PASSES, CodeState, EventKind, Stage
from mmsb.capture.bodies import InstancePages, write_bodies
from mmsb.capture.calls import keep_calls
from mmsb.capture.endings import Ending, Endings
from mmsb.capture.intern import Intern, Sink
from mmsb.capture.scheduler import Compilation, Part, Schedule, Scheduler, Window
from mmsb.capture.staged import PlainPage
from mmsb.capture.stream import Body, Code, Stream
from mmsb.capture.tables import EventRow, write_events, write_fates, write_inference, write_log
from mmsb.capture.trees import inference_trees
from mmsb.capture.versions import header, said_again, stages, timed

#: One commit: fills a sink.
Step = Callable[[Sink], None]
#: Bodies by row of Schedule.codes.
Bodies = dict[int, dict[Stage, Body]]

#: The stages of one epoch, with the event that says so.
_EPOCHS: tuple[tuple[EventKind, tuple[Stage, ...]], ...] = (
    (EventKind.LOWERED, (Stage.LOWERED,)),
    (EventKind.INFERRED, (Stage.INFERRED,)),
    (EventKind.PASSES, PASSES),
    (EventKind.OPTIMIZED, (Stage.OPTIMIZED, Stage.REDERIVED)),
)


@dataclass(frozen=True, slots=True)
class _Epoch:
    """One commit of bodies: rows of Schedule.codes, those that begin with it, and inference."""

    window: int
    event: EventKind
    stages: tuple[Stage, ...]
    codes: list[int]
    opened: list[int]
    inference: list[list[int]]


class Translator:
    """The commits of one recording, in order.

    ``steps`` may be called again whenever the stream was given more; ``finish`` comes last. Each
    step is one commit: apply all of them, in their order and each to a sink of its own, before the
    next call. A body is let go when the last step that reads it was applied.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._scheduler = Scheduler(stream)
        self._endings = Endings(self._scheduler)
        self._intern = Intern(stream)
        self._instances: dict[str, InstancePages] = {}
        self._methods: dict[str, PlainPage] = {}
        self._first_said: dict[str, int] = {}  # a method's key → its first row of Stream.methods
        self._definition_of: dict[tuple[str, int], int] = {}
        self._definitions: dict[str, int] = defaultdict(int)
        self._methods_read = 0
        self._stages: dict[int, set[Stage]] = defaultdict(set)  # of a code object, as written
        self._newest: dict[str, int] = {}  # an instance's key → its last version
        self._late = 0  # bodies that came when their code had been replaced
        self._decided: set[int] = set()
        self._log_rows: dict[int, int] = {}  # row of Stream.log → row of invalidation_tree

    @property
    def schedule(self) -> Schedule:
        """The order that was found, over all parts so far."""
        return self._scheduler.schedule

    def steps(self, trace: Sequence[Compilation] = ()) -> list[Step]:
        """The commits for what the stream was given since the last call.

        ``trace``: the lines of ``--trace-compile`` since then.
        """
        part = self._scheduler.advance(trace)
        self._number_definitions()
        planned = self._plan(part)
        return [self._whole(step) for step in planned]

    def finish(self, facts: dict[str, str]) -> Step:
        """The last commit: the program's end, and ``facts`` about the recording as a whole."""
        return self._whole(lambda sink: self._finish(sink, facts))

    def _whole(self, step: Step) -> Step:
        def whole(sink: Sink) -> None:
            step(sink)
            self._intern.flush(sink)

        return whole

    # What a part brings, window by window.

    def _plan(self, part: Part) -> list[Step]:
        early, late = self._endings.place(part)
        inference = inference_trees(self._scheduler, part)
        steps: list[Step] = []
        for window in self.schedule.windows[part.windows.start :]:
            w = window.index
            if w == part.windows.start:
                steps += self._again(part, window)
            if window.definitions or window.deletions or w in early:
                steps.append(lambda sink, w=window, e=early[w]: self._define(sink, w, e))  # type: ignore[misc]
            steps += self._code(window, inference[w])
            if w in late:
                steps.append(lambda sink, w=window, e=late[w]: self._end(sink, w, e))  # type: ignore[misc]
        return steps

    def _version(self, row: int) -> int:
        """Row of Stream.codes → row of the code page, NONE where it has none yet."""
        if row == NONE_U32:
            return NONE_U32
        index = self._scheduler.row_of[row]
        pages = self._instances.get(self.schedule.codes[index].instance)
        return NONE_U32 if pages is None else pages.version_of.get(index, NONE_U32)

    # Definitions and ends.

    def _number_definitions(self) -> None:
        fresh: dict[str, set[int]] = defaultdict(set)
        for row in range(self._methods_read, len(self.stream.methods)):
            method = self.stream.methods[row]
            self._first_said.setdefault(method.key, row)
            if (method.key, method.world) not in self._definition_of:
                fresh[method.key].add(method.world)
        self._methods_read = len(self.stream.methods)
        for key, worlds in fresh.items():
            for world in sorted(worlds):
                self._definitions[key] += 1
                self._definition_of[(key, world)] = self._definitions[key]

    def _define(self, sink: Sink, window: Window, ending: Ending) -> None:
        events = []
        for row in window.definitions:
            method = self.stream.methods[row]
            self._write_method(sink, row)
            events.append(EventRow(window.index, EventKind.DEFINED, method.key, method.world))
        for row in window.deletions:
            method = self.stream.methods[row]
            world = method.last_world + 1
            events.append(EventRow(window.index, EventKind.DELETED, method.key, world))
        write_events(sink, events)
        self._end(sink, window, ending)

    def _end(self, sink: Sink, window: Window, ending: Ending) -> None:
        stored = write_log(sink, self.stream, window.index, ending.trees, self._version)
        self._log_rows.update(stored)
        events = []
        ended = []
        for fate in ending.fates:
            code = self.schedule.codes[fate.code]
            pages = self._instances[code.instance]
            version = pages.version_of[fate.code]
            cells = {"state": [int(fate.state)]}
            if fate.state == CodeState.INVALIDATED:
                cells["max_world"] = [code.max_world]
            pages.code.update(sink, cells, version)
            ended.append((fate, code.instance, version))
            kind = (
                EventKind.INVALIDATED
                if fate.state == CodeState.INVALIDATED
                else EventKind.SUPERSEDED
            )
            events.append(EventRow(window.index, kind, code.instance, fate.world, version))
        for index in ending.capped:
            code = self.schedule.codes[index]
            pages = self._instances[code.instance]
            pages.code.update(sink, {"max_world": [code.max_world]}, pages.version_of[index])
        write_fates(sink, window.index, ended, self._log_rows)
        write_events(sink, events)

    # Code and its bodies.

    def _again(self, part: Part, window: Window) -> list[Step]:
        """What was said later of code that is known: passes asked for, most of all."""
        updated: dict[int, Code] = {}
        bodies: Bodies = {}
        decided: dict[int, Code] = {}
        for index, said in sorted(part.again.items(), key=lambda item: item[1].identity):
            known = self.schedule.codes[index]
            fresh = {s: b for s, b in said.bodies.items() if s not in self._stages[index]}
            if fresh and self._newest[said.instance] != index:
                # its successor's cells are what the page holds now
                self._late += 1
                fresh = {}
            said.bodies = fresh
            if said.decisions and index not in self._decided:
                decided[index] = said
            if fresh:
                bodies[index] = fresh
            if fresh or said_again(known, said) or (said.dependencies and not known.dependencies):
                updated[index] = said
        steps: list[Step] = []
        if updated:
            steps.append(lambda sink: self._update(sink, updated))
        return [*steps, *self._epochs(window, bodies, [], [], decided)]

    def _code(self, window: Window, inference: list[list[int]]) -> list[Step]:
        """The epochs of the code that a window compiled: one version of an instance at a time."""
        rounds: list[list[int]] = [[]]
        seen: dict[str, int] = defaultdict(int)
        for index in window.codes:
            key = self.schedule.codes[index].instance
            if seen[key] == len(rounds):
                rounds.append([])
            rounds[seen[key]].append(index)
            seen[key] += 1
            self._newest[key] = index
        steps: list[Step] = []
        for number, codes in enumerate(rounds, 1):
            bodies = {i: self.schedule.codes[i].bodies for i in codes}
            decided = {i: c for i in codes if (c := self.schedule.codes[i]).decisions}
            trees = inference if number == len(rounds) else []
            steps += self._epochs(window, bodies, codes, trees, decided)
        if steps:
            steps[-1] = self._letting_go(steps[-1], window.codes)
        return steps

    def _letting_go(self, step: Step, codes: Sequence[int]) -> Step:
        def last(sink: Sink) -> None:
            step(sink)
            for index in codes:
                code = self.schedule.codes[index]
                keep_calls(code)
                code.bodies, code.decisions = {}, []

        return last

    def _epochs(
        self,
        window: Window,
        bodies: Bodies,
        opened: list[int],
        inference: list[list[int]],
        decided: dict[int, Code],
    ) -> list[Step]:
        """Bodies to commits, by stage; the first opens the versions that begin here."""
        for index, held in bodies.items():
            self._stages[index] |= set(held)
        steps: list[Step] = []
        for event, stages_of in _EPOCHS:
            codes = [i for i, held in bodies.items() if not held.keys().isdisjoint(stages_of)]
            new = opened if event is EventKind.LOWERED else []
            trees = inference if event is EventKind.INFERRED else []
            if codes or new or trees:
                epoch = _Epoch(window.index, event, stages_of, codes, new, trees)
                steps.append(lambda sink, e=epoch: self._compile(sink, e, bodies))  # type: ignore[misc]
        if decided:
            self._decided |= set(decided)
            steps.append(lambda sink: self._decide(sink, window, decided))
        return steps

    def _compile(self, sink: Sink, epoch: _Epoch, bodies: Bodies) -> None:
        events = []
        for index in epoch.opened:
            self._open_version(sink, index)
        for stage in epoch.stages:
            items = [
                (self._instances[self.schedule.codes[i].instance], body, self._stages[i])
                for i in epoch.codes
                if (body := bodies[i].get(stage)) is not None
            ]
            if items:
                write_bodies(sink, self.stream, self._intern, stage, items)
        for index in epoch.opened or epoch.codes:
            code = self.schedule.codes[index]
            version = self._instances[code.instance].version_of[index]
            held = [stage for stage in epoch.stages if stage in bodies[index]]
            row = (code.instance, code.asked_world, version)
            if held:
                detail = _detail(epoch.event, held)
                events.append(EventRow(epoch.window, epoch.event, *row, detail))
            if epoch.opened and self.schedule.traced[index] and not self.schedule.native:
                events.append(EventRow(epoch.window, EventKind.COMPILED, *row))
        write_inference(sink, self.stream, epoch.window, epoch.inference, self._version)
        write_events(sink, events)

    def _decide(self, sink: Sink, window: Window, decided: dict[int, Code]) -> None:
        events = []
        for index, code in decided.items():
            pages = self._instances[code.instance]
            version = pages.version_of[index]
            pages.decide(sink, self._intern, code.decisions, version)
            events.append(
                EventRow(window.index, EventKind.DECIDED, code.instance, code.asked_world, version)
            )
        write_events(sink, events)

    def _definition(self, code: Code) -> int:
        method = self.stream.instances[code.instance].method
        return self._definition_of.get((method, code.method_world), 0)

    def _open_version(self, sink: Sink, index: int) -> None:
        code = self.schedule.codes[index]
        pages = self._instances.get(code.instance)
        if pages is None:
            pages = InstancePages(code.instance)
            self._instances[code.instance] = pages
            self._write_instance(sink, pages)
        version = pages.open_version(index)
        traced = self.schedule.traced[index] or timed(code, self.stream.notes)
        past = self._scheduler.is_past(index)
        definition = self._definition(code)
        cells = header(sink, self._intern, code, definition, traced=traced, past=past)
        pages.code.update(sink, {name: [value] for name, value in cells.items()}, version)
        pages.depend(sink, code.dependencies, version)

    def _write_instance(self, sink: Sink, pages: InstancePages) -> None:
        instance = self.stream.instances[pages.key]
        if instance.method not in self._methods and instance.method in self._first_said:
            self._write_method(sink, self._first_said[instance.method])
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

    def _update(self, sink: Sink, said: dict[int, Code]) -> None:
        for index, code in said.items():
            known = self.schedule.codes[index]
            pages = self._instances[code.instance]
            version = pages.version_of[index]
            cells = {**said_again(known, code), **stages(code)}
            if cells:
                pages.code.update(sink, {name: [value] for name, value in cells.items()}, version)
            if code.dependencies and not known.dependencies:
                known.dependencies = code.dependencies
                pages.depend(sink, code.dependencies, version)
            for name in said_again(known, code):
                setattr(known, name, getattr(code, name))

    # Methods, the end.

    def _write_method(self, sink: Sink, row: int) -> None:
        method = self.stream.methods[row]
        page = self._methods.get(method.key)
        if page is None:
            page = self._methods[method.key] = PlainPage(schema.METHOD, method.key)
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

    def _finish(self, sink: Sink, facts: dict[str, str]) -> None:
        """Signatures out of scope are kept only where nothing better survived."""
        window = self.schedule.windows[-1].index if self.schedule.windows else 0
        events = []
        if facts.get("state") == "incomplete" and not (self.schedule.native and self.stream.codes):
            events = [
                EventRow(window, EventKind.COMPILED, signature, 0)
                for signature in self.schedule.unmatched
            ]
        world = int(self.stream.notes.get("last_world", "0"))
        write_events(sink, [*events, EventRow(window, EventKind.ENDED, "", world)])
        known = {**self.stream.notes, **facts}
        if self._late:
            known["passes_of_replaced_code_left_out"] = str(self._late)
        for name in ("trace_start", "trace_end", "ended", "fault"):
            known.pop(name, None)
        sink.append(
            schema.RECORDING,
            {
                "key": [sink.symbol(key) for key in known],
                "value": [sink.symbol(value) for value in known.values()],
            },
        )


def _detail(event: EventKind, held: list[Stage]) -> str:
    """The passes that were sent; whether the compiler's second answer is among what was."""
    if event is EventKind.PASSES:
        return " ".join(stage.name.lower() for stage in held)
    return "rederived" if Stage.REDERIVED in held else ""
