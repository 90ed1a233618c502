"""Windows and the place of each code object, on small streams made by hand."""

from __future__ import annotations

from mmsb.base.model import OPEN_WORLD, EventKind
from mmsb.capture.scheduler import Compilation, compilations, schedule, signature_hash
from mmsb.capture.stream import Code, Event, Instance, Method, Stream


def stream(*definitions: tuple[str, int, int]) -> Stream:
    """A program whose methods (key, world, trace offset) have one instance each."""
    made = Stream(notes={"first_world": "10", "trace_start": "0"})
    for key, world, offset in definitions:
        made.events.append(Event(EventKind.DEFINED, key, world, offset))
        made.methods.append(Method(key, key, "Main", 0, 0, 1, world, OPEN_WORLD, 2, False))
        made.instances[f"{key}!"] = Instance(
            f"{key}!", key, 0, f"{key}(::Int64)", 0, "Main", signature_hash(f"T{key}")
        )
    return made


def code(key: str, world: int, low: int, high: int = OPEN_WORLD) -> Code:
    asked = min(high, 99)
    return Code(f"{key}!", world, low, high, asked, 0, False, 3)


def test_definitions_without_a_compilation_between_them_share_a_window() -> None:
    made = stream(("f", 11, 0), ("g", 12, 0), ("h", 13, 50))
    made.codes = [code("f", 11, 1), code("g", 12, 1), code("h", 13, 1)]
    lines = [Compilation(10, "Tf"), Compilation(30, "Tg"), Compilation(60, "Th")]
    made_schedule = schedule(made, lines)
    assert [w.definitions for w in made_schedule.windows] == [[0, 1], [2]]
    assert made_schedule.window_of == [0, 0, 1]
    assert made_schedule.traced == [True] * 3


def test_code_is_placed_where_it_was_compiled_not_where_it_was_defined() -> None:
    made = stream(("f", 11, 0), ("g", 12, 20))
    made.codes = [code("f", 11, 1), code("g", 12, 1)]
    made.instances["e!"] = Instance("e!", "f", 0, "e", 0, "Main", signature_hash("Te"))
    made.codes.append(Code("e!", 11, 1, OPEN_WORLD, 99, 0, False, 3))
    lines = [Compilation(5, "Te"), Compilation(30, "Tf"), Compilation(40, "Tg")]
    found = schedule(made, lines)
    by_key = {c.instance: w for c, w in zip(found.codes, found.window_of, strict=True)}
    assert by_key == {"e!": 0, "f!": 1, "g!": 1}


def test_each_version_takes_the_line_of_its_own_worlds() -> None:
    made = stream(("f", 11, 0), ("g", 12, 20))
    made.codes = [code("f", 11, 11, 11), code("f", 11, 12)]
    found = schedule(made, [Compilation(5, "Tf"), Compilation(30, "Tf")])
    assert found.window_of == [0, 1]
    assert found.traced == [True, True]


def test_a_signature_nobody_recorded_is_kept_apart() -> None:
    found = schedule(stream(("f", 11, 0)), [Compilation(5, "Tuple{typeof(Base.sin), Float64}")])
    assert found.unmatched == ["Tuple{typeof(Base.sin), Float64}"]


def test_trace_lines_between_two_offsets() -> None:
    trace = (
        b"precompile(Tuple{typeof(Main.f), Int64})\n"
        b"precompile(Tuple{typeof(MMSBShim.send!), Int32})\n"
        b"precompile(Tuple{typeof(Main.g), Int64}) # recompile\n"
        b"precompile(Tuple{typeof(Main.h"
    )
    assert [c.signature for c in compilations(trace, 0, None)] == [
        "Tuple{typeof(Main.f), Int64}",
        "Tuple{typeof(Main.g), Int64}",
    ]
    assert compilations(trace, 0, 1) == [Compilation(0, "Tuple{typeof(Main.f), Int64}")]
    assert compilations(trace, 1, 41) == []
