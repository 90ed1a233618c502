"""Where on this machine a recorded source file lies.

A memory holds the hash of a file's bytes, never its name. This index maps such hashes to paths, in
the user's cache folder and outside of every memory; an entry is used only while the file still has
the hash. It may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

#: The same bytes may lie in several places; the newest are kept.
_PATHS_A_FILE = 4
_FILES = 20_000


def index_path() -> Path:
    """``$XDG_CACHE_HOME/mmsb/sources.json``."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache) / "mmsb" / "sources.json"


def remember(pairs: Iterable[tuple[str, str]]) -> None:
    """Adds (sha256 of the content, path) pairs. A cache that cannot be written is left alone."""
    known = _read()
    before = json.dumps(known)
    for content, path in pairs:
        if content and path:
            others = [other for other in known.pop(content, []) if other != path]
            known[content] = [path, *others][:_PATHS_A_FILE]
    if json.dumps(known) == before:
        return
    kept = dict(list(known.items())[-_FILES:])
    try:
        _replace(index_path(), json.dumps(kept))
    except OSError:
        return


def find(content: str) -> Path | None:
    """A file that has this content now, or None."""
    for name in _read().get(content, ()):
        path = Path(name)
        if content_hash(path) == content:
            return path
    return None


def content_hash(path: Path) -> str | None:
    """sha256 of a file's bytes in hex, None if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _read() -> dict[str, list[str]]:
    try:
        found = json.loads(index_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: [str(p) for p in paths] for key, paths in found.items() if isinstance(paths, list)}


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix="sources.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
