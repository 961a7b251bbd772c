"""The contract of a task: a pure sampler with a rule.

Shape letters: B batch rows, T tokens, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]

UNLABELLED = -1
"""The target of a string that is outside the task's domain."""


@dataclass(frozen=True)
class Batch:
    """Samples of one length.

    Args:
        tokens: [B, T] symbols in ``0 .. vocabulary - 1``.
        targets: [B] the class of each whole string.
    """

    tokens: Ints
    targets: Ints


class Task(ABC):
    """A sequence classification task: strings in, one class a string."""

    name: str
    version: ClassVar[int] = 1
    """Raised whenever the same seed gives other samples or labels."""
    vocabulary: int
    """The number of different symbols."""
    classes: int
    """The number of classes."""
    prefixes_are_fair: bool
    """Whether every prefix of a standard sample is itself a standard sample of its length."""

    @abstractmethod
    def nearest_length(self, length: int) -> int:
        """Return the length that is sampled when this one is asked for.

        Raises:
            InputError: there is no string of this length or just below it.
        """

    @abstractmethod
    def sample(self, rng: np.random.Generator, batch_size: int, length: int) -> Batch:
        """Draw strings of one length from the task's standard distribution.

        Args:
            rng: the only source of randomness.
            batch_size: number of strings.
            length: number of symbols; see `nearest_length` for lengths that do not exist.

        Returns:
            The strings with their classes.

        Raises:
            InputError: no string of this length exists.
        """

    def score(self, logits: Floats, batch: Batch) -> float:
        """Return the fraction of strings whose largest logit is that of their class.

        Args:
            logits: [B, C].
            batch: the strings that the logits were computed for.
        """
        return float((logits.argmax(-1) == batch.targets).mean())
