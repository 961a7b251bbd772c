import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from trainers_for_tests import loss_of, regular, strings, trainer

from lengthwise.errors import InputError
from lengthwise.evaluation.by_point import evaluate_points
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.base import Output, SequenceModel, StringModel
from lengthwise.models.mixers.recurrent import GRUConfig
from lengthwise.state import State
from lengthwise.tasks.base import IGNORE, Batch
from lengthwise.training import OBJECTIVES
from lengthwise.training.config import StopConfig, TrainingConfig
from lengthwise.training.stopping import EarlyStop


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


def build(kind: str) -> StringModel:
    torch.manual_seed(0)
    return Bag(2, 2) if kind == "bag" else gru().build(2, 2)


@pytest.mark.parametrize("language", ["cycle_navigation", "dyck_2"])
def test_the_answer_to_a_string_is_at_its_last_position(language: str) -> None:
    task = regular(language)
    model, batch = gru(0).build(task.inputs, task.outputs).double(), strings(task, 9)
    logits = model(torch.from_numpy(batch.inputs)).logits[:, -1]
    expected = F.cross_entropy(logits, torch.from_numpy(batch.targets[:, -1]))
    torch.testing.assert_close(loss_of(model, task, batch, "asked").total, expected, rtol=1e-12, atol=0)


def test_every_position_that_is_asked_counts_once() -> None:
    task = regular("cycle_navigation")
    model, whole = gru(0).build(task.inputs, task.outputs).double(), strings(task, 9)
    targets = task.label_prefixes(whole).targets.copy()
    targets[np.random.default_rng(0).random(targets.shape) < 0.6] = IGNORE
    batch = Batch(whole.inputs, targets)
    log_p = model(torch.from_numpy(batch.inputs)).logits.log_softmax(-1)
    terms = [-log_p[row, place, targets[row, place]] for row, place in np.argwhere(targets != IGNORE)]
    assert 0 < len(terms) < targets.size
    torch.testing.assert_close(loss_of(model, task, batch, "asked").total, torch.stack(terms).mean())


def test_every_labelled_prefix_counts_once() -> None:
    task = regular("modular_arithmetic")
    model, batch = gru(0).build(task.inputs, task.outputs).double(), strings(task, 7)
    terms = []
    for row in batch.inputs:
        for length in range(1, 8):
            label = int(task.automaton.label(row[None, :length])[0])
            if label != IGNORE:
                logits = model(torch.from_numpy(row[None, :length])).logits[0, -1]
                terms.append(-torch.log_softmax(logits, -1)[label])
    found = loss_of(model, task, batch, "prefixes").total
    torch.testing.assert_close(found, torch.stack(terms).mean(), rtol=1e-12, atol=0)


def test_the_penalty_of_any_model_is_added() -> None:
    task = regular()
    model, batch = Bag(2, 2).double(), strings(task, 6)
    plain = loss_of(model, task, batch, "asked").total
    model.charge = 0.3
    expected = plain + 0.3 * model.embedding.weight.square().sum()
    torch.testing.assert_close(loss_of(model, task, batch, "asked").total, expected)


def test_trees_are_refused_for_other_models() -> None:
    with pytest.raises(InputError, match="objective 'tree' needs an LDRU: Backbone has no tree; use 'asked'"):
        trainer(build("gru"), regular(), {"name": "tree"})


@pytest.mark.parametrize("model", [Bag(2, 2), LastOnly()])
def test_prefixes_cannot_be_learned_from_logits_of_whole_strings(model: StringModel) -> None:
    name = type(model).__name__
    with pytest.raises(InputError, match=f"'prefixes' needs a model that gives logits after every token; {name} gives"):
        trainer(model, regular(), {"name": "prefixes"})
    trainer(model, regular()).train_step()


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
    made = trainer(build("gru"), regular(), stop={"loss_below": 10.0, "steps": 5})
    while not made.finished:
        assert "mean_loss" in made.train_step()
    assert (made.step, made.ending) == (5, "stopped: loss below 10 for 5 steps")
    made = trainer(build("gru"), regular(), stop={"loss_below": 1e-9, "steps": 5})
    while not made.finished:
        made.train_step()
    assert (made.step, made.ending) == (12, "all 12 steps")
    assert "mean_loss" not in trainer(build("gru"), regular()).train_step()


def test_prefixes_of_padded_rows_end_where_the_rows_do() -> None:
    """Loss, accuracy and states are those of each row read by itself: padding is no part of what is passed."""
    task, lengths = regular("cycle_navigation"), [7, 4, 1]
    model = gru(0).build(task.inputs, task.outputs).double()
    start = model(torch.from_numpy(strings(task, 5, rows=3).inputs)).state.detach()
    rows = [strings(task, length, rows=1) for length in lengths]
    padded = Batch.joined(rows)
    assert padded.lengths.tolist() == lengths
    objective = OBJECTIVES.load("prefixes")().build(model, task, TrainingConfig())
    rng = torch.Generator()
    found = objective.loss(padded, start, 0.0, rng, watched=True)
    alone = [objective.loss(row, start.rows([b]), 0.0, rng, watched=True) for b, row in enumerate(rows)]
    total = sum(one.total * length for one, length in zip(alone, lengths, strict=True)) / sum(lengths)
    torch.testing.assert_close(found.total, total, rtol=1e-12, atol=0)
    assert found.accuracy is not None
    assert float(found.accuracy) == pytest.approx(sum(float(one.accuracy) for one in alone) / 3)
    final = State.concat([one.state for one in alone])
    assert found.state is not None
    for name in final:
        torch.testing.assert_close(found.state[name], final[name], rtol=1e-12, atol=1e-14)
    unwatched = objective.loss(padded, None, 0.0, rng)
    fresh = sum(objective.loss(row, None, 0.0, rng).total * n for row, n in zip(rows, lengths, strict=True))
    torch.testing.assert_close(unwatched.total, fresh / sum(lengths), rtol=1e-12, atol=0)


@pytest.mark.slow
def test_a_small_gru_learns_parity_from_prefixes_and_holds_at_length_200() -> None:
    torch.manual_seed(0)
    training = {
        "steps": 600,
        "batch_size": 32,
        "optimiser": {"learning_rate": 0.02, "warm_up": 0.05},
        "stop": {"loss_below": 0.01, "steps": 50},
    }
    task = regular(maximum=20, test={"longest": 100, "samples": 64, "near_misses": [], "long_lengths": [200]})
    made = trainer(gru(0.0, 16).build(2, 2), task, {"name": "prefixes"}, **training)
    while not made.finished:
        made.train_step()
    assert made.step < 600
    rows = list(evaluate_points(made.model, task, task.points("test"), np.random.default_rng(1)))
    assert (len(rows), rows[-1].axes["length"]) == (101, 200)
    assert {row.value for row in rows} == {1.0}
