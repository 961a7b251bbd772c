from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.evaluation.accuracy import EvaluationConfig, evaluate_lengths
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.base import Output, SequenceModel, StringModel
from lengthwise.models.mixers.recurrent import GRUConfig
from lengthwise.state import State
from lengthwise.tasks import get_task
from lengthwise.tasks.base import UNLABELLED, Batch
from lengthwise.training.checkpoint import load_checkpoint, save_checkpoint
from lengthwise.training.config import StopConfig, TrainingConfig
from lengthwise.training.stopping import EarlyStop
from lengthwise.training.strings import StringTrainer, string_objective

SHORT = {"steps": 12, "batch_size": 6, "lengths": {"name": "uniform", "maximum": 11}}


class Bag(StringModel):
    """Counts symbols: no state, one answer a string."""

    def __init__(self, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 8)
        self.classifier = nn.Linear(8, classes)
        self.charge = 0.0

    def string_logits(self, tokens: Tensor) -> Tensor:
        return self.classifier(self.embedding(tokens).sum(1).sin())

    def penalty(self) -> Tensor | None:
        return self.charge * self.embedding.weight.square().sum() if self.charge else None


class LastOnly(SequenceModel):
    """Carries a sum, and gives logits after the last token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, 2)

    def initial_state(self, batch_size: int) -> State:
        return State({"sum": self.embedding.weight.new_zeros(batch_size, 2)})

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        total = self.embedding(tokens).sum(1) + (state or self.initial_state(len(tokens)))["sum"]
        return Output(total, State({"sum": total}))


def gru(dropout: float = 0.2, width: int = 8) -> BackboneConfig:
    return BackboneConfig(width=width, layers=1, dropout=dropout, mixer=GRUConfig(hidden_size=width))


def trainer(model: StringModel, training: dict[str, Any], task: str = "parity", seed: int = 0) -> StringTrainer:
    return StringTrainer(model, get_task(task), TrainingConfig.model_validate(SHORT | training), seed)


def build(kind: str) -> StringModel:
    torch.manual_seed(0)
    return Bag(2, 2) if kind == "bag" else gru().build(2, 2)


def strings(task: str, length: int) -> Batch:
    return get_task(task).sample(np.random.default_rng(length), 10, length)


def loss_of(model: StringModel, task: str, batch: Batch, **choices: Any) -> Tensor:
    objective = string_objective(model, get_task(task).automaton, TrainingConfig(**choices))
    return objective.loss(batch, 0.5, torch.Generator()).total


@pytest.mark.parametrize("task", ["cycle_navigation", "dyck_2"])
def test_the_root_is_the_last_position(task: str) -> None:
    language = get_task(task)
    model, batch = gru(0).build(language.vocabulary, language.classes).double(), strings(task, 9)
    logits = model(torch.from_numpy(batch.tokens)).logits[:, -1]
    expected = F.cross_entropy(logits, torch.from_numpy(batch.targets))
    torch.testing.assert_close(loss_of(model, task, batch), expected, rtol=1e-12, atol=0)


def test_every_labelled_prefix_counts_once() -> None:
    task = get_task("modular_arithmetic")
    model, batch = gru(0).build(task.vocabulary, task.classes).double(), strings("modular_arithmetic", 7)
    terms = []
    for row in batch.tokens:
        for length in range(1, 8):
            label = int(task.automaton.label(row[None, :length])[0])
            if label != UNLABELLED:
                logits = model(torch.from_numpy(row[None, :length])).logits[0, -1]
                terms.append(-torch.log_softmax(logits, -1)[label])
    found = loss_of(model, "modular_arithmetic", batch, supervision="prefixes")
    torch.testing.assert_close(found, torch.stack(terms).mean(), rtol=1e-12, atol=0)


def test_the_penalty_of_any_model_is_added() -> None:
    model, batch = Bag(2, 2).double(), strings("parity", 6)
    plain = loss_of(model, "parity", batch)
    model.charge = 0.3
    expected = plain + 0.3 * model.embedding.weight.square().sum()
    torch.testing.assert_close(loss_of(model, "parity", batch), expected)


@pytest.mark.parametrize(
    ("kind", "training"),
    [
        ("bag", {}),
        ("gru", {}),
        ("gru", {"supervision": "prefixes", "mixture": {"standard": 0.5, "near_miss": 0.5}}),
        ("gru", {"supervision": "prefixes", "stop": {"loss_below": 10.0, "steps": 9}}),
    ],
    ids=["bag", "root", "prefixes", "stop"],
)
@pytest.mark.parametrize("cut", [1, 8])
def test_a_restored_trainer_goes_on_bit_equal(kind: str, training: dict[str, Any], cut: int, tmp_path: Path) -> None:
    whole, first = (trainer(build(kind), training) for _ in range(2))
    expected = []
    while not whole.finished:
        expected.append(whole.train_step())
    metrics = [first.train_step() for _ in range(cut)]
    save_checkpoint(tmp_path / "checkpoint", *first.state())
    second = trainer(build(kind), training, seed=5)
    second.restore(*load_checkpoint(tmp_path / "checkpoint"))
    while not second.finished:
        torch.rand(17)
        metrics.append(second.train_step())
    assert metrics == expected
    assert second.step == whole.step == (9 if "stop" in training else 12)
    assert second.state()[1] | {"seconds": 0} == whole.state()[1] | {"seconds": 0}
    tensors, tensors_whole = second.state()[0], whole.state()[0]
    assert all(torch.equal(tensors[name], tensors_whole[name]) for name in tensors_whole)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"bracketing": "random"}, "training.bracketing 'random': only an LDRU .*; Backbone has none"),
        ({"share_subtrees": False}, "training.share_subtrees False: only an LDRU"),
        ({"node_weight": 0.5, "supervision": "nodes"}, "training.node_weight 0.5, training.supervision 'nodes': only"),
        ({"associativity": {"weight": 0.5}}, "training.associativity.weight 0.5: only an LDRU"),
    ],
)
def test_settings_of_trees_are_refused_for_other_models(training: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        trainer(build("gru"), training)


@pytest.mark.parametrize("model", [Bag(2, 2), LastOnly()])
def test_prefixes_cannot_be_learned_from_logits_of_whole_strings(model: StringModel) -> None:
    name = type(model).__name__
    with pytest.raises(InputError, match=f"'prefixes' needs a model that gives logits after every token; {name} gives"):
        trainer(model, {"supervision": "prefixes"})
    trainer(model, {"supervision": "root"}).train_step()


@pytest.mark.parametrize("steps", [1, 4])
def test_training_stops_once_the_running_mean_has_been_low_for_long(steps: int) -> None:
    losses = [1.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    stop, low = EarlyStop(StopConfig(loss_below=0.26, steps=steps)), []
    for seen, loss in enumerate(losses, start=1):
        mean = stop.observe(loss)
        assert mean == pytest.approx(sum(losses[:seen]) / seen)
        low.append(mean < 0.26)
        assert stop.reached == (len(low) >= steps and all(low[-steps:]))


def test_the_running_mean_forgets_what_is_long_past() -> None:
    stop = EarlyStop(StopConfig(loss_below=0.1, steps=1))
    for _ in range(200):
        stop.observe(1.0)
    means = [stop.observe(0.0) for _ in range(200)]
    assert means[49] == pytest.approx((1 - 1 / 50) ** 50)
    assert means[-1] < 0.02


def test_how_training_ended_is_said() -> None:
    made = trainer(build("gru"), {"stop": {"loss_below": 10.0, "steps": 5}})
    while not made.finished:
        assert "mean_loss" in made.train_step()
    assert (made.step, made.ending) == (5, "stopped: loss below 10 for 5 steps")
    made = trainer(build("gru"), {"stop": {"loss_below": 1e-9, "steps": 5}})
    while not made.finished:
        made.train_step()
    assert (made.step, made.ending) == (12, "all 12 steps")
    assert "mean_loss" not in trainer(build("gru"), {}).train_step()


def test_a_small_gru_learns_parity_from_prefixes_and_holds_at_length_200() -> None:
    torch.manual_seed(0)
    training = {
        "steps": 600,
        "batch_size": 32,
        "supervision": "prefixes",
        "lengths": {"name": "uniform", "maximum": 20},
        "optimiser": {"learning_rate": 0.02, "warm_up": 0.05},
        "stop": {"loss_below": 0.01, "steps": 50},
    }
    made = trainer(gru(0.0, 16).build(2, 2), training)
    while not made.finished:
        made.train_step()
    assert made.step < 600
    config = EvaluationConfig(longest=100, samples=64, near_misses=(), long_lengths=(200,), long_samples=128)
    assert {row.value for row in evaluate_lengths(made.model, get_task("parity"), config, seed=1)} == {1.0}
