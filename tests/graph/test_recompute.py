"""Derived pages beside a plain model: the same cells as from scratch, and no call too many."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from derived_model import KINDS, SUBJECTS, Calls, Model, commit, modelled, pages, register
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsb.query.reader import Reader

_row = st.tuples(st.integers(0, 9), st.integers(0, 2), st.sampled_from(["", *SUBJECTS]))
_columns = st.sets(st.sampled_from(["x", "y", "link"]), min_size=1)
_write = st.tuples(st.sampled_from(SUBJECTS), st.lists(_row, max_size=3), _columns)
_delete = st.tuples(st.sampled_from(SUBJECTS), st.none(), st.just(set()))
_steps = st.lists(
    _write | _write | _write | _delete, min_size=1, max_size=3, unique_by=lambda s: s[0]
)
_how = st.sampled_from(["commit", "commit", "commit", "restart", "together"])


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(_how, st.lists(_steps, min_size=1, max_size=3)), max_size=8),
    st.sampled_from([-1, -1, 0, 3]),
)
def test_incremental_is_from_scratch_and_no_call_is_too_many(
    tasks: list[tuple[str, list[list[Any]]]], unlucky: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        calls: Calls = []
        model = Model(unlucky)
        memory = Reader.create(Path(folder) / "a.mmsb", KINDS)
        assert isinstance(memory, Reader)
        register(memory, calls, unlucky=unlucky)
        memory.recompute()
        assert calls == [("summary", "")]
        model.follow({"": set()})
        for how, commits in tasks:
            if how == "restart":
                memory.close()
                memory = _open(folder, calls, unlucky)
            calls.clear()
            needed: Calls = []
            if how == "together":
                with memory.batch():
                    for steps in commits:
                        commit(memory, steps)
                    assert calls == []
                _check_pages(memory, model, commits)
                continue
            for steps in commits:
                commit(memory, steps)
                needed += model.commit(steps)
            assert sorted(calls) == sorted(needed)
            assert pages(memory) == modelled(model)
            unsound = {(one.kind, one.subject) for one in memory.derivations.unsound()}
            assert unsound == model.unsound()
        before, failed = pages(memory), memory.derivations.unsound()
        memory.close()
        memory = _open(folder, calls, unlucky)
        calls.clear()
        assert memory.recompute().epoch is None
        assert calls == []  # what is current is known
        assert memory.derivations.unsound() == failed
        digest = memory.digest()
        memory.close()
        if unlucky >= 0:
            return  # from scratch there is no older page to stay
        scratch = _replayed(Path(folder) / "b.mmsb", tasks)
        assert pages(scratch) == before
        assert scratch.digest() == digest
        scratch.close()


def _open(folder: str, calls: Calls, unlucky: int) -> Reader:
    opened = Reader.open(Path(folder) / "a.mmsb", write=True, kinds=KINDS)
    assert isinstance(opened, Reader)
    register(opened, calls, unlucky=unlucky)
    return opened


def _check_pages(memory: Reader, model: Model, commits: list[list[Any]]) -> None:
    """After a batch: the pages alone, which are those of its last state."""
    for steps in commits:
        model.commit(steps)
    assert pages(memory) == modelled(model)


def _replayed(path: Path, tasks: list[tuple[str, list[list[Any]]]]) -> Reader:
    """The same commits, and then everything derived at once."""
    scratch = Reader.create(path, KINDS)
    assert isinstance(scratch, Reader)
    for _, commits in tasks:
        for steps in commits:
            commit(scratch, steps)
    register(scratch, [])
    scratch.recompute()
    return scratch
