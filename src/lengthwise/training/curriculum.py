"""Curricula: at which point of the task the next batch is drawn."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from lengthwise.settings import Settings
from lengthwise.tasks.base import Point


class Curriculum(Settings, ABC):
    """A distribution over the points of training that may change as training goes on; settings with a ``name``."""

    order: ClassVar[str] = ""
    """In which order or how often lengths are drawn, in words; nothing of each equally often."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, progress: float, points: Sequence[Point]) -> Point:
        """Return where the next batch is drawn.

        Args:
            rng: the only source of randomness.
            progress: the fraction of training that is over, from 0 to 1.
            points: those of the task, the shortest first.
        """


class Uniform(Curriculum):
    """Every point equally often."""

    name: Literal["uniform"] = "uniform"

    def draw(self, rng: np.random.Generator, progress: float, points: Sequence[Point]) -> Point:
        """Return any point."""
        return points[int(rng.integers(len(points)))]


class LogUniform(Curriculum):
    """Every octave of lengths equally often, so that short sequences are seen more."""

    name: Literal["log_uniform"] = "log_uniform"
    order: ClassVar[str] = "short ones more often"

    def draw(self, rng: np.random.Generator, progress: float, points: Sequence[Point]) -> Point:
        """Return a point by its place, counted from the shortest length on."""
        first = points[0].length or 1
        last = first + len(points) - 1
        length = min(int(math.exp(rng.uniform(math.log(first), math.log(last + 1)))), last)
        return points[length - first]


class Growing(Curriculum):
    """Uniform up to a bound that grows linearly to the longest."""

    name: Literal["growing"] = "growing"
    order: ClassVar[str] = "short ones first"
    until: float = Field(default=0.5, gt=0, le=1)
    """The fraction of training after which all points are drawn."""

    def draw(self, rng: np.random.Generator, progress: float, points: Sequence[Point]) -> Point:
        """Return a point up to the bound."""
        first = points[0].length or 1
        grown = first + (len(points) - 1) * min(progress / self.until, 1.0)
        return points[int(rng.integers(round(grown) - first + 1))]
