"""Which Julia would run inside Python, found on machines that are made up."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import ssl
import sys
from pathlib import Path

import pytest

from mmsb.base.errors import MissingExtra
from mmsb.capture.embeddable import embeddable
from mmsb.session import doctor, start

FAKE = '#!/bin/sh\necho "mmsb {version}"\necho "mmsb caught"\n'
needs_juliacall = pytest.mark.skipif(
    importlib.util.find_spec("juliacall") is None, reason="juliacall is not installed"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; PATH is its folder ``bin``."""
    for name in ("EXE", "PROJECT"):
        monkeypatch.delenv(f"PYTHON_JULIACALL_{name}", raising=False)
    for name in ("JULIA_DEPOT_PATH", "MMSB_JULIA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setitem(sys.modules, "juliapkg.state", None)  # what it resolved is not this home's
    (tmp_path / "bin").mkdir()
    return tmp_path


def environment(home: Path, name: str, julia: str, pythoncall: str) -> None:
    folder = home / ".julia" / "environments" / name
    folder.mkdir(parents=True)
    (folder / "Manifest.toml").write_text(
        f'julia_version = "{julia}"\n\n[[deps.Other]]\nversion = "9.9.9"\n\n'
        f'[[deps.PythonCall]]\nuuid = "6099a3de-0909-46bc-b1f4-468b9a2dfc0d"\n'
        f'version = "{pythoncall}"\n'
    )


def julia(home: Path, version: str) -> None:
    path = home / "bin" / f"julia-{'.'.join(version.split('.')[:2])}"
    path.write_text(FAKE.format(version=version))
    path.chmod(0o755)


def test_without_juliacall_the_extra_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = embeddable()
    assert not found.ok
    assert "pip install juliacall" in found.reason
    with pytest.raises(MissingExtra, match="juliacall is not installed"):
        start(home / "out.mmsb", host="embedded")


@needs_juliacall
def test_the_environment_decides(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    julia(home, "1.12.5")
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", "julia-1.12")
    assert "PYTHON_JULIACALL_PROJECT is not: set both" in embeddable().reason
    monkeypatch.setenv("PYTHON_JULIACALL_PROJECT", str(home / "nowhere"))
    assert not embeddable().ok
    assert "nowhere" in embeddable().reason
    monkeypatch.setenv("PYTHON_JULIACALL_PROJECT", str(home))
    found = embeddable()
    assert (found.ok, found.source, found.executable) == (True, "environment", "julia-1.12")
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", "julia-1.11")
    assert "julia-1.11, which cannot be run" in embeddable().reason


@needs_juliacall
def test_a_shared_environment_serves_without_a_network(home: Path) -> None:
    """The newest whose PythonCall is juliacall's and whose Julia is there; ``@mmsb`` first."""
    ours = importlib.metadata.version("juliacall")
    environment(home, "v1.12", "1.12.5", ours)
    assert not embeddable().ok  # there is no such Julia
    julia(home, "1.12.5")
    assert embeddable().source == "@v1.12"
    environment(home, "v1.13", "1.13.0", "0.0.1")
    environment(home, "v1.10", "1.10.2", ours)  # older than juliacall can use
    julia(home, "1.13.0")
    julia(home, "1.10.2")
    assert embeddable().source == "@v1.12"
    environment(home, "mmsb", "1.11.4", ours)
    assert embeddable().source == "@v1.12"
    julia(home, "1.11.4")
    found = embeddable()
    assert (found.ok, found.source) == (True, "@mmsb")
    assert found.project == str(home / ".julia" / "environments" / "mmsb")
    assert found.executable == str(home / "bin" / "julia-1.11")


@needs_juliacall
def test_where_there_is_none_juliapkg_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", (3, 0, 15))
    found = embeddable()
    assert (found.ok, found.fetchable) == (False, True)
    assert found.remark is not None
    assert "1.10 or 1.11; for 1.12 set PYTHON_JULIACALL_EXE and PYTHON_J" in found.remark
    monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", (3, 5, 0))
    assert embeddable().remark is None


def test_doctor_says_both(home: Path) -> None:
    julia(home, "1.12.5")
    found = doctor()
    plain = found.to_dict()
    assert plain["embedded"] == embeddable().to_dict()
    assert found.julia.chosen is not None
    assert plain["chosen"]["version"] == "1.12.5"
