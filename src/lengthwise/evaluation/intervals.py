"""Intervals of measured means and proportions, without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from lengthwise.errors import InputError


def wilson_interval(value: float, samples: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    Args:
        value: the fraction seen.
        samples: how many independent trials it is a fraction of.
        z: quantile of the normal distribution; 95 % by default.

    Raises:
        InputError: there are no samples.

    Source: Wilson 1927.
    """
    if samples < 1:
        raise InputError("an interval needs at least one sample")
    scale = 1 + z * z / samples
    centre = (value + z * z / (2 * samples)) / scale
    half = z / scale * math.sqrt(value * (1 - value) / samples + z * z / (4 * samples * samples))
    # At the ends the bound is exact, and rounding must not move it off.
    low = 0.0 if value == 0 else centre - half
    high = 1.0 if value == 1 else centre + half
    return low, high


def student_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution for a probability of one half or more.

    Args:
        probability: in 0.5..1, both ends of the range excluded but for 0.5.
        freedom: degrees of freedom, at least 1.

    Raises:
        InputError: the probability or the degrees of freedom are out of range.

    Source: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4, finite sums for integer degrees of freedom, by bisection.
    """
    if not 0.5 <= probability < 1 or freedom < 1:
        raise InputError(
            f"a t quantile needs a probability in 0.5..1 and at least 1 degree of freedom, "
            f"not {probability} and {freedom}"
        )
    low, high = 0.0, math.pi / 2
    while (middle := (low + high) / 2) not in (low, high):
        if _central_probability(middle, freedom) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _central_probability(angle: float, freedom: int) -> float:
    """Return the probability that |t| is below sqrt(freedom) tan(angle)."""
    odd, cosine = freedom % 2, math.cos(angle)
    term, total = (cosine if odd else 1.0), 0.0
    for step in range(freedom // 2):
        total += term
        term *= cosine * cosine * (2 * step + 1 + odd) / (2 * step + 2 + odd)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


def student_interval(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % interval of the mean of independent values; none of less than two."""
    if len(values) < 2:
        return None, None
    mean, half = fmean(values), student_quantile(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half
