"""A child that is forked while another thread loads kernels can load them itself."""

from __future__ import annotations

import os
import signal
import threading
import warnings

import pytest

from mmsb.base import loading


@pytest.mark.parametrize("which", ["a module", "a kernel"])
def test_a_fork_waits_for_a_thread_that_loads(which: str) -> None:
    compiler = pytest.importorskip("numba.core.compiler_lock").global_compiler_lock
    held = loading.lock if which == "a module" else compiler
    inside, done = threading.Event(), threading.Event()

    def load() -> None:
        with held:
            inside.set()
            done.wait(0.5)

    thread = threading.Thread(target=load)
    thread.start()
    inside.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads at all
        child = os.fork()
    if child == 0:
        signal.alarm(10)
        with loading.lock, compiler:
            os._exit(0)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    with loading.lock, compiler:  # and here again
        pass
