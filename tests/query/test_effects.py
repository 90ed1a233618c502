"""Raw effect bits against what Julia printed of them (`show` of `decode_effects`)."""

from __future__ import annotations

import pytest

from mmsb.query.effects import lost, notation

JULIA_1_10 = """
3744 (+c,+e,+n,!t,+s,?m,+i)
2292 (?c,?e,+n,+t,+s,+m,+i)′
1321 (!c,!e,+n,!t,!s,!m,!i)
2569 (!c,!e,!n,!t,!s,?m,+i)′
2912 (+c,+e,+n,+t,!s,?m,+i)′
3910 (?c,+e,!n,+t,!s,?m,+i)
1041 (!c,?e,!n,!t,!s,+m,!i)
"""
JULIA_1_12 = """
24647 (?c,+e,!n,+t,!s,+m,+u,?o,+r)
7056 (+c,?e,!n,!t,+s,?m,?u,!o,!r)
8282 (?c,?e,!n,+t,!s,+m,+u,?o,!r)
14865 (!c,?e,!n,!t,!s,?m,?u,?o,!r)
20713 (!c,!e,+n,+t,+s,+m,+u,!o,+r)
13586 (?c,?e,!n,!t,!s,!m,!u,?o,!r)
"""


@pytest.mark.parametrize(("version", "answers"), [("1.10.2", JULIA_1_10), ("1.12.5", JULIA_1_12)])
def test_as_julia_prints_them(version: str, answers: str) -> None:
    for answer in answers.split("\n")[1:-1]:
        bits, _, printed = answer.partition(" ")
        assert notation(int(bits), version) == printed


def test_effects_that_are_lost() -> None:
    assert lost(7056, "1.12.5") == "?e,!n,!t,?m,?u,!o,!r"
    assert lost(0b100000011100000, "1.12.5") == ""


def test_what_is_not_known_is_not_made_up() -> None:
    assert notation(0, "1.12.5") == ""
    assert notation(0x1234, "1.99.0") == "0x00001234"
