"""Percentiles and medians of measured values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from bench.result import Figure


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile; ValueError without values."""
    if not values:
        raise ValueError("percentile of nothing")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def latencies(seconds: Sequence[float], prefix: str = "") -> dict[str, Figure]:
    """p50, p99 and worst of times given in seconds, in us, as `<prefix>p50_us` and so on."""
    return {
        f"{prefix}p50_us": percentile(seconds, 50) * 1e6,
        f"{prefix}p99_us": percentile(seconds, 99) * 1e6,
        f"{prefix}max_us": max(seconds) * 1e6,
    }


def middle(values: Sequence[Figure]) -> Figure:
    """One figure for several rounds: the median of numbers, of whole ones the lower of two in the middle.

    False as soon as one round says false; of texts the one they share, or all that occurred. Rounds without a
    value are left out.
    """
    known = [v for v in values if v is not None]
    if not known:
        return None
    if all(isinstance(v, bool) for v in known):
        return all(known)
    counts = [v for v in known if isinstance(v, int)]
    if len(counts) == len(known):
        return statistics.median_low(counts)
    numbers = [v for v in known if isinstance(v, (int, float))]
    if len(numbers) == len(known):
        return statistics.median(numbers)
    return " | ".join(dict.fromkeys(map(str, known)))
