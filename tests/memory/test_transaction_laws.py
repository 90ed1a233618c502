"""A transaction and a commit in between, any of them: what comes of it is what the oracle says."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings

from mmsb.base.errors import Conflict
from mmsb.memory.memory import Memory
from mmsb.testing.contracts import assert_same_epoch, assert_same_overlay
from mmsb.testing.oracle import Oracle
from mmsb.testing.oracle_transaction import OracleTransaction
from mmsb.testing.strategies import KINDS, Operation, commits, play

MEMORY_DISK = "/dev/shm" if Path("/dev/shm").is_dir() else None


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(before=commits, mine=commits, theirs=commits)
def test_as_the_oracle_says(
    before: list[Operation], mine: list[Operation], theirs: list[Operation]
) -> None:
    oracle = Oracle(KINDS)
    with (
        tempfile.TemporaryDirectory(dir=MEMORY_DISK) as folder,
        Memory.create(Path(folder) / "a.mmsb", KINDS, durability="none") as memory,
    ):
        for side in (memory, oracle):
            changes = side.changes()
            play(before, changes)
            side.commit(changes)  # type: ignore[arg-type]
        ours, other = memory.transaction(), OracleTransaction(oracle)
        play(mine, ours)
        play(mine, other)
        assert_same_overlay(ours, other)
        for side in (memory, oracle):
            changes = side.changes()
            play(theirs, changes)
            side.commit(changes)  # type: ignore[arg-type]
        assert_same_overlay(ours, other)
        both = other.written_by_both()
        if both:
            event("conflict")
            with pytest.raises(Conflict) as caught:
                ours.commit()
            assert set(caught.value.pages) == both
            assert memory.head == oracle.head
        else:
            event("commit")
            assert ours.commit() == other.commit()
            for (what, id), final in other.moved.items():
                assert ours.final(what, id) == final
            assert_same_epoch(memory, oracle, memory.head)
