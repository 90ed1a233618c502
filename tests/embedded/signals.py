"""Real SIGINTs from another process, while Julia runs and while Python does; says what came."""

from __future__ import annotations

import json
import os
import subprocess
import time

import mmsb

SPIN = "function spin()\n n = 0\n while true\n n += 1; GC.safepoint()\n end\nend; spin()"
FILL = "function fill(v)\n while true\n push!(v, rand(3)); empty!(v)\n end\nend; fill([])"
FOREVER = {
    "arithmetic": SPIN,
    "allocation": FILL,
    "tasks": "function turns()\n while true\n yield()\n end\nend; turns()",
    "sleep": "sleep(60)",
    "compilation": "for i in 1:10^9; @eval again(x) = x + $i; @invokelatest again(1); end",
}


def interrupt(after: float, times: int = 1, apart: float = 0.2) -> subprocess.Popen[bytes]:
    again = f"kill -INT {os.getpid()}; sleep {apart};" * times
    return subprocess.Popen(["sh", "-c", f"sleep {after}; {again}"])


session = mmsb.start("out.mmsb", host="embedded")
session.run("before(x) = x + 1; before(1)")
seen: dict[str, object] = {"remarks": list(session.remarks)}
for name, code in FOREVER.items():
    sender = interrupt(0.5)
    try:
        session.run(code)
    except KeyboardInterrupt as problem:
        seen[name] = type(problem.__cause__).__name__
    sender.wait()

sender = interrupt(0.5)
try:
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    seen["python"] = "interrupted"
sender.wait()

# In a block Julia that is called by Python itself is interrupted when it returns.
sender = interrupt(0.5)
try:
    with session.recording():
        session.julia.seval("let stop = time() + 1.5; while time() < stop; end; end")
        seen["not reached"] = True
except KeyboardInterrupt:
    seen["block"] = "interrupted"
sender.wait()

caught = 0
sender = interrupt(0.2, times=8, apart=0.1)
while True:
    try:
        if sender.poll() is not None:
            break
        session.run("total = 0; for i in 1:10_000; global total += i; end")
    except KeyboardInterrupt:
        caught += 1
try:
    session.run("after(x) = x + 2; after(1)")
except KeyboardInterrupt:
    caught += 1
    session.run("after(x) = x + 2; after(1)")
seen["several"] = caught
session.stop().close()
seen["state"] = session.result.state
log = mmsb.open("out.mmsb").log()
seen["functions"] = sorted({name for entry in log.entries for name in entry.functions})
print(json.dumps(seen))
