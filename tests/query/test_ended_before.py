"""What Julia's log names is told when it happened, and once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmsb import session
from mmsb.base.model import EventKind
from mmsb.capture.julia import Candidate
from mmsb.query.memories import open_memory
from mmsb.query.reader import Reader

PROGRAM = """
@noinline g(x) = x + 1
@noinline h(x) = x + 2
@noinline f(x) = g(x) + h(x)
f(1)
g(x) = x + 3
h(x) = x + 4
f(1)
@eval Base isempty(c::Base.AbstractDict) = length(c) == 0
f(x) = x
f(1)
"""


@pytest.fixture(scope="module")
def reader(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if str(julia.version).startswith("1.5"):
        pytest.skip("Julia 1.5 keeps no invalidation log")
    folder = tmp_path_factory.mktemp("ended")
    (folder / "ended.jl").write_text(PROGRAM)
    session.record(str(folder / "ended.jl"), folder / "ended.mmsb", julia=julia)
    with open_memory(folder / "ended.mmsb") as memory:
        yield memory


def test_code_that_had_ended_does_not_end_again(reader: Reader) -> None:
    """Julia logs ``f`` under ``h`` too, when ``g`` had ended it."""
    named = [
        node.name
        for tree in reader.at().invalidations("f").trees
        for node in tree.nodes
        if node.name == "f(::Int64)"
    ]
    assert named
    (fate,) = reader.at().why("f").fates
    assert [reason.version for reason in fate.reasons] == [1, 2]


def test_an_end_by_a_definition_out_of_scope_is_not_told_before_it(reader: Reader) -> None:
    """It came after ``h`` was redefined and before ``f`` was, in a world of its own."""
    (tree,) = [
        tree
        for tree in reader.at().invalidations().trees
        if "AbstractDict" in tree.root and "isempty" in tree.root
    ]
    defined = reader.log(kind=EventKind.DEFINED).entries
    own = [one.epoch for one in defined if any("AbstractDict" in name for name in one.functions)]
    if own:  # where its code was called the definition is recorded, and the tree is told with it
        assert own == [tree.epoch]
        return
    before, after = (
        reader.log(name, kind=EventKind.DEFINED).entries[-1].epoch for name in ("h", "f(::Any)")
    )
    assert before < tree.epoch < after
    assert tree.root not in {one.root for one in reader.at(before).invalidations().trees}
