"""Pythons of their own with Julia inside: each test file starts as few of them as it can.

They run where juliacall has a Julia that needs no download, and are skipped by name elsewhere;
MMSB_REQUIRE_EMBEDDED=1 turns the skip into a failure.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from inside import Python

from mmsb.capture.embeddable import Embeddable, embeddable

REQUIRED = os.environ.get("MMSB_REQUIRE_EMBEDDED", "") not in ("", "0")
NO_JULIA = os.environ.get("MMSB_NO_JULIA", "") not in ("", "0")


@pytest.fixture(scope="session")
def usable() -> Embeddable:
    """The Julia that juliacall would start, without a download."""
    found = embeddable()
    if found.ok and not NO_JULIA:
        return found
    reason = "MMSB_NO_JULIA is set" if NO_JULIA else f"no Julia inside Python: {found.reason}"
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def python(usable: Embeddable, tmp_path: Path) -> Python:
    return Python(tmp_path)


@pytest.fixture(scope="module")
def shared(usable: Embeddable, tmp_path_factory: pytest.TempPathFactory) -> Python:
    """For a program that several tests of a file look at."""
    return Python(tmp_path_factory.mktemp("shared"))
