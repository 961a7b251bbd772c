"""The answers that a task asks for: the last of a string, every next symbol, the frames of a signal.

Shape letters: B batch rows, T positions, N positions where something is asked, C classes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lengthwise.errors import InputError
from lengthwise.models.base import Output, SequenceModel, StringModel
from lengthwise.models.reading import answers_at_ends, first_not_finite, on_device
from lengthwise.state import State
from lengthwise.tasks.base import Batch, Task
from lengthwise.training.config import TrainingConfig
from lengthwise.training.objectives.base import Loss, Objective, ObjectiveConfig, charged, mean_loss


class AskedConfig(ObjectiveConfig):
    """Settings of learning what the task asks for."""

    name: Literal["asked"] = "asked"

    def build(self, model: StringModel, task: Task, training: TrainingConfig) -> Asked:
        """Return the objective."""
        return Asked(model, task, training)


class Asked(Objective):
    """The mean loss over all positions where the task asks for something.

    Args:
        model: any model.
        task: what it learns.
        training: the settings of training, of which precision and recomputation are heeded here.

    Raises:
        InputError: recomputation is asked of a model without a state.
    """

    def __init__(self, model: StringModel, task: Task, training: TrainingConfig) -> None:
        self.model, self.task = model, task
        self._recompute = training.recompute
        self._bfloat16 = training.precision == "bfloat16"
        self._device = next(model.parameters()).device
        if training.recompute is not None and not isinstance(model, SequenceModel):
            raise InputError(f"training.recompute needs a model with a state; {type(model).__name__} has none")

    def loss(
        self, batch: Batch, start: State | None, progress: float, generator: torch.Generator, *, watched: bool = False
    ) -> Loss:
        """Return the mean loss of the answers that are asked for."""
        inputs, asked_BT = on_device(self.model, batch.inputs, batch.asked)
        with self.precision():
            answers, state = self._read(batch, inputs, asked_BT, start, watched)
        total, accuracy = self._judged(answers, batch, inputs, asked_BT)
        note = ""
        if isinstance(self.model, SequenceModel) and not bool(torch.isfinite(total)):
            note = self._where_not_finite(self.model, inputs, start)
        return Loss(charged(self.model, total), accuracy, state, note=note)

    def _judged(self, answers: Tensor, batch: Batch, inputs: Tensor, asked_BT: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the mean loss of the answers [N, C] at the positions that are asked for, and their accuracy."""
        del inputs
        (targets,) = on_device(self.model, batch.targets)
        wanted = targets.flatten(0, 1) if asked_BT.all() else targets[asked_BT]
        return mean_loss(self.task.outputs, answers, wanted)

    def precision(self) -> torch.autocast:
        """Return the context in which models are called."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16)

    def _read(
        self, batch: Batch, inputs: Tensor, asked_BT: Tensor, start: State | None, watched: bool
    ) -> tuple[Tensor, State | None]:
        """Return the answers [N, C], and the states at the ends of rows where they are wanted."""
        if not isinstance(self.model, SequenceModel):
            if not asked_BT.any():
                return torch.zeros(0, self.task.outputs.size, requires_grad=True), None
            return self.model.asked_logits(inputs, asked_BT), None
        if start is None and not watched and self.model.reads_whole(asked_BT):
            return self.model.asked_logits(inputs, asked_BT), None
        if watched and (batch.lengths != inputs.shape[1]).any():
            return answers_at_ends(self.model, inputs, asked_BT, batch.lengths, start)
        if self._recompute is not None:
            return self._in_pieces(self.model, inputs, asked_BT, start, self._recompute)
        return self.model.answers(inputs, asked_BT, start)

    def _in_pieces(
        self, model: SequenceModel, inputs: Tensor, asked_BT: Tensor, state: State | None, size: int
    ) -> Output:
        pieces, after = list[Tensor](), model.initial_state(len(inputs)) if state is None else state
        for piece in inputs.split(size, 1):
            logits, after = checkpoint(model, piece, after, use_reentrant=False)
            pieces.append(logits)
        if pieces[0].ndim != 3:
            raise InputError(f"training.recompute needs answers after every position; {type(model).__name__} gives one")
        logits_BTC = torch.cat(pieces, 1)
        return Output(logits_BTC.flatten(0, 1) if asked_BT.all() else logits_BTC[asked_BT], after)

    def _where_not_finite(self, model: SequenceModel, inputs: Tensor, start: State | None) -> str:
        """Return what a message says of rows whose loss is not finite, having read them again."""
        with self.precision():
            found = first_not_finite(model, inputs, model.initial_state(len(inputs)) if start is None else start)
        if found is None:
            return "; read again token by token, the state and all predictions are finite"
        position, entry = found
        what = f"the state is first not finite in {entry}" if entry else "the state is finite, the prediction is not"
        return f"; at position {position} of the window {what}"
