"""Locks that a fork finds open: a thread that held one does not exist in the child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

_owners: WeakKeyDictionary[object, dict[str, Callable[[], Any]]] = WeakKeyDictionary()


def locks(owner: object, *names: str, make: Callable[[], Any] = threading.Lock) -> None:
    """Gives the owner new locks under these names, and again in every child that is forked.

    What such a lock guards is only ever added to, so the child finds it whole, or less by what was
    being added.
    """
    for name in names:
        setattr(owner, name, make())
        _owners.setdefault(owner, {})[name] = make


def _after_fork() -> None:
    for owner, names in list(_owners.items()):
        for name, make in names.items():
            setattr(owner, name, make())


os.register_at_fork(after_in_child=_after_fork)
