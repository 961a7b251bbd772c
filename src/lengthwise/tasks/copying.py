"""Copying: a string is read, and asked again symbol by symbol.

Shape letters: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from lengthwise.errors import InputError
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import EVERYWHERE, IGNORE, Batch, Point, Stage, Task
from lengthwise.tasks.lengths import Length, TrainLengths, points_by_length


class Copying(Task):
    """A string of letters, a separator, and the string again, each letter of which is asked before it is read.

    The ``length`` of a point is that of the string, n; 2 n positions are read: the last letter is asked, never read.

    Two examples, with ``|`` for the separator and ``.`` where nothing is asked:

        read   c a b | c a        b b | b
        asked  . . . c a b        . . b b

    Source: Jelassi, Brandfonbrener, Kakade and Malach 2024; Buitrago Ruiz and Gu 2025, section 4.
    """

    name: Literal["copying"] = "copying"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "sequence_accuracy")
    told: ClassVar[str] = EVERYWHERE

    symbols: int = Field(default=26, ge=2)
    """Different letters."""
    train: TrainLengths = TrainLengths(minimum=1, maximum=16)
    """Lengths of the strings that are trained on."""
    lengths: tuple[Length, ...] = (4, 8, 16, 32, 48, 64)
    """Lengths that are measured."""
    samples: int = Field(default=256, ge=1)
    """Strings a length."""

    @property
    def inputs(self) -> Tokens:
        """The letters, and last the separator."""
        return Tokens(self.symbols + 1)

    @property
    def outputs(self) -> Tokens:
        """The letters."""
        return Tokens(self.symbols)

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point a length."""
        return points_by_length(stage, self.train, self.lengths, self.samples)

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw strings, every letter alike."""
        if (length := point.length) is None:
            raise InputError(f"a string to be copied has a length; the point says {dict(point.axes)}")
        letters_BT = rng.integers(self.symbols, size=(rows, length))
        separator_B1 = np.full((rows, 1), self.symbols)
        nothing_BT = np.full((rows, length), IGNORE)
        inputs_BT = np.concatenate([letters_BT, separator_B1, letters_BT[:, :-1]], 1)
        return Batch(inputs_BT, np.concatenate([nothing_BT, letters_BT], 1))
