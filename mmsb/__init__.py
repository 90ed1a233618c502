"""mmsb: a semantic memory beside the Julia compiler.

``mmsb.record`` runs a Julia program and keeps what its compiler did; ``mmsb.open`` reads it, and
``memory.at(epoch)`` reads it as of any epoch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsb.interfaces.notebook import open_memory as open  # noqa: A004
    from mmsb.session import record

__version__ = "0.1.0"
__all__ = ["__version__", "open", "record"]
