"""A metric: confidence in what is right.

Shape letters: N answers, C classes, B rows.
"""

from __future__ import annotations

from torch import Tensor


def confidence(answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return the mean probability that each row's right classes are given."""
    given_N = answers.double().softmax(-1).gather(-1, targets[:, None])[:, 0]
    return given_N.new_zeros(count).index_add(0, rows, given_N) / rows.bincount(minlength=count)
