"""IR rebuilt from the memory alone equals Julia's own answer, statement by statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

import live
import pytest
import rebuild

from mmsb.base.model import NONE_U32, Provenance, Rederived, Stage
from mmsb.capture.julia import Candidate

SET = 2000  # method instances compared at least
OPAQUE = 0.01  # operands whose inside may be unknown
# Instances that the other process may lack: what Julia compiled for its own start, code of a module
# that only the system image's maker could reach, and what came with the recorder's own image.
ELSEWHERE = 0.002
WHOLE = {"lowered", "inferred", "optimized", "returns"}
SHOWN = 5  # mismatches printed in full

Answers = Mapping[str, Mapping[str, list[str]]]  # instance → stage → lines


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


@pytest.fixture(scope="session")
def answers(
    julia: Candidate, library: live.Recorded, tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    """Julia's own answer for each recorded instance, from a process without mmsb."""
    folder = tmp_path_factory.mktemp("answers")
    keys, out = folder / "keys", folder / "answers"
    keys.write_text("".join(f"{rebuild.escape(key)}\n" for key in in_scope(library)))
    env = {
        "MMSB_CANONICAL": str(live.HERE / "canonical.jl"),
        "MMSB_KEYS": str(keys),
        "MMSB_ANSWERS": str(out),
    }
    live.said(julia, [str(live.HERE / "driver.jl")], env=env)
    return read_answers(out)


def both_sides(key: str, stage: str, ours: list[str], julias: list[str]) -> str:
    """The first differing lines of one instance."""
    differing = [
        f"  {at}\n    mmsb  {mine}\n    julia {theirs}"
        for at, (mine, theirs) in enumerate(zip_longest(ours, julias), 1)
        if mine != theirs
    ]
    return "\n".join([f"{stage} of {key}", *differing[:3]])


def in_scope(recorded: live.Recorded) -> list[str]:
    """Instances whose code is recorded with its bodies; of others there is their row alone."""
    head = recorded.head
    depths, _ = head.gather("instance", "depth")
    return [head.subject(int(p)) for p in head.pages("instance")[depths != NONE_U32]]


def questions(version: rebuild.Version) -> Iterator[tuple[Stage, str]]:
    """Each stage of a version, and the part of Julia's answer that it has to be."""
    yield Stage.LOWERED, "lowered"
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
        for stage, part in questions(version):
            ours = rebuild.body(names, key, stage)
            if ours != julias.get(part, []):
                yield both_sides(key, stage.name.lower(), ours, julias.get(part, []))
        part, said = (
            ("code", version.header()) if "code" in julias else ("returns", [version.returns])
        )
        if part in julias and said != julias[part]:
            yield both_sides(key, part, said, julias[part])


def test_recorded_instances_are_ones_that_julia_has(
    library: live.Recorded, answers: Answers
) -> None:
    assert len(answers) == len(in_scope(library))
    missing = [key for key, stages in answers.items() if "missing" in stages]
    told = f"{len(missing)} instances that Julia does not have: {missing[:SHOWN]}"
    assert len(missing) <= ELSEWHERE * len(answers), told


def test_ir_rebuilt_from_the_memory_equals_julias_own(
    library: live.Recorded, answers: Answers
) -> None:
    names = rebuild.Names(library.head)
    compared = [key for key, stages in answers.items() if stages.keys() >= WHOLE]
    versions = [rebuild.newest(names, key) for key in in_scope(library)]
    of_julia = [key for key in compared if not key.startswith("Main.")]
    wrong = list(mismatches(in_scope(library), answers, names))
    print(
        f"{len(compared)} instances in three stages, {len(of_julia)} of Base and the standard "
        f"library; {names.count.operands} operands, {names.count.opaque} opaque; "
        f"{sum(v.sayer(Stage.OPTIMIZED) == Provenance.NATIVE for v in versions)} native, of which "
        f"{sum(v.rederived == Rederived.DIFFERS for v in versions)} are derived otherwise now"
    )
    assert not wrong, "\n".join([f"{len(wrong)} differ:", *wrong[:SHOWN]])
    assert len(of_julia) >= SET
    assert names.count.opaque <= OPAQUE * names.count.operands


def test_a_changed_operand_would_be_seen(library: live.Recorded, answers: Answers) -> None:
    """The comparison can fail: one statement's type, changed, is a mismatch."""
    names = rebuild.Names(library.head)
    key = next(k for k in in_scope(library) if answers[rebuild.escape(k)].keys() >= WHOLE)
    changed = {stage: list(lines) for stage, lines in answers[rebuild.escape(key)].items()}
    changed["inferred"][-1] += " changed"
    wrong = list(mismatches([key], {rebuild.escape(key): changed}, names))
    assert [line.splitlines()[0] for line in wrong] == [f"inferred of {key}"]
