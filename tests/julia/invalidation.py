"""What the shim makes of Julia's invalidation log, as text: the trees of small programs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import live

from mmsb.capture.julia import Candidate, shim_path

PROGRAM = live.HERE / "invalidation_trees.jl"
FIRST = (1, 10)  # the first Julia whose log is read
BINDINGS = (1, 12)  # the first with bindings that code depends on

LINE = re.compile(r"( *)(\w+) (\w+) (\d+) (\S+) (\S+) (\S+) (.*)")


@dataclass(frozen=True)
class Row:
    """A row as the program prints it."""

    indent: int
    node: str
    cause: str
    depth: int
    world: bool  # the cause's world is known
    code: bool  # the invalidated code object was found
    lost: bool  # and the time its inference had taken
    subject: str


def short(subject: str) -> str:
    """``f(Int64)`` of a key, a type or a binding's name."""
    text = re.sub(r"(\w+\.)+(?=\w)", "", subject.rsplit(" @ ", maxsplit=1)[-1])
    if found := re.search(r"Tuple\{(?:typeof\(([\w!]+)\)|(Type\{\w+\}))(?:, )?(.*)\}$", text):
        text = f"{found[1] or found[2]}({found[3]})"
    return re.sub(r"Array\{([^,{}]*|\w+\{[^{}]*\}), 1\}", r"Vector{\1}", text)


def rows_of(lines: list[str]) -> list[Row]:
    """What was printed of a case."""
    found = []
    for line in lines:
        m = LINE.fullmatch(line)
        assert m is not None, line
        world, code, lost = (word != "-" for word in m.group(5, 6, 7))
        text, place = short(m[8]), len(m[1]) // 2
        found.append(Row(place, m[2].upper(), m[3].upper(), int(m[4]), world, code, lost, text))
    return found


def shown(rows: list[Row]) -> str:
    """As the truth is written."""
    lines = []
    for row in rows:
        what = f"{row.cause} {row.subject}" if row.node == "ROOT" else f"{row.subject} {row.depth}"
        lines.append(f"{'  ' * row.indent}{row.node} {what}\n")
    return "".join(lines)


def expected(text: str) -> str:
    return dedent(text).strip("\n") + "\n" if text.strip() else ""


@dataclass(frozen=True)
class Log:
    """A Julia whose log is read, and where it keeps what it compiles of the shim."""

    julia: Candidate
    depot: Path

    def lines(self, kind: str, file: Path, env: dict[str, str] | None = None) -> list[str]:
        """What the program prints of a file."""
        words = [str(PROGRAM), str(shim_path().parent), str(self.depot), kind, str(file)]
        return live.said(self.julia, words, env=env).splitlines()

    def rows(self, folder: Path, env: dict[str, str], text: str) -> list[Row]:
        """The trees of one program, in Main."""
        script = folder / "program.jl"
        script.write_text(text)
        return rows_of(self.lines("program", script, env))

    def cases(self, file: Path) -> dict[str, list[Row]]:
        """The trees of every case of a file."""
        return {case: rows_of(lines) for case, lines in by_case(self.lines("cases", file)).items()}


def by_case(lines: list[str]) -> dict[str, list[str]]:
    """What follows each ``case NAME``."""
    found: dict[str, list[str]] = {}
    case = ""
    for line in lines:
        if line.startswith("case "):
            case = line.removeprefix("case ")
            found[case] = []
        else:
            found[case].append(line)
    return found


def packages(folder: Path, **bodies: str) -> dict[str, str]:
    """Packages that may use those before them; the environment in which they are found."""
    needs: dict[str, str] = {}
    for k, (name, body) in enumerate(bodies.items()):
        uuid = f"{k + 1:08x}-1111-4111-8111-111111111111"
        live.package(folder, name, uuid, body, needs)
        needs[name] = uuid
    depot = folder / "depot"
    return {"JULIA_LOAD_PATH": f"{folder}:@stdlib", "JULIA_DEPOT_PATH": f"{depot}:"}
