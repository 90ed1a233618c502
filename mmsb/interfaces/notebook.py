"""mmsb from Python and from notebooks: answers show themselves, nothing is drawn here."""

from __future__ import annotations

import os

from mmsb.query.memories import open_memory as _open
from mmsb.query.reader import Reader


def open_memory(path: str | os.PathLike[str] | None = None, *, write: bool = False) -> Reader:
    """The memory at ``path``; without one, the only ``*.mmsb`` in the current folder.

    >>> memory = mmsb.open("tour.mmsb")                      # doctest: +SKIP
    >>> memory.log()                                         # doctest: +SKIP
    >>> memory.at(4).show("price", "inferred")               # doctest: +SKIP
    """
    return _open(path, write=write)
