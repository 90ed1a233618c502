"""On a real recording: what is shown is what Julia itself prints."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmsb import session
from mmsb.base.errors import AmbiguousName
from mmsb.base.model import CodeState, Stage
from mmsb.capture.julia import Candidate
from mmsb.query import ir, sources, story, warn, why
from mmsb.query.document import text_of
from mmsb.query.memories import open_memory

PROGRAM = """
@noinline rate(x) = x + 1
price(x) = 2 * rate(x)
function total(items)
    sum = 0
    for item in items
        item > 0 || continue
        sum += price(item)
    end
    return sum
end
text(x) = string("a\\n$(x)", 'c', :sym, 1.5, 0x01, Int[1, 2], nothing, "b\\"")
steps(n) = collect(1:2:n)
three(a, b, c) = a + b + c
function caught(f, x)
    try
        return f(x)
    catch problem
        return problem isa DomainError ? -1 : -2
    end
end
counter() = (n = 0; () -> (n += 1))
keyword(x; by = 2) = x * by
called(x) = keyword(x; by = 3)
loop(n) = (while n > 1; n -= 2; end; n)
spread(xs...) = isempty(xs) ? 0 : xs[1] + spread(xs[2:end]...)
total([1, 2]); text(1); steps(9); three(1, 2, 3); caught(sqrt, -1.0); counter()(); called(2)
loop(5); spread(1, 2)
"""
REDEFINED = "rate(x) = x / 2\ntotal([1, 2])\n"
ASKED = {
    "price": "Int",
    "total": "Vector{Int}",
    "text": "Int",
    "steps": "Int",
    "three": "Int, Int, Int",
    "caught": "typeof(sqrt), Float64",
    "counter": "",
    "called": "Int",
    "loop": "Int",
}


@pytest.fixture(scope="module")
def recorded(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("live")
    script = folder / "program.jl"
    script.write_text(PROGRAM + REDEFINED, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        # each Julia's copy of the program has the same hash: one index would find the others
        patch.setattr(sources, "index_path", lambda: folder / "sources.json")
        result = session.record([str(script)], folder / "live.mmsb", julia=julia)
        assert result.state == "complete", result.message
        yield folder / "live.mmsb"


def printed_by(julia: Candidate, folder: Path) -> dict[str, list[str]]:
    """``code_lowered`` of each function, as Julia prints it: function → lines."""
    asks = (
        f'println("@@@{name}"); println(code_lowered({name}, Tuple{{{types}}})[1])'
        for name, types in ASKED.items()
    )
    script = folder / "ask.jl"
    script.write_text(PROGRAM + "\n".join(asks) + "\n", encoding="utf-8")
    assert julia.path is not None
    answer = subprocess.run(
        [julia.path, str(script)],
        env={**os.environ, **julia.env},
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for part in answer.stdout.split("@@@")[1:]:
        name, _, body = part.partition("\n")
        found[name] = [_normal(each) for each in body.strip().splitlines()[1:-1]]
    return found


def _normal(shown: str) -> str:
    """What only some Julias print: how an untyped call is reached, and ``enter`` as an Expr."""
    kinds = "(?:  dynamic|  builtin|dynamic builtin) "
    shown = re.sub(rf"(= |^[\d└│][^\w%$(]*?){kinds}", r"\1", shown.rstrip())
    return re.sub(r"\$\(Expr\(:enter, (#\d+)\)\)", r"enter \1", shown)


def test_lowered_code_is_laid_out_as_julia_prints_it(
    julia: Candidate, recorded: Path, tmp_path: Path
) -> None:
    with open_memory(recorded) as memory:
        for name, theirs in printed_by(julia, tmp_path).items():
            view = ir.show(memory, f"{name}({ASKED[name]})", stage=Stage.LOWERED)
            ours = [text_of(line).rstrip() for line in view.lines]
            assert ours == theirs, name


def test_a_redefinition_as_the_questions_tell_it(recorded: Path) -> None:
    with open_memory(recorded) as memory:
        told = story.story(memory)
        assert told.diff is not None
        assert told.diff.function.name == "price(::Int64)"
        ended = {(r.function, r.state) for r in told.ended}
        assert ended == {
            ("price(::Int64)", CodeState.INVALIDATED),
            ("total(::Vector{Int64})", CodeState.INVALIDATED),
            ("rate(::Int64)", CodeState.SUPERSEDED),
        }
        epoch = told.diff.old_epoch
        (total,) = why.why(memory, "total").fates
        assert total.reasons[0].via == ("price(::Int64)",)
        assert warn.warn(memory, "total", at=epoch).functions == ()
        (lost,) = warn.warn(memory, "total").functions
        assert any(u.text.startswith("sum") for u in lost.unstable)
        with pytest.raises(AmbiguousName):
            ir.show(memory, "spread")


def test_source_beside_the_statements(recorded: Path) -> None:
    with open_memory(recorded) as memory:
        places = [
            s.source for s in ir.show(memory, "price", stage=Stage.LOWERED, source=True).statements
        ]
        assert ("program.jl:3", "price(x) = 2 * rate(x)") in {
            (found.name, found.text) for found in places if found is not None
        }
        (recorded.parent / "program.jl").write_text("# another file now\n", encoding="utf-8")
        text = str(ir.show(memory, "price", stage=Stage.LOWERED, source=True))
        assert "source not on this machine" in text
