"""Floors: how right one is without understanding, on the same sequences as a model.

Shape letters: B rows, T positions, V symbols, C classes, N guesses, or answers in all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.evaluation.by_point import TEST_SAMPLES, evaluate_points
from lengthwise.evaluation.diagnostic import Diagnostic
from lengthwise.evaluation.metrics import mean_of_rows
from lengthwise.evaluation.rows import Row
from lengthwise.models.base import StringModel, largest
from lengthwise.registry import nearest_name
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import Ints, Task, checked
from lengthwise.tasks.capabilities import Shortcuts


class Floors(Diagnostic):
    """The accuracy of guesses that look at next to nothing, at each point of a task that asks for a class at the end.

    ``majority`` is the most frequent class of the training sequences and ``first_symbol`` the most frequent one given
    the first symbol; a task may know shortcuts beside them. Metrics are called ``floor_<guess>``, and how much more
    often the model is right than a guess, on the same sequences, ``above_<guess>``: its interval is that of pairs.
    """

    name: ClassVar[str] = "floors"
    sequences: int = Field(default=10_000, ge=1)
    """Training sequences that are counted."""
    compared: tuple[str, ...] = ()
    """Guesses that the model is compared with; otherwise it is not looked at."""

    def measure(self, model: StringModel, task: Task, seed: int) -> Iterator[Row]:
        """Yield a row for each guess and point, then for each that the model is compared with."""
        self.check(model, task)
        guesses = self._counted(task, seed)
        if isinstance(task, Shortcuts):
            guesses |= task.shortcuts()
        if unknown := [name for name in self.compared if name not in guesses]:
            known = nearest_name(unknown[0], [*guesses])
            raise InputError(f"there is no guess {unknown[0]!r} at {task.label} (evaluation.floors.compared); {known}")
        metrics: dict[str, Callable[..., Tensor]] = {}
        metrics |= {f"floor_{name}": partial(_hits, place) for place, name in enumerate(guesses)}
        for name in self.compared:
            metrics[f"above_{name}"] = partial(_above, [*guesses].index(name))
        points, rng = task.points("test"), np.random.default_rng([seed, TEST_SAMPLES])
        asked = _Guesses([*guesses.values()], model.eval() if self.compared else None)
        rows = evaluate_points(asked, task, points, rng, metrics=metrics)
        yield from sorted(rows, key=lambda row: [*metrics].index(row.metric))

    def check(self, model: StringModel, task: Task) -> None:
        """Refuse tasks without classes."""
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


class _Guesses(StringModel):
    """Guesses, and a model's answer, as one model, so that all of them are made of one drawing of the sequences."""

    def __init__(self, guesses: list[Callable[[Ints], Ints]], model: StringModel | None) -> None:
        super().__init__()
        self.guesses, self.model = guesses, model
        self.register_parameter("nothing", torch.nn.Parameter(torch.zeros(0)))

    def string_logits(self, tokens: Tensor) -> Tensor:
        """Return [B, N] the class that each guess names, and that of the model last."""
        tokens_BT = tokens.cpu().numpy()
        named_BN = torch.from_numpy(np.stack([guess(tokens_BT) for guess in self.guesses], 1))
        if self.model is None:
            return named_BN
        answers_BC = self.model.string_logits(tokens.to(next(self.model.parameters()).device))
        return torch.cat([named_BN, largest(answers_BC)[:, None].cpu()], 1)


def _hits(place: int, answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Score one of the guesses: the fraction of each row's classes that it names."""
    return mean_of_rows((answers[:, place] == targets).double(), rows, count)


def _above(place: int, answers: Tensor, targets: Tensor, rows: Tensor, count: int) -> Tensor:
    """Score the model beside one of the guesses: by how much more of each row's classes it names."""
    return _hits(-1, answers, targets, rows, count) - _hits(place, answers, targets, rows, count)
