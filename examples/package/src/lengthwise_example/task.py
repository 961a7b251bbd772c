"""A task: associative recall.

Shape letters: B rows, N pairs, T = 2 N + 1 positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from lengthwise.errors import InputError
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import Batch, Point, Stage, Task


class Recall(Task):
    """Pairs of a letter and a digit, then one of the letters, whose digit is asked.

    Two examples: ``b 3 a 7 a`` asks for 7, and ``c 0 c`` for 0.
    """

    name: Literal["recall"] = "recall"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "confidence")
    diagnostics: ClassVar[tuple[str, ...]] = ("by_point", "sensitivity")

    letters: int = Field(default=8, ge=1)
    """Different letters; no row has more pairs."""
    digits: int = Field(default=4, ge=2)
    """Different digits."""
    trained: int = Field(default=2, ge=1)
    """The most pairs of a row in training."""
    samples: int = Field(default=128, ge=1)
    """Rows that are measured for each number of pairs."""

    @property
    def inputs(self) -> Tokens:
        """The digits, then the letters."""
        return Tokens(self.digits + self.letters)

    @property
    def outputs(self) -> Tokens:
        """The digits."""
        return Tokens(self.digits)

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point for each number of pairs: in training up to `trained`, otherwise all."""
        most = min(self.trained if stage == "train" else self.letters, self.letters)
        return [Point({"length": 2 * n + 1, "pairs": n}, self.samples) for n in range(1, most + 1)]

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw rows of different letters."""
        if not 1 <= (pairs := int(point.axes.get("pairs", 0))) <= self.letters:
            raise InputError(f"rows have 1 to {self.letters} pairs; the point says {dict(point.axes)}")
        letters_BN = self.digits + rng.permuted(np.tile(np.arange(self.letters), (rows, 1)), axis=1)[:, :pairs]
        digits_BN = rng.integers(self.digits, size=(rows, pairs))
        asked_B1 = rng.integers(pairs, size=(rows, 1))
        inputs_BT = np.empty((rows, 2 * pairs + 1), dtype=np.int64)
        inputs_BT[:, :-1:2], inputs_BT[:, 1::2] = letters_BN, digits_BN
        inputs_BT[:, -1:] = np.take_along_axis(letters_BN, asked_B1, 1)
        return Batch.classified(inputs_BT, np.take_along_axis(digits_BN, asked_B1, 1)[:, 0])
