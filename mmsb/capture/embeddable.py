"""Which Julia would run inside this process, found without starting it.

juliacall takes the Julia and the project that PYTHON_JULIACALL_EXE and PYTHON_JULIACALL_PROJECT
name; else those that juliapkg has resolved, which the first time means a download. A Julia of this
machine serves too, without any network, where one of its shared environments (``@mmsb``, ``@v1.12``
in a depot) holds the PythonCall that belongs to the installed juliacall.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import ssl
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmsb.capture.julia import named_on_path

NO_JULIACALL = "no juliacall"
OLDEST_EMBEDDED = (1, 10, 3)
_EXE, _PROJECT = "PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT"
_PACKAGE = re.compile(r"^\[\[deps\.PythonCall\]\]\n(?:(?!\[).*\n?)*?version = \"([^\"]+)\"", re.M)
_JULIA = re.compile(r"^julia_version = \"([^\"]+)\"", re.M)


@dataclass(frozen=True, slots=True)
class Embeddable:
    """``ok``: juliacall can start Julia without installing anything. ``executable`` and
    ``project`` are None where they are juliapkg's to say, or Julia runs already."""

    ok: bool
    source: str  # "this process", "environment", "juliapkg", "@mmsb", …, NO_JULIACALL, "nothing"
    executable: str | None
    project: str | None
    reason: str  # one clause
    remark: str | None = None
    fetchable: bool = False  # juliapkg would get one, if it is let

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def embeddable() -> Embeddable:
    """What ``import juliacall`` would start here. Raises nothing; reads a few files."""
    loaded = sys.modules.get("juliacall")
    if loaded is not None and getattr(loaded, "Main", None) is not None:
        return Embeddable(True, "this process", None, None, "juliacall runs here already")
    version = _juliacall_version()
    if version is None:
        missing = "juliacall is not installed: pip install juliacall"
        return Embeddable(False, NO_JULIACALL, None, None, missing, _openssl_remark())
    exe, project = _option("exe"), _option("project")
    if (exe is None) != (project is None):
        given, lacks = (_EXE, _PROJECT) if exe else (_PROJECT, _EXE)
        return _none(f"{given} is set and {lacks} is not: set both or none")
    if exe is not None and project is not None:
        if shutil.which(exe) is None:
            return _none(f"{_EXE} names {exe}, which cannot be run")
        if not Path(project).exists():
            return _none(f"{_PROJECT} names {project}, which is not there")
        return Embeddable(True, "environment", exe, project, f"{_EXE} and {_PROJECT} name it")
    remark = _openssl_remark()
    if (resolved := _resolved()) is not None:
        return Embeddable(True, "juliapkg", None, None, f"juliapkg chose {resolved}", remark)
    for name, folder, julia in _shared(version):
        path = named_on_path(julia)
        if path is not None:
            reason = f"the environment {name} holds PythonCall {version}"
            return Embeddable(True, name, path, str(folder), reason)
    reason = (
        'juliacall has no Julia yet: `mmsb.start(host="embedded")` lets juliapkg fetch one, or '
        f"set {_EXE} and {_PROJECT}"
    )
    return Embeddable(False, "nothing", None, None, reason, remark, fetchable=True)


def _none(reason: str) -> Embeddable:
    return Embeddable(False, "nothing", None, None, reason)


def _juliacall_version() -> str | None:
    if importlib.util.find_spec("juliacall") is None:
        return None
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("juliacall")
    return ""


def _option(name: str) -> str | None:
    """As juliacall reads it: -X juliacall-exe=…, else the environment."""
    value = sys._xoptions.get(f"juliacall-{name}")
    return value if isinstance(value, str) else os.environ.get(f"PYTHON_JULIACALL_{name.upper()}")


def _resolved() -> str | None:
    """The Julia that juliapkg resolved before, if it is still there."""
    with suppress(ImportError, OSError, ValueError, KeyError, TypeError):
        from juliapkg.state import STATE

        meta = json.loads(Path(STATE["meta"]).read_text(encoding="utf-8"))
        if Path(meta["executable"]).exists():
            return f"Julia {meta['version']}"
    return None


def _shared(version: str) -> Iterator[tuple[str, Path, str]]:
    """(name, folder, Julia's version) of the shared environments with that PythonCall, @mmsb first,
    then the newest."""
    depots = os.environ.get("JULIA_DEPOT_PATH", "").split(os.pathsep)
    found: list[tuple[tuple[int, ...], str, Path, str]] = []
    for depot in [*filter(None, depots), str(Path.home() / ".julia")]:
        for manifest in sorted(Path(depot, "environments").glob("*/Manifest.toml")):
            text = ""
            with suppress(OSError, UnicodeDecodeError):
                text = manifest.read_text(encoding="utf-8")
            package, julia = _PACKAGE.search(text), _JULIA.search(text)
            if package is None or julia is None or package[1] != version:
                continue
            numbers = tuple(int(part) for part in re.findall(r"\d+", julia[1])[:3])
            if numbers >= OLDEST_EMBEDDED:
                name = manifest.parent.name
                rank = (int(name == "mmsb"), *numbers)
                found.append((rank, f"@{name}", manifest.parent, julia[1]))
    for _, name, folder, julia_version in sorted(found, key=lambda f: f[0], reverse=True):
        yield name, folder, julia_version


def _openssl_remark() -> str | None:
    """juliapkg asks for a Julia whose OpenSSL is not newer than Python's."""
    if ssl.OPENSSL_VERSION_INFO[:2] >= (3, 5):
        return None
    ours = ".".join(map(str, ssl.OPENSSL_VERSION_INFO[:2]))
    return (
        f"this Python has OpenSSL {ours}, so juliapkg chooses Julia 1.10 or 1.11; for 1.12 set "
        f"{_EXE} and {_PROJECT}"
    )
