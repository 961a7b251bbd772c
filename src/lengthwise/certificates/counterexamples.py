"""Counterexamples to learn from: strings on which the automaton inside a unit in training is wrong.

Sampled strings say little about an automaton that is nearly right. The search for differences from the task's
automaton, with which a certificate begins, finds the strings that it has yet to learn.

Shape letters: B batch rows, T tokens, P counterexamples, L symbols of the longest of them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lengthwise.certificates.differences import find_differences
from lengthwise.certificates.methods import soft_automaton
from lengthwise.models.base import StringModel
from lengthwise.tasks.base import Batch
from lengthwise.tasks.language import Language
from lengthwise.training.config import CounterexamplesConfig

_END = -1
"""Fills rows behind the last symbol of a counterexample."""


class Counterexamples:
    """Keeps strings on which a unit in training is wrong, and puts them into its batches.

    Args:
        model: a unit with the stochastic operator and plain levels.
        task: what it learns.
        config: how often to look, and how many to keep and to learn.
        longest: the largest number of symbols of a string.

    Raises:
        InputError: the model is not such a unit.
    """

    def __init__(self, model: StringModel, task: Language, config: CounterexamplesConfig, longest: int) -> None:
        soft_automaton(model)
        self.model, self.task, self.config = model, task, config
        self.strings_PL = np.empty((0, longest), dtype=np.int64)

    def mix(self, batch: Batch, step: int, progress: float, rng: np.random.Generator) -> Batch:
        """Let some rows of a batch begin with counterexamples; look for new ones where it is time to."""
        if progress > self.config.start and step % self.config.every == 0:
            self.search(rng)
        length = batch.tokens.shape[1]
        short_PT = self.strings_PL[(self.strings_PL[:, length:] == _END).all(1), :length]
        if not len(short_PT):
            return batch
        tokens_BT = batch.tokens.copy()
        rows = rng.permutation(len(tokens_BT))[: round(self.config.share * len(tokens_BT))]
        # The square favours the front of the list, where the latest stand.
        found_BT = short_PT[(len(short_PT) * rng.random(len(rows)) ** 2).astype(np.int64)]
        tokens_BT[rows] = np.where(found_BT == _END, tokens_BT[rows], found_BT)
        return Batch(tokens_BT, self.task.label(tokens_BT))

    def search(self, rng: np.random.Generator) -> None:
        """Put the counterexamples of the present weights before those that are known, and forget the oldest."""
        longest = self.strings_PL.shape[1]
        found = find_differences(soft_automaton(self.model), self.task.automaton, longest, rng)
        rows = [word + (_END,) * (longest - len(word)) for word in found]
        new_PL = np.array(rows, dtype=np.int64).reshape(-1, longest)
        self.strings_PL = np.concatenate([new_PL, self.strings_PL])[: self.config.keep]

    def tensor(self) -> Tensor:
        """Return the counterexamples [P, L], -1 behind their ends."""
        return torch.from_numpy(self.strings_PL.copy())

    def restore(self, strings_PL: Tensor) -> None:
        """Go back to what `tensor` returned."""
        self.strings_PL = strings_PL.cpu().numpy()
