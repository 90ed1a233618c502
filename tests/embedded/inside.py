"""Programs run by a Python of their own, with a Julia inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECONDS = 3600  # a program that hangs fails some day


@dataclass(frozen=True)
class Python:
    """Runs programs in processes that have a Julia inside."""

    folder: Path

    def start(self, program: str, *words: str, **env: str) -> subprocess.Popen[str]:
        """The program: a file beside this one, or the text of one."""
        script = HERE / program
        if "\n" in program:
            script = self.folder / "program.py"
            script.write_text(program)
        return subprocess.Popen(
            [sys.executable, str(script), *words],
            cwd=self.folder,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def run(self, program: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        with self.start(program, *words, **env) as process:
            try:
                output, errors = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(program, process.returncode, output, errors)

    def facts(self, program: str, *words: str, env: Mapping[str, str] | None = None) -> Any:
        """What a program that has to succeed says in its last line, as JSON."""
        done = self.run(program, *words, **(env or {}))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])
