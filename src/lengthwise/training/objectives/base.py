"""The contract of an objective: it turns a batch and the state it starts from into a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.models.answers import answer_losses, widened
from lengthwise.models.base import StringModel
from lengthwise.settings import Settings
from lengthwise.spaces import Space, Values
from lengthwise.state import State
from lengthwise.tasks.base import Batch, Task
from lengthwise.training.config import TrainingConfig


class Loss(NamedTuple):
    """What is made of a batch."""

    total: Tensor
    """What is descended."""
    accuracy: Tensor | None = None
    """The fraction of classes that the largest logit hit; None where values are asked."""
    state: State | None = None
    """Each row's state at its end, where it was asked for."""
    beside: int = 0
    """Sequences that were read beside the batch."""
    note: str = ""
    """What is said of the state where the loss is not finite."""


class ObjectiveConfig(Settings, ABC):
    """Settings of an objective; `build` makes it. A subclass has a literal ``name``."""

    chosen: ClassVar[str] = ""
    """Which sequences it adds to those of the task, in words."""

    def told(self, task: Task) -> str:
        """Return how many labels of a training sequence it learns, in words; as many as the task has by default.

        Args:
            task: what is learned.
        """
        return task.told

    @abstractmethod
    def build(self, model: StringModel, task: Task, training: TrainingConfig) -> Objective:
        """Return the objective.

        Args:
            model: what is trained, on its device.
            task: what it learns.
            training: the settings of training.

        Raises:
            InputError: model, task and settings do not go together; the message names them.
        """


class Objective(ABC):
    """Turns batches into losses."""

    starts: ClassVar[bool] = True
    """Whether sequences are read from a state that is given."""

    @abstractmethod
    def loss(
        self, batch: Batch, start: State | None, progress: float, generator: torch.Generator, *, watched: bool = False
    ) -> Loss:
        """Return the loss of one batch.

        Args:
            batch: the sequences.
            start: the state that they start from; None for a model without one.
            progress: the fraction of training that is over, from 0 to 1.
            generator: source of all chance that the objective has of its own.
            watched: whether each row's state at its end is wanted.
        """

    def mix(self, batch: Batch, step: int, progress: float, rng: np.random.Generator) -> Batch:
        """Return a batch with rows of the objective's own among those that were drawn; none by default.

        Args:
            batch: as the task draws it.
            step: steps that were taken.
            progress: the fraction of training that is over.
            rng: source of all chance.
        """
        return batch

    def memory(self) -> dict[str, Tensor]:
        """Return what a resumed run needs; nothing by default."""
        return {}

    def recall(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to what `memory` returned."""
        del tensors


def mean_loss(outputs: Space, answers: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the mean loss of answers [N, C], and their accuracy: cross-entropy in nats, or the loss of values."""
    wide = widened(answers)
    if not len(targets):
        # Some rows of a batch may be asked nothing, and these a part of it by themselves.
        return wide.sum(), None if isinstance(outputs, Values) else torch.zeros((), dtype=torch.float64)
    if isinstance(outputs, Values):
        # One kernel for what most ask for: its sums are in another order.
        ordinary = outputs.loss == "squared_error"
        return F.mse_loss(wide, targets.to(wide)) if ordinary else answer_losses(outputs, wide, targets).mean(), None
    return F.cross_entropy(wide, targets), accuracy(answers.detach(), targets)


def accuracy(logits_BC: Tensor, targets_B: Tensor) -> Tensor:
    """Return the fraction of rows whose largest logit is that of their target."""
    return (logits_BC.argmax(-1) == targets_B).double().mean()


def charged(model: StringModel, total: Tensor) -> Tensor:
    """Return a loss with the penalty of the model, if it has one."""
    penalty = model.penalty()
    return total if penalty is None else total + penalty
