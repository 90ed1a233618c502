"""Is a memory well? A verdict and its reasons, from its statistics and its writer."""

from __future__ import annotations

import os
from typing import Any, Literal

from mmsb.base.errors import CorruptData
from mmsb.memory.files import read_marks
from mmsb.memory.log import Log
from mmsb.memory.segment import capacity
from mmsb.memory.writer import GROUP_BYTES, Writer

Verdict = Literal["healthy", "degraded", "failing"]
#: A page that is among the hottest and has more deltas since its keyframe is worth another.
LONG_CHAIN = 1_000
#: "group" promises milliseconds; a disk that takes longer than so many seconds is in trouble.
LATE = 1.0


def health(
    log: Log, rebuilt: list[str], writer: Writer | None, counts: dict[str, Any]
) -> dict[str, Any]:
    """``verdict`` and ``reasons``, a sentence each: what is the matter, and what to do."""
    failing = [*_stopped(writer), *_full(log, failing=True)]
    degraded = [
        *_behind(writer, counts["behind"]),
        *_full(log, failing=False),
        *_torn(log),
        *_rebuilt(rebuilt),
        *_chains(counts),
        *_resident(counts["resident"]),
    ]
    try:
        if not read_marks(log.folder)[1]:
            degraded.append(
                "One of the header's two slots does not match its checksum: the next commits write "
                "it anew, and until then the other is the only one."
            )
    except CorruptData as error:
        failing.append(f"{error}.")
    verdict: Verdict = "failing" if failing else "degraded" if degraded else "healthy"
    return {"verdict": verdict, "reasons": failing + degraded}


def _stopped(writer: Writer | None) -> list[str]:
    failure = None if writer is None else writer.failure
    return [] if failure is None else [f"Nothing more is committed: {failure}."]


def _full(log: Log, *, failing: bool) -> list[str]:
    """``failing``: is there no room for a commit; else: for two segments?"""
    disk = os.statvfs(log.folder)
    free = disk.f_bavail * disk.f_frsize
    if free < disk.f_frsize:
        full = f"The disk that holds {log.folder} is full, so commits fail: free some space."
        return [full] if failing else []
    needed = 2 * capacity(len(log.manifest.segments) + 1, log.manifest.segment_bytes)
    if failing or free >= needed:
        return []
    return [
        f"The disk that holds {log.folder} is nearly full ({free:,} bytes are free, the next two "
        f"segments take {needed:,}): free some space."
    ]


def _behind(writer: Writer | None, behind: dict[str, float]) -> list[str]:
    if writer is None or writer.durability == "none" or not behind["epochs"]:
        return []
    if behind["seconds"] < LATE and behind["bytes"] <= 2 * GROUP_BYTES:
        return []
    return [
        f"The durable mark is {behind['epochs']:,} epochs, {behind['bytes']:,} bytes and "
        f"{behind['seconds']:.1f} s behind what is visible: the disk does not keep up, or does not "
        "answer."
    ]


def _torn(log: Log) -> list[str]:
    return [] if log.torn is None else [f"A crash left a torn tail: {log.torn}."]


def _rebuilt(rebuilt: list[str]) -> list[str]:
    """Derived files that do not hold cost time, and may be a sign of more."""
    if not rebuilt:
        return []
    others = f" (and {len(rebuilt) - 1} more)" if len(rebuilt) > 1 else ""
    return [
        f"A derived file was of no use, {rebuilt[0]}{others}: what it tells was read from the log, "
        "which `mmsb check` verifies."
    ]


def _chains(counts: dict[str, Any]) -> list[str]:
    long = [page for page in counts["heat"] if page["since_keyframe"] > LONG_CHAIN]
    if not long:
        return []
    first = long[0]
    others = f" and {len(long) - 1} more" if len(long) > 1 else ""
    named = first["subject"] or f"the table of kind {first['kind']}"
    return [
        f"{named} (page {first['page']}){others} is read often and has {first['since_keyframe']:,} "
        "deltas without a keyframe: keyframe() makes its reads quicker."
    ]


def _resident(resident: dict[str, Any]) -> list[str]:
    budget, index = resident["budget"], resident["index"]
    if budget is None or index <= budget:
        return []
    return [
        f"The index alone takes {index:,} bytes, more than the budget of {budget:,}: every map is "
        "released again and again, so raise resident_bytes."
    ]
