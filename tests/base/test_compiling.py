"""That kernels are compiled is said once, when it takes long, and of ours alone."""

from __future__ import annotations

import logging

import pytest
from numba import njit

from mmsb.base import kernels
from mmsb.base.kernels import PATIENCE, Compiling


def test_it_is_said_once_and_only_where_it_takes_long() -> None:
    now, said = [0.0], list[str]()
    heard = Compiling(said.append, lambda: now[0])
    for _ in range(4):  # a moment each, much later
        now[0] += 100
        heard.began()
        now[0] += PATIENCE / 4
        heard.ended()
    assert not said
    heard.began()
    now[0] += PATIENCE / 8
    assert not said
    heard.began()  # one that it calls
    assert len(said) == 1
    heard.ended()
    heard.ended()
    heard.began()
    assert len(said) == 1


def test_kernels_of_others_are_not_ours(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = kernels.announce()
    monkeypatch.setattr(kernels, "PATIENCE", -1.0)
    heard.said = False
    for module, said in (("somebody.else", False), ("mmsb.graph.kernels_test", True)):

        def one(x: int) -> int:
            return x + 1

        one.__module__ = module
        with caplog.at_level(logging.INFO):
            assert njit(one)(1) == 2
        assert heard.said is said
        assert ("compiling kernels" in caplog.text) is said
