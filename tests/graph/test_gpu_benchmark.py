"""The GPU's benchmark runs, its kernels on the host. No time is looked at."""

from __future__ import annotations

import shutil

import pytest
from cuda_on_host import Host

from benchmarks.graph import gpu
from mmsb.memory import machine


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_the_benchmark_of_the_gpu_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    monkeypatch.setattr(machine, "_provided", lambda: host)
    monkeypatch.setattr(gpu, "timed", lambda run, _times: [run(), 1.0][1])
    text = gpu.run(host, 6, 1024).text()
    assert text.startswith("### Propagation and merge on a GPU: host")
    assert "| SSSP | 1.00 s |" in text
