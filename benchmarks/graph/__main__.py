"""``python -m benchmarks.graph [CLAIM …]``: see benchmarks/command.py."""

from __future__ import annotations

from benchmarks.command import main

CLAIMS: tuple[str, ...] = ("traverse", "small", "components", "incremental", "growth")

if __name__ == "__main__":
    main("benchmarks.graph", CLAIMS, "bench-graph")
