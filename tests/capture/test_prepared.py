"""The recorder's compiled form is kept for each copy of the shim, as long as that is there."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmsb.capture import command, prepared
from mmsb.capture.julia import Candidate

RUN = command.parse(["julia", "-e", "1"])


@pytest.fixture
def fake(tmp_path: Path) -> Candidate:
    """Puts a line into the depot it is given."""
    script = tmp_path / "julia"
    script.write_text(
        "#!/bin/sh\nfor depot; do :; done\n"
        'mkdir -p "$depot/compiled"\necho >> "$depot/compiled/runs"\n'
    )
    script.chmod(0o755)
    return Candidate("test", str(script), "1.12.0", ok=True, reason="")


@pytest.fixture
def depots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mmsb" / "depot"


def copy(folder: Path, name: str) -> Path:
    shim = folder / name / "MMSBShim"
    shim.mkdir(parents=True)
    (shim / "MMSBShim.jl").write_text("module MMSBShim end\n")
    return shim


def prepare(shim: Path, fake: Candidate, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patched:
        patched.setattr(prepared, "shim_path", lambda: shim)
        prepared.precompile(fake, RUN)
    return prepared.depot_of(shim)


def test_it_is_made_once_and_again_where_it_is_gone(
    tmp_path: Path, fake: Candidate, depots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = copy(tmp_path, "a")
    for _ in range(3):
        depot = prepare(shim, fake, monkeypatch)
    assert (depot / "compiled" / "runs").read_text() == "\n"
    (shim / "MMSBShim.jl").write_text("module MMSBShim; f() = 1; end\n")
    prepare(shim, fake, monkeypatch)
    assert (depot / "compiled" / "runs").read_text() == "\n\n"
    shutil.rmtree(depots)
    prepare(shim, fake, monkeypatch)
    assert (depot / "compiled" / "runs").read_text() == "\n"


def test_what_nobody_can_use_goes_when_another_is_made(
    tmp_path: Path, fake: Candidate, depots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept, elsewhere = (copy(tmp_path, name) for name in "abc")
    made = [prepare(shim, fake, monkeypatch) for shim in (gone, kept, elsewhere)]
    whose = made[2] / "shim"
    whose.write_bytes(b"another-machine" + whose.read_bytes()[whose.read_bytes().index(b"\0") :])
    unsigned = depots / "0123456789ab"
    (unsigned / "compiled").mkdir(parents=True)
    for shim in (gone, elsewhere):
        shutil.rmtree(shim)
    prepare(kept, fake, monkeypatch)  # there already: nothing is looked for
    assert sorted(depots.iterdir()) == sorted([*made, unsigned])
    last = prepare(copy(tmp_path, "d"), fake, monkeypatch)
    assert sorted(depots.iterdir()) == sorted([*made[1:], unsigned, last])
    assert all((each / "compiled").is_dir() for each in depots.iterdir())


def test_many_at_once(
    tmp_path: Path, fake: Candidate, depots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [copy(tmp_path, f"old{n}") for n in range(12)]
    for shim in old:
        prepare(shim, fake, monkeypatch)
        shutil.rmtree(shim)
    (depots / "gone-left").mkdir()  # by one that was ended while it removed this
    shims = [copy(tmp_path, f"new{n}") for n in range(4)]
    for shim in shims:
        prepared._sign(prepared.depot_of(shim), shim)
        (prepared.depot_of(shim) / "compiled").mkdir()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(prepared.forget_others, [depots] * 32))
    assert sorted(depots.iterdir()) == sorted(map(prepared.depot_of, shims))
