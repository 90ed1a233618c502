"""Put Debian's own Julia 1.5.3 on this machine: the last resort, and only when a command asks.

Debian 12 carries no Julia, the older suite ``bullseye`` does. Two things are added to the system
and one to mmsb's own data folder:

* ``/etc/apt/sources.list.d/mmsb-bullseye.sources`` and ``/etc/apt/preferences.d/mmsb-bullseye``:
  the older suite, at a priority so low that nothing comes from it unless nothing else has it;
* the packages ``julia``, ``julia-common`` and ``libjulia1``;
* ``libunwind/`` in the data folder: bullseye's libunwind8, unpacked and not installed. With the
  one of Debian 12 this Julia segfaults on every caught throw from compiled code.

To take it all back: ``apt-get purge julia julia-common libjulia1``, delete the two files and the
folder, and ``apt-get update``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mmsb.base.errors import InstallFailed

Progress = Callable[[str], None]

DEBIAN_JULIA = Path("/usr/bin/julia")
SUITE = "bullseye"
LIBUNWIND = "libunwind8=1.3.2-2"
SOURCE_FILE = Path("/etc/apt/sources.list.d/mmsb-bullseye.sources")
PIN_FILE = Path("/etc/apt/preferences.d/mmsb-bullseye")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
STEP_SECONDS = 600
# Lower than any other suite's: apt takes from this one only what no other has.
PIN = f"Package: *\nPin: release n={SUITE}\nPin-Priority: 50\n"
APT_OPTIONS = ("-q", "-o", "Acquire::http::Timeout=10", "-o", "DPkg::Lock::Timeout=120")


def data_folder() -> Path:
    """The folder that is mmsb's own: MMSB_DATA, or ``mmsb`` in the user's data folder."""
    if own := os.environ.get("MMSB_DATA"):
        return Path(own)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "mmsb"


def libunwind_folder() -> Path | None:
    """The folder that holds mmsb's own ``libunwind.so.8``, if it was unpacked."""
    found = sorted((data_folder() / "libunwind").glob("usr/lib/*/libunwind.so.8"))
    return found[0].parent if found else None


def install_debian(progress: Progress) -> None:
    """Install Debian's Julia and unpack the libunwind it needs; what is there already stays.

    Raises InstallFailed with one sentence. A suite that cannot be used is taken out again.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise InstallFailed(
                f"this machine has no {tool}, so Debian's Julia cannot be installed here: "
                "install Julia 1.10 or newer and put it on PATH or in MMSB_JULIA"
            )
    if DEBIAN_JULIA.exists() and libunwind_folder() is not None:
        return
    root = _as_root()
    added = _add_suite(root, progress)
    try:
        if not DEBIAN_JULIA.exists():
            progress("installing Debian's julia 1.5.3")
            _apt(root, "install", "-y", "--no-install-recommends", "julia")
        if libunwind_folder() is None:
            progress(f"unpacking {LIBUNWIND} of {SUITE} into {data_folder()}")
            _unpack_libunwind()
    except InstallFailed:
        if added:
            _remove_suite(root)
        raise


def _as_root() -> list[str]:
    """The words to put before a command that root must run."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and _run(["sudo", "-n", "true"]).returncode == 0:
        return ["sudo", "-n"]
    raise InstallFailed(
        "only root can install Debian's Julia: run `mmsb doctor --install` as root, "
        "or put a Julia on PATH or in MMSB_JULIA"
    )


def _add_suite(root: list[str], progress: Progress) -> bool:
    """Make the suite known to apt; true if this call added it."""
    targets = _targets()
    known = any(release == SUITE for _, release in targets)
    if not known:
        mirror = _mirror(targets)
        if not KEYRING.exists():
            raise InstallFailed(f"{KEYRING} is missing: `apt-get install debian-archive-keyring`")
        source = (
            f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\nSigned-By: {KEYRING}\n"
        )
        progress(f"adding Debian's older suite {SUITE} to apt, at low priority")
        _write(root, PIN_FILE, PIN)
        _write(root, SOURCE_FILE, source)
    progress("reading apt's package lists")
    try:
        _apt(root, "update")
    except InstallFailed:
        # Another source of this machine may be the broken one: what counts is Julia.
        if not _run(["apt-cache", "madison", "julia"]).stdout.strip():
            if not known:
                _remove_suite(root)
            raise
    return not known


def _targets() -> list[tuple[str, str]]:
    """(URI, suite) of every package list apt is set up to read."""
    template = "$(REPO_URI) $(RELEASE)"
    listing = _run(
        [
            "apt-get",
            "indextargets",
            "--no-release-info",
            "--format",
            template,
            "Created-By: Packages",
        ]
    )
    rows = (line.split() for line in listing.stdout.splitlines())
    return [(row[0], row[1]) for row in rows if len(row) == 2]


def _mirror(targets: Sequence[tuple[str, str]]) -> str:
    """The Debian mirror this machine uses already: the one its own suite comes from."""
    release = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    codename = release.get("VERSION_CODENAME", "").strip('"')
    if release.get("ID", "").strip('"') == "debian":
        for uri, suite in targets:
            if suite in (codename, "stable", "oldstable", "testing", "sid"):
                return uri
    raise InstallFailed(
        "apt has no Debian mirror on this machine, so Debian's Julia cannot be installed here: "
        "install Julia 1.10 or newer and put it on PATH or in MMSB_JULIA"
    )


def _write(root: list[str], path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="mmsb-") as scratch:
        scratch.write(text)
        scratch.flush()
        result = _run([*root, "install", "-D", "-m", "644", scratch.name, str(path)])
    if result.returncode != 0:
        raise InstallFailed(f"could not write {path}: {_complaint(result)}")


def _remove_suite(root: list[str]) -> None:
    _run([*root, "rm", "-f", str(SOURCE_FILE), str(PIN_FILE)])


def _unpack_libunwind() -> None:
    """Unpack in a scratch folder beside the goal, so that the goal is there whole or not at all."""
    goal = data_folder() / "libunwind"
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=goal.parent, prefix="libunwind-") as scratch:
            _apt([], "download", LIBUNWIND, folder=scratch)
            package = next(Path(scratch).glob("*.deb"))
            tree = Path(scratch) / "tree"
            result = _run(["dpkg-deb", "-x", str(package), str(tree)])
            if result.returncode != 0:
                raise InstallFailed(f"could not unpack {package.name}: {_complaint(result)}")
            shutil.rmtree(goal, ignore_errors=True)
            tree.rename(goal)
    except OSError as error:
        raise InstallFailed(f"could not write mmsb's data folder {goal.parent}: {error}") from error


def _apt(root: list[str], *words: str, folder: str | None = None) -> None:
    setting = ["env", "DEBIAN_FRONTEND=noninteractive"]
    result = _run([*root, *setting, "apt-get", *APT_OPTIONS, *words], folder=folder)
    if result.returncode != 0:
        raise InstallFailed(f"`apt-get {' '.join(words)}` failed: {_complaint(result)}")


def _run(words: Sequence[str], folder: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command with its output kept; a step that never ends counts as failed."""
    try:
        return subprocess.run(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=STEP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", f"no end after {STEP_SECONDS} s")


def _complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of a failed command's output that says most."""
    lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "Err"))]
    return (errors or lines or [f"exit code {result.returncode}"])[0]
