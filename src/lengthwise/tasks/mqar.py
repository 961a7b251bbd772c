"""Multi-query associative recall: values are told for keys, and asked where the keys come again.

Shape letters: B rows, T positions, N pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lengthwise.errors import InputError
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import EVERYWHERE, IGNORE, Batch, Ints, Point, Stage, Task
from lengthwise.tasks.lengths import Length, TrainLengths, points_by_length


class MQAR(Task):
    """N pairs of a key and a value, then blanks with every key once among them, at which its value is asked.

    Values are never read again. Where a key comes again, a power law decides: with ``power: 0`` every place alike; the
    larger, the sooner after the pairs.

    An example with letters for keys, digits for values, ``.`` for blanks, asked at ``_``:

        a 4 b 7 c 1 . . b_ . a_ . . c_        asks for 7, 4 and 1

    Source: Arora et al. 2023 (Zoology), section 4.1.
    """

    name: Literal["mqar"] = "mqar"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "sequence_accuracy")
    told: ClassVar[str] = EVERYWHERE

    keys: int = Field(default=64, ge=1)
    """Different keys; those of a row differ."""
    values: int = Field(default=64, ge=2)
    """Different values."""
    pairs: int = Field(default=8, ge=1)
    """N, the most pairs of a row in training, where their number is drawn for each batch."""
    power: float = Field(default=0.0, ge=0)
    """The place k blanks after the pairs is as likely as (1 + k) ** -power."""
    train: TrainLengths = TrainLengths(minimum=32, maximum=64)
    """Positions that are trained on."""
    lengths: tuple[Length, ...] = (64, 256, 1024)
    """Positions that are measured, each with every number of pairs that it has room for."""
    test_pairs: tuple[Annotated[int, Field(ge=1)], ...] = (4, 8, 16)
    """Numbers of pairs that are measured."""
    samples: int = Field(default=128, ge=1)
    """Rows a point."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if (most := max(self.pairs, *self.test_pairs)) > self.keys:
            raise ValueError(f"{most} pairs need as many different keys, not {self.keys}")
        if self.train.minimum < 3:
            raise ValueError("a pair and its question take 3 positions (train.minimum)")
        return self

    @property
    def inputs(self) -> Tokens:
        """Keys, values, and last the blank."""
        return Tokens(self.keys + self.values + 1)

    @property
    def outputs(self) -> Tokens:
        """The values."""
        return Tokens(self.values)

    def points(self, stage: Stage) -> Sequence[Point]:
        """Return a point a length in training, and one for each length and number of pairs in measurement."""
        found = points_by_length(stage, self.train, self.lengths, self.samples, pairs=self.test_pairs)
        return [point for point in found if 3 * int(point.axes.get("pairs", 1)) <= (point.length or 0)]

    def draw_filler(self, rng: np.random.Generator, rows: int, length: int) -> Ints:
        """Return blanks."""
        return np.full((rows, length), self.keys + self.values)

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        """Draw pairs, and where their keys come again."""
        length, pairs = point.length or 0, point.axes.get("pairs")
        most = min(self.pairs, length // 3)
        count = int(rng.integers(most)) + 1 if pairs is None and most else int(pairs or 0)
        if not 0 < 3 * count <= length or count > self.keys:
            raise InputError(f"a pair and its question take 3 positions; the point says {dict(point.axes)}")
        keys_BN = _distinct(rng, rows, count, np.zeros(self.keys))
        values_BN = rng.integers(self.values, size=(rows, count))
        blanks = length - 2 * count
        places_BN = 2 * count + _distinct(rng, rows, count, -self.power * np.log1p(np.arange(blanks)))
        inputs_BT = np.full((rows, length), self.keys + self.values)
        inputs_BT[:, 0 : 2 * count : 2], inputs_BT[:, 1 : 2 * count : 2] = keys_BN, self.keys + values_BN
        np.put_along_axis(inputs_BT, places_BN, keys_BN, 1)
        targets_BT = np.full((rows, length), IGNORE)
        np.put_along_axis(targets_BT, places_BN, values_BN, 1)
        return Batch(inputs_BT, targets_BT)


def _distinct(rng: np.random.Generator, rows: int, count: int, weights_K: NDArray[np.float64]) -> Ints:
    """Return so many different choices a row, [B, N], in random order, by the logarithms of their weights."""
    # The largest of logarithms with Gumbel noise are a draw without replacement.
    return np.argsort(-(weights_K + rng.gumbel(size=(rows, len(weights_K)))), axis=1)[:, :count]
