"""The recording that several tests look at: Base and the standard library, widely used."""

from __future__ import annotations

import fcntl
import os

import live
import pytest
from invalidation import FIRST, Log

from mmsb.capture.julia import Candidate

# What is compiled of these modules is recorded whether the program calls it or not. Left out are
# parts of Base that the recorder itself keeps busy. A module that a Julia lacks adds nothing.
MODULES = [
    *("Dates", "Markdown", "Printf", "Random", "Serialization", "Base.CoreLogging", "Base.Enums"),
    *("Base.Filesystem", "Base.GMP", "Base.Grisu", "Base.IteratorsMD", "Base.Multimedia"),
]
# An older Julia brings less compiled code along.
OLDER = [
    *("LinearAlgebra", "Base.Cartesian", "Base.Docs", "Base.MPFR", "Base.Math", "Base.PCRE"),
    "Base.Ryu",
]


#: Enough to see that an older Julia is recorded as the newest is.
PART = ["Dates", "Printf", "Base.Enums"]


@pytest.fixture(scope="session")
def extent(request: pytest.FixtureRequest) -> str:
    """``whole``, or ``part`` of an older Julia's library in ``make test``."""
    said: str = request.param
    return said


@pytest.fixture(scope="session")
def library(
    julia: Candidate, extent: str, tmp_path_factory: pytest.TempPathFactory
) -> live.Recorded:
    """A memory of at least 2,000 method instances of Base and the standard library, or a part."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # one recording for all of the suite's processes
    output = root / f"library-{julia.version}-{extent}.mmsb"
    older = OLDER if live.version(julia) < (1, 12) else []
    modules = PART if extent == "part" else MODULES + older
    with (root / f"{output.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if output.exists():
            return live.Recorded(output, 0)
        return live.record(julia, output, live.driver(extent), depth=1, modules=modules)


@pytest.fixture(scope="session")
def log(julia: Candidate) -> Log:
    """A Julia whose invalidation log is read."""
    if live.version(julia) < FIRST:
        pytest.skip(f"Julia {julia.version} has no invalidation log that is read")
    return Log(julia, live.depot(julia))
