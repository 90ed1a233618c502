"""A live graph with a propagation kept on it: as if both were made anew, whenever they began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsb.base.errors import UnknownName
from mmsb.graph.incremental import Kept
from mmsb.graph.live import LiveGraph
from mmsb.graph.propagate import propagate
from mmsb.graph.shadow import ShadowPageGraph
from mmsb.memory.memory import Memory

NAMES = [f"f{number}" for number in range(12)]


def an_epoch(memory: Memory, random: Any) -> None:
    """Call sites come, go and move; pages are deleted and made again; other things are written."""
    changes = memory.changes()
    for _ in range(int(random.integers(1, 4))):
        name = NAMES[int(random.integers(len(NAMES)))]
        page = changes.page("call", name)
        if random.integers(6) == 0:
            changes.delete(page)
            continue
        rows = np.sort(random.permutation(5)[: int(random.integers(1, 4))])
        near = random.integers(0, len(NAMES), len(rows))
        cells = {
            "alive": (random.integers(0, 4, len(rows)) > 0).astype(np.uint8),
            "statement": random.integers(0, 6, len(rows)),
            "callee": [changes.symbol(NAMES[at]) for at in near],
        }
        changes.patch_rows("call", page, rows, cells)
    changes.append("type", {"name": [changes.symbol(f"T{memory.head}")]})
    memory.commit(changes)


def named(graph: Any, answer: Any) -> dict[str, tuple[int, list[str]]]:
    """What was reached: value and path, by name."""
    return {
        graph.name(node): (answer.value(int(node)), graph.nodes.texts(answer.path(int(node))))
        for node in answer.reached
    }


@pytest.mark.parametrize("ring", ["min_plus", "lor_land", "max_min"])
def test_witnesses_do_not_depend_on_when_one_began(tmp_path: Path, ring: str) -> None:
    random = np.random.default_rng(11)
    with Memory.create(tmp_path / "a.mmsb", durability="none") as memory:
        shadow = ShadowPageGraph(memory)
        changes = memory.changes()
        for name in NAMES:
            changes.page("call", name)
        memory.commit(changes)
        weights = "statement" if ring == "max_min" else None
        pairs: list[tuple[LiveGraph, Kept]] = []
        longest = 0
        for epoch in range(60):
            an_epoch(memory, random)
            for live, kept in pairs:
                kept.update(live.advance())
            if epoch % 20 == 0:
                live = shadow.live(weights=weights)
                pairs.append((live, Kept(live, "f0", ring)))
            graph = shadow.at(weights=weights)
            fresh = named(graph, propagate(graph, "f0", ring))
            for live, kept in pairs:
                assert named(live.graph, kept.answer) == fresh
            longest = max([longest, *(len(path) for _, path in fresh.values())])
        assert longest > 2


def test_what_was_forgotten_is_not_followed_from(tmp_path: Path) -> None:
    random = np.random.default_rng(12)
    with Memory.create(tmp_path / "a.mmsb") as memory:
        shadow = ShadowPageGraph(memory)
        for _ in range(6):
            an_epoch(memory, random)
        old, new = shadow.live(epoch=2), shadow.live(epoch=5)
        memory.retain(4)
        an_epoch(memory, random)
        with pytest.raises(UnknownName, match=r"epoch 2 of .* was forgotten"):
            old.advance()
        new.advance()
        left, right = new.graph, shadow.at()
        ends = [
            zip(*map(graph.nodes.texts, graph.edges()[:2]), strict=True) for graph in (left, right)
        ]
        assert sorted(ends[0]) == sorted(ends[1])
        assert right.size > 0


def test_a_reader_follows_the_writer(tmp_path: Path) -> None:
    random = np.random.default_rng(13)
    with Memory.create(tmp_path / "a.mmsb") as memory:
        an_epoch(memory, random)
        reader = Memory.open(tmp_path / "a.mmsb")
        live = ShadowPageGraph(reader).live()
        for _ in range(5):
            an_epoch(memory, random)
        assert len(live.advance().added) == 0  # it has not looked
        reader.refresh()
        assert live.advance().epoch == live.epoch == memory.head
        assert live.graph.size == ShadowPageGraph(memory).at().size
        reader.close()
