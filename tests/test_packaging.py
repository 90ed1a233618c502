"""The wheel alone, in an empty virtual environment, is a whole mmsb: shim, finder, recording."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mmsb.capture.julia import Candidate, find_all

REPOSITORY = Path(__file__).parents[1]
# It throws and catches, which some Julias survive only with the environment that the finder gives.
PROGRAM = """
double(x) = x isa Number ? 2x : error("not a number")
safe(x) = try double(x) catch; 0 end
println(double(21) + safe("a"))
"""


def _run(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command away from the checkout, so that nothing of it can be imported."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        words, cwd=folder, env=outside, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    built = _run(sys.executable, *words, folder=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The ``bin`` folder of an empty environment into which only the wheel was installed."""
    venv = wheel.parent / "venv"
    for words in (
        [sys.executable, "-m", "venv", str(venv)],
        [str(venv / "bin" / "pip"), "install", "--quiet", str(wheel)],
    ):
        done = _run(*words, folder=wheel.parent)
        assert done.returncode == 0, done.stdout + done.stderr
    return venv / "bin"


def test_the_wheel_carries_the_shim_and_what_juliapkg_reads(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shim = REPOSITORY / "julia" / "MMSBShim"
    files = [shim / "Project.toml", *shim.glob("*.jl"), *(shim / "src").rglob("*.jl")]
    expected = {f"mmsb/julia/MMSBShim/{file.relative_to(shim).as_posix()}" for file in files}
    assert expected | {"mmsb/juliapkg.json"} <= names


def test_both_juliapkg_files_say_the_same() -> None:
    copies = [REPOSITORY / "juliapkg.json", REPOSITORY / "mmsb" / "juliapkg.json"]
    assert len({copy.read_bytes() for copy in copies}) == 1


def test_make_says_what_it_makes_and_nothing_else() -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    lines = _run("make", "-s", "-C", REPOSITORY, "help", folder=REPOSITORY).stdout.splitlines()
    told = [re.fullmatch(r"make ([a-z-]+)  +\S.*", line) for line in lines]
    phony = re.search(r"^\.PHONY: help (.+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert phony
    internal = {"julia"}
    assert {one and one[1] for one in told} == set(phony[1].split()) - internal


def test_the_installed_package_finds_its_own_shim(installed: Path, tmp_path: Path) -> None:
    code = "from mmsb.capture.julia import shim_path; print(shim_path())"
    shim = Path(_run(installed / "python", "-c", code, folder=tmp_path).stdout.strip())
    assert shim.is_relative_to(installed.parent)
    assert (shim / "src" / "MMSBShim.jl").is_file()


def test_the_installed_doctor_finds_this_julia(
    installed: Path, julia: Candidate, tmp_path: Path
) -> None:
    done = _run(installed / "mmsb", "doctor", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert julia.version is not None
    assert julia.version in json.dumps(json.loads(done.stdout))


@pytest.mark.newest
def test_the_installed_package_records(installed: Path, julia: Candidate, tmp_path: Path) -> None:
    if julia != find_all()[0]:
        pytest.skip("one Julia shows that the shim's files are in the wheel")
    (tmp_path / "double.jl").write_text(PROGRAM)
    words = ["record", "-o", "double.mmsb", "--", str(julia.path), "double.jl"]
    done = _run(installed / "mmsb", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "42"
    shown = _run(installed / "mmsb", "stats", "-m", "double.mmsb", "--json", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)
