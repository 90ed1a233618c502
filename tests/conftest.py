"""Fixtures shared by every test.

A test that takes the fixture ``julia`` runs once on every usable Julia, named in its id. With no
Julia at all such tests fail, unless MMSB_NO_JULIA=1 says that this is meant: then they are skipped.
"""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path

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

TESTS = Path(__file__).parent
NO_JULIA = os.environ.get("MMSB_NO_JULIA", "") not in ("", "0")


@cache
def _julias() -> tuple[Candidate, ...]:
    return () if NO_JULIA else find_all()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "julia" not in metafunc.fixturenames:
        return
    # Where a fixture says so, by asking for `extent`, `make test` asks an older Julia for a part.
    parts = "extent" in metafunc.fixturenames
    names = ("julia", "extent") if parts else ("julia",)
    newest_is_enough = metafunc.definition.get_closest_marker("newest") is not None
    params = []
    for at, one in enumerate(_julias() or (None,)):
        name = f"julia {one.version}" if one else "no julia"
        later = [pytest.mark.long] if at and (newest_is_enough or parts) else []
        params.append(pytest.param(one, *(["whole"] if parts else []), marks=later, id=name))
        if at and parts and not newest_is_enough:
            params.append(pytest.param(one, "part", id=f"{name}, a part"))
    metafunc.parametrize(names, params, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """While one process prepares the recorder for each Julia, the other has what needs none."""
    first = ["capture/test_process.py", "memory/test_stateful.py", "memory/"]

    def turn(item: pytest.Item) -> int:
        path = item.path.relative_to(TESTS).as_posix()
        return next((at for at, name in enumerate(first) if path.startswith(name)), len(first))

    items.sort(key=turn)


@pytest.fixture(scope="session")
def julia(request: pytest.FixtureRequest) -> Candidate:
    """A usable Julia: run ``julia.path`` with ``{**os.environ, **julia.env}``."""
    candidate: Candidate | None = request.param
    if candidate is not None:
        return candidate
    if NO_JULIA:
        pytest.skip("MMSB_NO_JULIA is set")
    pytest.fail("no usable Julia: `mmsb doctor --install`, or MMSB_NO_JULIA=1 to go without")
