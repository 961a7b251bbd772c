"""Cross-entropy in bins of positions as plain numbers, for what judges and reports them without torch."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

_LARGEST_EXPONENT = math.log(sys.float_info.max)


class PositionLoss(NamedTuple):
    """The cross-entropy in one bin of positions."""

    start: int
    """The first position of the bin; 1 is the first prediction."""
    end: int
    """Its last position."""
    mean: float
    """Mean cross-entropy over rows and positions, in nats."""
    standard_error: float
    """Standard error of the mean over rows, the independent units; NaN for one row."""
    rows: int
    row_means: tuple[float, ...]
    """For each row the mean over the bin, in nats; the rows are in the same order in every bin."""

    @property
    def perplexity(self) -> float:
        """The exponential of the mean."""
        return perplexity(self.mean)


def perplexity(nats: float) -> float:
    """Return the exponential of a cross-entropy, infinite where it is beyond the largest float."""
    return math.inf if nats >= _LARGEST_EXPONENT else math.exp(nats)
