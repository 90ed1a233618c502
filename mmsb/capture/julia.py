"""Find a Julia: every candidate is tried, the newest that passes is chosen, and each says why.

A candidate passes when it starts, is new enough, and catches a throw from compiled code: Debian's
1.5.3 does not with the libunwind of Debian 12, and gets mmsb's own instead
(``mmsb.capture.install``) if that was unpacked. Nothing is remembered between calls, so nothing can
go stale: a candidate costs about 0.2 s.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmsb.base.errors import EnvironmentProblem, InstallFailed, JuliaNotFound
from mmsb.capture.install import (
    DEBIAN_JULIA,
    Progress,
    install_debian,
    libunwind_folder,
)
from mmsb.capture.julia_download import ask_juliapkg

OLDEST = (1, 5)
PROBE_SECONDS = 30.0
_PROBE = """
println("mmsb ", VERSION); flush(stdout)
f() = error("boom")
try; f(); catch; end
println("mmsb caught")
"""
_VERSIONED = re.compile(r"julia-\d+\.\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Julia, or a place where one was looked for."""

    source: str  # MMSB_JULIA, PATH, juliapkg or Debian
    path: str | None  # absolute; None where the place holds no Julia
    version: str | None  # as Julia prints it; None if it never got so far
    ok: bool
    reason: str  # one clause: why it can or cannot be used
    # What the child's environment must have besides ours, whole values: LD_LIBRARY_PATH or nothing.
    env: Mapping[str, str] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Decision:
    """Every candidate in the order it was looked for, the one to use, and why."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    why: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def find(*, install: bool = False, progress: Progress | None = None) -> Decision:
    """The newest Julia that passes. Raises nothing: ``chosen`` may be None.

    With ``install``, and only if no Julia is usable: juliapkg downloads one; if it cannot,
    Debian's own is installed.
    """
    tell = progress or (lambda _: None)
    decision = _decide()
    if not install:
        return decision
    failures: list[str] = []
    for step in (_download, install_debian):
        if decision.chosen is not None:
            return decision
        try:
            step(tell)
            decision = _decide()
        except InstallFailed as error:
            tell(str(error))
            failures.append(str(error))
    if decision.chosen is None and failures:
        return replace(
            decision, why=f"{decision.why}, and none could be installed: {'; '.join(failures)}"
        )
    return decision


def find_all() -> tuple[Candidate, ...]:
    """Every usable Julia once, newest first."""
    return _usable(_candidates())


def require() -> Candidate:
    """The Julia to use; raises JuliaNotFound, which says what to do."""
    decision = find()
    if decision.chosen is None:
        raise JuliaNotFound(
            f"{decision.why}: `mmsb doctor` says why, `mmsb doctor --install` installs one"
        )
    return decision.chosen


def probe(source: str, path: str) -> Candidate:
    """Run one Julia and say whether it can be used, if need be with mmsb's own libunwind."""
    found = _probe(source, path, {})
    folder = libunwind_folder()
    if found.ok or found.version is None or folder is None:
        return found
    inherited = os.environ.get("LD_LIBRARY_PATH")
    env = {"LD_LIBRARY_PATH": f"{folder}:{inherited}" if inherited else str(folder)}
    mended = _probe(source, path, env)
    return replace(mended, reason="usable with mmsb's own libunwind") if mended.ok else found


def named_on_path(version: str) -> str | None:
    """The Julia of a version (``1.12.5``) on PATH or in MMSB_JULIA; asks only likely ones."""
    minor = ".".join(version.split(".")[:2])
    entries = [_executable(entry) for entry in os.environ.get("MMSB_JULIA", "").split(":") if entry]
    for name in (f"julia-{version}", f"julia-{minor}", "julia"):
        entries += filter(None, [shutil.which(name)])
    for path in entries:
        if probe("PATH", path).version == version:
            return path
    return None


def shim_path() -> Path:
    """The folder of the Julia package MMSBShim: in a wheel inside ours, in a checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "julia" / "MMSBShim", package.parent / "julia" / "MMSBShim"):
        if folder.is_dir():
            return folder
    raise EnvironmentProblem("this installation of mmsb lacks its Julia shim: install mmsb again")


def _decide() -> Decision:
    candidates = tuple(_candidates())
    usable = _usable(candidates)
    if not usable:
        return Decision(candidates, None, "there is no Julia that mmsb can use")
    chosen = usable[0]
    of = f"the newest of {len(usable)} usable" if len(usable) > 1 else "the only usable one"
    why = f"Julia {chosen.version} from {chosen.source} is {of}"
    if os.environ.get("MMSB_JULIA") and not any(c.source == "MMSB_JULIA" for c in usable):
        why += ", and nothing that MMSB_JULIA names is usable"
    return Decision(candidates, chosen, why)


def _usable(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Each usable file once, newest first; of two of one version, the one looked for first."""
    once: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.ok and candidate.path is not None:
            once.setdefault(os.path.realpath(candidate.path), candidate)
    return tuple(sorted(once.values(), key=_age, reverse=True))


