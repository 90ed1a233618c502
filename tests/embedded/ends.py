"""Records into ``out.mmsb`` and ends in the way that the argument names."""

from __future__ import annotations

import os
import signal
import sys

import mmsb

how = sys.argv[1]
session = mmsb.start("out.mmsb", host="embedded")
session.run("kept(x) = x + 1; kept(1)")
print("before the end")
if how == "julia exits":
    session.run("last(x) = x + 2; last(1); exit(7)")
elif how == "julia exits in a block":
    with session.recording():
        session.julia.seval("last(x) = x + 2; last(1); exit(7)")
elif how == "python exits in a block":
    with session.recording():
        session.julia.seval("last(x) = x + 2; last(1)")
        sys.exit(3)
elif how == "exception":
    session.julia.seval("@mmsb begin last(x) = x + 2; last(1) end")
    raise ValueError("the program's own")
elif how == "killed":
    session.run("last(x) = x + 2; last(1); ccall(:kill, Cint, (Cint, Cint), getpid(), 9)")
elif how == "terminated":
    os.kill(os.getpid(), signal.SIGTERM)
elif how == "at once":
    os._exit(4)
