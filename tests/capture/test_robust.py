"""Programs that go wrong, and scopes that leave something out: what came is kept and told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mmsb.base import schema
from mmsb.base.model import EventKind
from mmsb.capture.julia import Candidate, shim_path
from mmsb.memory.memory import Memory
from mmsb.session import RecordingResult, record


def version(julia: Candidate) -> tuple[int, ...]:
    return tuple(map(int, str(julia.version).split(".")[:2]))


def native(julia: Candidate) -> None:
    if version(julia) < (1, 10):
        pytest.skip(f"Julia {julia.version} is recorded by reflection alone")


def run(
    folder: Path, julia: Candidate, source: str, *switches: str, **more: object
) -> RecordingResult:
    script = folder / "script.jl"
    script.write_text(source)
    output = folder / "out.mmsb"
    return record(["julia", *switches, str(script)], output, julia=julia, **more)  # type: ignore[arg-type]


def depths(result: RecordingResult) -> dict[str, int]:
    """Depth of each instance of the program's module and what it calls; NONE_U32: out of scope."""
    with Memory.open(Path(str(result.path))) as memory:
        now = memory.at()
        pages = now.pages(schema.INSTANCE).tolist()
        names = [int(now.column(schema.INSTANCE, page, "name")[0]) for page in pages]
        found = [int(now.column(schema.INSTANCE, page, "depth")[0]) for page in pages]
        return dict(zip(now.symbols(names), found, strict=True))


def notes(result: RecordingResult) -> dict[str, str]:
    with Memory.open(Path(str(result.path))) as memory:
        table = memory.at().table(schema.RECORDING)
        names, values = (memory.at().symbols(table[name]) for name in ("key", "value"))
        return dict(zip(names, values, strict=True))


def with_bodies(result: RecordingResult) -> set[str]:
    """Subjects that have statements."""
    with Memory.open(Path(str(result.path))) as memory:
        now = memory.at()
        subjects = {now.subject(int(page)) for page in now.pages(schema.STATEMENT)}
        return {subject.split(" ")[0] for subject in subjects if subject.startswith("Main.")}


HARD = """
f(x) = x + 1
for k in 1:200                       # redefined and called
    @eval g(x) = f(x) + $k
    Base.invokelatest(g, k)
end
try; f("no method"); catch; end      # throws, and goes on
wait(@async f(2.0))                  # a task
wait(Threads.@spawn f(2.0f0))        # on another thread
@eval Base.isodd(x::Int8) = x & 1 == 1
isodd(Int8(3))
h(::Val{N}) where {N} = N + f(N)
Threads.@threads for k in 1:200      # threads that infer at once
    h(Val(k))
end
exit(7)
"""


@pytest.mark.newest
def test_all_that_a_hard_program_did_is_kept(tmp_path: Path, julia: Candidate) -> None:
    result = run(tmp_path, julia, HARD, "-t2")
    assert (result.state, result.exit_code) == ("complete", 7)
    known = depths(result)
    assert {f"h(::Val{{{k}}})" for k in range(1, 201)} <= known.keys()
    assert {"f(::Int64)", "f(::Float64)", "f(::Float32)", "g(::Int64)"} <= known.keys()
    with Memory.open(Path(str(result.path))) as memory:
        now = memory.at()
        (page,) = (p for p in now.pages(schema.CODE) if now.subject(int(p)).startswith("Main.g "))
        assert len(now.column(schema.CODE, int(page), "min_world")) == 200  # a version for each
        events = now.table(schema.EVENT)
        assert (events["kind"] == EventKind.DEFINED).sum() >= 202


@pytest.mark.long
def test_ten_thousand_redefinitions_grow_as_their_facts_do(
    tmp_path: Path, julia: Candidate
) -> None:
    """Twice as many are twice as much to keep; Julia's own heap holds next to nothing for it."""
    native(julia)
    source = """
    for k in 1:{n}
        @eval g(x) = x + $k
        Base.invokelatest(g, k)
    end
    GC.gc(); GC.gc()
    write({file!r}, string(Base.gc_live_bytes()))
    """
    heap = {}
    stored = {}
    for n in (5_000, 10_000):
        folder = tmp_path / str(n)
        folder.mkdir()
        text = source.format(n=n, file=str(folder / "heap")).replace("'", '"')
        result = run(folder, julia, text)
        assert result.state == "complete"
        stored[n] = result.bytes
        heap[n] = int((folder / "heap").read_text())
        (folder / "plain.jl").write_text(text)
        subprocess.run([str(julia.path), str(folder / "plain.jl")], check=True, timeout=600)
        heap[-n] = int((folder / "heap").read_text())
    assert stored[10_000] < 2.2 * stored[5_000]
    # the shim, its queue, and until 1.11 the compiler's own tree of what it measured: not the code
    measured = 20_000_000 if version(julia) < (1, 12) else 0
    assert heap[10_000] - heap[-10_000] < 20_000_000 + measured


