from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trainers_for_tests
from trainers_for_tests import regular

from lengthwise.errors import InputError, RunError
from lengthwise.evaluation.by_point import evaluate_points
from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.tasks.base import Point
from lengthwise.tasks.regular.task import Regular
from lengthwise.training.checkpoint import load_checkpoint, save_checkpoint
from lengthwise.training.loop import Trainer

EVERY_CHANCE = {"width": 8, "dropout": 0.2, "noise": 0.1, "noise_warm_up": 0.5}
STOCHASTIC = {"width": 16, "level": "plain", "operator": {"name": "stochastic", "determinism": 0.1}, "noise": 0.01}
TREE = {"name": "tree", "node_weight": 0.0}


def trainer(
    model: dict[str, Any], objective: dict[str, Any] = TREE, task: Regular | None = None, seed: int = 0, **training: Any
) -> Trainer:
    torch.manual_seed(seed)
    task = task or regular()
    unit = LDRUConfig.model_validate(model).build(task.inputs, task.outputs)
    return trainers_for_tests.trainer(unit, task, objective, seed=seed, **training)


def parameters(model: LDRU) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "objective", "settings"),
    [
        (EVERY_CHANCE, {"name": "tree", "bracketing": "random", "associativity": {"weight": 0.5}}, {}),
        (EVERY_CHANCE, TREE | {"bracketing": "shifted", "share_subtrees": False}, {"optimiser": {"tail": "cosine"}}),
        (EVERY_CHANCE | {"odd": "pad"}, TREE | {"share_subtrees": False}, {"curriculum": {"name": "growing"}}),
        (EVERY_CHANCE | {"readout": "prefixes"}, {"name": "prefixes"}, {"optimiser": {"amsgrad": False}}),
        (
            EVERY_CHANCE,
            TREE,
            {"optimiser": {"name": "muon", "weight_decay": 0.1}, "curriculum": {"name": "log_uniform"}},
        ),
        (STOCHASTIC, TREE, {"task": regular(mixture={"standard": 0.5, "near_miss": 0.25, "hard": 0.25})}),
    ],
    ids=["nodes", "dense", "pad", "prefixes", "muon", "stochastic"],
)
@pytest.mark.parametrize("cut", [1, 8])
def test_a_restored_trainer_goes_on_bit_equal(
    model: dict[str, Any], objective: dict[str, Any], settings: dict[str, Any], cut: int, tmp_path: Path
) -> None:
    whole, first = (trainer(model, objective, **settings) for _ in range(2))
    expected = [whole.train_step() for _ in range(12)]
    metrics = [first.train_step() for _ in range(cut)]
    save_checkpoint(tmp_path / "checkpoint", *first.state())
    second = trainer(model, objective, seed=5, **settings)
    second.restore(*load_checkpoint(tmp_path / "checkpoint"))
    for _ in range(12 - cut):
        torch.rand(17)
        np.random.default_rng().random()
        metrics.append(second.train_step())
    assert metrics == expected
    assert second.finished
    assert_same(parameters(second.model), parameters(whole.model))
    assert_same(second.state()[0], whole.state()[0])
    assert second.state()[1] | {"seconds": 0} == whole.state()[1] | {"seconds": 0}


def test_what_was_sharpened_and_rounded_is_restored(tmp_path: Path) -> None:
    trained = trainer(STOCHASTIC)
    while not trained.finished:
        trained.train_step()
    save_checkpoint(tmp_path / "checkpoint", *trained.state())
    restored = trainer(STOCHASTIC, seed=1)
    restored.restore(*load_checkpoint(tmp_path / "checkpoint"))
    operator = restored.model.join.operator
    assert operator.rounded
    assert operator.sharpness == 15.0
    tokens = torch.randint(2, (8, 50), generator=torch.Generator().manual_seed(0))
    for unit in (trained.model, restored.model):
        unit.eval()
    assert torch.equal(restored.model(tokens).logits, trained.model(tokens).logits)


