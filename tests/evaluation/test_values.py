"""Values in, values out: the contract, losses, remembrance and the verdict of models that read no symbols."""

import math
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.evaluation.beyond import EffectiveRemembrance, Perplexity, StateStatistics
from lengthwise.evaluation.contract import check_contract
from lengthwise.evaluation.perplexity import log_edges, octave_losses, position_losses, restarted_losses
from lengthwise.evaluation.remembrance import effective_remembrance
from lengthwise.evaluation.starts import Starts
from lengthwise.evaluation.state_statistics import state_statistics
from lengthwise.evaluation.verdict import of_values, verdict
from lengthwise.interventions.passing import StatePassingConfig
from lengthwise.models.answers import answer_losses, distances
from lengthwise.models.base import Output
from lengthwise.models.recurrent import RecurrentModel
from lengthwise.spaces import Tokens, Values
from lengthwise.tasks.base import Batch, Point, Task
from lengthwise.training.config import TrainingConfig
from lengthwise.training.loop import Trainer

PROBABILITY = Values(1, "binary_cross_entropy")
FRAMES, ROWS, LENGTH = 3, 4, 24


class Detector(Task):
    """One probability after every frame: whether the sum of its numbers is above that of the one before."""

    name: Literal["detector"] = "detector"
    metrics: ClassVar[tuple[str, ...]] = ("binary_cross_entropy",)

    @property
    def inputs(self):
        return Values(FRAMES)

    @property
    def outputs(self):
        return PROBABILITY

    def points(self, stage):
        return [Point({"length": 8}, samples=8)]

    def sample(self, rng, rows, point):
        frames = rng.standard_normal((rows, point.length, FRAMES)).astype(np.float32)
        sums = frames.sum(-1, keepdims=True)
        before = np.concatenate([np.zeros_like(sums[:, :1]), sums[:, :-1]], 1)
        return Batch(frames, (sums > before).astype(np.float32))

    def held_out(self, rows, length):
        return self.sample(np.random.default_rng(5), rows, Point({"length": length}))


def detector(answers=1):
    torch.manual_seed(0)
    return RecurrentModel(nn.Identity(), nn.LSTM(FRAMES, 8, batch_first=True), nn.Linear(8, answers))


def frames(rows=ROWS, length=LENGTH):
    return torch.randn(rows, length, FRAMES, generator=torch.Generator().manual_seed(1))


def targets(rows=ROWS, length=LENGTH):
    return (torch.rand(rows, length, 1, generator=torch.Generator().manual_seed(2)) > 0.5).float()


@pytest.mark.parametrize("inputs", [Values(FRAMES), frames()])
def test_the_contract_of_a_model_of_values_holds(inputs):
    findings = check_contract(detector().double(), inputs)
    assert len(findings) == 9
    assert [finding for finding in findings if not finding.holds] == []


class Forgetful(RecurrentModel):
    """Drops what it is given to start from."""

    def forward(self, tokens, state=None):
        return super().forward(tokens, None if state is None else self.initial_state(len(tokens)))


class Peeking(RecurrentModel):
    """Answers with the mean of all frames that it reads."""

    def forward(self, tokens, state=None):
        logits, after = super().forward(tokens, state)
        return Output(logits + tokens.mean((1, 2), keepdim=True), after)


@pytest.mark.parametrize(("kind", "clause"), [(Forgetful, "cut anywhere: outputs"), (Peeking, "causality")])
def test_a_broken_model_of_values_breaks_its_clause(kind, clause):
    model = kind(nn.Identity(), nn.LSTM(FRAMES, 8, batch_first=True), nn.Linear(8, 1)).double()
    assert any(f.clause.startswith(clause) for f in check_contract(model, Values(FRAMES)) if not f.holds)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (torch.full((2, 9, 3), math.nan), "not finite"),
        (torch.zeros(2, 9, 3), "one symbol or value throughout"),
        (torch.randn(2, 7, 3), "8 tokens and 2 rows, not 7 and 2"),
        (torch.randn(2, 9), "values of shape"),
    ],
)
def test_an_example_of_which_nothing_could_be_told_is_refused(example, message):
    with pytest.raises(InputError, match=message):
        check_contract(detector(), example)


def test_losses_of_given_targets_are_those_of_one_reading():
    model, read, asked = detector(), frames(), targets()
    found = position_losses(model, read, targets=asked, outputs=PROBABILITY, chunk=5, batch_size=3)
    with torch.no_grad():
        expected = F.binary_cross_entropy_with_logits(model(read).logits, asked, reduction="none")[..., 0]
    assert [(each.start - 1, each.end) for each in found] == list(pairwise(log_edges(LENGTH)))
    for each in found:
        assert each.mean == pytest.approx(float(expected[:, each.start - 1 : each.end].mean()), rel=1e-6)


def test_a_loss_of_ones_own_is_what_positions_and_training_see():
    def absolute(answers, targets):
        return (answers - targets).abs().mean(-1)

    own = Values(1, absolute)
    found = position_losses(detector(), frames(), targets=targets(), outputs=own)
    with torch.no_grad():
        expected = absolute(detector()(frames()).logits, targets())
    assert found[0].mean == pytest.approx(float(expected[:, 0].mean()), rel=1e-6)
    with pytest.raises(InputError, match=r"gives one number an answer, \[5\]"):
        answer_losses(
            Values(1, lambda answers, targets: (answers - targets).mean()), torch.ones(5, 1), torch.ones(5, 1)
        )
    with pytest.raises(InputError, match="squared_error or binary_cross_entropy or a function, not 'hinge'"):
        Values(1, "hinge")


