"""What a model learns from a batch of strings: the class of each string, or of each of its prefixes.

Shape letters: B batch rows, T tokens, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.models.base import SequenceModel, StringModel
from lengthwise.tasks.automaton import Automaton
from lengthwise.tasks.base import UNLABELLED, Batch, Ints


class Loss(NamedTuple):
    """What is made of a batch."""

    total: Tensor
    """The loss to descend."""
    accuracy: Tensor
    """On the batch's whole strings."""
    beside: int = 0
    """Strings that were read beside the batch."""


class Objective(ABC):
    """Turns a batch of strings into a loss."""

    @abstractmethod
    def loss(self, batch: Batch, progress: float, generator: torch.Generator) -> Loss:
        """Return the loss of one batch.

        Args:
            batch: the strings.
            progress: the fraction of training that is over, from 0 to 1.
            generator: source of all chance that the objective has of its own.
        """


class RootObjective(Objective):
    """One label a string.

    Args:
        model: any model; where it gives logits after every token, those after the last count.
    """

    def __init__(self, model: StringModel) -> None:
        self.model = model

    def loss(self, batch: Batch, progress: float, generator: torch.Generator) -> Loss:
        """Return the mean cross-entropy of the strings."""
        del progress, generator
        tokens_BT, targets_B = on_device(self.model, batch.tokens, batch.targets)
        logits_BC = self._logits(tokens_BT)
        return Loss(charged(self.model, F.cross_entropy(logits_BC, targets_B)), accuracy(logits_BC, targets_B))

    def _logits(self, tokens_BT: Tensor) -> Tensor:
        if not isinstance(self.model, SequenceModel):
            return self.model.string_logits(tokens_BT)
        logits = self.model(tokens_BT).logits
        return logits[:, -1] if logits.ndim == 3 else logits


class PrefixObjective(Objective):
    """One label for each prefix that has one.

    Args:
        model: whose logits are learned.
        automaton: knows the labels of prefixes.

    Raises:
        InputError: the model gives logits of whole strings only.
    """

    def __init__(self, model: StringModel, automaton: Automaton) -> None:
        if not model.gives_every_prefix():
            raise InputError(
                "training.supervision 'prefixes' needs a model that gives logits after every token; "
                f"{type(model).__name__} gives those of whole strings; use 'root', or with an LDRU "
                "model.readout 'prefixes'"
            )
        self.model, self.automaton = model, automaton

    def loss(self, batch: Batch, progress: float, generator: torch.Generator) -> Loss:
        """Return the mean cross-entropy over all prefixes that have a label."""
        del progress, generator
        tokens_BT, labels_BT = on_device(self.model, batch.tokens, self.automaton.label_prefixes(batch.tokens))
        logits_BTC = self.model.every_prefix(tokens_BT)
        total = F.cross_entropy(logits_BTC.flatten(0, 1), labels_BT.flatten(), ignore_index=UNLABELLED)
        return Loss(charged(self.model, total), accuracy(logits_BTC[:, -1], labels_BT[:, -1]))


def on_device(model: StringModel, *arrays: Ints) -> list[Tensor]:
    """Return arrays as tensors on a model's device."""
    device = next(model.parameters()).device
    return [torch.from_numpy(array).to(device) for array in arrays]


def accuracy(logits_BC: Tensor, targets_B: Tensor) -> Tensor:
    """Return the fraction of rows whose largest logit is that of their target."""
    return (logits_BC.argmax(-1) == targets_B).double().mean()


def charged(model: StringModel, total: Tensor) -> Tensor:
    """Return a loss with the penalty of the model, if it has one."""
    penalty = model.penalty()
    return total if penalty is None else total + penalty