# --- scope ----------------------------------------------------------------------------------------

SCOPED = "a(x) = x + 1\nb(x) = a(x) * 2\nc(x) = sort([x, b(x)])\nc(1)\n@noinline d(x) = x\nd(2)\n"


def test_only_the_functions_asked_for_have_bodies(tmp_path: Path, julia: Candidate) -> None:
    native(julia)
    result = run(tmp_path, julia, SCOPED, functions=["b", "Main.d", "c(::Int64)"])
    assert with_bodies(result) == {"Main.b", "Main.c", "Main.d"}
    assert {"a(::Int64)", "d(::Int64)"} <= depths(result).keys()
    assert notes(result)["deterministic"] == "yes"


@pytest.mark.newest
def test_a_function_that_nothing_is_named_is_told(tmp_path: Path, julia: Candidate) -> None:
    native(julia)
    result = run(tmp_path, julia, SCOPED, functions=["b", "nowhere", "Main.bb"])
    assert with_bodies(result) == {"Main.b"}
    assert result.message.endswith("; no recorded function is named nowhere Main.bb")


@pytest.mark.newest
def test_a_least_time_leaves_out_bodies_and_is_not_deterministic(
    tmp_path: Path, julia: Candidate
) -> None:
    native(julia)
    result = run(tmp_path, julia, SCOPED, min_inference_ms=3_600_000.0)
    assert with_bodies(result) == set()
    assert "c(::Int64)" in depths(result)
    assert notes(result)["deterministic"] == "no"


@pytest.mark.newest
def test_a_limit_says_how_much_it_dropped(tmp_path: Path, julia: Candidate) -> None:
    native(julia)
    result = run(tmp_path, julia, SCOPED, limit=2)
    told = notes(result)
    assert int(told["dropped"]) >= 3
    assert told["deterministic"] == "no"


# --- other users of the same hooks ----------------------------------------------------------------


def test_a_hook_that_another_takes_is_told(tmp_path: Path, julia: Candidate) -> None:
    native(julia)
    taken = "const TAKEN = Any[]\nccall(:jl_set_newly_inferred, Cvoid, (Any,), TAKEN)\n"
    result = run(tmp_path, julia, SCOPED + taken)
    assert result.state == "incomplete"
    assert "another user took the compiler's queue of inferred code" in result.message


REFUSES = """
let shim = Base.include(Base.__toplevel__, ENV["SHIM"])      # as Julia includes a package
    try
        Base.invokelatest(shim.start_queue!)
    catch problem
        showerror(stderr, problem)
    end
end
"""
# Julia's own way to make a package image of what it reads.
MAKES_AN_IMAGE = """
command = `$(Base.julia_cmd()) -O0 --output-ji $(ARGS[1]) --output-incremental=yes -`
run(pipeline(command, stdin = ARGS[2]))
"""


@pytest.mark.newest
def test_in_a_package_image_recording_is_refused_by_name(tmp_path: Path, julia: Candidate) -> None:
    """The compiler's queue is then the image's own."""
    native(julia)
    (tmp_path / "refuses.jl").write_text(REFUSES)
    words = ["--startup-file=no", "-e", MAKES_AN_IMAGE, "image.ji", "refuses.jl"]
    done = subprocess.run(
        [str(julia.path), *words],
        cwd=tmp_path,
        env={**os.environ, **julia.env, "SHIM": str(shim_path() / "src" / "MMSBShim.jl")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "cannot record: package precompilation uses the compiler's queue" in done.stderr


@pytest.mark.newest
def test_a_recording_in_a_recording_is_refused(tmp_path: Path, julia: Candidate) -> None:
    native(julia)
    source = """
    shim = only(m for m in Base.loaded_modules_array() if nameof(m) === :MMSBShim)
    try
        shim.start(1, "", Dict{String,String}())
    catch problem
        write("said", sprint(showerror, problem))
    end
    """.replace('"said"', f'"{tmp_path / "said"}"')
    result = run(tmp_path, julia, source)
    assert result.state == "complete"
    assert "is recording already" in (tmp_path / "said").read_text()
