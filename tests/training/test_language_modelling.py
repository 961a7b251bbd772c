from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trainers_for_tests
from trainers_for_tests import text, write_texts

from lengthwise.errors import InputError, RunError
from lengthwise.models import MIXERS
from lengthwise.models.backbone import Backbone, BackboneConfig
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.tasks.base import Point
from lengthwise.tasks.language_modelling import LanguageModelling
from lengthwise.tasks.windows import predicted
from lengthwise.training.loop import Trainer


@pytest.fixture
def task(tmp_path: Path) -> LanguageModelling:
    return text(write_texts(tmp_path))


SMALL = BackboneConfig(width=8, layers=2, dropout=0.1)


def trainer(
    task: LanguageModelling, intervention: str, seed: int = 0, shape: BackboneConfig = SMALL, **settings: Any
) -> Trainer:
    torch.manual_seed(seed)
    model = shape.build(task.inputs, task.outputs)
    given = {"batch_size": 4} | settings
    return trainers_for_tests.trainer(model, task, intervention=intervention, seed=seed, **given)


def test_the_loss_is_the_mean_cross_entropy_of_the_next_symbol(task: LanguageModelling) -> None:
    made = trainer(task, "zero")
    made.model.eval()
    batch = task.sample(np.random.default_rng(0), 4, Point({"length": 9}))
    log_p = made.model(torch.from_numpy(batch.inputs)).logits.log_softmax(-1)
    expected = -log_p.gather(-1, torch.from_numpy(batch.targets)[..., None]).mean()
    found = made.objective.loss(batch, None, 1.0, torch.Generator())
    torch.testing.assert_close(found.total, expected)
    assert found.accuracy == (log_p.argmax(-1).numpy() == batch.targets).mean()


def test_an_intervention_changes_nothing_but_the_initial_state(task: LanguageModelling) -> None:
    """The first step starts from zero either way; from the second on the passed state tells."""
    zero, passing = trainer(task, "zero"), trainer(task, "state_passing")
    losses = [(zero.train_step()["loss"], passing.train_step()["loss"]) for _ in range(3)]
    assert losses[0][0] == losses[0][1]
    assert losses[1][0] != losses[1][1]


@pytest.mark.slow
def test_it_learns(task: LanguageModelling) -> None:
    made = trainer(task, "zero", steps=150, optimiser={"learning_rate": 0.02, "warm_up": 0.1})
    losses = [made.train_step()["loss"] for _ in range(150)]
    assert np.mean(losses[-10:]) < 0.5 * losses[0]


def test_a_state_that_is_not_finite_is_named(task: LanguageModelling) -> None:
    broken = trainer(task, "zero")
    assert isinstance(broken.model, Backbone)
    broken.model.layers[1].norm.weight.data[0] = float("nan")
    with pytest.raises(RunError, match=r"loss became nan at step 1 \(length 9\); .* layers\.1\.hidden$"):
        broken.train_step()


@pytest.mark.parametrize(("mixer", "entry"), [("elman", "hidden"), ("mamba2", "matrix")])
@pytest.mark.parametrize("settings", [{}, {"accumulation": 2}, {"precision": "bfloat16"}])
def test_the_place_where_a_state_is_not_finite_is_named(
    task: LanguageModelling, mixer: str, entry: str, settings: dict[str, Any]
) -> None:
    """One symbol, which stands at one place of one window, is read as something that is not finite."""
    made = trainer(task, "zero", shape=BackboneConfig(width=32, mixer=MIXERS.load(mixer)()), **settings)
    symbols_BS = np.full((4, 10), 5, dtype=np.int64)
    symbols_BS[1, 6] = 7
    made.stream.next_batch = lambda rng, point: predicted(symbols_BS)
    embedding = next(module for module in made.model.modules() if isinstance(module, torch.nn.Embedding))
    embedding.weight.data[7] = float("inf")
    with pytest.raises(RunError, match=rf"at position 7 of the window .* layers\.0\.{entry}$"):
        made.train_step()


def test_windows_of_another_text_are_refused(task: LanguageModelling, tmp_path: Path) -> None:
    made = trainer(task, "tbptt")
    tensors, values = made.state()
    values["stream"]["fingerprint"] = "another"
    with pytest.raises(InputError, match="the text has changed"):
        trainer(task, "tbptt").restore(tensors, values)


def test_a_model_that_reads_out_whole_strings_is_asked_for_every_prefix(task: LanguageModelling) -> None:
    torch.manual_seed(0)
    unit = LDRUConfig(width=8).build(task.inputs, task.outputs)
    made = trainers_for_tests.trainer(unit, task, batch_size=4)
    unit.eval()
    batch = task.sample(np.random.default_rng(0), 4, Point({"length": 9}))
    inputs, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
    logits = torch.stack([unit(inputs[:, : length + 1]).logits for length in range(9)], 1)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(made.objective.loss(batch, None, 1.0, torch.Generator()).total, expected)
