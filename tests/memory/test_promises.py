"""Every promise of docs/memory-model.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TEXT = (HERE.parents[1] / "docs" / "memory-model.md").read_text(encoding="utf-8")
PROMISES = dict(re.findall(r"^\| ([SD]\d+) \|(.*)$", TEXT, re.MULTILINE))
NAMED = re.compile(r"`(test_\w+\.py)::(\w+)`")


def test_ids_count_up() -> None:
    seen = re.findall(r"^\| ([SD]\d+) \|", TEXT, re.MULTILINE)
    assert seen == [f"S{n}" for n in range(1, 10)] + [f"D{n}" for n in range(1, 14)]


@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES.keys())
def test_promises_name_their_tests(promise: str) -> None:
    named = NAMED.findall(promise)
    assert named or "the same" in promise
    for file, name in named:
        source = (HERE / file).read_text(encoding="utf-8")
        assert re.search(rf"^(def |class )?{name}\b", source, re.MULTILINE), f"{file}::{name}"
