"""What a real compiler told, pass by pass: put together in any way, each stage reads the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsb.capture import command, prepared, process
from mmsb.capture.julia import Candidate
from mmsb.capture.process import Settings
from mmsb.capture.scheduler import compilations
from mmsb.capture.stream import Stream
from mmsb.capture.translate import Translator
from mmsb.memory.memory import Memory

PROGRAM = """
rate(x) = 2
price(x) = x * rate(x)
total(xs) = sum(price, xs)
choose(x) = x > 1 ? x : string(x)
struct Shape; side::Float64; end
area(s) = (t = (s.side, s.side); t[1] * t[2])
function walk(n)
    found = Any[]
    for k in 1:n
        try
            push!(found, choose(k), area(Shape(k)))
        catch
            break
        end
    end
    return length(found)
end
total([1, 2, 3]), walk(4)
rate(x) = 3.0
total([1, 2, 3])
"""


@pytest.fixture(scope="module")
def told(
    julia: Candidate, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, process.Recorded]:
    """Every frame as it came over the pipe."""
    if tuple(map(int, str(julia.version).split(".")[:2])) < (1, 10):
        pytest.skip("passes are told by Julia 1.10 and later")
    script = tmp_path_factory.mktemp("program") / "program.jl"
    script.write_text(PROGRAM)
    parsed = command.parse(["julia", str(script)])
    prepared.precompile(julia, parsed)
    settings = Settings(depth=1, capture="passes")
    recorded = process.run(julia, parsed, settings, lambda *_: None)
    assert recorded.exit_code == 0
    return recorded


def translate(stream: Stream, trace: bytes, path: Path) -> Memory:
    memory = Memory.create(path, durability="none")
    translator = Translator(stream)
    drain(translator, memory, trace)
    return memory


def drain(translator: Translator, memory: Memory, trace: bytes = b"") -> None:
    for step in translator.steps(compilations(trace, 0, None)):
        changes = memory.changes()
        step(changes)
        memory.commit(changes)
