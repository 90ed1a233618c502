"""A new memory appears whole, and never over anything that is not a memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from mmsb.base.errors import MemoryLocked, MmsbError, NotAMemory, UsageError
from mmsb.memory import place
from mmsb.memory.memory import Memory
from mmsb.memory.place import check_target, publish, unfinished


def make(path: Path) -> Path:
    with Memory.create(path) as memory:
        changes = memory.changes()
        changes.symbol(path.name)
        memory.commit(changes)
    return path


def test_it_appears_under_its_name_and_nothing_is_left_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.mmsb"
    with unfinished(path) as folder:
        make(folder)
        assert publish(folder, path, replace=False) == path
    assert [p.name for p in tmp_path.iterdir()] == ["a.mmsb"]
    with Memory.open(path) as memory:
        assert memory.head == 1


def test_what_came_meanwhile_is_kept_and_the_next_name_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.mmsb"
    with unfinished(path) as folder:
        make(folder)
        path.mkdir()
        (path / "thesis.txt").write_text("mine")
        assert publish(folder, path, replace=False) == tmp_path / "a-2.mmsb"
    assert (path / "thesis.txt").read_text() == "mine"


def test_two_at_once_both_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.mmsb"
    with unfinished(path) as one, unfinished(path) as two:
        make(one)
        make(two)
        names = {publish(folder, path, replace=False) for folder in (one, two)}
    assert names == {path, tmp_path / "a-2.mmsb"}
    for name in names:
        with Memory.open(name) as memory:
            assert memory.head == 1


def fail_after_writing(path: Path) -> None:
    with unfinished(path) as folder:
        make(folder)
        raise RuntimeError


def test_an_unfinished_one_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fail_after_writing(tmp_path / "a.mmsb")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("holds", ["thesis.txt", "manifest.d/x"])
def test_a_folder_that_is_no_memory_is_not_replaced(tmp_path: Path, holds: str) -> None:
    path = tmp_path / "a.mmsb"
    (path / holds).parent.mkdir(parents=True)
    (path / holds).write_text("mine")
    with pytest.raises(NotAMemory):
        check_target(path, replace=True)
    assert (path / holds).read_text() == "mine"


def test_a_memory_with_someone_elses_file_in_it_is_not_replaced(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mmsb")
    (path / "notes.txt").write_text("mine")
    with pytest.raises(NotAMemory, match=r"notes\.txt"):
        check_target(path, replace=True)


def test_files_and_links_are_not_replaced(tmp_path: Path) -> None:
    memory = make(tmp_path / "a.mmsb")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(memory)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link", "dangling"):
        with pytest.raises(NotAMemory):
            check_target(tmp_path / name, replace=True)
        with pytest.raises(UsageError, match="exists already"):
            check_target(tmp_path / name, replace=False)


def test_a_memory_that_is_being_written_to_is_not_replaced(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mmsb")
    with Memory.open(path, write=True), unfinished(path) as folder:
        make(folder)
        with pytest.raises(MemoryLocked):
            publish(folder, path, replace=True)
    with Memory.open(path) as memory:
        assert memory.head == 1


def test_a_memory_is_replaced_by_another(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mmsb")
    with unfinished(path) as folder:
        make(folder)
        assert publish(folder, check_target(path, replace=True), replace=True) == path
    assert [p.name for p in tmp_path.iterdir()] == ["a.mmsb"]


@pytest.mark.parametrize("can", [True, False])
def test_the_name_is_never_without_a_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool
) -> None:
    path, seen = make(tmp_path / "a.mmsb"), list[bool]()
    rename = os.rename

    def watched(*names: Any) -> None:
        rename(*names)
        seen.append((path / "manifest").exists())

    monkeypatch.setattr("os.rename", watched)
    if not can:
        monkeypatch.setattr(place, "_exchanged", lambda *_: False)
    with unfinished(path) as folder:
        make(folder)
        (folder / "manifest").touch()
        inode = folder.stat().st_ino
        assert publish(folder, path, replace=True) == path
    assert path.stat().st_ino == inode
    assert [p.name for p in tmp_path.iterdir()] == ["a.mmsb"]
    if sys.platform == "linux":
        assert all(seen) == can


@pytest.mark.parametrize("name", ["..", ".", "/", "x" * 250, "no/such/folder/a.mmsb"])
def test_names_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    for replace in (False, True):
        with pytest.raises(MmsbError):
            check_target(Path(name), replace=replace)
