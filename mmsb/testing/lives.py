"""A script whose every epoch says which writer wrote it, and what the oracle says of it."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from mmsb.memory.memory import Memory
from mmsb.testing.oracle import Oracle
from mmsb.testing.strategies import KINDS, SMALL, THING


def play(epoch: int, life: int, changes: Any) -> None:
    """What an epoch writes; some are large, so that segments end anywhere."""
    one = changes.page(SMALL, f"page {epoch % 3}")
    size = (epoch * 379) % 1500 if epoch % 4 == 0 else epoch * 37 % 90
    changes.patch(SMALL, one, {"value": [1000 * life + epoch] * (size + 1)})
    two = changes.page(THING, "thing")
    rows = list(range(epoch % 5, 30, 7))
    changes.patch_rows(THING, two, rows, {"real": [epoch / (2 + life)] * len(rows)})
    changes.append("type", {"name": [changes.symbol(f"T{epoch}")]})
    if epoch % 5 == 0:
        changes.delete(one)


class Truth:
    """What each epoch holds, by the oracle: a writer that starts anew begins another life.

    Lives write different cells of the same size, so a frame of an earlier one is not taken for one
    of a later.
    """

    oracles: ClassVar[dict[tuple[int, ...], Oracle]] = {(): Oracle(KINDS)}
    contents: ClassVar[dict[tuple[int, ...], list[object]]] = {}

    def __init__(self, lives: tuple[int, ...], life: int) -> None:
        self.lives, self.life = lives, life

    def after(self, head: int) -> Truth:
        """When the next writer began at that epoch."""
        return Truth(self._upto(head), self.life + 1)

    def is_in(self, memory: Memory, epoch: int) -> bool:
        """Does the memory say the same of the epoch?"""
        lives = self._upto(epoch)
        oracle = self._oracle(lives)
        symbols = oracle.at(epoch).symbol_count
        if lives not in self.contents:
            self.contents[lives] = self._content(oracle, epoch, symbols)
        return self._content(memory, epoch, symbols) == self.contents[lives]

    def _upto(self, epoch: int) -> tuple[int, ...]:
        return (self.lives + (self.life,) * epoch)[:epoch]

    def _oracle(self, lives: tuple[int, ...]) -> Oracle:
        if lives not in self.oracles:
            oracle = copy.copy(self._oracle(lives[:-1]))
            for name in ("_states", "_touched", "_dead"):
                setattr(oracle, name, list(getattr(oracle, name)))
            changes = oracle.changes()
            play(len(lives), lives[-1], changes)
            oracle.commit(changes)
            self.oracles[lives] = oracle
        return self.oracles[lives]

    @staticmethod
    def _content(side: Memory | Oracle, epoch: int, symbols: int) -> list[object]:
        shot: Any = side.at(epoch)
        kinds = [kind for kind in KINDS if kind.name in ("small", "thing", "type")]
        cells = [
            (page, shot.subject(page), column.name, shot.column(kind, page, column.name).tobytes())
            for kind in kinds
            for page in shot.pages(kind).tolist()
            for column in kind.columns
        ]
        return [*cells, *shot.symbols(range(symbols))]
