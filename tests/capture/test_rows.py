"""Rows keep their statements."""

from __future__ import annotations

from mmsb.base.model import NONE_U32, Identity
from mmsb.capture.identity import SELF, Origins, Rows

CALL, ADD, PHI, RETURN = 10, 11, 12, 13


def test_a_changed_statement_keeps_its_row_and_is_marked_guessed() -> None:
    rows = Rows()
    assert rows.set_lowered(["a", "b", "c"], 1) == [0, 1, 2]
    assert rows.set_lowered(["a", "B", "c"], 2) == [0, 1, 2]
    assert rows.identity == [Identity.GUESSED] * 3


def test_the_same_definition_again_is_exact() -> None:
    rows = Rows()
    rows.set_lowered(["a", "b"], 1)
    assert rows.set_lowered(["a", "b"], 1) == [0, 1]
    assert rows.identity == [Identity.EXACT] * 2


def test_an_inserted_statement_moves_no_other() -> None:
    rows = Rows()
    rows.set_lowered(["a", "b", "c"], 1)
    assert rows.set_lowered(["a", "x", "b", "c"], 2) == [0, 3, 1, 2]
    assert rows.identity[3] == Identity.NEW


def test_a_removed_statement_leaves_its_row_behind() -> None:
    rows = Rows()
    rows.set_lowered(["a", "b", "c"], 1)
    assert rows.set_lowered(["a", "c"], 2) == [0, 2]
    assert rows.count == 3


def test_inlined_statements_are_derived_and_found_again() -> None:
    rows = Rows()
    rows.set_lowered(["call", "return"], 1)
    scopes, origins, opcodes = [5, SELF], [3, 1], [ADD, RETURN]
    lowered = [CALL, RETURN]
    found = Origins(scopes, origins, opcodes, [0, 1], frozenset({PHI}))
    first = rows.place(found, lowered)
    assert first == [2, 1]
    assert rows.derived_from[2] == 0
    assert rows.place(found, lowered) == first


def test_of_several_statements_from_one_the_like_one_is_it() -> None:
    rows = Rows()
    rows.set_lowered(["call", "return"], 1)
    found = Origins([SELF, SELF, SELF], [0, 0, 1], [ADD, CALL, RETURN], [0, 0, 1])
    assert rows.place(found, [CALL, RETURN]) == [2, 0, 1]
    assert rows.derived_from[2] == 0


def test_a_phi_is_never_a_lowered_statement() -> None:
    rows = Rows()
    rows.set_lowered(["call"], 1)
    assert rows.place(Origins([SELF], [0], [PHI], [0], frozenset({PHI})), [CALL]) == [1]


def test_without_origin_a_statement_has_no_source() -> None:
    rows = Rows()
    rows.set_lowered(["call"], 1)
    rows.place(Origins([SELF], [NONE_U32], [PHI], [NONE_U32], frozenset({PHI})), [CALL])
    assert rows.derived_from[1] == NONE_U32


def test_by_line_takes_like_statements_of_a_line_in_order() -> None:
    rows = Rows()
    rows.set_lowered(["a", "b", "c"], 1)
    lines = [(SELF, 1), (SELF, 1), (SELF, 2)]
    found = rows.by_line([(SELF, 1), (SELF, 2), (SELF, 2)], [CALL, CALL, ADD], lines, [CALL] * 3)
    assert found == [0, 2, NONE_U32]
