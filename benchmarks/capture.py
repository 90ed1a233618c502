"""What recording costs a compile-heavy program: ``make bench-capture``.

Every round runs the program plain and under each capture, one after the other, each in processes
of its own; the programs are packages' first use and the compiler's own tests of its inlining.
Ratios are taken within a round, and the median of the rounds is shown. Julia's own wall
and processor time, the command's (Julia and the host that writes the memory), Julia's peak memory.

    MMSB_BENCH_PROJECT   a Julia project with CSV, JSON3 and DataStructures, and SnoopCompileCore
                         for the peer; without it the program uses the standard library alone
    MMSB_BENCH_ROUNDS    3 by default
"""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from mmsb.capture import command, prepared, process
from mmsb.capture import julia as finder
from mmsb.session.recording import write

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
CAPTURES = ("events", "final", "passes", "decisions")
COMPILER = "capture_compiler.jl"  # for which `decisions` would take a quarter of an hour
GOALS = {"events": 1.02, "final": 1.10, "passes": 2.0}
PROJECT = os.environ.get("MMSB_BENCH_PROJECT", "")
ROUNDS = int(os.environ.get("MMSB_BENCH_ROUNDS", "3"))
PATIENCE = 1200  # seconds for one run
BEGIN, END = "<!-- bench-capture -->", "<!-- end of bench-capture -->"

Numbers = dict[str, float]


def chosen() -> finder.Candidate:
    """The newest Julia whose inside is known."""
    for found in finder.find_all():
        if found.ok and (found.version or "").startswith(("1.10.", "1.11.", "1.12.")):
            return found
    sys.exit("bench-capture needs a Julia 1.10, 1.11 or 1.12: `mmsb doctor --install` brings one")


def run(words: list[str], julia: finder.Candidate) -> subprocess.CompletedProcess[bytes]:
    """A Julia without a recorder, as it would be started."""
    return subprocess.run(words, check=False, env={**os.environ, **julia.env})


def one(way: str, julia: finder.Candidate, program: str) -> Numbers:
    """One run of the program, measured; called in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = time.process_time()
    start = time.monotonic()
    kept: Numbers = {}
    if way in CAPTURES:
        parsed = command.parse(["julia", program])
        settings = process.Settings(capture=way)
        recorded = process.run(julia, parsed, settings, lambda *_: None)
        ended = time.monotonic()
        code = recorded.exit_code
        with tempfile.TemporaryDirectory() as folder:
            result = write(recorded, Path(folder) / "bench.mmsb")
        kept = {"facts": result.facts, "bytes": result.bytes, "instances": result.instances}
    else:
        words = [str(julia.path), "--startup-file=no"]
        words += [str(HERE / "capture_snoop.jl")] if way == "snoop" else []
        code = run([*words, program], julia).returncode
        ended = time.monotonic()
    if code:
        raise SystemExit(f"{program} ended with exit code {code} under {way}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "julia": ended - start,
        "command": time.monotonic() - start,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "host": time.process_time() - own,
        "memory": after.ru_maxrss / 1024,
        **kept,
    }


def measured(
    way: str, julia: finder.Candidate, program: str, patience: float = PATIENCE
) -> Numbers:
    """The same, of a process made for it: a peak of memory is all of a process's life."""
    words = [sys.executable, __file__, "--one", way, str(julia.path), program]
    # a group of its own, so that a Julia that finds no end ends with it
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE,
        start_new_session=True,
    ) as process_:
        try:
            said, problem = process_.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            os.killpg(process_.pid, signal.SIGKILL)
            sys.exit(f"{way}: no end after {patience} s")
    if process_.returncode:
        sys.exit(f"{way}: {problem.strip()}")
    answer: Numbers = json.loads(said.splitlines()[-1])
    return answer


def snoops(julia: finder.Candidate, program: str) -> bool:
    """Is there a SnoopCompileCore beside the program's packages, and does it live through it?"""
    code = 'exit(Base.find_package("SnoopCompileCore") === nothing)'
    if run([str(julia.path), "--startup-file=no", "-e", code], julia).returncode:
        return False
    try:
        measured("snoop", julia, program, PATIENCE / 10)
    except SystemExit as problem:
        print(f"without SnoopCompile's snooping, which failed: {problem}", file=sys.stderr)
        return False
    return True


