"""Records ``program.jl`` inside this process; arguments: where to, and the path of the program."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mmsb
from mmsb.memory.memory import Memory

output, program = Path(sys.argv[1]), sys.argv[2]
session = mmsb.start(output, host="embedded")
session.run(f'include(raw"{program}")')
session.stop().close()
with Memory.open(output) as memory:
    print(json.dumps([memory.digest(), memory.head]))
