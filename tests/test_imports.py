"""The rules about what imports what, and how large a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mmsb"
SOURCES = sorted(PACKAGE.rglob("*.py"))
# The folder of a file says which folders it may import from; a file outside is its own room.
ALLOWED = {
    "base": {"base"},
    "memory": {"memory", "base"},
    "capture": {"capture", "memory", "base"},
    "graph": {"graph", "memory", "base"},
    "query": {"query", "graph", "memory", "base"},
    "session": {"query", "graph", "capture", "memory", "base"},
    "interfaces": {"interfaces", "query", "session", "base"},
}
ROOMS = {*ALLOWED, "testing"}
# Modules that only one file may import, and never while mmsb itself is being imported.
ONE_FILE = {
    "juliacall": "capture/embedded.py",
    "cupy": "graph/kernels_gpu.py",
    "cupyx": "graph/kernels_gpu.py",
    "duckdb": "query/sql.py",
}
HEAVY = {
    "numpy",
    "scipy",
    "networkx",
    "rich",
    "typer",
    "numba",
    "pyarrow",
    "juliacall",
    "juliapkg",
    "cupy",
    "cupyx",
    "duckdb",
}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def _imported(tree: ast.AST) -> Iterator[str]:
    """Full names of what a file imports, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in SOURCES:
        yield path.relative_to(PACKAGE), ast.parse(path.read_text(encoding="utf-8"))


def test_each_room_imports_only_what_it_may() -> None:
    wrong = []
    for path, tree in _trees():
        room = path.parts[0].removesuffix(".py")
        allowed = ALLOWED.get(room)
        for name in _imported(tree):
            theirs = name.split(".")[1] if name.startswith("mmsb.") else room
            if allowed is not None and theirs in ROOMS and theirs not in allowed | {room}:
                wrong.append(f"{path} imports {name}")
    assert wrong == []


def test_interfaces_do_not_import_each_other() -> None:
    """Only the shared drawing in ``render.py`` may be imported by its neighbours."""
    wrong = []
    for path, tree in _trees():
        if path.parts[0] != "interfaces":
            continue
        own = path.parts[1].removesuffix(".py")
        for name in _imported(tree):
            parts = name.split(".")
            if parts[:2] == ["mmsb", "interfaces"] and parts[2] not in (own, "render"):
                wrong.append(f"{path} imports {name}")
    assert wrong == []


def test_optional_packages_are_imported_in_one_file_each() -> None:
    wrong = [
        f"{path} imports {name}"
        for path, tree in _trees()
        for name in _imported(tree)
        if path.as_posix() != ONE_FILE.get(name.split(".")[0], path.as_posix())
    ]
    assert wrong == []


def test_kernels_import_nothing_of_ours_but_kernels() -> None:
    wrong = [
        f"{path} imports {name}"
        for path, tree in _trees()
        for name in _imported(tree)
        if path.name.startswith("kernels")
        and name.startswith("mmsb.")
        and not name.startswith((f"mmsb.{path.parts[0]}.kernels", "mmsb.base.kernels."))
    ]
    assert wrong == []


def test_importing_mmsb_loads_nothing_heavy() -> None:
    code = "import sys, mmsb; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(loaded.stdout.split()) == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE
    functions = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    long = {
        node.name: length
        for node in functions
        if (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert long == {}
