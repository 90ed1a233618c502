"""A function's effects in Julia's own notation, out of the raw bits that a Julia stores.

``+``: proven; ``!``: not so; ``?``: under a condition. c consistent, e effect-free, n nothrow,
t terminates, s task-local state, m accesses only its own memory, u no undefined behaviour
(1.10: i, no inbounds), o no overlay, r does not ask what a call returns.
"""

from __future__ import annotations

import re

#: (letter, first bit, how many bits). More than one bit: 0 is "+", 1 is "!", else "?".
_COMMON = (("c", 0, 3), ("e", 3, 2), ("n", 5, 1), ("t", 6, 1), ("s", 7, 1), ("m", 8, 2))
_V1_10 = (*_COMMON, ("i", 11, 1))
_OVERLAY_1_10 = 10  # shown as ′ where the bit is not set
_V1_11 = (*_COMMON, ("u", 10, 2), ("o", 12, 2))
_V1_12 = (*_V1_11, ("r", 14, 1))


def notation(bits: int, julia: str) -> str:
    """``(+c,+e,!n,+t,+s,+m,+u,+o,+r)`` of Julia 1.10 to 1.12; "" where they are not known.

    The bits as such where the version's layout is not known.
    """
    if not bits:  # what no inference filled in
        return ""
    found = re.match(r"(\d+)\.(\d+)", julia)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    layout = {(1, 10): _V1_10, (1, 11): _V1_11, (1, 12): _V1_12}.get(version)
    if layout is None:
        return f"0x{bits:08x}"
    letters = ",".join(_sign(bits >> first, width) + letter for letter, first, width in layout)
    overlaid = version == (1, 10) and not bits >> _OVERLAY_1_10 & 1
    return f"({letters}){'′' if overlaid else ''}"


def lost(bits: int, julia: str) -> str:
    """The letters that are not ``+``: ``!n,?e``."""
    told = notation(bits, julia)
    return ",".join(part for part in told.strip("()′").split(",") if not part.startswith("+"))


def _sign(bits: int, width: int) -> str:
    value = bits & ((1 << width) - 1)
    if width == 1:
        return "+" if value else "!"
    return {0: "+", 1: "!"}.get(value, "?")
