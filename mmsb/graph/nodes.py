"""What the nodes of a graph stand for: plain numbers, subjects of pages, rows of pages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

from mmsb.base.errors import UnknownName, quote
from mmsb.memory.cells import Array
from mmsb.memory.snapshot import Snapshot


class Nodes(ABC):
    """The nodes 0 … ``count`` - 1 and their names. Immutable."""

    count: int

    @abstractmethod
    def texts(self, nodes: Iterable[int] | Array) -> list[str]:
        """What people call them."""

    @abstractmethod
    def number(self, name: str) -> int:
        """The node of that name; UnknownName."""

    def text(self, node: int) -> str:
        """What people call one."""
        return self.texts([node])[0]


class Numbers(Nodes):
    """Nodes that stand for nothing but their number."""

    def __init__(self, count: int) -> None:
        self.count = count

    def texts(self, nodes: Iterable[int] | Array) -> list[str]:
        return [str(int(node)) for node in nodes]

    def number(self, name: str) -> int:
        if not name.isdecimal() or int(name) >= self.count:
            raise UnknownName(f"there is no node {quote(name)}; nodes are 0 … {self.count - 1}")
        return int(name)


class Subjects(Nodes):
    """Subjects of pages: ``symbols``, u32, ascending, are the ids of their texts."""

    def __init__(self, snapshot: Snapshot, symbols: Array) -> None:
        self.count, self.symbols, self._snapshot = len(symbols), symbols, snapshot

    def texts(self, nodes: Iterable[int] | Array) -> list[str]:
        return self._snapshot.symbols(self.symbols[np.asarray(nodes, np.int64)])

    def number(self, name: str) -> int:
        symbol = self._snapshot.symbol_id(name)
        at = -1 if symbol is None else int(np.searchsorted(self.symbols, symbol))
        if symbol is None or at == self.count or self.symbols[at] != symbol:
            raise UnknownName(
                f"nothing called {name!r:.200} is in this graph as of epoch {self._snapshot.epoch}"
            )
        return at


class PageRows(Nodes):
    """Rows of one page: node r is row r. Named ``%1``, ``%2``, … by their row, counted from 1."""

    def __init__(self, page: int, count: int) -> None:
        self.page, self.count = page, count

    def texts(self, nodes: Iterable[int] | Array) -> list[str]:
        return [f"%{int(node) + 1}" for node in nodes]

    def number(self, name: str) -> int:
        digits = name.removeprefix("%")
        if not digits.isdecimal() or not 1 <= int(digits) <= self.count:
            raise UnknownName(
                f"page {self.page} has no row {quote(name)}; rows are %1 … %{self.count}"
            )
        return int(digits) - 1


class Groups(Nodes):
    """Groups of other nodes, numbered by ``labels``, u32, a group for each of those nodes.

    A group is called by its least node, and how many more it has; any of its nodes' names finds it.
    """

    def __init__(self, of: Nodes, labels: Array) -> None:
        self.of, self.labels = of, labels
        _, least, sizes = np.unique(labels, return_index=True, return_counts=True)
        self.count, self.least, self.sizes = len(least), least, sizes

    def texts(self, nodes: Iterable[int] | Array) -> list[str]:
        numbers = np.asarray(nodes if isinstance(nodes, np.ndarray) else list(nodes), np.int64)
        firsts, sizes = self.of.texts(self.least[numbers]), self.sizes[numbers].tolist()
        return [
            first if size == 1 else f"{first} +{size - 1}"
            for first, size in zip(firsts, sizes, strict=True)
        ]

    def number(self, name: str) -> int:
        whole, plus, more = name.rpartition(" +")
        if plus and more.isdecimal():
            try:
                return self.number(whole)
            except UnknownName:
                pass  # a name that ends so itself
        return int(self.labels[self.of.number(name)])
