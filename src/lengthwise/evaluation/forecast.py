"""Forecast: at which length a language model will fail, from what it loses at four training contexts.

T is the training context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lengthwise.evaluation.verdict import OctaveRatio

READ, FARTHEST = 4, 64
"""Multiples of T that a forecast is made from, and to which forecasts were compared with what was measured."""
FAILING = 1.1
"""The ratio from which perplexity counts as failing here; the verdict's 1.5 is reached an octave later or never."""
HOLDING, STEEP = 1.005, 1.02
"""Ratios at 4 T up to which none is expected to fail, and above which it is expected to fail at 8 T and not at 16 T."""


class Forecast(NamedTuple):
    """Where perplexity will have risen by `FAILING`."""

    multiple: int | None
    """In the octave that ends at this multiple of T; None where in none up to `FARTHEST`."""

    @property
    def sentence(self) -> str:
        """What is expected, in words."""
        if self.multiple is None:
            return f"expected to stay below {FAILING:g} times to {FARTHEST} T"
        return f"expected to rise above {FAILING:g} times at about {self.multiple} T"


def expected(ratio: float, holding: float = HOLDING, steep: float = STEEP) -> Forecast:
    """Return what follows from the ratio of one octave.

    Args:
        ratio: perplexity at positions 2 T to 4 T over that of the same symbols near the end of a context.
        holding: the ratio up to which none is expected to fail.
        steep: the ratio above which failure is expected in the next octave.

    Source: ours. The thresholds tell the models of ``results/text`` apart; ``docs/forecast.md`` says how well, and how
        well those do that are chosen without the family they are asked about.

    Example:
        >>> expected(1.03).sentence
        'expected to rise above 1.1 times at about 8 T'
    """
    if ratio > FAILING:
        return Forecast(READ)
    return Forecast(None if ratio <= holding else 2 * READ if ratio > steep else 4 * READ)


def forecast(ratios: Sequence[OctaveRatio], context: int) -> Forecast | None:
    """Return what is to be expected beyond what was read; None where that reaches far, or too few rows say it.

    Args:
        ratios: octaves beyond T in order, as a verdict has them.
        context: T.
    """
    read = next((one for one in ratios if one.end == READ * context), None)
    if read is None or ratios[-1].end >= FARTHEST * context or read.low <= HOLDING < read.high:
        return None
    found = expected(read.ratio)
    return None if found.multiple and found.multiple * context <= ratios[-1].end else found
