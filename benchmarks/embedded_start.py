"""What the start of an embedded session costs over the start of juliacall's own Julia.

Each figure is the median of five runs in processes of their own, interleaved; a run before them
compiles what is compiled once. Run it with the Python that has ``mmsb[embedded]``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

from mmsb.capture.embeddable import embeddable

RUNS = 5
CLOCK = "import json, time; begin = time.perf_counter()\n"
SAY = "print(json.dumps(spent))\n"
PROGRAMS = {
    "juliacall": "import juliacall; spent = [time.perf_counter() - begin]\n",
    "mmsb": """
import mmsb
session = mmsb.start("out.mmsb", host="embedded")
spent = [time.perf_counter() - begin]
for code in ("first(x) = x + 1; first(1)", "second(x) = x + 2; second(1)"):
    begin = time.perf_counter()
    session.run(code)
    spent.append(time.perf_counter() - begin)
begin = time.perf_counter()
session.stop().close()
spent.append(time.perf_counter() - begin)
""",
}


def measure(name: str, env: dict[str, str]) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", CLOCK + PROGRAMS[name] + SAY],
            cwd=folder,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    spent: list[float] = json.loads(done.stdout.splitlines()[-1])
    return spent


def main() -> None:
    place = embeddable()
    if not place.ok:
        sys.exit(f"no Julia can run inside this Python: {place.reason}")
    # as mmsb sets it: juliacall alone starts more slowly without
    env = {"PYTHON_JULIACALL_HANDLE_SIGNALS": "yes"}
    if place.executable and place.project:
        env["PYTHON_JULIACALL_EXE"] = place.executable
        env["PYTHON_JULIACALL_PROJECT"] = place.project
    measure("mmsb", env)
    runs: dict[str, list[list[float]]] = {name: [] for name in PROGRAMS}
    for _ in range(RUNS):
        for name in PROGRAMS:
            runs[name].append(measure(name, env))
    plain = [spent[0] for spent in runs["juliacall"]]
    ours = [statistics.median(column) for column in zip(*runs["mmsb"], strict=True)]
    over = ours[0] - statistics.median(plain)
    print(f"juliacall's own start       {statistics.median(plain):6.2f} s")
    print(f"start of a session          {ours[0]:6.2f} s: {over:.2f} s over it (goal: 1 s)")
    print(f"first run, second run       {ours[1]:6.2f} s, {ours[2]:.2f} s")
    print(f"stop                        {ours[3]:6.2f} s")


main()
