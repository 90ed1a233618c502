from __future__ import annotations

import pytest

from mmsb.query.juliatext import (
    base_name,
    character,
    function_path,
    global_name,
    parameters,
    short,
    split,
)


@pytest.mark.parametrize(
    ("canonical", "shown"),
    [
        ("Core.Int64", "Int64"),
        ("Main.Point{Core.Int64}", "Point{Int64}"),
        ("Core.Array{Core.Int64, 1}", "Vector{Int64}"),
        ("Core.Array{Core.Array{Core.Float64, 2}, 1}", "Vector{Matrix{Float64}}"),
        ("Core.AbstractArray{T, 1} where {T<:Core.Real}", "AbstractVector{T} where {T<:Real}"),
        ("Core.Array{Core.Int64, 3}", "Array{Int64, 3}"),
        ("Base.UnitRange{Core.Int64}", "UnitRange{Int64}"),
        ("Base.Iterators.Enumerate{Main.P}", "Base.Iterators.Enumerate{P}"),
        ("typeof(Base.+)", "typeof(+)"),
        ("Main.#1#2{Core.Int64}", 'var"#1#2"{Int64}'),
        ("Core.Box", "Core.Box"),
        ('Const("Core.x, Main.y")', 'Const("Core.x, Main.y")'),
        ("Const('0x63000000')", "Const('c')"),
        ("Core.NamedTuple{(:b,), Core.Tuple{Core.Int64}}", "NamedTuple{(:b,), Tuple{Int64}}"),
    ],
)
def test_short_text_is_what_julia_people_write(canonical: str, shown: str) -> None:
    assert short(canonical) == shown


def test_split_keeps_brackets_and_strings_together() -> None:
    assert split('A{B, C}, "x, (y", (:b,), 1') == ["A{B, C}", '"x, (y"', "(:b,)", "1"]
    assert split("") == []


def test_parameters_leave_out_the_where() -> None:
    assert parameters("A{T, B{C, D}} where {T<:E{F}}") == ("A", ["T", "B{C, D}"])
    assert parameters("Core.Int64") == ("Core.Int64", None)
    assert parameters("Core.Tuple{}") == ("Core.Tuple", [])


@pytest.mark.parametrize(
    ("parameter", "path"),
    [
        ("typeof(Main.A.f)", "Main.A.f"),
        ("Core.Type{Main.P}", "Main.P"),
        ("Core.Type{Main.P{T}} where {T}", "Main.P"),
        ("Main.#1#2", "Main.#1#2"),
    ],
)
def test_function_path(parameter: str, path: str) -> None:
    assert function_path(parameter) == path


def test_globals_print_as_in_julia() -> None:
    assert global_name("Main.f") == "Main.f"
    assert global_name("Base.+") == "Base.:+"
    assert global_name("Main.#1#2") == 'Main.:(var"#1#2")'
    assert base_name("Base.Iterators.zip") == "zip"


def test_characters_are_julias_own_bytes() -> None:
    assert character("'0xceb10000'") == "'α'"
    assert character("'0xff000000'") == "'0xff000000'"  # not UTF-8: left as it is
