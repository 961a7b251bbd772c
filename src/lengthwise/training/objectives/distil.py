"""A model's own answers from a fresh state, as what it learns to answer from any other: a repair without labels.

Shape letters: B batch rows, T positions, N answers, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from lengthwise.errors import InputError
from lengthwise.models.answers import divergences
from lengthwise.models.base import SequenceModel, StringModel, with_state
from lengthwise.models.reading import on_device
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import IGNORE, Batch, Task
from lengthwise.training.config import TrainingConfig
from lengthwise.training.objectives.asked import Asked
from lengthwise.training.objectives.base import ObjectiveConfig, accuracy

_TEACHER, _SCALE = "teacher.", "scale"
ModelT = TypeVar("ModelT", bound=nn.Module)


class DistilConfig(ObjectiveConfig):
    """Settings of learning from the model's own answers."""

    name: Literal["distil"] = "distil"
    burn_in: int = Field(default=0, ge=0)
    """Positions at the start of each sequence whose answers do not count."""

    def told(self, task: Task) -> str:
        """Return that no label is looked at."""
        return "none"

    def build(self, model: StringModel, task: Task, training: TrainingConfig) -> Distil:
        """Return the objective."""
        return Distil(model, task, training, self.burn_in)


class Distil(Asked):
    """The mean divergence of a model's answers from those that it gave, before training, from its initial state.

    The teacher is a frozen copy of the model, taken when the first batch is read. It reads the sequences from its
    initial state, and the model from the one that the intervention gives. Every position counts, whether or not the
    task asks there; targets are not looked at. Classes and probabilities have the Kullback-Leibler divergence, other
    values the squared difference over the mean square of the teacher's answers to the first batch. The accuracy is the
    share of classes in which both agree.

    Args:
        model: any model with a state.
        task: whose inputs are read.
        training: the settings of training, of which precision and recomputation are heeded here.
        burn_in: positions at the start of each sequence whose answers do not count.

    Raises:
        InputError: the model carries no state.
    """

    model: SequenceModel

    def __init__(self, model: StringModel, task: Task, training: TrainingConfig, burn_in: int = 0) -> None:
        super().__init__(with_state(model, "objective 'distil'"), task, training)
        self.burn_in = burn_in
        self._teacher: SequenceModel | None = None
        self._scale = torch.ones(())

    def mix(self, batch: Batch, step: int, progress: float, rng: np.random.Generator) -> Batch:
        """Return the batch with other positions asked for: all within its rows but for the burn-in.

        Raises:
            InputError: the burn-in is all of it.
        """
        del step, progress, rng
        positions_T = np.arange(batch.inputs.shape[1])
        kept_BT = (positions_T >= self.burn_in) & (positions_T < batch.lengths[:, None])
        if not kept_BT.any():
            raise InputError(
                f"objective.burn_in {self.burn_in} leaves nothing of sequences of {batch.lengths.max()} positions; "
                "make it smaller than they are"
            )
        marked = replace(batch, targets=np.where(kept_BT, 0, IGNORE))
        if self._teacher is None:
            self._teacher = frozen(self.model)
            self._scale = self._scale_of(marked)
        return marked

    def _judged(self, answers: Tensor, batch: Batch, inputs: Tensor, asked_BT: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the mean divergence of the answers [N, C] from the teacher's, and the share that agree."""
        classes, taught = isinstance(self.task.outputs, Tokens), self._taught(inputs, asked_BT)
        apart = divergences(self.task.outputs, answers, taught) / self._scale.to(taught.device)
        if not len(answers):
            # Some rows of a batch may be shorter than the burn-in, and these a part of it by themselves.
            return answers.sum(), torch.zeros((), dtype=torch.float64) if classes else None
        return apart.mean(), accuracy(answers.detach(), taught.argmax(-1)) if classes else None

    @torch.no_grad()
    def _taught(self, inputs: Tensor, asked_BT: Tensor) -> Tensor:
        """Return the teacher's answers [N, C]."""
        if self._teacher is None:
            raise InputError("objective 'distil' takes its teacher when it sees a batch: call mix before loss")
        with self.precision():
            return self._teacher.answers(inputs, asked_BT).logits

    def _scale_of(self, batch: Batch) -> Tensor:
        """Return the mean square of the teacher's answers to a batch, where they are values that could be any."""
        outputs = self.task.outputs
        if isinstance(outputs, Tokens) or outputs.loss == "binary_cross_entropy":
            return torch.ones(())
        inputs, asked_BT = on_device(self.model, batch.inputs, batch.asked)
        size = self._taught(inputs, asked_BT).double().square().mean().float().cpu()
        # A teacher that answers nothing but zeros has no scale.
        return size if size else torch.ones(())

    def memory(self) -> dict[str, Tensor]:
        """Return the teacher, once there is one."""
        if self._teacher is None:
            return {}
        return {_SCALE: self._scale} | {_TEACHER + name: value for name, value in self._teacher.state_dict().items()}

    def recall(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a teacher that `memory` returned."""
        self._teacher = None
        if tensors:
            self._scale = tensors[_SCALE]
            self._teacher = frozen(self.model)
            self._teacher.load_state_dict(
                {name.removeprefix(_TEACHER): value for name, value in tensors.items() if name != _SCALE}
            )


def frozen(model: ModelT) -> ModelT:
    """Return a copy of a model that is not trained, as a teacher."""
    return copy.deepcopy(model).eval().requires_grad_(False)
