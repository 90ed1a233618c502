"""A memory beside Julia's own answers: what ``canonical.jl`` is asked, and where the two differ."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import live
import rebuild

from mmsb.base.model import NONE_U32, PASSES, Provenance, Rederived, Stage
from mmsb.capture.julia import Candidate

#: Instance, as ``rebuild.escape`` writes its key → part of the answer → lines.
Answers = Mapping[str, Mapping[str, list[str]]]

_HASHED = re.compile(r"(?P<kind>sym|str|String|)[#:](?P<length>\d+):(?P<digest>[0-9a-f]{64})")


def in_scope(recorded: live.Recorded) -> list[str]:
    """Instances whose code is recorded with its bodies; of others there is their row alone."""
    head = recorded.head
    depths, _ = head.gather("instance", "depth")
    return [head.subject(int(p)) for p in head.pages("instance")[depths != NONE_U32]]


def ask(
    julia: Candidate,
    folder: Path,
    argv: Sequence[str],
    keys: Iterable[str],
    pass_by_pass: Collection[str] = (),
) -> Answers:
    """Julia's own answer for each instance, from a process without mmsb; ``argv`` is the program
    that was recorded."""
    asked, out = folder / "keys", folder / "answers"
    lines = [f"{'>' if key in pass_by_pass else ' '}{rebuild.escape(key)}\n" for key in keys]
    asked.write_text("".join(lines))
    env = {
        "MMSB_CANONICAL": str(live.HERE / "canonical.jl"),
        "MMSB_KEYS": str(asked),
        "MMSB_ANSWERS": str(out),
    }
    live.said(julia, argv, env=env)
    return read_answers(out)


def read_answers(path: Path) -> Answers:
    """What ``canonical.jl`` wrote."""
    answers: dict[str, dict[str, list[str]]] = {}
    with path.open() as lines:
        for line in (line.removesuffix("\n") for line in lines):
            if line.startswith("@@ "):
                instance = answers[line[3:]] = {}
            elif line.startswith("## "):
                stage = instance[line[3:]] = []
            else:
                stage.append(line)
    return answers


def both_sides(key: str, stage: str, ours: list[str], julias: list[str]) -> str:
    """The first differing lines of one instance."""
    differing = [
        f"  {at}\n    mmsb  {mine}\n    julia {theirs}"
        for at, (mine, theirs) in enumerate(zip_longest(ours, julias), 1)
        if mine != theirs
    ]
    return "\n".join([f"{stage} of {key}", *differing[:3]])


def questions(version: rebuild.Version) -> Iterator[tuple[Stage, str]]:
    """Each stage of a version, and the part of Julia's answer that it has to be. Of code that had
    ended before it was asked for only the lowered stage is there."""
    yield Stage.LOWERED, "lowered"
    if version.ended and not version.whole:
        return
    yield Stage.INFERRED, "inferred"
    native = version.sayer(Stage.OPTIMIZED) == Provenance.NATIVE
    yield Stage.OPTIMIZED, "native" if native else "optimized"
    if version.rederived in (Rederived.EQUAL, Rederived.DIFFERS):
        yield Stage.REDERIVED, "optimized"


def mismatches(keys: Iterable[str], answers: Answers, names: rebuild.Names) -> Iterator[str]:
    """Every instance and stage in which the memory and Julia differ."""
    for key in keys:
        julias = answers[rebuild.escape(key)]
        if "missing" in julias:
            continue
        version = rebuild.newest(names, key)
        asked = list(questions(version))
        if PASSES[0].name.lower() in julias:
            asked += [(stage, stage.name.lower()) for stage in PASSES]
        for stage, part in asked:
            ours = rebuild.body(names, key, stage)
            theirs = one_of(julias, part, ours)
            if stage is Stage.CONVERT:  # it has no types yet: the memory shows those before it
                ours, theirs = untyped(ours), untyped(theirs)
            if ours != theirs:
                ours = revealed(ours, theirs)
            if ours != theirs:
                yield both_sides(key, stage.name.lower(), ours, theirs)
        part = "code" if "code" in julias else "returns"
        said = version.header() if "code" in julias else [version.returns]
        if part in julias and said != one_of(julias, part, said):
            yield both_sides(key, part, said, julias[part])


def one_of(julias: Mapping[str, list[str]], part: str, ours: list[str]) -> list[str]:
    """What Julia says of a part: of several valid code objects, that of the one which is ours."""
    said = [lines for name, lines in julias.items() if name.split(" ")[0] == part]
    same = [lines for lines in said if lines in (ours, revealed(ours, lines))]
    return (same or said or [[]])[0]


def revealed(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """Our lines with the words that are kept by hash, being names of the program's files, as far as
    Julia's lines have a word of that hash there."""
    return [_revealed(*pair) for pair in zip_longest(ours, theirs, fillvalue="")]


def _revealed(mine: str, julias: str) -> str:
    for found in _HASHED.finditer(mine):
        text = found["kind"] == "String"  # as a constant it stands in quotes
        start = found.start() + (1 if text else len(found["kind"]) + 1)
        word = julias[start : start + int(found["length"])]
        if hashlib.sha256(word.encode()).hexdigest() == found["digest"]:
            said = f'"{word}"' if text else f"{found['kind']}:{word}"
            return _revealed(mine[: found.start()] + said + mine[found.end() :], julias)
    return mine


def untyped(lines: Sequence[str]) -> list[str]:
    return [line.rpartition(" :: ")[0] or line for line in lines]


def finished(lines: Sequence[str]) -> list[str]:
    """The statements after the last pass as the compiler leaves them: their types widened. (Blocks
    of the final IR follow from its jumps; inside the optimiser a block may end without one.)"""
    out = []
    for line in statements(lines):
        head, separator, type_ = line.rpartition(" :: ")
        if head.startswith("pi "):  # its operand is a type as well
            head = re.sub(r" t:.* ~ ", " t:", head)
        out.append(f"{head}{separator}{type_.rpartition(' ~ ')[2]}")
    return out


def unfinished(keys: Iterable[str], names: rebuild.Names) -> Iterator[str]:
    """Every instance whose last recorded pass is not the compiler's answer of the same run."""
    for key in keys:
        version = rebuild.newest(names, key)
        if version.rederived == Rederived.NOT_ASKED:
            continue  # the compiler gave no answer
        final = statements(rebuild.body(names, key, Stage.REDERIVED))
        while final and final[-1].startswith("meta "):  # what is said of the function stands last
            final.pop()
        last = finished(rebuild.body(names, key, Stage.COMPACT3))
        if last != final and not collapsed(final):
            yield both_sides(key, "the last pass", last, final)


def statements(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if not line.startswith("B ")]


def collapsed(lines: Sequence[str]) -> bool:
    """Is it what the compiler puts for a function whose result is constant: a return, untyped?"""
    return len(lines) == 1 and lines[0].startswith("return ") and lines[0].endswith(" :: -")
