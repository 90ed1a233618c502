"""IR rebuilt from the memory alone equals Julia's own answer, statement by statement."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fidelity
import live
import pytest
import rebuild

from mmsb.base.model import PASSES, Provenance, Rederived, Stage
from mmsb.capture.julia import Candidate

SET = {"whole": 2000, "part": 350}  # method instances compared at least
OPAQUE = 0.01  # operands whose inside may be unknown
# Instances that the other process may lack: what Julia compiled for its own start, code of a module
# that only the system image's maker could reach, and what came with the recorder's own image.
ELSEWHERE = 0.004
WHOLE = {"lowered", "inferred", "optimized", "returns"}
SHOWN = 5  # mismatches printed in full

# Pass by pass: a part of the standard library, each of its instances.
PASS_MODULES = ["Dates", "Printf", "Base.Enums"]
PASS_SET = 150
# At scale: MMSB_TEST_PROJECT names projects that have the packages of packages.jl, one for each
# Julia, separated by `:`; a manifest says which Julia it is for.
PROJECTS = [Path(name) for name in os.environ.get("MMSB_TEST_PROJECT", "").split(":") if name]
PACKAGES = ["CSV", "DataStructures", "JSON3", "MacroTools", "StaticArrays"]
LARGE_MODULES = [
    *("Base.Broadcast", "Base.Filesystem", "Base.GMP", "Base.Iterators", "Base.MPFR", "Base.Math"),
    *("Base.Order", "Base.Sort", "Dates", "FileWatching", "LinearAlgebra", "Markdown", "Printf"),
    *("LibGit2", "Pkg", "Random", "Serialization", "Sockets"),
]
LARGE = 10_000
LARGE_PASS_SET = 500


@dataclass(frozen=True)
class Asked:
    """A recording, and Julia's answers for each instance in its scope."""

    recorded: live.Recorded
    keys: list[str]
    answers: fidelity.Answers
    names: rebuild.Names

    def missing(self) -> list[str]:
        return [key for key, parts in self.answers.items() if "missing" in parts]

    def compared(self) -> list[str]:
        """Instances of which Julia said everything, and mmsb too."""
        said = [key for key in self.keys if self.answers[rebuild.escape(key)].keys() >= WHOLE]
        return [key for key in said if rebuild.newest(self.names, key).whole]

    def tell(self) -> str:
        versions = [rebuild.newest(self.names, key) for key in self.keys]
        native = sum(v.sayer(Stage.OPTIMIZED) == Provenance.NATIVE for v in versions)
        differ = sum(v.rederived == Rederived.DIFFERS for v in versions)
        by_pass = sum("convert" in parts for parts in self.answers.values())
        count = self.names.count
        return (
            f"{len(self.compared())} instances, {len(self.missing())} that Julia lacks; {native} "
            f"native, {differ} derived otherwise now; {by_pass} asked pass by pass; "
            f"{count.operands} operands, {count.opaque} opaque"
        )


@pytest.fixture(scope="session")
def asked(
    julia: Candidate,
    extent: str,
    library: live.Recorded,
    tmp_path_factory: pytest.TempPathFactory,
) -> Asked:
    """Base and the standard library, widely used."""
    keys = fidelity.in_scope(library)
    folder = tmp_path_factory.mktemp("answers")
    answers = fidelity.ask(julia, folder, live.driver(extent), keys)
    return Asked(library, keys, answers, rebuild.Names(library.head))


def modern(julia: Candidate) -> None:
    if live.version(julia) < (1, 10):
        pytest.skip(f"Julia {julia.version} is not asked pass by pass")


