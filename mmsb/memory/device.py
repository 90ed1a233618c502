"""Where cells are gathered to: the host, or a device with its own copy (in no release yet)."""

from __future__ import annotations

from typing import Literal

from mmsb.base.errors import MissingExtra, UsageError

#: ``"auto"``: the GPU where there is one that can be used, else the CPU.
Device = Literal["cpu", "gpu", "auto"]


def resolve(device: Device) -> Literal["cpu"]:
    """The device that is used. UsageError; MissingExtra for ``"gpu"``, which no release has yet."""
    if device in ("cpu", "auto"):
        return "cpu"
    if device == "gpu":
        raise MissingExtra(
            "device pages are not in this release of mmsb; use device='cpu', or 'auto'"
        )
    raise UsageError(f"there is no device {device!r:.40}; use 'cpu', 'gpu' or 'auto'")
