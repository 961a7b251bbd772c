from pathlib import Path

import numpy as np
import pytest
import torch
from trainers_for_tests import regular, text, trainer, write_texts

from lengthwise.errors import InputError
from lengthwise.models.answers import divergences
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.base import SequenceModel
from lengthwise.models.mixers.recurrent import GRUConfig
from lengthwise.models.tree.regular_gpt import RegularGPTConfig
from lengthwise.spaces import Space, Tokens, Values
from lengthwise.state import State
from lengthwise.tasks.base import Batch, Point, Task
from lengthwise.training.config import TrainingConfig
from lengthwise.training.objectives.distil import Distil


class Frames(Task):
    """Frames of noise of which nothing is known."""

    size: int = 3

    @property
    def inputs(self) -> Space:
        return Values(self.size)

    @property
    def outputs(self) -> Space:
        return Values(1)

    def points(self, stage: str) -> list[Point]:
        return [Point({"length": 6})]

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        return Batch(rng.normal(size=(rows, 6, self.size)), np.full((rows, 6, 1), np.nan))


def gru(task: Task, seed: int = 0) -> SequenceModel:
    torch.manual_seed(seed)
    model = BackboneConfig(width=8, layers=1, mixer=GRUConfig(hidden_size=8)).build(task.inputs, task.outputs)
    assert isinstance(model, SequenceModel)
    return model


def far_state(model: SequenceModel, rows: int) -> State:
    return model.initial_state(rows).of_rows(rows).map(lambda entry: entry + torch.linspace(-2, 2, entry.shape[-1]))


def loss(objective: Distil, batch: Batch, start: State | None) -> float:
    marked = objective.mix(batch, 0, 0.1, np.random.default_rng(0))
    return float(objective.loss(marked, start, 0.1, torch.Generator()).total.detach())


def test_divergences_are_those_of_the_formulas() -> None:
    one, other = torch.tensor([[0.3, -1.0, 2.0]]), torch.tensor([[1.0, 0.0, -0.5]])
    p, q = other.softmax(-1), one.softmax(-1)
    assert torch.allclose(divergences(Tokens(3), one, other), (p * (p / q).log()).sum(-1))
    binary = Values(3, "binary_cross_entropy")
    p, q = other.sigmoid(), one.sigmoid()
    expected = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    assert torch.allclose(divergences(binary, one, other), expected.mean(-1), atol=1e-6)
    assert torch.allclose(divergences(Values(3), one, other), (one - other).square().mean(-1))
    assert all(float(divergences(space, one, one).abs()) < 1e-6 for space in (Tokens(3), binary, Values(3)))


def test_from_the_initial_state_there_is_nothing_to_learn_and_from_another_there_is(tmp_path: Path) -> None:
    task = text(write_texts(tmp_path))
    model = gru(task).eval()
    batch = task.sample(np.random.default_rng(0), 4, task.points("train")[0])
    objective = Distil(model, task, TrainingConfig(), burn_in=3)
    assert loss(objective, batch, None) == pytest.approx(0, abs=1e-6)
    start = far_state(model, 4)
    inputs = torch.from_numpy(batch.inputs)
    taught, answered = (model(inputs, state).logits[:, 3:].flatten(0, 1) for state in (None, start))
    expected = float(divergences(task.outputs, answered, taught).mean().detach())
    assert loss(objective, batch, start) == pytest.approx(expected, rel=1e-3)
    assert expected > 1e-5


def test_values_without_a_target_bring_the_answers_back_to_those_from_a_fresh_state() -> None:
    task = Frames()
    model = gru(task)
    frames = torch.randn(16, 6, 3, generator=torch.Generator().manual_seed(1))
    before = model(frames).logits.detach()
    objective = Distil(model, task, TrainingConfig(), burn_in=2)
    start = far_state(model, 16)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    rng, found = np.random.default_rng(0), list[float]()
    for step in range(120):
        marked = objective.mix(task.sample(rng, 16, task.points("train")[0]), step, 0.1, rng)
        made = objective.loss(marked, start, 0.1, torch.Generator())
        optimiser.zero_grad()
        made.total.backward()
        optimiser.step()
        found.append(float(made.total.detach()))
        assert made.accuracy is None
    assert found[-1] < 0.2 * found[0]
    apart = [float((model(frames, state).logits - before)[:, 2:].square().mean().detach()) for state in (None, start)]
    assert max(apart) < 0.3 * float(before.square().mean())


def test_a_trainer_needs_no_label_and_a_loss_of_values_has_no_unit() -> None:
    task = Frames()
    model, larger = gru(task), gru(task)
    with torch.no_grad():
        for parameter in [*larger.parameters()][-2:]:
            parameter.mul_(1000)
    batch = task.sample(np.random.default_rng(0), 5, task.points("train")[0])
    values = [loss(Distil(each, task, TrainingConfig()), batch, far_state(each, 5)) for each in (model, larger)]
    assert values[0] == pytest.approx(values[1], rel=1e-3)
    trained = trainer(model, task, {"name": "distil"}, "state_passing")
    assert all(np.isfinite(trained.train_step()["loss"]) for _ in range(3))


def test_a_teacher_of_zeros_gives_a_finite_loss() -> None:
    task = Frames()
    model = gru(task)
    with torch.no_grad():
        for parameter in [*model.parameters()][-2:]:
            parameter.zero_()
    batch = task.sample(np.random.default_rng(0), 5, task.points("train")[0])
    assert loss(Distil(model, task, TrainingConfig()), batch, far_state(model, 5)) == 0


def test_the_teacher_is_the_model_before_training_also_after_a_restart(tmp_path: Path) -> None:
    task = text(write_texts(tmp_path))
    model = gru(task)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    trained = trainer(model, task, {"name": "distil"}, "state_passing")
    assert not trained.objective.memory()
    for _ in range(4):
        trained.train_step()
    again = trainer(gru(task, seed=1), task, {"name": "distil"}, "state_passing", seed=1)
    again.restore(*trained.state())
    for kept in (trained.objective.memory(), again.objective.memory()):
        assert all(torch.equal(kept[f"teacher.{name}"], value) for name, value in first.items())
    assert any(not torch.equal(model.state_dict()[name], value) for name, value in first.items())


def test_what_cannot_be_distilled_is_refused(tmp_path: Path) -> None:
    task = text(write_texts(tmp_path))
    batch = task.sample(np.random.default_rng(0), 4, task.points("train")[0])
    with pytest.raises(InputError, match=r"objective.burn_in 9 leaves nothing of sequences of 9 positions"):
        loss(Distil(gru(task), task, TrainingConfig(), burn_in=9), batch, None)
    with pytest.raises(InputError, match="objective 'distil'"):
        Distil(RegularGPTConfig(width=8).build(2, 2), regular(), TrainingConfig())