@pytest.fixture(scope="session")
def passes(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """A small part of it, pass by pass."""
    modern(julia)
    folder = tmp_path_factory.mktemp("passes")
    argv = [str(live.HERE / "driver.jl")]
    recorded = live.record(
        julia, folder / "passes.mmsb", argv, modules=PASS_MODULES, capture="passes"
    )
    keys = fidelity.in_scope(recorded)
    answers = fidelity.ask(julia, folder, argv, keys, keys)
    return Asked(recorded, keys, answers, rebuild.Names(recorded.head))


def test_recorded_instances_are_ones_that_julia_has(asked: Asked) -> None:
    assert len(asked.answers) == len(asked.keys)
    missing = asked.missing()
    told = f"{len(missing)} instances that Julia does not have: {missing[:SHOWN]}"
    assert len(missing) <= ELSEWHERE * len(asked.answers), told


def none_of(wrong: Iterator[str]) -> None:
    found = list(wrong)
    assert not found, "\n".join([f"{len(found)} differ:", *found[:SHOWN]])


def test_ir_rebuilt_from_the_memory_equals_julias_own(asked: Asked, extent: str) -> None:
    none_of(fidelity.mismatches(asked.keys, asked.answers, asked.names))
    print(asked.tell())
    of_julia = [key for key in asked.compared() if not key.startswith("Main.")]
    assert len(of_julia) >= SET[extent]
    assert asked.names.count.opaque <= OPAQUE * asked.names.count.operands


@pytest.mark.newest
def test_every_pass_equals_julias_own(passes: Asked) -> None:
    """The IR after pass k is what Julia has when it is told to optimise until pass k."""
    none_of(fidelity.mismatches(passes.keys, passes.answers, passes.names))
    print(passes.tell())
    assert sum("convert" in parts for parts in passes.answers.values()) >= PASS_SET


@pytest.mark.newest
def test_the_last_pass_becomes_the_final_ir(passes: Asked) -> None:
    none_of(fidelity.unfinished(passes.keys, passes.names))


def test_a_changed_line_would_be_seen(asked: Asked) -> None:
    """The comparison can fail: one statement's type, changed, is a mismatch."""
    key = next(k for k in asked.keys if asked.answers[rebuild.escape(k)].keys() >= WHOLE)
    changed = {part: list(lines) for part, lines in asked.answers[rebuild.escape(key)].items()}
    changed["inferred"][-1] += " changed"
    wrong = list(fidelity.mismatches([key], {rebuild.escape(key): changed}, asked.names))
    assert [line.splitlines()[0] for line in wrong] == [f"inferred of {key}"]


@pytest.mark.newest
def test_a_changed_pass_would_be_seen(passes: Asked) -> None:
    key = next(k for k in passes.keys if "sroa" in passes.answers[rebuild.escape(k)])
    changed = {part: list(lines) for part, lines in passes.answers[rebuild.escape(key)].items()}
    for stage in PASSES:
        changed[stage.name.lower()][-1] = "changed"
    wrong = list(fidelity.mismatches([key], {rebuild.escape(key): changed}, passes.names))
    assert [w.splitlines()[0] for w in wrong] == [f"{s.name.lower()} of {key}" for s in PASSES]


def project_for(julia: Candidate) -> Path:
    release = ".".join(julia.version.split(".")[:2])
    for project in PROJECTS:
        said = re.search(r'julia_version = "(\d+\.\d+)', (project / "Manifest.toml").read_text())
        if said is not None and said[1] == release:
            return project
    pytest.skip(f"MMSB_TEST_PROJECT names no project with the packages for Julia {release}")


@pytest.mark.long
def test_ten_thousand_instances_equal_julias_own(
    julia: Candidate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Base, the standard library and five packages: all stages and passes of the recorded ones."""
    modern(julia)
    project = project_for(julia)
    folder = tmp_path_factory.mktemp("large")
    argv = [f"--project={project}", str(live.HERE / "packages.jl")]
    recorded = live.record(
        julia, folder / "large.mmsb", argv, depth=1, modules=LARGE_MODULES, capture="passes"
    )
    keys = fidelity.in_scope(recorded)
    every = max(1, len(keys) // LARGE_PASS_SET)
    answers = fidelity.ask(julia, folder, argv, keys, set(keys[::every]))
    asked = Asked(recorded, keys, answers, rebuild.Names(recorded.head))
    none_of(fidelity.mismatches(keys, answers, asked.names))
    none_of(fidelity.unfinished(keys, asked.names))
    print(asked.tell())
    compared = asked.compared()
    assert len(compared) >= LARGE
    for package in PACKAGES:
        assert any(key.startswith(f"{package}.") for key in compared)
