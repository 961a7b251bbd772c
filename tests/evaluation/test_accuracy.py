import math
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from lengthwise.evaluation import accuracy
from lengthwise.evaluation.accuracy import (
    EvaluationConfig,
    LengthAccuracy,
    evaluate_lengths,
    evaluate_point,
    existing_lengths,
)
from lengthwise.models.backbone import Backbone, BackboneConfig
from lengthwise.models.base import Output, SequenceModel, StringModel
from lengthwise.models.mixers.recurrent import GRUConfig
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.state import Kind, State
from lengthwise.tasks import LANGUAGES, get_task
from lengthwise.tasks.language import Language
from lengthwise.training.config import TrainingConfig
from lengthwise.training.strings import StringTrainer

FALSE_ALARM_QUANTILE = 5.5
"""The normal quantile of one false alarm in fifty million, both sides: one in half a million over all lengths here."""


class Oracle(SequenceModel):
    """The automaton itself, wrong about every string longer than it can bear."""

    def __init__(self, task: Language, right_until: float = math.inf) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))
        self.automaton = task.automaton
        self.classes = task.classes
        self.right_until = right_until

    def initial_state(self, batch_size: int) -> State:
        start = torch.full((batch_size,), self.automaton.start)
        return State({"state": start, "position": torch.zeros(batch_size, dtype=torch.int64)},
                     {"position": Kind.POSITION})  # fmt: skip

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        state = self.initial_state(len(tokens)) if state is None else state
        after = self.automaton.run(tokens.numpy(), state["state"].numpy())
        read = int(state["position"][0]) + tokens.shape[1]
        # A prefix without a class is never asked about.
        labels = torch.from_numpy(self.automaton.outputs_S[after]).clamp(min=0)
        labels = labels if read <= self.right_until else (labels + 1) % self.classes
        carried = {"state": torch.from_numpy(after), "position": torch.full((len(tokens),), read)}
        return Output(nn.functional.one_hot(labels, self.classes).double(), State(carried, {"position": Kind.POSITION}))


class Constant(Oracle):
    """Says the same class of everything."""

    def __init__(self, task: Language, label: int) -> None:
        super().__init__(task)
        self.label = label

    def forward(self, tokens: Tensor, state: State | None = None) -> Output:
        logits, carried = super().forward(tokens, state)
        return Output(torch.zeros_like(logits).index_fill(1, torch.tensor([self.label]), 1.0), carried)


def config(**choices: object) -> EvaluationConfig:
    return EvaluationConfig(**{"longest": 20, "samples": 64, "long_lengths": (), "near_misses": ()} | choices)


def rows(model: StringModel, task: str, settings: EvaluationConfig, seed: int = 0) -> list[LengthAccuracy]:
    return list(evaluate_lengths(model, get_task(task), settings, seed))


def lengths_of(found: Iterable[LengthAccuracy], distribution: str) -> list[int]:
    return [row.length for row in found if row.distribution == distribution]


@given(samples=st.integers(1, 10_000), share=st.floats(0, 1), z=st.floats(0.1, 5))
def test_the_ends_of_an_interval_are_where_the_score_test_turns(samples: int, share: float, z: float) -> None:
    row = LengthAccuracy("standard", 1, round(share * samples), samples)
    low, high = row.interval(z)
    assert -1e-12 <= low <= row.value + 1e-12
    assert row.value <= high + 1e-12
    assert high <= 1 + 1e-12
    for end in (low, high):
        assert (row.value - end) ** 2 == pytest.approx(z * z * end * (1 - end) / samples, abs=1e-9)
    assert high - low > 0


def test_the_interval_of_a_known_case() -> None:
    # Newcombe 1998, table I: 81 of 263.
    low, high = LengthAccuracy("standard", 1, 81, 263).interval(1.959964)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize("task", LANGUAGES)
def test_the_rule_itself_is_right_at_every_length(task: str) -> None:
    settings = config(samples=16, near_misses=(10, 20), long_lengths=(45, 5000), long_samples=4)
    found = rows(Oracle(get_task(task)), task, settings)
    assert [row for row in found if row.correct != row.samples] == []
    expected = range(1, 21, 2) if task.startswith("modular") else range(1, 21)
    assert lengths_of(found, "standard")[: len(expected)] == list(expected)
    assert {row.samples for row in found} == {16, 4}


@pytest.mark.parametrize("task", ["parity", "cycle_navigation", "dyck_2", "tomita_3", "prefix_1_2"])
def test_a_constant_answer_scores_the_share_of_its_class(task: str) -> None:
    language, samples = get_task(task), 4000
    for label in range(min(2, language.classes)):
        for row in rows(Constant(language, label), task, config(samples=samples)):
            counts = language.class_counts(row.length)
            share = counts[label] / sum(counts)
            if not language.prefixes_are_fair and counts[1]:
                share = (share + label) / 2
            spread = math.sqrt(share * (1 - share) / samples)
            assert abs(row.value - share) <= FALSE_ALARM_QUANTILE * spread, (task, label, row)


