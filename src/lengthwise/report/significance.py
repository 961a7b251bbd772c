"""Significance of differences: exact tests that are paired over strings, seeds and tasks, and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
_FLIPS = 9_999
"""Flips drawn where all of them are more."""


def strings_p(right: int, strings: int, other_right: int, other_strings: int) -> float:
    """Return the two-sided p of two counts of right strings.

    Where their numbers are the same, so are the strings. Which of them both models had wrong is not kept, so McNemar's
    exact test is taken at the pairing of the counts that says least. Where the numbers differ, the test is Fisher's.

    Args:
        right: strings that one model has right.
        strings: of how many.
        other_right: those of the other model.
        other_strings: of how many.
    """
    # It takes longer to import than most pages to draw, and few compare anything.
    from scipy.stats import binomtest, fisher_exact

    if strings != other_strings:
        table = [[right, strings - right], [other_right, other_strings - other_right]]
        found: Any = fisher_exact(table)
        return float(found.pvalue)
    most, least = max(right, other_right), min(right, other_right)
    lost = min(strings - most, least)
    won = lost + most - least
    return float(binomtest(won, won + lost).pvalue) if won else 1.0


def flips_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of the mean of paired differences: how often it is as far from 0 with their signs flipped.

    Of k pairs no p is below 2 / 2**k. It is exact to 13 pairs; of more, 9,999 flips are drawn, always the same ones.

    Args:
        differences: one a pair, such as a seed or a task; 1 where there is none.
    """
    if len(differences) < 2 or not any(differences):
        return 1.0
    from scipy.stats import permutation_test

    pairs = np.array(differences), np.zeros(len(differences))
    found = permutation_test(
        pairs,
        _mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_FLIPS,
        rng=np.random.default_rng(0),
    )
    return min(1.0, float(found.pvalue))


def _mean_difference(x: NDArray[np.float64], y: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.mean(x - y, axis=axis)


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for being many (Holm 1979), each as the level at which it would still be rejected."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    corrected, highest = [1.0] * len(values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = highest
    return corrected
