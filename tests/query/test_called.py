"""What is called may be a function, a type, or a value of one: each has a name of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import mmsb
from mmsb import session
from mmsb.capture.julia import Candidate
from mmsb.query.reader import Reader

PROGRAM = """
struct Fn; k::Int; end
(f::Fn)(x::Int) = f.k + x
Fn(x::Int, y::Int) = Fn(x * y)
Fn(2)(3)
Fn(2, 3)
struct P{T}; x::T; end
(p::P{Int})(x::Int) = p.x - x
P(1)(3)
P{Int}(4)
struct Q{A, B}; a::A; b::B; end
Q{A}(x) where {A} = Q{A, Int}(x, 1)
Q(x) = Q{Int}(x)
(q::Q)(x::Int) = x
Q(4)(5)
var"my op"(x) = x - 1
var"my op"(3)
"""
NAMES = {
    "Fn(::Int64)": "Fn(::Int64)",
    "Tuple{Type{Fn}, Int64}": "Fn(::Int64)",
    "(::Fn)(::Int64)": "(::Fn)(::Int64)",
    "Tuple{Fn,Int}": "(::Fn)(::Int64)",
    "(::P)": "(::P{Int64})(::Int64)",
    "(::P{Int})(Int)": "(::P{Int64})(::Int64)",
    "P(::Int64)": "P(::Int64)",
    "P{Int}(::Int64)": "P{Int64}(::Int64)",
    "Q(::Int64)": "Q(::Int64)",
    "Q{Int}(::Int64)": "Q{Int64}(::Int64)",
    "Q{Int64, B}(Int)": "Q{Int64}(::Int64)",
    "(::Q)(::Int64)": "(::Q{Int64,Int64})(::Int64)",
    'var"my op"': 'var"my op"(::Int64)',
    'Main.var"my op"(Int)': 'var"my op"(::Int64)',
}


@pytest.fixture(scope="module")
def reader(julia: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("called")
    (folder / "called.jl").write_text(PROGRAM)
    session.record(str(folder / "called.jl"), folder / "called.mmsb", julia=julia)
    with mmsb.open(folder / "called.mmsb") as memory:
        yield memory


@pytest.mark.parametrize("written", NAMES)
def test_what_is_written_is_what_is_shown(reader: Reader, written: str) -> None:
    assert reader.at().show(written).function.name == NAMES[written]
