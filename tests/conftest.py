"""Fixtures shared by every test.

A test that takes the fixture ``julia`` runs once on every usable Julia, named in its id. With no
Julia at all such tests fail, unless MMSB_NO_JULIA=1 says that this is meant: then they are skipped.
"""

from __future__ import annotations

import os
import signal
from functools import cache

import pytest
from hypothesis import settings

from mmsb.capture.julia import Candidate, find_all

# The same examples each time, and no clock, so that a busy machine fails nothing; `make test-long`
# asks for the other.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("searching", deadline=None, max_examples=1000)
settings.load_profile("steady")

# What runs in the background may be told to ignore it, and so would be all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

NO_JULIA = os.environ.get("MMSB_NO_JULIA", "") not in ("", "0")


@cache
def _julias() -> tuple[Candidate, ...]:
    return () if NO_JULIA else find_all()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "julia" not in metafunc.fixturenames:
        return
    found: tuple[Candidate | None, ...] = _julias() or (None,)
    names = [f"julia {one.version}" if one else "no julia" for one in found]
    later = [pytest.mark.long] if metafunc.definition.get_closest_marker("newest") else []
    params = [pytest.param(one, marks=later if at else []) for at, one in enumerate(found)]
    metafunc.parametrize("julia", params, ids=names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def julia(request: pytest.FixtureRequest) -> Candidate:
    """A usable Julia: run ``julia.path`` with ``{**os.environ, **julia.env}``."""
    candidate: Candidate | None = request.param
    if candidate is not None:
        return candidate
    if NO_JULIA:
        pytest.skip("MMSB_NO_JULIA is set")
    pytest.fail("no usable Julia: `mmsb doctor --install`, or MMSB_NO_JULIA=1 to go without")
