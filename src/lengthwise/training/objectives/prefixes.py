"""The answer after every prefix that has one, for tasks that know more than they ask.

Shape letters: B batch rows, T positions, C classes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.base import SequenceModel, StringModel
from lengthwise.models.reading import answers_at_ends, on_device
from lengthwise.state import State
from lengthwise.tasks.base import IGNORE, Batch, Task
from lengthwise.tasks.capabilities import PrefixLabels, require
from lengthwise.training.config import TrainingConfig
from lengthwise.training.objectives.base import Loss, Objective, ObjectiveConfig, accuracy, charged

EVERY_PREFIX = "every prefix"


class PrefixesConfig(ObjectiveConfig):
    """Settings of learning the label of every prefix."""

    name: Literal["prefixes"] = "prefixes"

    def told(self, task: Task) -> str:
        """Return that every prefix has a label."""
        return EVERY_PREFIX

    def build(self, model: StringModel, task: Task, training: TrainingConfig) -> Prefixes:
        """Return the objective."""
        return Prefixes(model, task)


class Prefixes(Objective):
    """One class for each prefix that has one.

    Args:
        model: whose answers are learned.
        task: knows the classes of prefixes.

    Raises:
        InputError: the model answers at the end of sequences only, or the task does not know the classes of prefixes.
    """

    def __init__(self, model: StringModel, task: Task) -> None:
        if not model.gives_every_prefix():
            raise InputError(
                "objective 'prefixes' needs a model that gives logits after every token; "
                f"{type(model).__name__} gives those of whole strings; use 'asked', or with an LDRU "
                "model.readout 'prefixes'"
            )
        self.model, self.task = model, require(task, PrefixLabels, "objective 'prefixes'")

    def loss(
        self, batch: Batch, start: State | None, progress: float, generator: torch.Generator, *, watched: bool = False
    ) -> Loss:
        """Return the mean cross-entropy over all prefixes that have a class, and the states where rows end."""
        tokens_BT, labels_BT = on_device(self.model, batch.inputs, self.task.label_prefixes(batch).targets)
        (lengths_B,) = on_device(self.model, batch.lengths)
        within_BT = torch.arange(tokens_BT.shape[1], device=lengths_B.device) < lengths_B[:, None]
        labels_BT, state = labels_BT.masked_fill(~within_BT, IGNORE), None
        if not (watched or start is not None) or not isinstance(self.model, SequenceModel):
            logits_BTC = self.model.every_prefix(tokens_BT)
        elif within_BT.all():
            logits_BTC, state = self.model(tokens_BT, start)
        else:
            answers_NC, state = answers_at_ends(self.model, tokens_BT, within_BT, batch.lengths, start)
            logits_BTC = answers_NC.new_zeros(*tokens_BT.shape, answers_NC.shape[-1])
            logits_BTC[within_BT] = answers_NC
        total = F.cross_entropy(logits_BTC.flatten(0, 1), labels_BT.flatten(), ignore_index=IGNORE)
        ends = torch.arange(len(lengths_B), device=lengths_B.device), lengths_B - 1
        return Loss(charged(self.model, total), accuracy(logits_BTC[ends], labels_BT[ends]), state)
