from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mmsb.base.errors import NotAMemory, UsageError
from mmsb.query import memories, sources


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _file(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_file_is_found_while_it_has_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.jl"
    content = _file(path, "f(x) = 1\n")
    assert sources.find(content) is None
    sources.remember([(content, str(path)), ("", "nowhere")])
    assert sources.find(content) == path
    _file(path, "f(x) = 2\n")
    assert sources.find(content) is None


def test_the_copy_that_still_fits_is_taken(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jl", tmp_path / "b.jl"
    content = _file(first, "1")
    _file(second, "1")
    sources.remember([(content, str(second)), (content, str(first))])
    first.unlink()
    assert sources.find(content) == second


def test_a_broken_index_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jl"
    content = _file(path, "1")
    sources.index_path().parent.mkdir(parents=True)
    sources.index_path().write_text("{broken", encoding="utf-8")
    assert sources.find(content) is None
    sources.remember([(content, str(path))])
    assert sources.find(content) == path


def test_which_memory_is_meant(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mmsb record"):
        memories.locate(None, tmp_path, {})
    (tmp_path / "a.mmsb").mkdir()
    (tmp_path / ".b.mmsb").mkdir()
    (tmp_path / "c.mmsb").touch()
    assert memories.locate(None, tmp_path, {}) == tmp_path / "a.mmsb"
    assert memories.locate(None, tmp_path, {"MMSB_MEMORY": "x"}) == Path("x")
    assert memories.locate("y", tmp_path, {"MMSB_MEMORY": "x"}) == Path("y")
    (tmp_path / "d.mmsb").mkdir()
    with pytest.raises(UsageError, match=r"a\.mmsb, d\.mmsb"):
        memories.locate(None, tmp_path, {})


def test_what_is_no_memory(tmp_path: Path) -> None:
    with pytest.raises(NotAMemory, match="does not exist"):
        memories.open_memory(tmp_path / "none.mmsb")
    (tmp_path / "file").touch()
    with pytest.raises(NotAMemory, match="is a file"):
        memories.open_memory(tmp_path / "file")
    with pytest.raises(NotAMemory):
        memories.open_memory(tmp_path)
