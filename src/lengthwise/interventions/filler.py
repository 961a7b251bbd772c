"""Filler passing: sequences start from states after long stretches in which there was nothing to be remembered.

Shape letters: B batch rows, T positions.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.interventions.base import initial_start, where_rows
from lengthwise.interventions.passing import Passing, PassingConfig
from lengthwise.models.base import SequenceModel
from lengthwise.models.reading import on_device
from lengthwise.state import State
from lengthwise.tasks.base import Task
from lengthwise.tasks.capabilities import HasFiller, require


class FillerPassingConfig(PassingConfig):
    """Settings of filler passing."""

    name: Literal["filler_passing"] = "filler_passing"
    zero_share: float = Field(default=0.5, ge=0, le=1)
    """The fraction of rows that always start from the initial state, so that it is not forgotten."""
    conv_states: bool = True
    """Whether conv states, of convolutions and token shifts, are passed as well."""
    reset: float = Field(default=0.05, ge=0, le=1)
    """Chance, for each row and step, that its filler begins anew: it has 1 / reset stretches on average."""
    length: int | None = Field(default=None, ge=1)
    """T, the positions of a stretch; the task's training length by default."""

    def build(self) -> FillerPassing:
        """Return an intervention that has read nothing yet."""
        return FillerPassing(self)


class FillerPassing(Passing):
    """Rows start from the states of a pool that reads on in filler, a stretch a step, beside training.

    A state right after a key, or a story, is no sensible start for another: it holds what must not be remembered. The
    pool's rows have read prose alone. A step costs a pass without gradients more for the rows that do not start from
    the initial state.

    Args:
        config: the settings.

    Source: ours, after the remark of Buitrago Ruiz and Gu 2025 that the state after a passkey is no start.
    """

    name = "filler_passing"
    observes = False
    config: FillerPassingConfig

    def __init__(self, config: FillerPassingConfig) -> None:
        super().__init__(config)
        self.filler: Filler | None = None

    def prepare(self, task: Task) -> None:
        """Take the task's filler.

        Raises:
            InputError: it has none, or no training length where none is given.
        """
        self.filler = Filler(task, self.name, self.config.length)

    def observe(self, final: State) -> None:
        """Forget it: what is passed is read apart."""

    def _sources(self, batch_size: int, rng: torch.Generator) -> Tensor | slice:
        # The pool has the rows alone that do not always start from the initial state.
        return (torch.arange(batch_size) - self.always_initial(batch_size)).clamp(min=0)

    def _begin(self, model: SequenceModel, batch_size: int, rng: torch.Generator, fresh_B: Tensor | None) -> State:
        rows = max(batch_size - self.always_initial(batch_size), 1)
        start = initial_start(model, rows)
        if self.memory and self.memory.batch_size == rows:
            self._check_fits(start)
            anew_B = torch.rand(rows, generator=rng) < self.config.reset
            kept = {name: where_rows(anew_B, start[name], entry.to(start[name])) for name, entry in self.memory.items()}
            start = State({**start, **kept}, start.kinds)
        super().observe(ready(self.filler, self.name).read(model, start, rng))
        return super()._begin(model, batch_size, rng, fresh_B)


class Filler:
    """Filler of a task, a stretch at a time.

    Args:
        task: the task.
        purpose: the intervention that needs it.
        length: T, the positions of a stretch; the task's training length by default.

    Raises:
        InputError: the task has no filler, or no training length where none is given.
    """

    def __init__(self, task: Task, purpose: str, length: int | None = None) -> None:
        self._task = require(task, HasFiller, f"intervention {purpose!r}")
        if not (found := length or task.training_length):
            raise InputError(f"{task.label} does not say how long its sequences are; set intervention.length")
        self.length = found

    @torch.no_grad()
    def read(self, model: SequenceModel, start: State, rng: torch.Generator) -> State:
        """Return the state after another stretch, each row its own."""
        drawn = np.random.default_rng(int(torch.randint(2**62, (1,), generator=rng)))
        stretch_BT = self._task.draw_filler(drawn, start.batch_size, self.length)
        return model(*on_device(model, stretch_BT), start).state


def ready(filler: Filler | None, purpose: str) -> Filler:
    """Return filler, where there is some.

    Raises:
        InputError: the intervention does not know its task yet.
    """
    if filler is None:
        raise InputError(f"intervention {purpose!r} reads a task's filler: call prepare(task) before the first step")
    return filler
