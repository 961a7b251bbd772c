"""Selective copying: letters are scattered among blanks, and asked in their order at the end.

Shape letters: B rows, T positions, N letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lengthwise.errors import InputError
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import EVERYWHERE, IGNORE, Batch, Ints, Point, Stage, Task
from lengthwise.tasks.lengths import Length, TrainLengths, points_by_length


class SelectiveCopying(Task):
    """N letters at random places among blanks, then N marks, at which they are asked in their order.

    The ``length`` of a point counts letters and blanks; the marks come after them. No letter is read again.

    An example with three letters, ``.`` for blanks and ``?`` for marks, asked at each of them:

        . c . . a b . ? ? ?        asks for c, a and b

    Source: Jing et al. 2019; Gu and Dao 2023 (Mamba), section 4.1.1.
    """

    name: Literal["selective_copying"] = "selective_copying"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "sequence_accuracy")
    told: ClassVar[str] = EVERYWHERE

    symbols: int = Field(default=16, ge=2)
    """Different letters."""
    letters: int = Field(default=8, ge=1)
    """N, the letters of a row."""
    train: TrainLengths = TrainLengths(minimum=32, maximum=64)
    """Lengths that are trained on."""
    lengths: tuple[Length, ...] = (64, 256, 1024)
    """Lengths that are measured."""
    samples: int = Field(default=128, ge=1)
    """Rows a point."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if (shortest := min(self.train.minimum, *self.lengths)) < self.letters:
            raise ValueError(f"{self.letters} letters take as many positions, not {shortest}")
        return self

    @property
    def inputs(self) -> Tokens:
        """The letters, the blank, and the mark."""
        return Tokens(self.symbols + 2)

    @property
    def outputs(self) -> Tokens:
        """The letters."""
        return Tokens(self.symbols)

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point a length."""
        return points_by_length(stage, self.train, self.lengths, self.samples)

    def draw_filler(self, rng: np.random.Generator, rows: int, length: int) -> Ints:
        """Return blanks."""
        return np.full((rows, length), self.symbols)

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw letters, every one alike, and their places."""
        if (length := point.length or 0) < self.letters:
            raise InputError(f"{self.letters} letters take as many positions; the point says {dict(point.axes)}")
        letters_BN = rng.integers(self.symbols, size=(rows, self.letters))
        places_BN = np.sort(np.argsort(rng.random((rows, length)), axis=1)[:, : self.letters], axis=1)
        read_BT = np.full((rows, length), self.symbols)
        np.put_along_axis(read_BT, places_BN, letters_BN, 1)
        marks_BN, nothing_BT = np.full_like(letters_BN, self.symbols + 1), np.full_like(read_BT, IGNORE)
        return Batch(np.concatenate([read_BT, marks_BN], 1), np.concatenate([nothing_BT, letters_BN], 1))
