"""An intervention: every row starts from the mean of all final states.

Shape letters: B rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.interventions.base import InterventionConfig, ObservingIntervention, initial_start
from lengthwise.models.base import SequenceModel
from lengthwise.state import State


class MeanStateConfig(InterventionConfig):
    """Settings of starting from the mean state."""

    name: Literal["mean_state"] = "mean_state"
    share: float = Field(default=0.5, ge=0, le=1)
    """Chance of each row to start from it, and not from the initial state."""

    def build(self) -> MeanState:
        """Return an intervention that starts from the initial state until it has seen a final one."""
        return MeanState(self)


class MeanState(ObservingIntervention):
    """Some rows start from the mean over rows and steps of the states that sequences ended with.

    Args:
        config: the settings.
    """

    name = "mean_state"

    def __init__(self, config: MeanStateConfig) -> None:
        super().__init__()
        self.config = config
        self.means: dict[str, Tensor] = {}
        self.steps = 0

    def _begin(self, model: SequenceModel, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None) -> State:
        del fresh_B
        start = initial_start(model, batch_size)
        chosen_B = torch.rand(batch_size, generator=rng) < self.config.share
        passed = dict[str, Tensor]()
        for name, mean in self.means.items():
            chosen = chosen_B.to(start[name].device).view(-1, *[1] * (start[name].ndim - 1))
            passed[name] = torch.where(chosen, mean.to(start[name]), start[name])
        return State({**start, **passed}, start.kinds)

    def _remember(self, start: State) -> None:
        self.steps += 1
        for name, entry in start.items():
            mean = entry.mean(0, keepdim=True)
            old = self.means.get(name, mean)
            self.means[name] = old + (mean - old) / self.steps

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the means, and over how many steps they were taken."""
        return dict(self.means), {"steps": self.steps}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go back to means that `state` returned."""
        if set(values) != {"steps"}:
            raise InputError(f"this is not the memory of {self.name!r}: {', '.join([*tensors, *values])}")
        self.means, self.steps = dict(tensors), int(values["steps"])
