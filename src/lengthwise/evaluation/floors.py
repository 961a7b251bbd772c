"""Floors: how right one is without understanding, on the same sequences as a model.

Shape letters: B rows, T positions, V symbols, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.evaluation.by_point import ByPoint
from lengthwise.evaluation.diagnostic import Diagnostic
from lengthwise.evaluation.rows import Row
from lengthwise.models.base import StringModel
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import Ints, Task, checked
from lengthwise.tasks.capabilities import Shortcuts


class Floors(Diagnostic):
    """The accuracy of guesses that look at next to nothing, at each point of a task that asks for a class at the end.

    ``majority`` is the most frequent class of the training sequences and ``first_symbol`` the most frequent one given
    the first symbol; a task may know shortcuts beside them. Metrics are called ``floor_<guess>``.
    """

    name: ClassVar[str] = "floors"
    sequences: int = Field(default=10_000, ge=1)
    """Training sequences that are counted."""

    def measure(self, model: StringModel, task: Task, seed: int) -> Iterator[Row]:
        """Yield a row for each guess, point and metric; the model is not looked at."""
        self.check(model, task)
        guesses = self._counted(task, seed)
        if isinstance(task, Shortcuts):
            guesses |= task.shortcuts()
        for name, guess in guesses.items():
            for row in ByPoint().measure(_Guess(guess, task.outputs.size), task, seed):
                if row.metric == "accuracy":
                    yield row.model_copy(update={"metric": f"floor_{name}"})

    def check(self, model: StringModel, task: Task) -> None:
        """Refuse tasks without classes."""
        del model
        classes = isinstance(task.inputs, Tokens) and isinstance(task.outputs, Tokens)
        if not classes or "accuracy" not in task.metrics:
            raise InputError(f"diagnostic 'floors' needs a task that asks for classes of symbols, not {task.label}")

    def _counted(self, task: Task, seed: int) -> dict[str, Callable[[Ints], Ints]]:
        """Return the guesses that follow from counts over training sequences."""
        rng, seen, points = np.random.default_rng([seed, 0xF100]), Counter[tuple[int, int]](), task.points("train")
        while seen.total() < self.sequences:
            point = points[int(rng.integers(len(points)))]
            batch = checked(task.sample(rng, min(100, self.sequences - seen.total()), point), task, point)
            last_B = batch.targets[np.arange(len(batch)), batch.lengths - 1]
            seen.update(zip(batch.inputs[:, 0].tolist(), last_B.tolist(), strict=True))
        count_VC = np.zeros((task.inputs.size, task.outputs.size), dtype=np.int64)
        for (symbol, answer), times in seen.items():
            count_VC[symbol, answer] = times
        most = int(count_VC.sum(0).argmax())
        by_first_V = np.where(count_VC.any(1), count_VC.argmax(1), most)
        return {
            "majority": lambda tokens_BT: np.full(len(tokens_BT), most),
            "first_symbol": lambda tokens_BT: by_first_V[tokens_BT[:, 0]],
        }


class _Guess(StringModel):
    """A guess as a model: certain of one class."""

    def __init__(self, guess: Callable[[Ints], Ints], classes: int) -> None:
        super().__init__()
        self.guess, self.classes = guess, classes
        self.register_parameter("nothing", torch.nn.Parameter(torch.zeros(0)))

    def string_logits(self, tokens: Tensor) -> Tensor:
        """Return logits [B, C]: one where the guess is, zero elsewhere."""
        chosen_B = torch.from_numpy(self.guess(tokens.cpu().numpy())).to(tokens.device)
        return torch.nn.functional.one_hot(chosen_B, self.classes).float()
