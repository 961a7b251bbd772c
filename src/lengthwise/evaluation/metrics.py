"""Metrics: how right the answers of a model are, one score a sequence.

A metric is a function ``(answers, targets, rows, count) -> scores``:

- answers: [N, C] logits, or [N, F] values, of the positions where something was asked;
- targets: [N] classes, or [N, F] values;
- rows: [N] the row that each of them belongs to, in 0..count - 1;
- scores: [count] float64; a row counts as much as any other, however much it was asked.

What it reads is declared with `reads`, so that a task with other answers is refused before anything is trained; one
that declares nothing is given any answers.

Shape letters: N answers, C classes, F numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.evaluation import METRICS
from lengthwise.models.answers import answer_losses
from lengthwise.spaces import Tokens, Values
from lengthwise.tasks.base import Task

_Metric = TypeVar("_Metric", bound=Callable[..., object])


def reads(space: type[Tokens] | type[Values]) -> Callable[[_Metric], _Metric]:
    """Declare what a metric reads: logits of classes (`Tokens`), or values."""

    def declare(metric: _Metric) -> _Metric:
        vars(metric)["reads"] = space
        return metric

    return declare


def metrics_of(task: Task) -> dict[str, Callable[..., object]]:
    """Return the metrics of a task by name.

    Raises:
        InputError: there is no such metric, or it does not read what the task answers.
    """
    found: dict[str, Callable[..., object]] = {name: METRICS.load(name) for name in task.metrics}
    for name, metric in found.items():
        space = getattr(metric, "reads", None)
        if space is not None and not isinstance(task.outputs, space):
            others = [other for other, its in METRICS.members() if getattr(its, "reads", None) is type(task.outputs)]
            raise InputError(
                f"metric {name!r} reads {_NAMES[space]}, and {task.label} answers {_NAMES[type(task.outputs)]}; "
                f"there is: {', '.join(others)}"
            )
    return found


_NAMES = {Tokens: "classes", Values: "values"}


@reads(Tokens)
def accuracy(answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return the fraction of each row's answers whose largest logit is that of the class."""
    return mean_of_rows((answers.argmax(-1) == targets).double(), rows, count)


@reads(Tokens)
def sequence_accuracy(answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return 1 for rows of which every answer is right, otherwise 0."""
    return (accuracy(answers, targets, rows, count) == 1).double()


@reads(Tokens)
def cross_entropy(answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return the mean cross-entropy of each row, in nats."""
    return mean_of_rows(answer_losses(Tokens(answers.shape[-1]), answers, targets).double(), rows, count)


@reads(Values)
def squared_error(answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return the mean squared error of each row's values."""
    return mean_of_rows((answers - targets).double().square().mean(-1), rows, count)


@reads(Values)
def binary_cross_entropy(answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return the mean binary cross-entropy of each row, of logits, in nats."""
    outputs = Values(answers.shape[-1], "binary_cross_entropy")
    return mean_of_rows(answer_losses(outputs, answers, targets).double(), rows, count)


def mean_of_rows(values_N: Tensor, rows_N: Tensor, count: int) -> Tensor:
    """Return the mean [count] of the values of each row."""
    asked = torch.bincount(rows_N, minlength=count)
    return values_N.new_zeros(count).index_add(0, rows_N, values_N) / asked
