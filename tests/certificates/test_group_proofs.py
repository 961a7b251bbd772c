"""Word problems of groups: learned from short strings by units that are read out at all rows, and proved."""

import pytest
import torch

from lengthwise import LDRUConfig, Trainer, TrainingConfig, TreeConfig
from lengthwise.certificates.methods import certify_raw
from lengthwise.models.tree.stochastic import StochasticOperatorConfig
from lengthwise.tasks.regular.task import Regular


@pytest.mark.parametrize("group", ["S3", "C6"])
def test_a_group_that_is_learned_from_ten_symbols_is_proved_right_at_every_length(group: str):
    task = Regular.model_validate({"language": f"group:{group}", "train": {"maximum": 10}})
    optimiser = {"learning_rate": 0.03, "warm_up": 0.1, "tail": "cosine", "centralise": False, "weight_decay": 0.1}
    training = {"steps": 250, "batch_size": 64, "optimiser": optimiser, "curriculum": {"name": "growing", "until": 0.6}}
    operator = StochasticOperatorConfig(readout="all", drop_rows=0.5, revive=5, determinism=1.0, sharpen_from=0.75)
    torch.manual_seed(0)
    model = LDRUConfig(width=64, operator=operator, level="plain").build(task.inputs, task.outputs)
    trainer = Trainer(
        model, task, TrainingConfig.model_validate(training), seed=0, objective=TreeConfig(bracketing="shifted")
    )
    while not trainer.finished:
        trainer.train_step()
    assert certify_raw(model.eval(), task.definition).verdict == "every_length"
