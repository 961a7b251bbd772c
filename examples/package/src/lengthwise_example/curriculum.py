"""A curriculum: the longest samples most often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from lengthwise.tasks.base import Point
from lengthwise.training.curriculum import Curriculum


class Hardest(Curriculum):
    """The last of a few points that are drawn evenly."""

    name: Literal["hardest"] = "hardest"
    of: int = Field(default=2, ge=1)
    """How many are drawn."""

    def draw(self, rng: np.random.Generator, progress: float, points: Sequence[Point]) -> Point:
        """Return the last of them."""
        del progress
        return points[int(rng.integers(len(points), size=self.of).max())]
