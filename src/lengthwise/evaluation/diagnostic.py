"""The contract of a diagnostic: settings, and what is measured of a trained model, as rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice

from lengthwise.evaluation.rows import Row
from lengthwise.models.base import StringModel
from lengthwise.settings import Settings
from lengthwise.tasks.base import Task


class Diagnostic(Settings, ABC):
    """A measurement of a trained model; a recipe has its settings in a section of its registered name."""

    @abstractmethod
    def measure(self, model: StringModel, task: Task, seed: int) -> Iterator[Row]:
        """Yield what is measured, row by row.

        Args:
            model: trained; left in evaluation mode.
            task: what it is measured on.
            seed: of samples, which are the same for every model; independent of any training seed.

        Raises:
            InputError: the model or the task is not one that this is measured of.
        """

    def go_on(self, model: StringModel, task: Task, seed: int, known: Sequence[Row]) -> Iterator[Row]:
        """Yield the rows that follow on those that are known; by default all are measured again, and the others told.

        Args:
            model: as in `measure`.
            task: as in `measure`.
            seed: as in `measure`.
            known: the first rows of `measure`, from a process that was ended.
        """
        return islice(self.measure(model, task, seed) or (), len(known), None)

    def check(self, model: StringModel, task: Task) -> None:
        """Refuse what this is not measured of before it is trained; nothing by default.

        Raises:
            InputError: the model or the task is not one that this is measured of.
        """

    def curve(self, model: StringModel, task: Task, seed: int) -> dict[str, float]:
        """Return a point of the learning curve as metrics of a step; none by default.

        Args:
            model: in training; left in evaluation mode.
            task: what it learns.
            seed: of samples; the same ones for the same seed.
        """
        return {}
