"""Why a recording has none of something: what it noted of itself, and what to record instead."""

from __future__ import annotations

import re
from collections.abc import Mapping

Notes = Mapping[str, str]
_INSIDE, _EDGES = (1, 10), (1, 12)  # Julias that tell of their compiler, that keep what code uses


def incomplete(about: Notes) -> str:
    """Why a recording broke off; "" where it did not."""
    if about.get("state") != "incomplete":
        return ""
    return f"the recording is incomplete ({about.get('reason', 'it does not say why')})"


def recording(about: Notes) -> str:
    """That a memory holds no recording, and how to have one; "" where it does."""
    if about:
        return ""
    return "this memory holds no recording; `mmsb record -o NAME.mmsb script.jl` makes one"


def of_compiler(about: Notes, capture: str = "events") -> str:
    """Why nothing of the compiler's inside is there, "" where it could be; ``capture``: has it."""
    if not about:
        return recording(about)
    if about.get("tier") == "native":
        return incomplete(about)
    if "tier" not in about:
        return f"this recording does not say what it saw; record with --capture {capture}"
    julia = about.get("julia", "?")
    if (0, 0) < version(julia) < _INSIDE:
        return f"Julia {julia} does not tell; record a Julia from 1.10 with --capture {capture}"
    if "tier_reason" in about:
        return about["tier_reason"]
    return f"--capture reflect sees none of it; record with --capture {capture}"


def of_dependencies(about: Notes) -> str:
    """As `of_compiler`, of what code depends on."""
    julia = about.get("julia", "?")
    if (0, 0) < version(julia) < _EDGES:
        return f"Julia {julia} does not keep them, Julia 1.12 and later do"
    return of_compiler(about)


def of_decisions(about: Notes) -> str:
    """As `of_compiler`, of the compiler's decisions."""
    capture = about.get("capture", "")
    if about.get("tier") == "native" and capture != "decisions":
        return f"--capture {capture} keeps none; record with --capture decisions"
    return of_compiler(about, "decisions")


def of_passes(about: Notes) -> str:
    """As `of_compiler`, of the IR after each pass; never ""."""
    capture = about.get("capture", "")
    if about.get("tier") == "native" and capture != "passes":
        return f"--capture {capture} keeps none; record with --capture passes"
    return of_compiler(about, "passes") or "of this code the recording has none"


def of_bodies(about: Notes) -> str:
    """Why code in scope has no IR; never ""."""
    if not about:
        return recording(about)
    if about.get("capture") == "events":
        return "no body recorded; record with --capture final (or passes) to keep its IR"
    if "functions" in about:
        return f"no body recorded, only of {about['functions']} (--function) IR was kept"
    if "min_inference_ms" in about:
        least = about["min_inference_ms"]
        return f"no body recorded, its inference took less than {least} ms (--min-inference-ms)"
    why = incomplete(about) or "beyond the recording's depth, or Julia ended early"
    return f"its IR was not recorded ({why})"


def version(julia: str) -> tuple[int, int]:
    """``1.12.5`` → (1, 12); (0, 0) where it is not known."""
    found = re.match(r"(\d+)\.(\d+)", julia)
    return (int(found[1]), int(found[2])) if found else (0, 0)
