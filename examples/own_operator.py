"""A new operator in one file: composition of elementwise affine maps, the recurrence of a linear RNN as a tree."""

# ruff: noqa: D101, D102
from typing import Literal

import torch
from torch import Tensor

from lengthwise import EvaluationConfig, LDRUConfig, Trainer, TrainingConfig, evaluate_lengths, get_task
from lengthwise.models.operators import BinaryOperator, OperatorConfig


class AffineOperator(BinaryOperator):
    """A value is a map x -> a * x + b with |a| < 1; joining two values composes their maps."""

    def admit(self, leaf: Tensor) -> Tensor:
        slope, offset = leaf.chunk(2, -1)
        return torch.cat([torch.tanh(3 * slope), offset], -1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        (a, b), (c, d) = left.chunk(2, -1), right.chunk(2, -1)
        return torch.cat([a * c, c * b + d], -1)


class AffineOperatorConfig(OperatorConfig):
    name: Literal["affine"] = "affine"

    def build(self, width: int) -> AffineOperator:
        return AffineOperator(width)


class AffineUnitConfig(LDRUConfig):
    """The unit with this operator; an entry point ``lengthwise.models`` makes it known to recipes as well."""

    name: Literal["affine_ldru"] = "affine_ldru"
    operator: AffineOperatorConfig = AffineOperatorConfig()
    level: Literal["residual", "plain"] = "plain"


if __name__ == "__main__":
    torch.manual_seed(0)
    task = get_task("parity")
    model = AffineUnitConfig().build(task.vocabulary, task.classes)
    settings = TrainingConfig.model_validate({"steps": 100, "optimiser": {"learning_rate": 0.03}})
    trainer = Trainer(model, task, settings, seed=0)
    while not trainer.finished:
        loss = trainer.train_step()["loss"]
    print(f"loss {loss:.4f} after {trainer.sequences:,} strings")
    for result in evaluate_lengths(model, task, EvaluationConfig(longest=0, near_misses=(), long_lengths=(40, 500)), 0):
        print(f"length {result.length:>4}: {result.value:.1%} right")
