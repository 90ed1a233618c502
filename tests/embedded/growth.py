"""Redefines a function so and so often, unrecorded and then recorded; says what grew."""

from __future__ import annotations

import json
import sys

import mmsb
from mmsb.memory.memory import Memory

COUNT = int(sys.argv[1])
LIVE = "(GC.gc(); GC.gc(); Base.gc_live_bytes())"
LOOP = "for i in 1:{count}; @eval {name}(x) = x + $i; Base.invokelatest({name}, 1); end"


def rows() -> int:
    """All that the memory holds."""
    with Memory.open("out.mmsb") as memory:
        return sum(count for kind, count in memory.stats()["rows"].items() if kind != "heap")


session = mmsb.start("out.mmsb", host="embedded")
julia = session.julia
live, facts = {"plain": [], "recorded": []}, []
for name, run in (("plain", julia.seval), ("recorded", session.run)):
    run(LOOP.format(count=20, name=name))
    for part in range(4):
        live[name].append(julia.seval(LIVE))
        if name == "recorded":
            facts.append(rows())
        if part < 3:
            run(LOOP.format(count=COUNT // 3, name=name))
session.stop().close()
print(json.dumps({"live": live, "facts": facts}))
