"""How a memory is doing: health, layout, and what was done with it in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmsb.query.document import Block, Role, counted, human, note, table

_ROLES: dict[str, Role] = {"healthy": "good", "degraded": "warn", "failing": "bad"}


@dataclass(frozen=True, slots=True)
class Vitals:
    """The part of `Memory.stats` that is about the memory, not about what was recorded.

    Keys and units are those of `mmsb.memory.stats.stats`.
    """

    verdict: str  # healthy, degraded, failing
    reasons: tuple[str, ...]
    bytes_by_device: dict[str, int]
    chains: dict[str, int]
    open_segment: dict[str, int]
    behind: dict[str, float]
    resident: dict[str, int | None]
    rates: dict[str, float]
    latency: dict[str, dict[str, float]]
    heat: tuple[dict[str, Any], ...]

    def blocks(self) -> Iterator[Block]:
        """How it is shown: what was not done or measured is left out."""
        role = _ROLES[self.verdict]
        yield note((f"The memory is {self.verdict}.", role), *(f" {why}" for why in self.reasons))
        chains, last, behind = self.chains, self.open_segment, self.behind
        yield note(
            f"Deltas of a page: median {chains['median']:,}, 99 % have at most {chains['p99']:,}, "
            f"the most {chains['max']:,}. Of the last segment {human(last['used'])} of "
            f"{human(last['allocated'])} are used."
        )
        if behind["epochs"]:
            yield note(
                f"Not durable yet: {counted(int(behind['epochs']), 'epoch')}, "
                f"{human(behind['bytes'])}."
            )
        rates = self.rates
        if rates["deltas"]:
            yield note(
                f"Written by this process: {counted(int(rates['deltas']), 'delta')}, "
                f"{human(rates['bytes'])}; of late {rates['recent_deltas_per_second']:,.0f} deltas "
                f"and {human(rates['recent_bytes_per_second'])} a second."
            )
        timed = {what: told for what, told in self.latency.items() if told["count"]}
        if timed:
            yield table(
                ("measured here", "times", "p50 µs", "p90 µs", "p99 µs", "max µs"),
                (
                    (
                        what,
                        f"{told['count']:,}",
                        *(f"{told[name]:,.1f}" for name in ("p50", "p90", "p99", "max")),
                    )
                    for what, told in timed.items()
                ),
                right={1, 2, 3, 4, 5},
            )
        if self.heat:
            yield table(
                ("read most", "kind", "page", "reads", "deltas"),
                (
                    (
                        page["subject"] or "(all)",
                        page["kind"],
                        str(page["page"]),
                        f"{page['reads']:,}",
                        f"{page['deltas']:,}",
                    )
                    for page in self.heat
                ),
                right={2, 3, 4},
                crop={0},
            )


def vitals(counts: dict[str, Any]) -> Vitals:
    """Of what `Memory.stats` answered."""
    health = counts["health"]
    return Vitals(
        verdict=health["verdict"],
        reasons=tuple(health["reasons"]),
        bytes_by_device=counts["bytes_by_device"],
        chains=counts["chains"],
        open_segment=counts["open_segment"],
        behind=counts["behind"],
        resident=counts["resident"],
        rates=counts["rates"],
        latency=counts["latency"],
        heat=tuple(counts["heat"]),
    )
