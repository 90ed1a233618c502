"""Live programs: run as they are, or recorded into a memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmsb import session
from mmsb.capture import command, prepared
from mmsb.capture.julia import Candidate, shim_path
from mmsb.memory.memory import Memory
from mmsb.memory.snapshot import Snapshot

HERE = Path(__file__).parent

#: In Julia: does a method instance have code that is valid now?
HAS_VALID_CODE = """
function valid(mi)
    code = isdefined(mi, :cache) ? mi.cache : nothing
    while code !== nothing
        code.max_world == typemax(UInt) && return true
        code = isdefined(code, :next) ? code.next : nothing
    end
    return false
end
"""


def driver(extent: str) -> list[str]:
    """The program that uses the library widely; a part of it is its first third."""
    return [str(HERE / "driver.jl"), *(["part"] if extent == "part" else [])]


def version(julia: Candidate) -> tuple[int, int]:
    """(1, 12) for 1.12.5."""
    major, minor, *_ = str(julia.version).split(".")
    return int(major), int(minor)


@dataclass
class Recorded:
    """A memory of a live program."""

    path: Path
    exit_code: int

    @cached_property
    def memory(self) -> Memory:
        return Memory.open(self.path)

    @cached_property
    def head(self) -> Snapshot:
        return self.memory.at()

    def subjects(self, kind: str = "instance") -> list[str]:
        """The subjects of a kind."""
        return [self.head.subject(int(page)) for page in self.head.pages(kind)]

    def notes(self) -> dict[str, str]:
        """What is known of the recording as a whole."""
        table = self.head.table("recording")
        names, values = (self.head.symbols(table[name]) for name in ("key", "value"))
        return dict(zip(names, values, strict=True))


def record(
    julia: Candidate,
    output: Path,
    argv: Sequence[str],
    *,
    depth: int = 0,
    modules: Sequence[str] = (),
    literals: bool = True,
    capture: str = "final",
) -> Recorded:
    """Record ``julia argv``; fails where the recording is not complete."""
    result = session.record(
        ["julia", *argv],
        output,
        depth=depth,
        modules=modules,
        literals=literals,
        capture=capture,
        julia=julia,
    )
    assert result.path is not None, result.message
    assert result.state == "complete", result.message
    return Recorded(Path(result.path), result.exit_code)


def record_text(julia: Candidate, folder: Path, text: str, *, depth: int = 0) -> Recorded:
    """Record a script of this text."""
    script = folder / "program.jl"
    script.write_text(text)
    return record(julia, folder / "program.mmsb", [str(script)], depth=depth)


def run(
    julia: Candidate,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """``julia argv``, as a user would."""
    return subprocess.run(
        [str(julia.path), *argv],
        env={**os.environ, **julia.env, **(env or {})},
        input=stdin,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def said(julia: Candidate, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> str:
    """Standard output of a program that has to succeed."""
    done = run(julia, argv, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def depot(julia: Candidate) -> Path:
    """Where the shim's compiled form is kept for recordings; it is there after this."""
    prepared.precompile(julia, command.parse(["julia"]))
    return prepared.depot_of(shim_path())


def package(folder: Path, name: str, uuid: str, body: str, needs: dict[str, str]) -> None:
    """A package Julia can load from ``folder``."""
    (folder / name / "src").mkdir(parents=True)
    (folder / name / "src" / f"{name}.jl").write_text(f"module {name}\n{body}\nend\n")
    listed = "".join(f'{need} = "{id_}"\n' for need, id_ in needs.items())
    project = f'name = "{name}"\nuuid = "{uuid}"\nversion = "0.1.0"\n\n[deps]\n{listed}'
    (folder / name / "Project.toml").write_text(project)
