"""The hand-made memories of the questions' tests, on disk."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "query"))

from building import Builder
from pipeline import pipeline
from redefinition import redefinition


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a closed memory."""
    path = tmp_path_factory.mktemp("memories") / "made.mmsb"
    with redefinition(Builder(path)):
        return path


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, of a memory that knows what happened inside the compiler."""
    path = tmp_path_factory.mktemp("memories") / "native.mmsb"
    with pipeline(Builder(path)):
        return path