@pytest.mark.parametrize("task", ["parity", "dyck_3", "modular_arithmetic"])
@pytest.mark.parametrize("right_until", [1, 9, 30])
def test_errors_beyond_a_length_are_seen_beyond_that_length_only(task: str, right_until: int) -> None:
    settings = config(longest=40, samples=8, near_misses=(6, 36), long_lengths=(10_001,), long_samples=3)
    found = rows(Oracle(get_task(task), right_until), task, settings)
    assert {row.length for row in found if row.value == 1.0} == {n for _, n, *_ in found if n <= right_until}
    assert {row.length for row in found if row.value == 0.0} == {n for _, n, *_ in found if n > right_until}


def test_near_misses_are_evaluated_at_the_lengths_that_have_them() -> None:
    settings = config(longest=0, near_misses=(7, 8, 15, 16))
    assert lengths_of(rows(Oracle(get_task("dyck_4")), "dyck_4", settings), "near_miss") == [8, 16]
    found = rows(Oracle(get_task("parity")), "parity", settings)
    assert lengths_of(found, "near_miss") == [7, 8, 15, 16]
    always_rejects = rows(Constant(get_task("dyck_4"), 0), "dyck_4", settings)
    assert {row.value for row in always_rejects} == {1.0}


def test_lengths_that_do_not_exist_give_way_to_those_below_once() -> None:
    assert existing_lengths(get_task("modular_arithmetic"), range(1, 8)) == [1, 3, 5, 7]
    assert existing_lengths(get_task("modular_arithmetic"), (500, 10, 9)) == [499, 9]
    assert existing_lengths(get_task("parity"), (3, 0, 2)) == [3, 2]


@pytest.mark.parametrize("task", ["parity", "dyck_2", "modular_arithmetic"])
def test_a_grid_has_odd_and_even_lengths(task: str) -> None:
    found = rows(Oracle(get_task(task)), task, config(every=7, longest=30))
    expected = [1, 7, 15, 21, 29] if task == "modular_arithmetic" else [1, 8, 15, 22, 29]
    assert lengths_of(found, "standard") == expected
    assert "every" not in config().model_dump()
    with pytest.raises(ValidationError, match="10 steps lead to odd lengths only; write 9 or 11"):
        config(every=10)


def backbone(task: str) -> Backbone:
    torch.manual_seed(0)
    language = get_task(task)
    model = BackboneConfig(width=6, layers=1, mixer=GRUConfig(hidden_size=6)).build(language.vocabulary, 2).double()
    nn.init.normal_(model.classifier.weight)
    return model


class OneByOne(StringModel):
    """Reads every string by itself."""

    def __init__(self, model: Backbone) -> None:
        super().__init__()
        self.model = model
        self.read = 0

    def string_logits(self, tokens: Tensor) -> Tensor:
        self.read += 1
        return torch.cat([self.model(row[None]).logits[:, -1] for row in tokens])