def table(runs: dict[str, list[Numbers]]) -> list[str]:
    """One line a way; ratios within a round, the median of the rounds."""

    def middle(way: str, name: str) -> float:
        return median(run[name] for run in runs[way])

    def ratio(way: str, name: str, base: str) -> float:
        pairs = zip(runs[way], runs["plain"], strict=True)
        return median(run[name] / plain[base] for run, plain in pairs)

    lines = [
        "| | Julia, s | × plain | processor, s | × plain | goal | command, s | × plain | peak, MiB "
        "| facts | facts a second | bytes a fact |",
        "| --- |" + " ---: |" * 11,
    ]
    for way, own in runs.items():
        goal = f"≤ {GOALS[way]:.2f}" if way in GOALS else ""
        cells = [way, f"{middle(way, 'julia'):.1f}", f"{ratio(way, 'julia', 'julia'):.2f}"]
        cells += [f"{middle(way, 'cpu'):.1f}", f"{ratio(way, 'cpu', 'cpu'):.2f}", goal]
        cells += [f"{middle(way, 'command'):.1f}", f"{ratio(way, 'command', 'julia'):.2f}"]
        cells += [f"{middle(way, 'memory'):.0f}"]
        if way in CAPTURES:
            facts = middle(way, "facts")
            added = median(
                run["command"] - plain["julia"]
                for run, plain in zip(own, runs["plain"], strict=True)
            )
            rate = f"{facts / added:,.0f}" if added > 0 else ""
            cells += [f"{facts:,.0f}", rate, f"{middle(way, 'bytes') / facts:.1f}"]
        else:
            cells += ["", "", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def rounds(julia: finder.Candidate, program: str) -> dict[str, list[Numbers]]:
    """Every way to run a program, ROUNDS times."""
    ways = ["plain", *CAPTURES]
    if program == COMPILER:
        ways.remove("decisions")
    if snoops(julia, program):
        ways.append("snoop")
    for way in ("plain", "events"):
        measured(way, julia, program)  # packages and the recorder are compiled, files are in memory
    runs: dict[str, list[Numbers]] = {way: [] for way in ways}
    for number in range(ROUNDS):
        for way in ways:
            runs[way].append(measured(way, julia, program))
            took = runs[way][-1]["julia"]
            print(f"{program}, round {number + 1}, {way}: {took:.1f} s", file=sys.stderr)
    return runs


def section(julia: finder.Candidate, program: str, runs: dict[str, list[Numbers]]) -> str:
    """What the page says of this run."""
    words = ["git", "describe", "--always", "--dirty"]
    told = subprocess.run(words, cwd=HERE, capture_output=True, text=True, check=False)
    commit = told.stdout.strip()
    load = os.getloadavg()[0]
    said = (
        f"`benchmarks/{program}` on Julia {julia.version}, {os.cpu_count()} cores, "
        f"{platform.machine()}, load {load:.1f}; {ROUNDS} interleaved rounds, medians of the "
        f"rounds' ratios; code of {commit or 'no commit'}. Where the machine is shared, the ratio "
        "of processor times is the one to read."
    )
    return "\n".join([said, "", *table(runs), ""])


def publish(text: str) -> None:
    """Puts the section where the page has it."""
    page = PAGE.read_text()
    start, stop = page.index(BEGIN), page.index(END) + len(END)
    PAGE.write_text(page[:start] + text + page[stop:])


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        way, path, program = sys.argv[2:]
        print(json.dumps(one(way, finder.probe("benchmark", path), program)))
        return
    julia = chosen()
    if PROJECT:
        os.environ["JULIA_PROJECT"] = PROJECT
    program = "capture_packages.jl" if PROJECT else "capture_numbers.jl"
    prepared.precompile(julia, command.parse(["julia", str(HERE / program)]))
    sections = [section(julia, one, rounds(julia, one)) for one in (program, COMPILER)]
    text = "\n".join([BEGIN, "", *sections, END])
    print(text)
    publish(text)


if __name__ == "__main__":
    main()