def test_two_seeds_see_different_strings() -> None:
    one, same, other = (trainer(EVERY_CHANCE, seed=seed) for seed in (0, 0, 1))
    other.model.load_state_dict(one.model.state_dict())
    losses = [[each.train_step()["loss"] for _ in range(3)] for each in (one, same, other)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_the_parameters_change(poison: float) -> None:
    broken = trainer(EVERY_CHANCE)
    for _ in range(2):
        broken.train_step()
    broken.model.classifier.bias.data[0] = poison
    before, moments = parameters(broken.model), broken.state()[0]
    moments = {name: value.clone() for name, value in moments.items()}
    with pytest.raises(RunError, match=r"loss became nan at step 3 \(length \d+\)"):
        broken.train_step()
    for name, value in parameters(broken.model).items():
        assert torch.equal(value.nan_to_num(), before[name].nan_to_num()), name
    for name, value in broken.state()[0].items():
        assert torch.equal(value.nan_to_num(), moments[name].nan_to_num()), name
    assert broken.step == 2


def test_a_gradient_that_is_not_finite_stops_before_the_parameters_change() -> None:
    broken = trainer(EVERY_CHANCE)
    broken.train_step()
    before = parameters(broken.model)
    broken.model.encoder.embedding.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(RunError, match=r"norm of the gradient became (nan|inf) at step 2"):
        broken.train_step()
    assert_same(parameters(broken.model), before)
    assert broken.step == 1


@pytest.mark.parametrize("task", ["parity", "modular_arithmetic", "dyck_2"])
def test_metrics_say_what_was_done(task: str) -> None:
    training = {"optimiser": {"learning_rate": 0.5, "warm_up": 0.5, "tail": "constant"}, "steps": 20}
    made = trainer({"width": 4}, task=regular(task), **training)
    rows = [made.train_step() for _ in range(20)]
    assert [row["learning_rate"] for row in rows] == pytest.approx([min(0.05 * step, 0.5) for step in range(1, 21)])
    lengths = {int(row["length"]) for row in rows}
    assert max(lengths) <= 11
    assert min(lengths) >= 1
    if task == "modular_arithmetic":
        assert all(length % 2 for length in lengths)
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    assert made.sequences == 20 * 6
    assert made.finished


def test_dropout_is_on_in_training_after_an_evaluation() -> None:
    made = trainer({"width": 4, "dropout": 0.5})
    made.model.eval()
    made.train_step()
    assert made.model.training


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({"width": 16, "operator": {"name": "mlp"}}, {"optimiser": {"learning_rate": 0.01, "warm_up": 0.1}}),
        (
            {"width": 36, "level": "plain", "operator": {"name": "stochastic"}},
            {"optimiser": {"learning_rate": 0.1, "warm_up": 0.1, "centralise": False}},
        ),
    ],
    ids=["mlp", "stochastic"],
)
def test_a_tiny_unit_learns_parity_and_holds_at_length_100(model: dict[str, Any], training: dict[str, Any]) -> None:
    tree = {"name": "tree", "bracketing": "random"}
    made = trainer(model, tree, regular(maximum=20), steps=100, batch_size=32, **training)
    while not made.finished:
        made.train_step()
    point = Point({"length": 100, "distribution": "standard"}, 256)
    (row,) = evaluate_points(made.model, made.task, [point], np.random.default_rng(1))
    assert (row.axes["length"], row.samples, row.value) == (100, 256, 1.0)


DENSE = TREE | {"share_subtrees": False}


@pytest.mark.parametrize(
    ("model", "objective", "message"),
    [
        ({"readout": "prefixes"}, TREE, "model.readout 'prefixes' needs objective 'prefixes' or 'asked', not 'tree'"),
        ({}, {"name": "prefixes"}, "needs a model that gives logits after every token"),
        ({"odd": "zero"}, TREE, "model.odd 'zero' needs objective.share_subtrees: false"),
        ({"odd": "pad"}, {"name": "tree"}, "model.odd 'pad' needs objective.share_subtrees: false"),
        ({}, {"name": "tree", "share_subtrees": False}, "supervision of nodes .*share_subtrees: true"),
        ({}, DENSE | {"associativity": {"weight": 1.0}}, "associativity .*share_subtrees: true"),
        ({}, DENSE | {"products": {}}, "products .*share_subtrees: true"),
        ({}, DENSE | {"bracketing": "random"}, "'random' needs objective.share_subtrees: true"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    model: dict[str, Any], objective: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        trainer({"width": 4} | model, objective)
