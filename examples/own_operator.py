"""A new operator in one file: values are maps x -> a * x + b, and joining two of them composes the maps."""

from typing import Literal

from torch import Tensor, cat, manual_seed, tanh

from lengthwise.models.tree.operators import BinaryOperator, OperatorConfig


class AffineOperator(BinaryOperator):
    def admit(self, leaf: Tensor) -> Tensor:
        slope, offset = leaf.chunk(2, -1)
        return cat([tanh(3 * slope), offset], -1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        (a, b), (c, d) = left.chunk(2, -1), right.chunk(2, -1)
        return cat([a * c, c * b + d], -1)


class AffineOperatorConfig(OperatorConfig):
    name: Literal["affine"] = "affine"

    def build(self, width: int) -> AffineOperator:
        return AffineOperator(width)


if __name__ == "__main__":
    from numpy.random import default_rng

    from lengthwise import LDRUConfig, Point, Trainer, TrainingConfig, evaluate_points, get_task

    manual_seed(0)
    task = get_task("parity")
    model = LDRUConfig(operator=AffineOperatorConfig(), level="plain").build(task.inputs, task.outputs)
    settings = TrainingConfig.model_validate({"steps": 100, "optimiser": {"learning_rate": 0.03}})
    trainer = Trainer(model, task, settings, seed=0)
    while not trainer.finished:
        trainer.train_step()
    points = [Point({"length": length, "distribution": "standard"}) for length in (40, 500)]
    for row in evaluate_points(model, task, points, default_rng(0)):
        print(f"length {row.axes['length']:>4}: {row.value:.1%} right")
