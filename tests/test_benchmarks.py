"""The benchmarks run: one claim, small, without peers. No time is looked at."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("of", "claim", "shown"),
    [
        ("memory", "commit", "### A commit of 1,000 rows × 2 columns"),
        ("memory", "replay", "### Replay; checkpoint and restore"),
        ("memory", "clustering", "### Deltas side by side by page, or where their epochs put them"),
        ("graph", "components", "### Components and topological order"),
    ],
)
def test_a_benchmark_runs(of: str, claim: str, shown: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_bytes()
    words = ["-m", f"benchmarks.{of}", claim, "--quick", "--no-peers", "--folder", str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout.splitlines()[:1]) == (0, [shown]), ran.stderr
    assert list(tmp_path.iterdir()) == []
    assert (ROOT / "docs" / "benchmarks.md").read_bytes() == page


def test_a_claim_that_is_not_there_is_named() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", "comit"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "no claim 'comit'" in ran.stderr


def test_every_claim_has_its_place_on_the_page() -> None:
    from benchmarks.graph.__main__ import CLAIMS as GRAPH
    from benchmarks.memory.__main__ import CLAIMS as MEMORY

    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for mark, claims in (("bench-memory", MEMORY), ("bench-graph", GRAPH)):
        for claim in claims:
            assert page.count(f"<!-- {mark} {claim} -->") == 1
            assert page.count(f"<!-- end of {mark} {claim} -->") == 1


def test_every_peer_can_be_made() -> None:
    from benchmarks.memory.batches import BATCHES
    from benchmarks.memory.peers import PEERS

    assert [kind for kind in (*PEERS, *BATCHES) if inspect.isabstract(kind)] == []
