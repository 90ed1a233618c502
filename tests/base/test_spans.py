"""Spans reach whoever listens, and a file that trace viewers open."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmsb.base import spans
from mmsb.base.trace import Trace

Told = tuple[str, int, int, Mapping[str, Any]]


@pytest.fixture
def told() -> Iterator[list[Told]]:
    """What a listener heard."""
    heard: list[Told] = []
    before = spans.listen(lambda *one: heard.append(one))
    yield heard
    spans.listen(before)


def test_a_listener_hears_what_was_done_and_when(told: list[Told]) -> None:
    with spans.span("outer", a=1) as facts:
        with spans.span("inner"):
            pass
        facts["b"] = 2
    spans.tell("commit", 5, 9, epoch=3)
    assert [(name, dict(facts)) for name, _, _, facts in told] == [
        ("inner", {}),
        ("outer", {"a": 1, "b": 2}),
        ("commit", {"epoch": 3}),
    ]
    (_, inner, inner_end, _), (_, outer, outer_end, _), (_, *last, _) = told
    assert outer <= inner <= inner_end <= outer_end
    assert last == [5, 9]


def test_what_raises_is_told_too(told: list[Told]) -> None:
    with pytest.raises(ZeroDivisionError), spans.span("drain"):
        raise ZeroDivisionError
    assert [one[0] for one in told] == ["drain"]


def test_nobody_listens() -> None:
    before = spans.listen(None)
    try:
        with spans.span("drain") as facts:
            facts["bytes"] = 1
        spans.tell("commit", 1, 2)
    finally:
        spans.listen(before)


def test_a_listener_that_fails_is_taken_away_and_named(caplog: pytest.LogCaptureFixture) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no room for spans")

    before = spans.listen(fails)
    try:
        with caplog.at_level(logging.ERROR, "mmsb"), spans.span("drain"):
            pass
        assert spans.listener is None
    finally:
        spans.listen(before)
    (record,) = caplog.records
    assert "hears no more of them" in record.getMessage()
    assert record.exc_info is not None
    assert "no room for spans" in str(record.exc_info[1])


def test_the_file_is_a_trace_of_all_threads(tmp_path: Path) -> None:
    path = tmp_path / "trace-%p.json"
    trace = Trace(path)
    before = spans.listen(trace)
    try:

        def work() -> None:
            for at in range(50):
                spans.tell("column", 1_000 * at, 1_000 * at + 500, page=at)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        spans.listen(before)
    trace.close()
    spans.tell("column", 1, 2)  # after its end: nobody's
    trace.close()
    events = json.loads((tmp_path / f"trace-{os.getpid()}.json").read_text())
    assert len(events) == 4 * 50
    assert len({event["tid"] for event in events}) == 4
    last = max(events, key=lambda event: event["ts"])
    assert (last["ph"], last["ts"], last["dur"], last["args"]) == ("X", 49.0, 0.5, {"page": 49})
    assert {event["pid"] for event in events} == {os.getpid()}


CODE = """
import os, sys
from mmsb.base import spans
spans.tell("commit", 1000, 3000, epoch=1)
if os.fork() == 0:
    spans.tell("commit", 4000, 5000, epoch=2)
    sys.exit()
os.wait()
spans.tell("sync", 6000, 9000)
"""


def test_the_environment_switches_it_on_and_a_fork_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("an older one")
    environment = {**os.environ, spans.VARIABLE: str(path)}
    subprocess.run([sys.executable, "-c", CODE], env=environment, check=True)
    events = json.loads(path.read_text())
    assert [(e["name"], e["ts"], e["dur"]) for e in events] == [
        ("commit", 1.0, 2.0),
        ("sync", 6.0, 3.0),
    ]


def test_a_trace_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    environment = {**os.environ, spans.VARIABLE: str(tmp_path / "no" / "trace.json")}
    code = "from mmsb.base import spans\nfor _ in range(3): spans.tell('commit', 1, 2)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("hears no more of them") == 1
    assert "trace.json" in done.stderr


def test_what_a_recorder_sends_is_drained_in_spans(told: list[Told], tmp_path: Path) -> None:
    from mmsb.capture.embedded import EmbeddedJulia
    from mmsb.capture.process import Child

    trace = tmp_path / "trace"
    trace.touch()
    child = object.__new__(Child)
    vars(child).update(
        _chunks=lambda: iter([b"", b"\0" * 5]),
        _trace=trace,
        _hung=False,
        process=SimpleNamespace(returncode=0),
    )
    child.collect(lambda *_: None)
    julia = object.__new__(EmbeddedJulia)
    vars(julia).update(_bytes=lambda _code: b"seven..")
    assert julia.drain() == b"seven.."
    assert [(name, dict(facts)) for name, _, _, facts in told] == [
        ("drain", {"bytes": 0}),
        ("drain", {"bytes": 5}),
        ("drain", {"bytes": 7}),
    ]
