"""Real recordings for machines without a Julia: frames as they came, and what Julia itself said.

``tests/recordings/julia-X.Y.Z/`` holds

- ``about.json``: which Julia, which program, the exit code, and how to make it again
- ``wire.xz``: what the shim sent of ``twelve_programs.jl``, recorded with every pass
- ``trace.xz``: what ``--trace-compile`` wrote
- ``answers.xz``: the code of each instance as ``canonical.jl`` writes it, in a process without mmsb

Paths of the machine are overwritten, byte for byte. ``make recordings`` makes them again, for every
Julia there is that has the compiler's own record.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import tempfile
from io import BytesIO
from pathlib import Path

import live
import rebuild
from fidelity import in_scope

from mmsb.base.wire import WIRE_VERSION
from mmsb.capture import command, prepared
from mmsb.capture.frames import FrameReader
from mmsb.capture.julia import Candidate, find_all
from mmsb.capture.process import Child, Recorded, Settings
from mmsb.session.recording import write

FOLDER = live.HERE.parent / "recordings"
PROGRAM = live.HERE / "twelve_programs.jl"
FIRST = (1, 10)  # the first Julia with a record of the compiler's own
SETTINGS = Settings(depth=0, capture="passes")
AGAIN = "make recordings"


def committed() -> list[Path]:
    """Their folders."""
    return sorted(FOLDER.glob("julia-*"))


def julia_of(folder: Path) -> Candidate:
    """The Julia that a recording is of, which need not be here."""
    about = json.loads((folder / "about.json").read_text())
    return Candidate("recording", Path("julia"), about["julia"], True, "recorded", {})


def answers_of(folder: Path) -> str:
    """What that Julia said of its code."""
    return lzma.decompress((folder / "answers.xz").read_bytes()).decode()


def told(folder: Path) -> Recorded:
    """What came over the wire, read."""
    about = json.loads((folder / "about.json").read_text())
    assert about["wire"] == WIRE_VERSION, f"{folder.name} is of another wire version: {AGAIN}"
    reader = FrameReader()
    recorded = Recorded(exit_code=about["exit_code"])
    for frame in reader.feed(lzma.decompress((folder / "wire.xz").read_bytes())):
        recorded.stream.add(frame)
    recorded.leftover = reader.leftover
    recorded.trace = lzma.decompress((folder / "trace.xz").read_bytes())
    return recorded


def memory_of(folder: Path, output: Path) -> live.Recorded:
    """The memory of a recording, translated anew."""
    result = write(told(folder), output)
    assert result.path is not None
    assert result.state == "complete", result.message
    return live.Recorded(Path(result.path), result.exit_code)


def make(julia: Candidate) -> Path:
    """Records the program, asks the same Julia without mmsb, and keeps both."""
    folder = FOLDER / f"julia-{str(julia.version).split('+')[0]}"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mmsb-") as scratch:
        program = Path(scratch) / PROGRAM.name
        program.write_bytes(PROGRAM.read_bytes())
        words = command.parse(["julia", str(program)])
        prepared.precompile(julia, words)
        wire = BytesIO()
        with Child(julia, words, SETTINGS) as child:
            recorded = child.collect(lambda *_: None, wire)
        about = {
            "julia": str(julia.version),
            "program": f"tests/julia/{PROGRAM.name}",
            "capture": SETTINGS.capture,
            "exit_code": recorded.exit_code,
            "wire": WIRE_VERSION,
            "again": AGAIN,
        }
        (folder / "about.json").write_text(json.dumps(about, indent=2) + "\n")
        _keep(folder / "wire.xz", without_paths(wire.getvalue(), recorded))
        _keep(folder / "trace.xz", recorded.trace)
        memory = memory_of(folder, Path(scratch) / "twelve.mmsb")
        _keep(folder / "answers.xz", ask(julia, program, memory, Path(scratch)).encode())
    return folder


def without_paths(wire: bytes, recorded: Recorded) -> bytes:
    """The folders of files, overwritten by as many other bytes."""
    symbols = recorded.stream.symbols
    folders = {
        os.path.dirname(symbols[path]) for *_, path in recorded.stream.files if symbols[path]
    }
    for folder in sorted(folders, key=len, reverse=True):
        hidden = re.sub(r"[^/]", "_", folder).encode()
        wire = wire.replace(os.fsencode(folder), hidden)
    return wire


def ask(julia: Candidate, program: Path, memory: live.Recorded, scratch: Path) -> str:
    """What this Julia says of the recorded instances."""
    keys, out = scratch / "keys", scratch / "answers"
    keys.write_text("".join(f"{rebuild.escape(key)}\n" for key in in_scope(memory)))
    env = {
        "MMSB_CANONICAL": str(live.HERE / "canonical.jl"),
        "MMSB_KEYS": str(keys),
        "MMSB_ANSWERS": str(out),
    }
    both = f'include("{program}"); include(ENV["MMSB_CANONICAL"])'
    live.said(julia, ["-e", both], env=env)
    return out.read_text()


def _keep(path: Path, data: bytes) -> None:
    path.write_bytes(lzma.compress(data, preset=9))


if __name__ == "__main__":
    for found in find_all():
        if live.version(found) >= FIRST:
            print(make(found).relative_to(Path.cwd()))
