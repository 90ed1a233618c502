"""Where mmsb keeps what can be made again. Removing the folder loses nothing."""

from __future__ import annotations

import os
from pathlib import Path


def cache_path() -> Path:
    """``$XDG_CACHE_HOME/mmsb``, or ``~/.cache/mmsb``: the shim's compiled form, source hints."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "mmsb"
