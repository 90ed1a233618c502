"""Edges in any order into compressed sparse rows.

Edges are parted by the high bits of their source into buckets that fit a cache, stably; a bucket is
sorted by target, least digit first, and then laid out by source. A bucket's key is
``source's low bits << 32 | target``, i64; the cast down to u32 drops the sign that the greatest
sources give it. ``extra``: the weights, or nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsb.base.kernels import kernel

_TARGET = 0xFFFFFFFF
_DIGIT = 11  # bits


@kernel
def falls(sources: Any, targets: Any, low: int, high: int) -> int:
    """1 if (source, target) falls anywhere from low - 1 to high - 1, else 0."""
    for at in range(max(low, 1), high):
        before, source = sources[at - 1], sources[at]
        if source < before or (source == before and targets[at] < targets[at - 1]):
            return 1
    return 0


@kernel
def ends_of_sorted(sources: Any, low: int, high: int, ends: Any) -> None:
    """Where each node's edges end, of those nodes whose end lies in [low, high); i64[count].

    The part that holds the last edge writes all nodes behind it too.
    """
    node = np.int64(sources[low - 1]) if low else np.int64(0)
    for at in range(low, high):
        source = np.int64(sources[at])
        while node < source:
            ends[node] = at
            node += 1
    if high == len(sources):
        ends[node:] = high


@kernel
def count_buckets(sources: Any, low: int, high: int, shift: int, counts: Any) -> None:
    for at in range(low, high):
        counts[np.int64(sources[at]) >> shift] += 1


@kernel
def part(
    sources: Any,
    targets: Any,
    weights: Any,
    low: int,
    high: int,
    shift: int,
    places: Any,
    keys: Any,
    extra: Any,
) -> None:
    """Edges [low, high) to where ``places`` says their bucket goes on; i64[buckets], changed."""
    mask = (1 << shift) - 1
    weighted = len(weights) > 0
    for at in range(low, high):
        source = np.int64(sources[at])
        place = places[source >> shift]
        places[source >> shift] = place + 1
        keys[place] = (source & mask) << 32 | np.int64(targets[at])
        if weighted:
            extra[place] = weights[at]


@kernel
def lay_buckets(
    begins: Any,
    first: int,
    last: int,
    shift: int,
    keys: Any,
    extra: Any,
    ends: Any,
    targets: Any,
    weights: Any,
) -> None:
    """Buckets [first, last) sorted and laid out. ``begins`` i64[buckets + 1]; ``keys`` change."""
    longest = 0
    for bucket in range(first, last):
        longest = max(longest, begins[bucket + 1] - begins[bucket])
    spare = np.empty(longest, np.int64)
    spare_extra = np.empty(longest if len(extra) else 0, extra.dtype)
    bits = 0
    while len(ends) - 1 >> bits > 0:
        bits += 1
    counts = np.empty((3, 1 << _DIGIT), np.int64)
    for bucket in range(first, last):
        low, high = begins[bucket], begins[bucket + 1]
        node = bucket << shift
        stop = min(node + (1 << shift), len(ends))
        lay(
            keys[low:high],
            extra[low:high],
            spare,
            spare_extra,
            bits,
            counts,
            low,
            ends[node:stop],
            targets,
            weights,
        )


@kernel
def build(sources: Any, targets: Any, given: Any, ends: Any, out: Any, weights: Any) -> None:
    """All in one bucket, for few edges."""
    n = len(sources)
    keys = np.empty(n, np.int64)
    for at in range(n):
        keys[at] = np.int64(sources[at]) << 32 | np.int64(targets[at])
    extra = given.copy()
    bits = 0
    while len(ends) - 1 >> bits > 0:
        bits += 1
    counts = np.empty((3, 1 << _DIGIT), np.int64)
    lay(
        keys,
        extra,
        np.empty(n, np.int64),
        np.empty_like(extra),
        bits,
        counts,
        0,
        ends,
        out,
        weights,
    )


@kernel
def lay(
    keys: Any,
    extra: Any,
    spare: Any,
    spare_extra: Any,
    bits: int,
    counts: Any,
    base: int,
    ends: Any,
    targets: Any,
    weights: Any,
) -> None:
    """One bucket, laid out from ``base`` on; ``ends`` are those of its nodes."""
    n, weighted = len(keys), len(extra) > 0
    if n <= 48:
        _insertion(keys, extra, n)
    elif _targets_fall(keys):
        keys, extra = _by_target(keys, extra, spare, spare_extra, bits, counts)
    ends[:] = 0
    for at in range(n):
        ends[(keys[at] >> 32) & _TARGET] += 1
    total = base
    for node in range(len(ends)):
        ends[node], total = total, total + ends[node]
    for at in range(n):
        key = keys[at]
        node = (key >> 32) & _TARGET
        place = ends[node]
        ends[node] = place + 1
        targets[place] = key & _TARGET
        if weighted:
            weights[place] = extra[at]


@kernel
def _insertion(keys: Any, extra: Any, n: int) -> None:
    weighted = len(extra) > 0
    for at in range(1, n):
        key = keys[at]
        target = key & _TARGET
        place = at
        while place and keys[place - 1] & _TARGET > target:
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = key
        if weighted:
            value = extra[at]
            for behind in range(at, place, -1):
                extra[behind] = extra[behind - 1]
            extra[place] = value


@kernel
def _targets_fall(keys: Any) -> bool:
    """Not so when a side is turned round: then the other ends ascend already."""
    for at in range(1, len(keys)):  # noqa: SIM110 - compiled
        if keys[at] & _TARGET < keys[at - 1] & _TARGET:
            return True
    return False


@kernel
def _by_target(
    keys: Any, extra: Any, spare: Any, spare_extra: Any, bits: int, counts: Any
) -> tuple[Any, Any]:
    """The keys, and what goes with them, by target, stably; lies in one pair or in the other."""
    n, weighted = len(keys), len(extra) > 0
    passes = (bits + _DIGIT - 1) // _DIGIT
    digit = (bits + passes - 1) // passes
    mask = (1 << digit) - 1
    counts[:passes, : mask + 1] = 0
    for at in range(n):
        key = keys[at]
        for each in range(passes):
            counts[each, (key >> each * digit) & mask] += 1
    for each in range(passes):
        places = counts[each]
        shift = each * digit
        total = 0
        for value in range(mask + 1):
            places[value], total = total, total + places[value]
        for at in range(n):
            key = keys[at]
            place = places[(key >> shift) & mask]
            places[(key >> shift) & mask] = place + 1
            spare[place] = key
            if weighted:
                spare_extra[place] = extra[at]
        keys, spare = spare[:n], keys
        extra, spare_extra = spare_extra[: len(extra)], extra
    return keys, extra
