"""Rows keep their statements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsb.base.model import NONE_U32, Identity
from mmsb.capture import identity
from mmsb.capture.identity import SELF, Origins, Rows

CALL, ADD, PHI, RETURN = 10, 11, 12, 13


def lower(
    rows: Rows, tokens: str, opcodes: Sequence[int] = (), lines: Sequence[int] = ()
) -> list[int]:
    """Rows of lowered statements, each said by a letter."""
    given = np.array(opcodes or [CALL] * len(tokens), np.uint32)
    return rows.set_lowered([ord(token) for token in tokens], given, lines).tolist()


def place(
    rows: Rows,
    scopes: Sequence[int],
    origins: Sequence[int],
    opcodes: Sequence[int],
    roots: Sequence[int],
) -> list[int]:
    """Rows of one body's statements at a later stage."""
    columns = (np.array(column, np.uint32) for column in (scopes, origins, opcodes, roots))
    inserted = np.array(opcodes) == PHI
    body = np.zeros(len(scopes), np.int64)
    return identity.place([rows], Origins(body, *columns, inserted)).tolist()


def test_a_changed_statement_keeps_its_row_and_is_marked_guessed() -> None:
    rows = Rows()
    assert lower(rows, "abc") == [0, 1, 2]
    assert lower(rows, "aBc") == [0, 1, 2]
    assert rows.identity == [Identity.GUESSED] * 3


def test_the_same_definition_again_is_exact() -> None:
    rows = Rows()
    lower(rows, "ab")
    assert lower(rows, "ab") == [0, 1]
    assert rows.identity == [Identity.EXACT] * 2


def test_an_inserted_statement_moves_no_other() -> None:
    rows = Rows()
    lower(rows, "abc")
    assert lower(rows, "axbc") == [0, 3, 1, 2]
    assert rows.identity[3] == Identity.NEW


def test_a_removed_statement_leaves_its_row_behind() -> None:
    rows = Rows()
    lower(rows, "abc")
    assert lower(rows, "ac") == [0, 2]
    assert rows.count == 3


def test_inlined_statements_are_derived_and_found_again() -> None:
    rows = Rows()
    lower(rows, "cr", [CALL, RETURN])
    found = ([5, SELF], [3, 1], [ADD, RETURN], [0, 1])
    first = place(rows, *found)
    assert first == [2, 1]
    assert rows.derived_from[2] == 0
    assert place(rows, *found) == first
    assert rows.inserted_at(5, 3) == 2


def test_of_several_statements_from_one_the_like_one_is_it() -> None:
    rows = Rows()
    lower(rows, "cr", [CALL, RETURN])
    assert place(rows, [SELF] * 3, [0, 0, 1], [ADD, CALL, RETURN], [0, 0, 1]) == [2, 0, 1]
    assert rows.derived_from[2] == 0


def test_a_phi_is_never_a_lowered_statement() -> None:
    rows = Rows()
    lower(rows, "c")
    assert place(rows, [SELF], [0], [PHI], [0]) == [1]


def test_without_origin_a_statement_has_no_source() -> None:
    rows = Rows()
    lower(rows, "c")
    place(rows, [SELF], [NONE_U32], [PHI], [NONE_U32])
    assert rows.derived_from[1] == NONE_U32


def test_like_statements_of_one_origin_are_told_apart_by_their_order() -> None:
    rows = Rows()
    lower(rows, "c")
    first = place(rows, [5, 5, 5], [0, 0, 1], [ADD, ADD, ADD], [0, 0, 0])
    assert first == [1, 2, 3]
    assert place(rows, [5, 5, 5], [0, 1, 0], [ADD, ADD, ADD], [0, 0, 0]) == [1, 3, 2]


def test_bodies_side_by_side_are_placed_as_alone() -> None:
    pages = [Rows(), Rows()]
    for page in pages:
        lower(page, "cr", [CALL, RETURN])
    body = np.array([0, 0, 1, 1, 1])
    columns = [[SELF, SELF, 5, SELF, 5], [0, 1, 0, 1, 0], [ADD, RETURN, ADD, RETURN, ADD]]
    given = [np.array(column, np.uint32) for column in (*columns, [0, 1, 0, 1, 0])]
    found = Origins(body, *given, np.zeros(5, bool))
    assert identity.place(pages, found).tolist() == [0, 1, 2, 1, 3]
    assert [page.count for page in pages] == [2, 4]


def test_by_line_takes_like_statements_of_a_line_in_order() -> None:
    rows = Rows()
    lower(rows, "abc", [CALL] * 3, [1, 1, 2])
    found = rows.by_line([(SELF, 1), (SELF, 2), (SELF, 2)], [CALL, CALL, ADD])
    assert found == [0, 2, NONE_U32]
