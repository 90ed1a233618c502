"""The command of a folder of benchmarks: measures claims, prints, writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import ROOT, Bench, machine

PAGE = ROOT / "docs" / "benchmarks.md"
EXPLAINED = """\
--quick        a smoke run, small and short; writes nothing
--no-peers     mmsb and the machine's floors only
--folder DIR   where the data lies (or MMSB_BENCH_FOLDER; default: a temporary folder).
               /dev/shm takes the disk out of every figure
--no-write     print only
"""


def publish(mark: str, claim: str, text: str) -> None:
    """Puts a claim's section between its marks on the page."""
    begin, end = f"<!-- {mark} {claim} -->", f"<!-- end of {mark} {claim} -->"
    page = PAGE.read_text(encoding="utf-8")
    start, stop = page.index(begin) + len(begin), page.index(end)
    PAGE.write_text(f"{page[:start]}\n\n{text}\n\n{page[stop:]}", encoding="utf-8")


def main(package: str, claims: tuple[str, ...], mark: str) -> None:
    """Runs the claims asked for, modules of ``package``; each has ``run(bench) -> Result``."""
    parser = argparse.ArgumentParser(
        package, epilog=EXPLAINED, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("claims", nargs="*", help=f"of {', '.join(claims)}; default: all")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--no-write", action="store_true")
    parser.add_argument("--folder", default=os.environ.get("MMSB_BENCH_FOLDER"))
    asked = parser.parse_args()
    unknown = set(asked.claims) - set(claims)
    if unknown:
        parser.error(f"there is no claim {sorted(unknown)[0]!r}; there are {', '.join(claims)}")
    if asked.folder is not None and not Path(asked.folder).is_dir():
        parser.error(f"there is no folder {asked.folder} for the data; make it, or name another")
    folder = Path(tempfile.mkdtemp(prefix="mmsb-bench-", dir=asked.folder))
    try:
        write = not asked.quick and not asked.no_write
        for claim in asked.claims or claims:
            bench = Bench(folder, quick=asked.quick, peers=not asked.no_peers, write=write)
            start = time.monotonic()
            result = importlib.import_module(f"{package}.{claim}").run(bench)
            text = f"{result.text()}\n\n{machine(bench)}"
            print(text, end="\n\n", flush=True)
            print(f"{claim}: {time.monotonic() - start:.0f} s", file=sys.stderr)
            if write:
                publish(mark, claim, text)
    finally:
        shutil.rmtree(folder)
