"""Counterexamples to learn from: strings on which the automaton inside a unit in training is wrong.

Sampled strings say little about an automaton that is nearly right. The search for differences from the task's
automaton, with which a certificate begins, finds the strings that it has yet to learn.

Shape letters: B batch rows, T tokens, P counterexamples, L symbols of the longest of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lengthwise.certificates.differences import find_differences
from lengthwise.certificates.methods import soft_automaton
from lengthwise.models.base import StringModel
from lengthwise.tasks.base import Batch, Task
from lengthwise.tasks.capabilities import HasAutomaton, require
from lengthwise.training.objectives.base import ObjectiveConfig
from lengthwise.training.objectives.prefixes import EVERY_PREFIX, Prefixes

if TYPE_CHECKING:
    from lengthwise.training.config import TrainingConfig

_END = -1
"""Fills rows behind the last symbol of a counterexample."""


class CounterexamplesConfig(ObjectiveConfig):
    """Strings on which the automaton inside a unit is wrong once it is rounded, found as training goes on.

    They are no longer than the longest of the batches, take the place of rows of a batch, and go on as these rows do
    where the batch is longer.
    """

    name: Literal["counterexamples"] = "counterexamples"
    chosen: ClassVar[str] = "counterexamples of a teacher"
    share: float = Field(default=0.3, gt=0, lt=1)
    """The fraction of a batch that begins with a counterexample, once some are known."""
    start: float = Field(default=0.3, ge=0, lt=1)
    """The fraction of training after which they are looked for."""
    every: int = Field(default=50, ge=1)
    """Steps between two searches."""
    keep: int = Field(default=512, ge=1)
    """How many are kept, the latest first; the latest are drawn most often."""

    def told(self, task: Task) -> str:
        """Return that every prefix has a label."""
        return EVERY_PREFIX

    def build(self, model: StringModel, task: Task, training: TrainingConfig) -> Counterexamples:
        """Return the objective."""
        del training
        return Counterexamples(model, task, self)


class Counterexamples(Prefixes):
    """The class of every prefix, also of strings on which the unit in training is wrong, which it keeps.

    Args:
        model: a unit with the stochastic operator and plain levels.
        task: what it learns.
        config: how often to look, and how many to keep and to learn.

    Raises:
        InputError: the model is not such a unit.
    """

    def __init__(self, model: StringModel, task: Task, config: CounterexamplesConfig) -> None:
        soft_automaton(model)
        super().__init__(model, task)
        self.config = config
        self.automaton = require(task, HasAutomaton, "objective 'counterexamples'").automaton
        self.strings_PL = np.empty((0, task.training_length or 0), dtype=np.int64)

    def mix(self, batch: Batch, step: int, progress: float, rng: np.random.Generator) -> Batch:
        """Let some rows of a batch begin with counterexamples; look for new ones where it is time to."""
        if progress > self.config.start and step % self.config.every == 0:
            self.search(rng)
        length = batch.inputs.shape[1]
        short_PT = self.strings_PL[(self.strings_PL[:, length:] == _END).all(1), :length]
        if not len(short_PT):
            return batch
        tokens_BT = batch.inputs.copy()
        rows = rng.permutation(len(tokens_BT))[: round(self.config.share * len(tokens_BT))]
        # The square favours the front of the list, where the latest stand.
        found_BT = short_PT[(len(short_PT) * rng.random(len(rows)) ** 2).astype(np.int64)]
        tokens_BT[rows] = np.where(found_BT == _END, tokens_BT[rows], found_BT)
        return Batch.classified(tokens_BT, self.automaton.label(tokens_BT))

    def search(self, rng: np.random.Generator) -> None:
        """Put the counterexamples of the present weights before those that are known, and forget the oldest."""
        longest = self.strings_PL.shape[1]
        found = find_differences(soft_automaton(self.model), self.automaton, longest, rng)
        rows = [word + (_END,) * (longest - len(word)) for word in found]
        new_PL = np.array(rows, dtype=np.int64).reshape(-1, longest)
        self.strings_PL = np.concatenate([new_PL, self.strings_PL])[: self.config.keep]

    def memory(self) -> dict[str, Tensor]:
        """Return the counterexamples [P, L], -1 behind their ends."""
        return {"strings": torch.from_numpy(self.strings_PL.copy())}

    def recall(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to what `memory` returned."""
        self.strings_PL = tensors["strings"].cpu().numpy()
