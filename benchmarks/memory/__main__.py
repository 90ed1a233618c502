"""``python -m benchmarks.memory [CLAIM …]``: measures, prints, writes docs/benchmarks.md.

--quick        a smoke run, small and short; writes nothing
--no-peers     mmsb and the machine's floors only
--folder DIR   where the data lies (or MMSB_BENCH_FOLDER; default: a temporary folder).
               /dev/shm takes the disk out of every figure
--no-write     print only
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.memory.harness import ROOT, Bench, machine

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
)
PAGE = ROOT / "docs" / "benchmarks.md"


def publish(claim: str, text: str) -> None:
    """Puts a claim's section between its marks on the page."""
    begin, end = f"<!-- bench-memory {claim} -->", f"<!-- end of bench-memory {claim} -->"
    page = PAGE.read_text(encoding="utf-8")
    start, stop = page.index(begin) + len(begin), page.index(end)
    PAGE.write_text(f"{page[:start]}\n\n{text}\n\n{page[stop:]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks.memory", description=__doc__.split("\n")[0])
    parser.add_argument("claims", nargs="*", help=f"of {', '.join(CLAIMS)}; default: all")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--no-write", action="store_true")
    parser.add_argument("--folder", default=os.environ.get("MMSB_BENCH_FOLDER"))
    asked = parser.parse_args()
    unknown = set(asked.claims) - set(CLAIMS)
    if unknown:
        parser.error(f"there is no claim {sorted(unknown)[0]!r}; there are {', '.join(CLAIMS)}")
    folder = Path(tempfile.mkdtemp(prefix="mmsb-bench-", dir=asked.folder))
    try:
        write = not asked.quick and not asked.no_write
        bench = Bench(folder, quick=asked.quick, peers=not asked.no_peers, write=write)
        for claim in asked.claims or CLAIMS:
            start = time.monotonic()
            result = importlib.import_module(f"benchmarks.memory.{claim}").run(bench)
            text = f"{result.text()}\n\n{machine(folder)}"
            print(text, end="\n\n", flush=True)
            print(f"{claim}: {time.monotonic() - start:.0f} s", file=sys.stderr)
            if write:
                publish(claim, text)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
