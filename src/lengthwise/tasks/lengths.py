"""Lengths of training and measurement, for tasks whose samples exist at any length."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from lengthwise.settings import Settings
from lengthwise.tasks.base import Axis, Point, Stage

LONGEST = 1_000_000
"""The longest sequence that is trained on or measured."""
LENGTHS = 100_000
"""The most lengths that are trained on, or measured one after another."""
Length = Annotated[int, Field(ge=1, le=LONGEST)]


class TrainLengths(Settings):
    """Which lengths are trained on; the curriculum says how often each is."""

    minimum: Length = 1
    """The shortest."""
    maximum: Length = 40
    """The longest that is ever trained on."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} exceeds maximum {self.maximum}")
        _few(self.lengths)
        return self

    @property
    def lengths(self) -> range:
        """All of them."""
        return range(self.minimum, self.maximum + 1)


def _few(lengths: Sequence[int]) -> None:
    if len(lengths) > LENGTHS:
        raise ValueError(f"{lengths[0]:,} to {lengths[-1]:,} are {len(lengths):,} lengths, more than {LENGTHS:,}")


class RegularTestLengths(Settings):
    """Which lengths are measured, with near misses."""

    longest: int = Field(default=500, ge=0, le=LONGEST)
    """Every length from 1 to this one is measured, or a grid of them."""
    every: int = Field(default=1, ge=1)
    """Steps of that grid, from 1 on; odd where there are no pairs, so that it has odd and even lengths alike."""
    pairs: bool = False
    """Whether each length of the grid is measured beside the one after it, every length on sequences of its own: a
    language may accept at even lengths alone."""
    samples: int = Field(default=512, ge=1)
    """Sequences a length."""
    long_lengths: tuple[Length, ...] = (1_000, 10_000, 100_000)
    """Lengths measured one by one beyond."""
    long_samples: int = Field(default=512, ge=1)
    """Sequences at each of those."""
    curve_lengths: tuple[Length, ...] = (40, 100, 200, 500)
    """Lengths of the points of a learning curve."""
    curve_samples: int = Field(default=128, ge=1)
    """Sequences a length of those points."""
    near_misses: tuple[Length, ...] = tuple(range(50, 501, 50))
    """Lengths at which near misses alone are measured."""

    @model_validator(mode="after")
    def _serves_both_parities(self) -> Self:
        if not self.pairs and self.every % 2 == 0:
            nearest = f"write {self.every - 1} or {self.every + 1}, or pairs: true"
            raise ValueError(f"every: {self.every} steps lead to odd lengths only; {nearest}")
        if self.pairs and self.every == 1:
            raise ValueError("pairs: with every: 1 every length is measured already; write every: 2 or more")
        _few(self.grid)
        return self

    @property
    def grid(self) -> Sequence[int]:
        """The lengths that are measured one after another."""
        if self.pairs:
            return [length for first in range(1, self.longest, self.every) for length in (first, first + 1)]
        return range(1, self.longest + 1, self.every)


def points_by_length(
    stage: Stage, train: TrainLengths, lengths: Iterable[int], samples: int, **axes: Iterable[Axis]
) -> list[Point]:
    """Return a point a length in training, and one for each length and value of the other axes in measurement."""
    if stage == "train":
        return [Point({"length": length}, samples) for length in train.lengths]
    places = itertools.product(sorted(set(lengths)), *axes.values())
    return [Point(dict(zip(("length", *axes), place, strict=True)), samples) for place in places]
