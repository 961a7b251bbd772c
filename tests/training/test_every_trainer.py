"""The contract of training over tasks, models, objectives and interventions: resumed bit-equal, accumulated, refused.

A case joins by its line in `CASES`; every registered objective and intervention must have one.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_tasks import small_task
from torch import Tensor

from lengthwise.errors import InputError, StoppedError
from lengthwise.interventions import INTERVENTIONS
from lengthwise.models import MODELS
from lengthwise.tasks import TASKS
from lengthwise.training import CURRICULA, OBJECTIVES
from lengthwise.training.checkpoint import load_checkpoint, save_checkpoint
from lengthwise.training.config import TrainingConfig
from lengthwise.training.loop import Trainer

Settings = dict[str, Any]
STEPS = 10

GRU: Settings = {"name": "backbone", "width": 8, "layers": 1, "dropout": 0.2, "mixer": {"name": "gru"}}
GRU["mixer"]["hidden_size"] = 8
DELTA: Settings = GRU | {"mixer": {"name": "gated_deltanet", "heads": 2}}
NESTED: Settings = {"name": "nested", "width": 8, "dropout": 0.1, "brackets": {"strings": 50}}
CHANCE: Settings = {"name": "ldru", "width": 8, "dropout": 0.2, "noise": 0.1, "noise_warm_up": 0.5}
STOCHASTIC: Settings = {"name": "ldru", "width": 16, "level": "plain", "noise": 0.01}
STOCHASTIC |= {"operator": {"name": "stochastic", "determinism": 0.1}}
CERTIFIED: Settings = {"name": "ldru", "width": 16, "level": "plain", "operator": {"name": "stochastic"}}
PARITY: Settings = {"name": "regular", "language": "parity", "train": {"maximum": 11}}
MIXED: Settings = PARITY | {"mixture": {"standard": 0.5, "near_miss": 0.25, "hard": 0.25}}
TREE: Settings = {"name": "tree", "bracketing": "random", "associativity": {"weight": 0.5}}
PRODUCTS: Settings = {"name": "tree", "products": {"candidates": 16, "hardest": 8}}
DENSE: Settings = {"name": "tree", "bracketing": "shifted", "share_subtrees": False, "node_weight": 0.0}
SPANS: Settings = {"name": "tbptt", "zero_share": 0.5, "spans": [2, 5]}
PASSING: Settings = {"name": "state_passing", "zero_share": 0.3}
OPTIMISER: Settings = {"optimiser": {"name": "muon", "weight_decay": 0.1, "tail": "cosine"}}

CASES: dict[str, tuple[str | Settings, Settings, Settings, Settings, Settings]] = {
    # Task, model, objective, intervention, training.
    "nodes": (PARITY, CHANCE, TREE, {"name": "zero"}, {}),
    "products": (PARITY, CHANCE, PRODUCTS, {"name": "zero"}, {}),
    "dense": (PARITY, CHANCE, DENSE, {"name": "zero"}, {"optimiser": {"tail": "cosine"}}),
    "pad": (PARITY, CHANCE | {"odd": "pad"}, DENSE, {"name": "zero"}, {"curriculum": {"name": "growing"}}),
    "stochastic": (MIXED, STOCHASTIC, {"name": "tree"}, {"name": "zero"}, {"optimiser": {"amsgrad": False}}),
    "counterexamples": (PARITY, CERTIFIED, {"name": "counterexamples"}, {"name": "zero"}, {}),
    "prefixes": (PARITY, CHANCE | {"readout": "prefixes"}, {"name": "prefixes"}, {"name": "zero"}, OPTIMISER),
    "recurrent-prefixes": (
        PARITY,
        GRU,
        {"name": "prefixes"},
        {"name": "zero"},
        {"stop": {"loss_below": 9, "steps": 9}},
    ),
    "regular-passing": (
        "regular",
        GRU,
        {"name": "asked"},
        {"name": "state_passing"},
        {"curriculum": {"name": "log_uniform"}},
    ),
    "regular-gpt": ("regular", {"name": "regular_gpt", "width": 8}, {"name": "asked"}, {"name": "zero"}, {}),
    "text": ("language_modelling", GRU, {"name": "asked"}, {"name": "zero"}, {"recompute": 3}),
    "text-passing": ("language_modelling", GRU, {"name": "asked"}, PASSING, {"precision": "bfloat16"}),
    "text-tbptt": ("language_modelling", DELTA, {"name": "asked"}, {"name": "tbptt"}, {}),
    "text-distil": ("language_modelling", GRU, {"name": "distil", "burn_in": 2}, PASSING, {"recompute": 3}),
    "signals-distil": ("signals", DELTA, {"name": "distil"}, PASSING, {}),
    "copying-distil": ("copying", GRU, {"name": "distil", "burn_in": 1}, {"name": "random_noise"}, {}),
    "text-fitted": ("language_modelling", GRU, {"name": "asked"}, {"name": "fitted_noise"}, {}),
    "text-noise": ("language_modelling", GRU, {"name": "asked"}, {"name": "random_noise"}, {}),
    "listops-nested": ("listops", NESTED, {"name": "asked"}, {"name": "zero"}, {}),
    "brackets": ("brackets", GRU, {"name": "asked"}, {"name": "zero"}, {}),
    "listops": ("listops", CHANCE, {"name": "asked"}, {"name": "zero"}, {}),
    "copying": ("copying", DELTA, {"name": "asked"}, PASSING, {}),
    "mqar": ("mqar", DELTA, {"name": "asked"}, {"name": "fitted_noise", "after": 2}, {}),
    "selective_copying": ("selective_copying", GRU, {"name": "asked"}, {"name": "filler_passing"}, {}),
    "passkey": ("passkey", GRU, {"name": "asked"}, {"name": "fitted_noise"}, {}),
    "passkey-filler": ("passkey", DELTA, {"name": "asked"}, {"name": "filler_passing", "reset": 0.3}, {}),
    "passkey-fitted-once": (
        "passkey",
        DELTA,
        {"name": "asked"},
        {"name": "fitted_noise", "after": 3, "zero_share": 0.5},
        {"accumulation": 2},
    ),
    "passkey-spans": ("passkey", DELTA, {"name": "asked"}, SPANS, {}),
    "copying-spans": ("copying", GRU, {"name": "asked"}, SPANS, {}),
    "text-filler": ("language_modelling", GRU, {"name": "asked"}, {"name": "filler_passing", "length": 9}, {}),
    "babilong": ("babilong", GRU, {"name": "asked"}, PASSING, {}),
    "classification": ("classification", GRU, {"name": "asked"}, {"name": "zero"}, {}),
    "classification-passing": ("classification", DELTA, {"name": "asked"}, PASSING, {}),
    "classification-folded": ("classification", CHANCE, {"name": "asked"}, PASSING, {}),
    "signals": ("signals", GRU, {"name": "asked"}, {"name": "zero"}, {"curriculum": {"name": "growing"}}),
    "signals-passing": ("signals", DELTA, {"name": "asked"}, PASSING, {}),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


def trainer(case: str, folder: Path, seed: int = 0, **changes: Any) -> Trainer:
    task, model, objective, intervention, training = CASES[case]
    torch.manual_seed(seed)
    made = small_task(task, folder) if isinstance(task, str) else TASKS.load(task["name"]).model_validate(task)
    built = MODELS.load(model["name"]).model_validate(model).build(made.inputs, made.outputs)
    config = TrainingConfig.model_validate({"steps": STEPS, "batch_size": 6} | training | changes)
    chosen = OBJECTIVES.load(objective["name"]).model_validate(objective)
    start = INTERVENTIONS.load(intervention["name"]).model_validate(intervention).build()
    return Trainer(built, made, config, seed, chosen, start)


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tensors.items()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name].nan_to_num(), value.nan_to_num()), name


def without_seconds(values: dict[str, Any]) -> dict[str, Any]:
    return values | {"seconds": 0}


def test_every_part_that_can_be_chosen_has_a_case() -> None:
    names = [[settings["name"] for settings in parts[2:4]] for parts in CASES.values()]
    assert {objective for objective, _ in names} >= {*OBJECTIVES}
    assert {intervention for _, intervention in names} >= {*INTERVENTIONS}
    curricula = {parts[4].get("curriculum", {"name": "uniform"})["name"] for parts in CASES.values()}
    assert curricula >= {*CURRICULA}
    tasks = {task if isinstance(task, str) else task["name"] for task, *_ in CASES.values()}
    assert tasks >= {*TASKS}


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 7])
def test_a_restored_trainer_goes_on_bit_equal(case: str, cut: int, tmp_path: Path) -> None:
    whole, first = trainer(case, tmp_path), trainer(case, tmp_path)
    expected = list[dict[str, float]]()
    while not whole.finished:
        expected.append(whole.train_step())
    metrics = [first.train_step() for _ in range(cut)]
    save_checkpoint(tmp_path / "checkpoint", *first.state())
    second = trainer(case, tmp_path, seed=5)
    second.restore(*load_checkpoint(tmp_path / "checkpoint"))
    while not second.finished:
        # What others draw must not matter.
        torch.rand(17)
        np.random.default_rng().random()
        metrics.append(second.train_step())
    assert metrics == expected
    assert second.step == whole.step == (9 if case == "recurrent-prefixes" else STEPS)
    assert_same(second.state()[0], whole.state()[0])
    assert without_seconds(second.state()[1]) == without_seconds(whole.state()[1])


def test_parts_of_a_batch_give_the_gradient_of_the_whole(case: str, tmp_path: Path) -> None:
    task, model, objective, intervention, training = CASES[case]
    if objective["name"] in {"tree", "counterexamples"}:
        pytest.skip("a tree shares equal substrings of what is read together")
    # Dropout and noise are drawn for each part.
    quiet = model | {"dropout": 0.0} | ({"noise": 0.0} if model["name"] == "ldru" else {})
    CASES["quiet"] = (task, quiet, objective, intervention, training | {"precision": "float32"})
    try:
        whole, parts = trainer("quiet", tmp_path), trainer("quiet", tmp_path, accumulation=4)
    finally:
        del CASES["quiet"]
    whole.model.double()
    parts.model.double()
    for _ in range(3):
        one, other = whole.train_step(), parts.train_step()
        assert one == pytest.approx(other, rel=1e-5)
        for (name, first), second in zip(whole.model.named_parameters(), parts.model.parameters(), strict=True):
            if first.grad is None or second.grad is None:
                assert first.grad is second.grad is None, name
                continue
            # The loss is taken in float32.
            torch.testing.assert_close(second.grad, first.grad, rtol=1e-4, atol=1e-6, msg=name)
        parts.model.load_state_dict(whole.model.state_dict())


def test_a_loss_that_is_not_finite_stops_before_anything_changes(case: str, tmp_path: Path) -> None:
    broken = trainer(case, tmp_path)
    for _ in range(2):
        broken.train_step()
    last = [*broken.model.parameters()][-1]
    last.data.view(-1)[0] = float("nan")
    before, step = copied(broken.state()[0]), broken.step
    with pytest.raises(StoppedError, match=rf"(nan|finite).* at step {step + 1} \(length \d+\)|not finite in"):
        broken.train_step()
    for kind in ("model.", "optimiser."):
        kept = {name: value for name, value in before.items() if name.startswith(kind)}
        assert_same({name: value for name, value in broken.state()[0].items() if name in kept}, kept)
    assert broken.step == step


def test_a_gradient_that_is_not_finite_stops_before_anything_changes(case: str, tmp_path: Path) -> None:
    broken = trainer(case, tmp_path)
    broken.train_step()
    last = [*broken.model.parameters()][-1]
    last.register_hook(lambda gradient: gradient * float("inf"))
    before = copied(broken.model.state_dict())
    with pytest.raises(StoppedError, match=r"norm of the gradient became (nan|inf) at step 2"):
        broken.train_step()
    assert_same(dict(broken.model.state_dict()), before)
    assert broken.step == 1


@pytest.mark.slow
def test_a_seed_decides_training(case: str, tmp_path: Path) -> None:
    one, same, other = (trainer(case, tmp_path, seed) for seed in (0, 0, 1))
    other.model.load_state_dict(one.model.state_dict())
    losses = [[made.train_step()["loss"] for _ in range(3)] for made in (one, same, other)]
    assert losses[0] == losses[1] != losses[2]


def test_metrics_say_what_was_done(case: str, tmp_path: Path) -> None:
    made = trainer(case, tmp_path)
    made.model.eval()
    row = made.train_step()
    assert made.model.training
    assert {"loss", "learning_rate", "gradient_norm", "length"} <= row.keys()
    assert 0 <= row.get("accuracy", 0) <= 1
    assert made.sequences >= 6
    assert all(np.isfinite(value) for value in row.values())


def test_more_parts_than_rows_are_refused(case: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"6 rows cannot be shared out to 7 parts a step \(training.accumulation\)"):
        trainer(case, tmp_path, accumulation=7)
