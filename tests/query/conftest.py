from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from building import Builder
from redefinition import redefinition

from mmsb.query.reader import Reader


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "made.mmsb")


@pytest.fixture
def memory(builder: Builder) -> Iterator[Reader]:
    with redefinition(builder) as made:
        yield made
