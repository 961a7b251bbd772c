"""What a kind of recipe does in a run: it builds a trainer and measures what was trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lengthwise.errors import InputError
from lengthwise.experiments.results import DiagnosisRow, EvaluationRow
from lengthwise.models.base import SequenceModel, StringModel
from lengthwise.models.budget import count_parameters
from lengthwise.state import Kind
from lengthwise.training.loop import Trainer


class Job(ABC):
    """One recipe with one seed."""

    @abstractmethod
    def build(self) -> Trainer[Any]:
        """Return the trainer before its first step.

        Raises:
            InputError: parts of the recipe do not go together, or need what this machine does not have.
        """

    def begin(self, trainer: Trainer[Any], root: Path) -> None:
        """Prepare a trainer that has no checkpoint yet; `root` is the folder of all runs."""
        del trainer, root

    def describe(self, trainer: Trainer[Any]) -> dict[str, int]:
        """Return the sizes of the model: its trained numbers as ``parameters``."""
        return {"parameters": count_parameters(trainer.model)}

    @abstractmethod
    def curve(self, trainer: Trainer[Any]) -> dict[str, float]:
        """Return a point of the learning curve: metrics whose names start with `CURVES`."""

    @property
    @abstractmethod
    def curve_every(self) -> int:
        """Steps between points of the learning curve; 0 for none."""

    @abstractmethod
    def rows(self, trainer: Trainer[Any]) -> Iterator[EvaluationRow] | Iterator[DiagnosisRow]:
        """Measure a trained model, row by row."""


@torch.inference_mode()
def state_size(model: StringModel, length: int) -> int | None:
    """Return how many values a model carries after one string, positions not counted.

    Args:
        model: any model; it is left in evaluation mode.
        length: of the string, at least 1.

    Returns:
        None where the model carries no state.
    """
    if not isinstance(model, SequenceModel):
        return None
    model.eval()
    tokens = torch.zeros(1, length, dtype=torch.int64, device=next(model.parameters()).device)
    state = model(tokens).state
    return sum(state[name].numel() for name in state if state.kinds[name] is not Kind.POSITION)


CURVES = ("accuracy_", "loss_")
"""How the names of metrics start that are points of a learning curve."""


def pick_device(wanted: str) -> torch.device:
    """Return a device by its name in a recipe.

    Raises:
        InputError: this machine does not have it.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = next(device for device, available in there.items() if available) if wanted == "auto" else wanted
    if not there[name]:
        found = ", ".join(device for device, available in there.items() if available)
        raise InputError(f"device {name!r} is not available here; there is: {found}")
    return torch.device(name)
