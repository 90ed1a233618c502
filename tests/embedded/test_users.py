"""Beside other users of juliacall, in two threads, and in Jupyter; nothing of it is changed."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from inside import Python

from mmsb.capture.embeddable import Embeddable


@pytest.fixture(scope="module")
def seen(shared: Python, usable: Embeddable) -> dict[str, Any]:
    env = {"PYTHON_JULIACALL_THREADS": "2", "PYTHON_JULIACALL_HANDLE_SIGNALS": "yes"}
    if usable.executable and usable.project:  # juliacall is imported before mmsb can say so
        env["PYTHON_JULIACALL_EXE"] = usable.executable
        env["PYTHON_JULIACALL_PROJECT"] = usable.project
    found: dict[str, Any] = shared.facts("users.py", env=env)
    return found


def test_juliacall_that_was_there_first_is_used(seen: dict[str, Any]) -> None:
    assert seen["why"] == "juliacall runs here already"
    assert seen["juliacall"]
    assert seen["as before"]
    (remark,) = seen["remarks"]
    assert remark.startswith("juliacall was imported before mmsb started")


def test_a_program_is_the_same_without_with_and_after_the_recorder(seen: dict[str, Any]) -> None:
    """Its result, what is inferred and optimised of it, its effects."""
    assert seen["same"] == [True, True, True]


def test_threads_that_infer_at_once_are_recorded(seen: dict[str, Any]) -> None:
    assert seen["threads"] == 2
    assert seen["busy"] == 30


def test_another_reader_of_the_compilers_queue_is_refused_by_name(seen: dict[str, Any]) -> None:
    code, text = seen["snooping"]
    assert code == "state"
    assert "SnoopCompileCore.@snoop_inference" in text
    assert seen["later"]  # and when it has gone, the session goes on


def test_another_thread_and_a_fork_are_refused(seen: dict[str, Any]) -> None:
    assert seen["thread"][0] == "state"
    assert seen["thread"][1].startswith("Julia runs in the thread that started it")
    assert seen["fork"] == 0


CELLS = """
import json, mmsb
session = mmsb.start("notebook.mmsb", host="embedded")
session.run("f(x) = x + 1; f(2)")
---
%%julia
g(x) = f(x) * 2
@mmsb g(3)
---
with session.recording():
    assert session.julia.g(2.5) == 7
session.run("error(\\"boom\\")")
---
reader = session.stop()
names = {name for entry in reader.log().entries for name in entry.functions}
print(json.dumps([session.host, session.result.state, sorted(names)]))
"""
NOTEBOOK = f"""
import json
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="python3")
said, errors = [], []
def hear(message):
    if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
        said.append(message["content"]["text"])
    elif message["msg_type"] == "error":
        errors.append(message["content"]["ename"] + ": " + message["content"]["evalue"])
try:
    for cell in {CELLS!r}.split("---\\n"):
        client.execute_interactive(cell.strip(), timeout=200, output_hook=hear)
finally:
    manager.shutdown_kernel()
print(json.dumps([json.loads("".join(said).splitlines()[-1]), errors]))
"""


@pytest.mark.skipif(not importlib.util.find_spec("ipykernel"), reason="ipykernel is not installed")
def test_in_a_notebook(python: Python) -> None:
    (host, state, names), errors = python.facts(NOTEBOOK)
    assert (host, state) == ("embedded", "complete")
    assert {"f(::Int64)", "g(::Int64)", "g(::Float64)"} <= set(names)
    assert [error.splitlines()[0] for error in errors] == ["JuliaFailed: boom"]
