"""Kernels are loaded once numpy has read for as long as that takes, and not before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
import numpy as np
from mmsb.base.rect import Rows
from mmsb.memory.memory import Memory
from mmsb.testing.strategies import KINDS, SMALL

def loaded():
    return "mmsb.memory.kernels" in sys.modules

with Memory.create(sys.argv[1], KINDS) as memory:
    page = memory.create_page(SMALL, "p")
    for at in range(60):
        memory.update_page(page, Rows(at, at + 2), {"value": np.array([at, at + 1], np.uint32)})
    truth = [*range(60), 60]
    READ
"""


@pytest.mark.parametrize(
    ("read", "few"),
    [
        ("memory.at().gather(SMALL, 'value')[0].tolist()", 100),
        ("[memory.at().cell(SMALL, page, 'value', row) for row in range(61)]", 3),
    ],
)
def test_a_small_memory_is_read_without_them_until_they_pay(
    read: str, few: int, tmp_path: Path
) -> None:
    code = CODE.replace(
        "READ",
        f"""
    for _ in range({few}):
        assert {read} == truth
    assert not loaded()
    for _ in range(10_000):
        assert {read} == truth
        if loaded():
            break
    assert loaded()
    assert {read} == truth
""",
    )
    words = [sys.executable, "-c", code, str(tmp_path / "a.mmsb")]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
