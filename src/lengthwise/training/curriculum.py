"""Length curricula: which length the next batch has."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Lengths(BaseModel, ABC):
    """A distribution over lengths that may change as training goes on."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    minimum: int = Field(default=1, ge=1)
    """The shortest length."""
    maximum: int = Field(default=40, ge=1)
    """The longest length that is ever trained on."""

    @model_validator(mode="after")
    def _ordered(self) -> Lengths:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} exceeds maximum {self.maximum}")
        return self

    @abstractmethod
    def draw(self, rng: np.random.Generator, progress: float) -> int:
        """Return the length of the next batch; `progress` runs from 0 to 1 over training."""


class UniformLengths(Lengths):
    """Every length equally often."""

    name: Literal["uniform"] = "uniform"

    def draw(self, rng: np.random.Generator, progress: float) -> int:
        """Return a length in minimum..maximum."""
        del progress
        return int(rng.integers(self.minimum, self.maximum + 1))


class LogUniformLengths(Lengths):
    """Every octave equally often, so short strings are seen more."""

    name: Literal["log_uniform"] = "log_uniform"

    def draw(self, rng: np.random.Generator, progress: float) -> int:
        """Return a length in minimum..maximum."""
        del progress
        low, high = math.log(self.minimum), math.log(self.maximum + 1)
        return min(int(math.exp(rng.uniform(low, high))), self.maximum)


class GrowingLengths(Lengths):
    """Uniform up to a bound that grows linearly to the maximum."""

    name: Literal["growing"] = "growing"
    until: float = Field(default=0.5, gt=0, le=1)
    """The fraction of training after which all lengths are drawn."""

    def draw(self, rng: np.random.Generator, progress: float) -> int:
        """Return a length in minimum..bound."""
        grown = self.minimum + (self.maximum - self.minimum) * min(progress / self.until, 1.0)
        return int(rng.integers(self.minimum, round(grown) + 1))


AnyLengths = Annotated[UniformLengths | LogUniformLengths | GrowingLengths, Field(discriminator="name")]