def _download(progress: Progress) -> None:
    ask_juliapkg(download=True, progress=progress)


def _candidates() -> Iterator[Candidate]:
    """Every place where a Julia may be, each file tried once."""
    tried: dict[str, Candidate] = {}
    for source, path, absence in _places():
        if path is None:
            yield Candidate(source, None, None, ok=False, reason=absence)
            continue
        real = os.path.realpath(path)
        if (first := tried.get(real)) is not None:
            same = f"the same file as {first.path}: {first.reason}"
            yield replace(first, source=source, path=path, reason=same)
        else:
            tried[real] = probe(source, path)
            yield tried[real]


def _places() -> Iterator[tuple[str, str | None, str]]:
    """(source, path or None, why there is none), in the order of looking."""
    for entry in filter(None, os.environ.get("MMSB_JULIA", "").split(":")):
        yield "MMSB_JULIA", _executable(entry), ""
    yield "PATH", shutil.which("julia"), "no julia on PATH"
    for name in _versioned_names():
        yield "PATH", shutil.which(name), f"{name} cannot be run"
    try:
        yield "juliapkg", str(ask_juliapkg()), ""
    except InstallFailed as error:
        yield "juliapkg", None, str(error)
    debian = str(DEBIAN_JULIA) if DEBIAN_JULIA.exists() else None
    yield "Debian", debian, "Debian's julia is not installed"


def _executable(entry: str) -> str:
    """What an entry of MMSB_JULIA means: a file, the folder of a Julia, or a name on PATH."""
    path = Path(entry).expanduser()
    if path.is_dir():
        path = path / "bin" / "julia"
    return os.path.abspath(shutil.which(path) or path)


def _versioned_names() -> list[str]:
    """The names like ``julia-1.10`` on PATH, as version managers and source builds install them."""
    names: set[str] = set()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        with suppress(OSError):
            names.update(filter(_VERSIONED.fullmatch, os.listdir(folder or ".")))
    return sorted(names)


def _probe(source: str, path: str, env: Mapping[str, str]) -> Candidate:
    def answer(version: str | None, reason: str, *, ok: bool = False) -> Candidate:
        return Candidate(source, path, version, ok=ok, reason=reason, env=env)

    words = [path, "--startup-file=no", "--history-file=no", "-e", _PROBE]
    try:
        # In a scratch folder: a Julia that segfaults may leave a core file where it runs.
        with tempfile.TemporaryDirectory(prefix="mmsb-probe-") as scratch:
            result = subprocess.run(
                words,
                cwd=scratch,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PROBE_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired:
        return answer(None, f"no answer within {PROBE_SECONDS:g} s")
    except OSError as error:
        return answer(None, f"cannot be run: {error.strerror}")
    said = re.match(r"mmsb (\d+)\.(\d+)\.\S+", result.stdout)
    if said is None:
        return answer(None, f"does not answer as Julia does: {_ending(result)}")
    version = said[0].removeprefix("mmsb ")
    if (int(said[1]), int(said[2])) < OLDEST:
        return answer(version, "older than 1.5, the oldest that mmsb supports")
    if "mmsb caught" not in result.stdout:
        return answer(version, f"fails when compiled code throws and catches: {_ending(result)}")
    return answer(version, "usable", ok=True)


def _ending(result: subprocess.CompletedProcess[str]) -> str:
    """How a child ended; a shell says 128 + n where the system says -n for death by signal n."""
    number = -result.returncode if result.returncode < 0 else result.returncode - 128
    if number in set(signal.Signals):
        return f"killed by {signal.Signals(number).name}"
    lines = result.stderr.strip().splitlines()
    return f"exit code {result.returncode}" + (f", {lines[0]}" if lines else "")


def _age(candidate: Candidate) -> tuple[int, ...]:
    """Sorts versions; a development version (1.13.0-DEV) comes before the release it leads to."""
    version = candidate.version or ""
    numbers = [int(part) for part in re.findall(r"\d+", version.split("-")[0])[:3]]
    return (*numbers, int("-" not in version))
