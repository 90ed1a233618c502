"""A row is a statement's identity: twenty functions, each optimised statement checked by hand.

One word a statement, in the order of the optimised code, of lowered statements counted from 0::

    3    is lowered statement 3, in its row
    +3   is new, and derives from lowered statement 3
    +    is new, and the compiler kept no origin
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import live
import numpy as np
import pytest
import rebuild

from mmsb.base.model import NONE_U32, Identity, Stage
from mmsb.capture import identity
from mmsb.capture.julia import Candidate
from mmsb.memory.snapshot import Snapshot

# Lowered code of 1.12 loads the functions it calls in statements of their own.
SINCE_1_12 = {
    "c01": "1 2",
    "c02": "2 3 4",
    "c03": "+1 2",  # `+` became add_int, inlined
    "c04": "+2 +3 4",
    "c05": "1",
    "c06": "+",  # folded to the constant, without debug info
    "c07": "+1 2 4 5 7 8",
    "c08": "+2 3 5 + +7 11 12",  # … goto, what is left of an assignment, φ, invoke, return
    "c09": "+ +1 +3 4 7 8 10",  # the same, φ at the loop's head
    "c10": "+",
    "c11": "+ 5 6",
    "c12": "2 3 4",
    "c13": "1 4 +8 9",
    "c14": "+2 +2 +3 4",  # two statements of the function that was inlined
    "c15": "+ 2 4",
    "c16": " ".join(["+0"] * 18 + ["1"]),
    "c17": "7 8",
    "c18": "1 2",
    "c19": "0 1",
    "c20": "+3 4 5",
}
BEFORE_1_12 = {
    "c01": "0 1",
    "c02": "0 1 2",
    "c03": "+0 1",
    "c04": "+0 +1 2",
    "c05": "0",
    "c06": "1",
    "c07": "+0 1 2 3 4 5",
    "c08": "+1 2 4 + +6 7 8",
    "c09": "+ +1 +1 2 3 4 5",
    "c10": "1",
    "c11": "2 3",
    "c12": "0 1 2",
    "c13": "0 1 +2 3",
    "c14": "+0 +0 +1 2",
    "c15": "0 1 2 3 4 5 6",
    "c16": "+0 1",
    "c17": "3 4",
    "c18": "0 1",
    "c19": "0 1",
    "c20": "2 3",
}
BEFORE_1_10 = BEFORE_1_12 | {"c10": "0 1"}  # the unused call is not known to have no effect


def expected(julia: Candidate) -> dict[str, str]:
    if live.version(julia) >= (1, 12):
        return SINCE_1_12
    return BEFORE_1_12 if live.version(julia) >= (1, 10) else BEFORE_1_10


def record(julia: Candidate, folder: Path) -> live.Recorded:
    return live.record(julia, folder / "cases.mmsb", [str(live.HERE / "identity_cases.jl")])


def cases(recorded: live.Recorded) -> dict[str, str]:
    """Name of a case → key of its instance."""
    keys = {key.split(" ")[0].removeprefix("Main."): key for key in recorded.subjects()}
    return {name: keys[name] for name in SINCE_1_12}


def origins(head: Snapshot, key: str) -> str:
    """Where each optimised statement comes from, in the words of this file."""
    page = head.page("statement", key)
    assert page is not None
    lowered = {row: at for at, row in enumerate(rebuild.ordered_rows(head, page, Stage.LOWERED))}
    derived = head.column("statement", page, "derived_from").tolist()
    words = []
    for row in rebuild.ordered_rows(head, page, Stage.OPTIMIZED):
        if row in lowered:
            words.append(str(lowered[row]))
        else:
            words.append("+" if derived[row] == NONE_U32 else f"+{lowered[derived[row]]}")
    return " ".join(words)


def shares(head: Snapshot, keys: Sequence[str]) -> Counter[Identity]:
    """How the rows of optimised statements were found."""
    found: Counter[Identity] = Counter()
    for key in keys:
        page = head.page("statement", key)
        assert page is not None
        identities = head.column("statement", page, "identity").tolist()
        rows = rebuild.ordered_rows(head, page, Stage.OPTIMIZED)
        found.update(Identity(identities[row]) for row in rows)
    return found


def test_every_optimised_statement_is_the_one_it_came_from(
    julia: Candidate, tmp_path: Path
) -> None:
    recorded = record(julia, tmp_path)
    found = {name: origins(recorded.head, key) for name, key in cases(recorded).items()}
    assert found == expected(julia)
    share = shares(recorded.head, list(cases(recorded).values()))
    print(", ".join(f"{share[how]} {how.name.lower()}" for how in Identity))
    assert share[Identity.GUESSED] == 0


@pytest.mark.newest
def test_rows_keyed_anew_at_each_stage_would_be_seen(
    julia: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anew(pages: Sequence[identity.Rows], found: identity.Origins) -> identity.Places:
        return np.array([pages[at].new(NONE_U32, Identity.NEW) for at in found.body.tolist()])

    monkeypatch.setattr(identity, "place", anew)
    recorded = record(julia, tmp_path)
    wanted = expected(julia)
    same = [n for n, key in cases(recorded).items() if origins(recorded.head, key) == wanted[n]]
    # where nothing has an origin there is nothing to tell
    assert set(same) <= {name for name, words in wanted.items() if set(words) <= {"+", " "}}


def test_the_share_of_rows_whose_origin_the_compiler_named(library: live.Recorded) -> None:
    """Over thousands of instances of the library. Most optimised statements stand in another
    function's source and were inlined: they are new, and derive from the call they replaced."""
    head = library.head
    keys = library.subjects("statement")
    share = shares(head, keys)
    total = sum(share.values())
    traced = sum(
        len(words) - words.count("+") for words in (origins(head, k).split() for k in keys)
    )
    told = [f"{how.name.lower()} {share[how] / total:.1%}" for how in Identity]
    print(", ".join([*told, f"origin known {traced / total:.1%}"]))
    assert share[Identity.GUESSED] == 0
    assert share[Identity.EXACT] >= 0.05 * total
    assert traced >= 0.85 * total  # 1.10 leaves many lowered statements without a line
