"""The contract of propagation for ``device="gpu"``: on a GPU where there is one, and with the CUDA
kernels run on the host by the machine of `cuda_on_host`, which checks their logic alone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from cuda_on_host import Host

from mmsb.base.errors import CycleError, EnvironmentProblem, MissingExtra, UsageError
from mmsb.graph import kernels_gpu, launch, peers
from mmsb.graph.adjacency import Direction, Graph
from mmsb.graph.growing import Edges, Growing
from mmsb.graph.propagate import propagate, propagate_many, steps
from mmsb.graph.semiring import BUILT_IN, WIDTHS, Width, user
from mmsb.memory import machine
from mmsb.testing.contracts_graph import PropagationContract, case


def missing() -> str:
    """Why there is no GPU, or ""."""
    try:
        machine.machine()
    except MissingExtra as error:
        return str(error)
    return ""


class Contract(PropagationContract):
    """``alone``, ``pulled``: sizes from which the whole device works together, and pulls."""

    device = "gpu"
    alone: ClassVar[int] = launch.ALONE
    pulled: ClassVar[int] = launch.PULLED
    cases = 24

    @pytest.fixture(autouse=True)
    def sizes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launch, "ALONE", self.alone)
        monkeypatch.setattr(launch, "PULLED", self.pulled)

    def test_small_graphs(self) -> None:
        random = np.random.default_rng(11)
        for _ in range(self.cases):
            self.holds(case(random))

    def test_many_seed_sets(self) -> None:
        random = np.random.default_rng(12)
        for _ in range(self.cases // 8):
            self.holds_for_many([case(random) for _ in range(int(random.integers(1, 9)))])

    def test_sums_and_products_saturate(self) -> None:
        widths: tuple[Width, ...] = ("u1", "u4", "u8")
        for width in widths:
            most = WIDTHS[width]
            ends = [(0, 1), (0, 1), (1, 2), (0, 2), (2, 3), (1, 3), (3, 4), (2, 4)]
            for weights in ([most - 1] * 8, [most // 2, most - 1, 2, most, 3, most - 2, 1, 5]):
                graph = Graph.from_edges(*zip(*ends, strict=True), np.array(weights, np.uint64))
                for ring in (each.over(width) for each in BUILT_IN.values() if not each.boolean):
                    seeds = {0: ring.one, 1: min(most - 1, 200)}
                    want = propagate(graph, seeds, ring)
                    found = propagate(graph, seeds, ring, device="gpu")
                    for table in ("values", "hops", "parent"):
                        left, right = (getattr(each, table).tolist() for each in (want, found))
                        assert left == right, (ring.name, width, weights, table)

    def test_a_larger_graph_is_as_on_the_cpu(self) -> None:
        random = np.random.default_rng(13)
        ends = (random.zipf(1.3, (2, 3000)) - 1) % 400
        graph = Graph.from_edges(*ends, random.integers(0, 50, 3000))
        for name in ("lor_land", "any_pair", "min_plus", "max_min"):
            for seeds in (int(ends[0, 0]), ends[0, :5]):
                want = propagate(graph, seeds, name)
                for _ in range(3):  # launched, captured, from the captured graph
                    found = propagate(graph, seeds, name, device="gpu")
                    assert found.device == "gpu"
                    for table in ("values", "hops", "parent"):
                        assert (getattr(found, table) == getattr(want, table)).all(), table
        sets = [random.integers(0, 400, 3) for _ in range(70)]
        many = propagate_many(graph, sets, "any_pair", device="gpu")
        assert (many.values == propagate_many(graph, sets, "any_pair").values).all()


@pytest.mark.skipif(bool(missing()), reason=missing())
class TestOnAGpu(Contract):
    cases = 2000


@pytest.mark.skipif(bool(missing()), reason=missing())
class TestTogetherOnAGpu(Contract):
    alone, pulled, cases = 0, 0, 2000


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
class OnHost(Contract):
    @pytest.fixture(autouse=True)
    def host(self) -> Iterator[Host]:
        before, made = machine._provided, Host(seed=4)
        machine.provide(lambda: made)
        yield made
        machine.provide(before)


class TestABlock(OnHost):
    pass


class TestTogether(OnHost):
    alone = 0


class TestPulling(OnHost):
    pulled = 0


class TestPullingTogether(OnHost):
    alone, pulled = 0, 0


@pytest.mark.long
class TestThousandsInABlock(OnHost):
    cases = 2000


@pytest.mark.long
class TestThousandsTogether(OnHost):
    alone, pulled, cases = 0, 0, 2000


class TestSeveral(OnHost):
    """Over three machines, which hold a part of the edges each."""

    @pytest.fixture(autouse=True)
    def host(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
        made = Host(seed=9, peers=3)
        monkeypatch.setattr(machine, "_provided", lambda: made)
        monkeypatch.setattr(peers, "SHARED", 0)
        yield made
        assert any(name.startswith("hand_back") for name in made.peers[2].launched)


def test_a_graph_that_grows_is_never_read_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    random, made = np.random.default_rng(3), Host(seed=2)
    monkeypatch.setattr(machine, "_provided", lambda: made)
    growing = Growing(Graph.from_edges([0, 1, 2], [1, 2, 3], [4, 4, 4], count=9))
    for _ in range(12):
        ends = random.integers(0, 9, (2, 3)).astype(np.uint32)
        growing.change(added=Edges(*ends, random.integers(1, 9, 3).astype(np.uint32)))
        ways: tuple[Direction, ...] = ("forward", "backward")
        for way in ways:
            want = propagate(growing.graph, 0, direction=way)
            found = propagate(growing.graph, 0, direction=way, device="gpu")
            assert found.device == "gpu"
            assert found.values.tolist() == want.values.tolist()
            assert found.parent.tolist() == want.parent.tolist()


class TestWhatIsRefused(OnHost):
    cases = 0
    GRAPH = Graph.from_edges([0, 1, 2, 2], [1, 2, 0, 3])

    def test_a_cycle_is_named(self) -> None:
        with pytest.raises(CycleError, match="0 → 1 → 2 → 0"):
            propagate(self.GRAPH, 0, "plus_times", device="gpu")
        with pytest.raises(CycleError, match="0 → 1 → 2 → 0"):
            propagate_many(self.GRAPH, [3, 0, 1], "max_plus", device="gpu")

    def test_a_users_own_semiring_runs_on_the_cpu_alone(self) -> None:
        def least(left: int, right: int) -> int:
            return left if left < right else right

        def most(left: int, right: int) -> int:
            return left if left > right else right

        ring = user("least", least, most, 2**64 - 1, 0, absorptive=True, selective=True)
        for ask in (propagate, steps):
            with pytest.raises(UsageError, match=r"user's own semiring.*device='cpu'"):
                ask(self.GRAPH, 0, ring, device="gpu")
        found = propagate(self.GRAPH, 0, ring, device="auto")
        assert found.device == "cpu"
        assert "own semiring" in found.instead

    def test_no_room_raises_whole_or_falls_back(self, host: Host) -> None:
        want = propagate(self.GRAPH, 0)
        host.limit = 16
        for ask in (propagate, steps):
            with pytest.raises(EnvironmentProblem, match="no room for a propagation over 4 nodes"):
                ask(self.GRAPH, 0, device="gpu")
        found = propagate(self.GRAPH, 0, device="auto")
        assert found.values.tolist() == want.values.tolist()
        assert (found.device, "no room" in found.instead) == ("cpu", True)
        many = propagate_many(self.GRAPH, [0, 1], device="auto")
        assert (many.device, "no room" in many.instead) == ("cpu", True)
        assert len(list(steps(self.GRAPH, 0, device="auto"))) == 4
        host.limit = None
        assert propagate(self.GRAPH, 0, device="auto").device == "gpu"

    def test_without_a_gpu(self) -> None:
        machine.provide(None)
        with pytest.raises(MissingExtra, match=r"mmsb\[gpu\]"):
            propagate(self.GRAPH, 0, device="gpu")
        found = propagate(self.GRAPH, 0, device="auto")
        assert (found.device, "mmsb[gpu]" in found.instead) == ("cpu", True)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no nvcc")
@pytest.mark.parametrize(
    ("target", "option"),
    [
        ("sm_90", "-DTOGETHER"),
        *(
            pytest.param(target, option, marks=pytest.mark.long)
            for target, option in (
                ("sm_80", "-DTOGETHER"),
                ("sm_80", "-DALONE"),
                ("sm_90", "-DALONE"),
            )
        ),
    ],
)
def test_the_kernels_compile_for_a_gpu(target: str, option: str, tmp_path: Path) -> None:
    text = tmp_path / "kernels.cu"
    text.write_text(kernels_gpu.source(), encoding="utf-8")
    out = ("-cubin", "-o", tmp_path / "kernels.cubin", text)
    command = ("nvcc", "-std=c++17", f"-arch={target}", "-Werror=all-warnings", option, *out)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