def test_targets_that_do_not_belong_to_the_inputs_are_refused():
    for wrong in (targets()[:, 1:], targets()[..., 0], targets() * math.nan):
        with pytest.raises(InputError, match="targets"):
            position_losses(detector(), frames(), targets=wrong, outputs=PROBABILITY)


def test_windows_that_start_anew_have_the_losses_of_windows_read_alone():
    model, read, asked = detector(), frames(), targets()
    edges = [4, 8, 16, 24]
    found = restarted_losses(model, read, 8, edges, targets=asked, outputs=PROBABILITY)
    with torch.no_grad():
        alone = model(read[:, 4:12]).logits[:, 4:]
    expected = F.binary_cross_entropy_with_logits(alone, asked[:, 8:12], reduction="none").sum((1, 2))
    part = restarted_losses(model, read, 8, [8, 12], targets=asked, outputs=PROBABILITY)
    torch.testing.assert_close(part.sums_BN[:, 0].float(), expected)
    assert found.sums_BN.shape == (ROWS, 3)


def test_remembrance_of_values_is_a_distance_of_the_last_answers():
    model, read = detector(2), frames()
    with torch.no_grad():
        whole, tail = model(read).logits[:, -1].double(), model(read[:, 9:]).logits[:, -1].double()
    (found,) = effective_remembrance(model, read, [9])
    assert found.value == pytest.approx(float(((tail - whole).norm(dim=1) / whole.norm(dim=1)).mean()), rel=1e-6)
    (found,) = effective_remembrance(model, read, [9], outputs=Values(2, "binary_cross_entropy"))
    assert found.value == pytest.approx(float((tail.sigmoid() - whole.sigmoid()).abs().mean()), rel=1e-6)


def test_a_distance_from_zero_is_none_or_infinite():
    zero = torch.zeros(2, 3)
    assert distances(Values(3), zero, zero).tolist() == [0, 0]
    assert distances(Values(3), zero + 1, zero).tolist() == [math.inf, math.inf]
    assert distances(Tokens(3), zero, zero).tolist() == [0, 0]


class Growing(RecurrentModel):
    """Errs by the square root of how many frames lie behind."""

    def forward(self, tokens, state=None):
        before = self.initial_state(len(tokens)) if state is None else state
        count = before["layers.0.hidden"][:, :1] + torch.arange(1, 1 + tokens.shape[1])
        _, after = super().forward(tokens, before)
        entries = {**after, "layers.0.hidden": count[:, -1:].expand_as(after["layers.0.hidden"])}
        return Output(count[..., None].sqrt(), type(after)(entries, after.kinds))


def test_the_verdict_of_values_compares_their_errors():
    model = Growing(nn.Identity(), nn.LSTM(FRAMES, 8, batch_first=True), nn.Linear(8, 1))
    octaves = octave_losses(model, frames(), 6, targets=torch.zeros(ROWS, LENGTH, 1), outputs=Values(1))
    judged = verdict(of_values(octaves), 6, measure="error")
    # Errors are 1, 2, 3, ... by position.
    assert [ratio.ratio for ratio in judged.ratios] == pytest.approx([9.5 / 5, 18.5 / 5])
    assert judged.name == "fails"
    assert judged.reason.startswith("error at positions")
    perfect = octave_losses(model, frames(), 6, targets=torch.arange(1.0, 25).sqrt().expand(ROWS, -1)[..., None])
    with pytest.raises(InputError, match="loss of 0 at positions 4 to 6"):
        of_values(perfect)


def test_one_pipeline_trains_and_measures_a_task_of_probabilities():
    task, model = Detector(), detector()
    state = StatePassingConfig().build()
    trainer = Trainer(model, task, TrainingConfig(steps=5, batch_size=4), 0, intervention=state)
    losses = [trainer.train_step()["loss"] for _ in range(5)]
    assert all(0.3 < loss < 1 for loss in losses)
    rows = [
        row
        for kind in (Perplexity(reach=4, rows=3), EffectiveRemembrance(rows=3, starts=3), StateStatistics(reach=4))
        for row in kind.measure(model, task, 0)
    ]
    assert {row.metric for row in rows} >= {"error_by_position", "error_ratio", "remembrance", "state_std"}
    assert all(math.isfinite(row.value) for row in rows)
    assert Perplexity(reach=4, rows=3).guessing(task) is None


def test_statistics_of_a_state_that_read_values_are_those_of_the_state():
    (whole, *_) = state_statistics(detector(), frames(), [LENGTH])
    with torch.no_grad():
        state = detector()(frames()).state
    joined = torch.cat([entry.flatten() for entry in state.values()])
    assert whole.standard_deviation == pytest.approx(float(joined.std(correction=0)), rel=1e-5)


def test_ways_to_start_are_measured_of_values_as_errors() -> None:
    rows = list(Starts(reach=4, rows=3).measure(detector(), Detector(), 0))
    assert {row.metric for row in rows} == {"start_error", "start_cost", "start_state"}
    assert len({row.axes["way"] for row in rows}) == 4
    assert all(0 < row.value < 2 for row in rows if row.metric == "start_error")
