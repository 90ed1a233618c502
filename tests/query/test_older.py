"""A memory recorded before there were passes: kinds and columns that it lacks read as unknown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from building import Builder
from redefinition import redefinition

from mmsb.base import schema
from mmsb.base.model import Kept, Provenance, Stage
from mmsb.query import stages
from mmsb.query.facts import Facts
from mmsb.query.header import BareView
from mmsb.query.memories import open_memory
from mmsb.query.reader import Reader

NEW_KINDS = {"invalidation_tree", "inference", "dependency", "decision"}
FIRST_NEW = {"code": 8, "invalidation": 8}  # column ids
STAGES_THEN = ("lowered", "inferred", "optimized")


def _then(column: schema.Column, kind: schema.Kind) -> bool:
    if kind.name in FIRST_NEW:
        return column.id < FIRST_NEW[kind.name]
    _, at, stage = column.name.partition("@")
    return not at or stage in STAGES_THEN


OLD = tuple(
    replace(kind, columns=tuple(column for column in kind.columns if _then(column, kind)))
    for kind in schema.KINDS
    if kind.name not in NEW_KINDS
)


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Reader]:
    path = tmp_path / "older.mmsb"
    redefinition(Builder(path, OLD)).close()
    with open_memory(path) as memory:
        yield memory


def test_its_schema_is_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "older.mmsb"
    redefinition(Builder(path, OLD)).close()
    with Reader.open(path, kinds=OLD) as memory:
        assert "inference" not in memory.kinds
        assert [c.name for c in memory.kinds["code"].columns][-1] == "asked_world"


def test_stages_come_from_its_events(older: Reader) -> None:
    key = next(function.key for function in older.at().functions() if function.name[0] == "f")
    found = stages.sights(Facts(older), key)
    assert [(s.version, s.stage) for s in found] == [
        (version, stage)
        for version in (1, 2)
        for stage in (Stage.LOWERED, Stage.INFERRED, Stage.OPTIMIZED)
    ]


def test_every_question_is_answered(older: Reader) -> None:
    now = older.at()
    shown = now.show("f")
    assert not isinstance(shown, BareView)
    assert (shown.header.effects, shown.header.kept) == (None, Kept.UNKNOWN)
    assert set(shown.header.stages.values()) == {Provenance.NATIVE}
    assert "No pass was recorded" in str(now.passes("f"))
    assert now.tree().total_frames == 0
    assert now.invalidations().trees == ()
    assert now.why("top").fates[0].reasons[0].via == ("f(::Int64)",)
    assert "no decisions were recorded" in str(now.decisions("f"))
    assert "no dependencies were recorded" in str(now.dependencies("f"))
    assert older.against_julia().not_asked == 4
    assert older.overview().provenance["native"] == 4
