"""Metrics: how right the answers of a model are, one score a sequence.

A metric is a function ``(answers, targets, rows, count) -> scores``:

- answers: [N, C] logits, or [N, F] values, of the positions where something was asked;
- targets: [N] classes, or [N, F] values;
- rows: [N] the row that each of them belongs to, in 0..count - 1;
- scores: [count] float64; a row counts as much as any other, however much it was asked.

Shape letters: N answers, C classes, F numbers of a vector.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def accuracy(answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return the fraction of each row's answers whose largest logit is that of the class."""
    return _mean((answers.argmax(-1) == targets).double(), rows, count)


def sequence_accuracy(answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return 1 for rows of which every answer is right, otherwise 0."""
    return (accuracy(answers, targets, rows, count) == 1).double()


def cross_entropy(answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return the mean cross-entropy of each row, in nats."""
    wide = answers.to(torch.promote_types(answers.dtype, torch.float32))
    return _mean(F.cross_entropy(wide, targets, reduction="none").double(), rows, count)


def squared_error(answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return the mean squared error of each row's values."""
    return _mean((answers - targets).double().square().mean(-1), rows, count)


def _mean(values_N: Tensor, rows_N: Tensor, count: int) -> Tensor:
    asked = torch.bincount(rows_N, minlength=count)
    return values_N.new_zeros(count).index_add(0, rows_N, values_N) / asked
