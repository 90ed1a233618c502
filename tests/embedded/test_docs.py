"""The examples of the documentation, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from inside import Python

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"```python\n(.*?)```(?:\s*prints[^\n]*\n\s*```\n(.*?)```)?", re.S)


def masked(text: str) -> list[str]:
    """Without numbers and units, which differ from machine to machine."""
    return re.sub(r"[\d.]+( [nµm]s)?", "#", text).split()


@pytest.mark.parametrize("page", ["docs/embedded.md", "README.md"])
def test_an_example_runs_and_prints_what_is_shown(python: Python, page: str) -> None:
    (python.folder / "script.jl").write_text("f(x) = x + 1\nf(1)\n")
    found = EXAMPLE.findall((ROOT / page).read_text(encoding="utf-8"))
    assert found
    for code, shown in found:
        done = python.run(code)
        assert done.returncode == 0, done.stderr
        assert done.stdout
        assert masked(done.stdout) == masked(shown) or not shown
        for path in python.folder.glob("*.mmsb"):
            path.rename(path.with_suffix(".seen"))
