"""mmsb: a semantic memory beside the Julia compiler.

``mmsb.record`` runs a Julia program and keeps what its compiler did, ``mmsb.start`` a Julia that
you send code to; ``mmsb.open`` reads a memory, and ``memory.at(epoch)`` as of any epoch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmsb.memory.machine import provide

if TYPE_CHECKING:
    from mmsb.query.memories import open_memory as open
    from mmsb.session import record, start, stop

__version__ = "0.1.0"
__all__ = ["__version__", "open", "record", "start", "stop"]

# Loaded when first used: importing mmsb alone must stay quick.
_HOMES = {
    "open": ("mmsb.query.memories", "open_memory"),
    "record": ("mmsb.session", "record"),
    "start": ("mmsb.session", "start"),
    "stop": ("mmsb.session", "stop"),
}

# What is behind device="gpu"; the memory knows of no graph and no CuPy.
provide(lambda: import_module("mmsb.graph.kernels_gpu").machine())


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, member = _HOMES[name]
        return getattr(import_module(module), member)
    raise AttributeError(f"module 'mmsb' has no attribute {name!r}")
