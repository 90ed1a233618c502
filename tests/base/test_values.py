"""The values everything is said in: row ranges, columns, kinds, errors."""

from __future__ import annotations

import inspect

import pytest

from mmsb.base import errors, schema
from mmsb.base.errors import UnknownName, UsageError
from mmsb.base.model import Stage
from mmsb.base.rect import Rows
from mmsb.base.schema import Column, Kind, staged


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 2**32)])
def test_rows_are_checked_once_at_construction(start: int, stop: int) -> None:
    with pytest.raises(UsageError, match="not a range"):
        Rows(start, stop)


def test_rows_are_half_open() -> None:
    rows = Rows(2, 5)
    assert [row for row in range(8) if row in rows] == [2, 3, 4]
    assert (len(rows), len(Rows(4, 4))) == (3, 0)


@pytest.mark.parametrize("column", [(0, "a", "u128", 0), (-1, "a", "u8", 0), (65536, "a", "u8", 0)])
def test_a_column_is_checked(column: tuple[int, str, str, int]) -> None:
    with pytest.raises(UsageError, match="column 'a'"):
        Column(*column)


@pytest.mark.parametrize("other", [(0, "b"), (1, "a")])
def test_a_kind_uses_an_id_or_name_once(other: tuple[int, str]) -> None:
    with pytest.raises(UsageError, match="twice"):
        Kind(0, "kind", (Column(0, "a", "u8", 0), Column(*other, "u8", 0)))


def test_kinds_of_the_contract_have_each_id_and_name_once() -> None:
    assert len({kind.id for kind in schema.KINDS}) == len(schema.KINDS) == len(schema.BY_NAME)
    tables = {kind.name for kind in schema.KINDS if kind.append_only}
    for kind in schema.KINDS:
        for column in kind.columns:
            assert kind.column(column.name) is column
            assert column.ref in tables | {""}
    with pytest.raises(UnknownName, match="no column"):
        schema.HEAP.column("nothing")


def test_a_staged_column_exists_once_for_each_stage() -> None:
    for stage in Stage:
        assert schema.STATEMENT.column(staged("opcode", stage)).ref == "symbol"
    ids = [column.id for column in schema.STATEMENT.columns]
    assert len(set(ids)) == len(ids)


def test_fills_fit_their_columns() -> None:
    for kind in schema.KINDS:
        for column in kind.columns:
            width, code = schema.DTYPES[column.dtype]
            signed = code[1] == "i"
            column.fill.to_bytes(width, "little", signed=signed)


def test_every_error_has_a_code_of_its_own_and_an_exit_code() -> None:
    found = [
        error
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.MmsbError)
    ]
    assert len({error.code for error in found}) == len(found)
    assert all(error.__name__ in (errors.__doc__ or "") for error in found)
    groups = (errors.UsageError, errors.StateError, errors.DamageError, errors.EnvironmentProblem)
    assert [group.exit_code for group in groups] == [2, 3, 4, 5]
