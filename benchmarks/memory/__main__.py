"""``python -m benchmarks.memory [CLAIM …]``: see benchmarks/command.py."""

from __future__ import annotations

from benchmarks.command import main

CLAIMS = (
    "commit",
    "column",
    "cell",
    "deltas",
    "diff",
    "opening",
    "replay",
    "recording",
    "growth",
    "clustering",
)

if __name__ == "__main__":
    main("benchmarks.memory", CLAIMS, "bench-memory")
