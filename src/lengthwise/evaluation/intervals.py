"""Intervals of measured proportions; needs nothing but the standard library."""

from __future__ import annotations

import math

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
