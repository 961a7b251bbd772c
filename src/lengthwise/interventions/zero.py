"""The control: every sequence starts from the model's own initial state."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lengthwise.interventions.base import Intervention, InterventionConfig
from lengthwise.models.base import SequenceModel
from lengthwise.state import State


class ZeroConfig(InterventionConfig):
    """Settings of the control."""

    name: Literal["zero"] = "zero"

    def build(self) -> Zero:
        """Return the control."""
        return Zero()


class Zero(Intervention):
    """Ordinary training: the initial state, whatever was seen."""

    name = "zero"
    initial = True

    def begin(
        self, model: SequenceModel, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None = None
    ) -> State:
        """Return the model's initial state."""
        return model.initial_state(batch_size).of_rows(batch_size)
