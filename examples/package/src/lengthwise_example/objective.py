"""An objective: cross-entropy with smoothed labels.

Shape letters: B rows, T positions, N answers, C classes.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.base import SequenceModel, StringModel
from lengthwise.models.reading import on_device
from lengthwise.spaces import Tokens
from lengthwise.state import State
from lengthwise.tasks.base import Batch, Task
from lengthwise.training.config import TrainingConfig
from lengthwise.training.objectives.base import Loss, Objective, ObjectiveConfig, accuracy


class SmoothedConfig(ObjectiveConfig):
    """Settings of learning smoothed labels."""

    name: Literal["smoothed"] = "smoothed"
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    """The probability that is spread evenly over all classes."""

    def build(self, model: StringModel, task: Task, training: TrainingConfig) -> Smoothed:
        """Return the objective."""
        del training
        return Smoothed(model, task, self)


class Smoothed(Objective):
    """The mean cross-entropy over all positions where the task asks for something, between smoothed labels.

    Args:
        model: any model.
        task: what it learns.
        config: the settings.

    Raises:
        InputError: the task asks for values.
    """

    def __init__(self, model: StringModel, task: Task, config: SmoothedConfig) -> None:
        if not isinstance(task.outputs, Tokens):
            raise InputError(f"objective 'smoothed' learns classes; {task.label} asks for values: use 'asked'")
        self.model, self.config = model, config

    def loss(
        self, batch: Batch, start: State | None, progress: float, generator: torch.Generator, *, watched: bool = False
    ) -> Loss:
        """Return the loss of a batch, and the state after it where the model has one."""
        del progress, generator, watched
        inputs, targets_BT, asked_BT = on_device(self.model, batch.inputs, batch.targets, batch.asked)
        state = None
        if isinstance(self.model, SequenceModel):
            answers_NC, state = self.model.answers(inputs, asked_BT, start)
        else:
            answers_NC = self.model.asked_logits(inputs, asked_BT)
        targets_N = targets_BT[asked_BT]
        total = F.cross_entropy(answers_NC, targets_N, label_smoothing=self.config.smoothing)
        return Loss(total, accuracy(answers_NC.detach(), targets_N), state)
