"""Where a statement was written: file (by hash), line, and the chain of calls inlined around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmsb.base import schema
from mmsb.base.model import NONE_U32
from mmsb.query import sources
from mmsb.query.body import Statement
from mmsb.query.facts import Facts


@dataclass(frozen=True, slots=True)
class Place:
    """``file`` is the sha256 of its content, "" where it could not be read while recording."""

    function: str
    line: int
    file: str
    inlined_into: tuple[str, ...]  # "f:12", the caller first


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A place looked up on this machine; ``text`` is None where no file here has the hash."""

    name: str  # "tour.jl:12", or "file 1a2b3c4d…:12"
    text: str | None


class Places:
    """Places of one method's statements; sources are read once a file."""

    def __init__(self, facts: Facts, method: str) -> None:
        self._facts = facts
        self._method = facts.method(method)
        self._name = method.partition(" ")[0].rpartition(".")[2] or method
        self._files: dict[str, tuple[str, list[str] | None]] = {}

    @cached_property
    def _scopes(self) -> dict[str, list[int]]:
        table = self._facts.snapshot.table(schema.SCOPE)
        return {name: cells.tolist() for name, cells in table.items()}

    @cached_property
    def _contents(self) -> list[int]:
        found: list[int] = self._facts.snapshot.table(schema.FILE)["content"].tolist()
        return found

    def content(self, file: int | None) -> str:
        """sha256 of a file's content, "" for none."""
        if file is None or file == NONE_U32 or file >= len(self._contents):
            return ""
        return self._facts.text(self._contents[file])

    def place(self, statement: Statement) -> Place | None:
        """None where the compiler's debug info says nothing."""
        if statement.line is None:
            return None
        first = 0 if self._method is None else self._method.line
        if statement.scope is None or statement.scope >= len(self._scopes["parent"]):
            own = None if self._method is None else self._method.file
            if first + statement.line <= 0:
                return None
            return Place(self._name, first + statement.line, self.content(own), ())
        scopes, at = self._scopes, statement.scope
        chain: list[str] = []
        inner = at
        while at != NONE_U32 and at < len(scopes["parent"]):
            parent = scopes["parent"][at]
            outermost = parent == NONE_U32
            caller = self._name if outermost else self._facts.text(scopes["method"][parent])
            line = scopes["line"][at] + (first if outermost else 0)
            chain.append(f"{caller}:{line}")
            at = parent
        function = self._facts.text(scopes["method"][inner])
        content = self.content(scopes["file"][inner])
        return Place(function, statement.line, content, tuple(reversed(chain)))

    def source(self, place: Place) -> SourceLine:
        """The line of source, where a file on this machine still has the recorded hash."""
        if place.file not in self._files:
            self._files[place.file] = _load(place.file)
        name, lines = self._files[place.file]
        text = None
        if lines is not None and 0 < place.line <= len(lines):
            text = lines[place.line - 1].strip()
        return SourceLine(f"{name}:{place.line}", text)


def _load(content: str) -> tuple[str, list[str] | None]:
    if not content:
        return "unknown file", None
    path: Path | None = sources.find(content)
    if path is None:
        return f"file {content[:8]}…", None
    return path.name, path.read_text(encoding="utf-8", errors="replace").splitlines()
