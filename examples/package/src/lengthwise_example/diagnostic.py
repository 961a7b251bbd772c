"""A diagnostic: how much one symbol of a sequence matters.

Shape letters: B rows, T positions, N answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from lengthwise.errors import InputError
from lengthwise.evaluation.diagnostic import Diagnostic
from lengthwise.evaluation.rows import Row
from lengthwise.models.base import StringModel
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import Task


class Sensitivity(Diagnostic):
    """The share of answers that change when one symbol is drawn anew, as ``sensitivity`` by point."""

    name: ClassVar[str] = "sensitivity"
    rows: int = Field(default=64, ge=1)
    """Sequences a point."""

    @torch.inference_mode()
    def measure(self, model: StringModel, task: Task, seed: int) -> Iterator[Row]:
        """Yield a row a point."""
        if not isinstance(task.inputs, Tokens) or not isinstance(task.outputs, Tokens):
            raise InputError(f"sensitivity is one to symbols, in classes; {task.label} has other inputs or outputs")
        model.eval()
        rng, device = np.random.default_rng([seed, 0x5E45]), next(model.parameters()).device
        for point in task.points("test"):
            batch = task.sample(rng, self.rows, point)
            changed_BT = batch.inputs.copy()
            places_B = rng.integers(batch.lengths)
            changed_BT[np.arange(len(batch)), places_B] = rng.integers(task.inputs.size, size=len(batch))
            asked = torch.from_numpy(batch.asked).to(device)
            one, other = (
                model.asked_logits(torch.from_numpy(inputs).to(device), asked).argmax(-1)
                for inputs in (batch.inputs, changed_BT)
            )
            value = float((one != other).double().mean())
            yield Row(task=task.label, metric=self.name, value=value, samples=len(batch), axes=dict(point.axes))