@pytest.mark.parametrize("limits", [{}, {"ELEMENTS": 1500}, {"ROWS": 5}])
@pytest.mark.parametrize("task", ["dyck_2", "tomita_3"])
def test_many_lengths_in_one_pass_have_the_rows_of_one_string_at_a_time(
    task: str, limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, settings = backbone(task), config(samples=9, near_misses=(6, 14), long_lengths=(30,), long_samples=4)
    alone = OneByOne(model)
    # Which strings are drawn may depend on how many are held; which of them are right may not.
    monkeypatch.setattr(accuracy, "ELEMENTS", limits.get("ELEMENTS", accuracy.ELEMENTS))
    expected = rows(alone, task, settings)
    monkeypatch.setattr(accuracy, "ROWS", limits.get("ROWS", accuracy.ROWS))
    assert len({row.correct for row in expected}) > 3
    passes: list[tuple[int, ...]] = []

    class Watched(Backbone):
        def padded_logits(self, tokens: Tensor, lengths: Tensor) -> Tensor:
            passes.append(tuple(tokens.shape))
            return super().padded_logits(tokens, lengths)

    model.__class__ = Watched
    assert rows(model, task, settings) == expected
    assert sum(count for count, _ in passes) == 9 * (20 + 2) + 4
    assert all(count * length <= limits.get("ELEMENTS", 16_000_000) // 2 for count, length in passes)
    assert all(count <= limits.get("ROWS", 1024) for count, _ in passes)
    assert limits or len(passes) == 3


def test_a_model_that_keeps_what_it_read_has_fewer_strings_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[tuple[int, ...]] = []

    class Hoarder(Oracle):
        def initial_state(self, batch_size: int) -> State:
            state = super().initial_state(batch_size)
            return State(state, state.kinds | {"state": Kind.CACHE})

        def string_logits(self, tokens: Tensor, chunk: int | None = None) -> Tensor:
            held.append(tuple(tokens.shape))
            return super().string_logits(tokens, chunk)

    monkeypatch.setattr(accuracy, "ELEMENTS", 128 * 100)
    rows(Hoarder(get_task("parity")), "parity", config(longest=0, long_lengths=(40,), long_samples=5))
    assert held == [(2, 40), (2, 40), (1, 40)]


def tiny() -> LDRUConfig:
    return LDRUConfig(width=8, dropout=0.3, noise=0.1)


@pytest.mark.parametrize("task", ["parity", "dyck_2"])
def test_the_same_seed_gives_the_same_rows(task: str) -> None:
    torch.manual_seed(0)
    model = tiny().build(2, 2)
    settings = config(near_misses=(10,), long_lengths=(30,))
    found = rows(model, task, settings, seed=3)
    assert rows(model, task, settings, seed=3) == found
    assert rows(model, task, settings, seed=4) != found
    assert not model.training


@pytest.mark.parametrize("task", ["parity", "modular_arithmetic"])
def test_rows_do_not_depend_on_how_many_strings_are_held_at_a_time(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    language = get_task(task)
    model = tiny().build(language.vocabulary, language.classes)
    at_once = rows(model, task, config())
    monkeypatch.setattr(accuracy, "ELEMENTS", 8 * 2 * 20 * 7)
    assert rows(model, task, config()) == at_once


@pytest.mark.parametrize("task", ["parity", "dyck_2"])
def test_no_more_symbols_are_held_at_a_time_than_agreed(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "ELEMENTS", 3000)
    language = get_task(task)
    held: list[tuple[int, ...]] = []

    class Watched(Oracle):
        def string_logits(self, tokens: Tensor, chunk: int | None = None) -> Tensor:
            held.append(tuple(tokens.shape))
            return super().string_logits(tokens, chunk)

    settings = config(longest=0, long_lengths=(300, 4000), long_samples=12)
    found = rows(Watched(language), task, settings)
    assert [(row.length, row.correct, row.samples) for row in found] == [(300, 12, 12), (4000, 12, 12)]
    assert held == [(5, 300), (5, 300), (2, 300)] + [(1, 4000)] * 12


def test_points_of_a_curve_are_measured_on_the_same_strings() -> None:
    torch.manual_seed(0)
    model = tiny().build(2, 2)
    settings = config(curve_lengths=(10, 40), curve_samples=50)
    first = evaluate_point(model, get_task("dyck_2"), settings, seed=0)
    assert list(first) == [10, 40]
    assert evaluate_point(model, get_task("dyck_2"), settings, seed=0) == first
    assert evaluate_point(Oracle(get_task("dyck_2"), 20), get_task("dyck_2"), settings, seed=0) == {10: 1.0, 40: 0.0}


def test_evaluation_leaves_no_trace_in_training() -> None:
    def trained(look: bool) -> dict[str, Tensor]:
        torch.manual_seed(0)
        task = get_task("dyck_2")
        trainer = StringTrainer(tiny().build(2, 2), task, TrainingConfig(steps=6, batch_size=8), seed=0)
        while not trainer.finished:
            trainer.train_step()
            if look:
                evaluate_point(trainer.model, task, config(curve_lengths=(12,), curve_samples=8), seed=trainer.step)
                rows(trainer.model, "dyck_2", config(longest=3, samples=4, near_misses=(4,), long_lengths=(9,)))
        return trainer.state()[0]

    watched, alone = trained(True), trained(False)
    assert all(torch.equal(watched[name], alone[name]) for name in alone)


def test_strings_of_evaluation_are_not_those_of_training() -> None:
    task, seen = get_task("cycle_navigation"), []

    class Recorder(Oracle):
        def prefix_logits(self, tokens: Tensor, lengths: object) -> Tensor:
            seen.append(tokens.numpy())
            return super().prefix_logits(tokens, lengths)

    list(evaluate_lengths(Recorder(task), task, config(samples=4, longest=40), seed=0))
    in_training = task.sample(np.random.default_rng(0), 4, 40).tokens
    assert not (seen[0] == in_training).all(1).any()


def test_a_language_with_unlabelled_strings_among_its_prefixes_asks_only_for_lengths_that_have_a_class() -> None:
    language = get_task("modular_arithmetic")
    assert language.prefixes_are_fair
    assert all(row.length % 2 for row in rows(Oracle(language), "modular_arithmetic", config()))
