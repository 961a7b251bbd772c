import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from small_tasks import small_task
from torch import Tensor, nn

from lengthwise.errors import InputError, RunError
from lengthwise.evaluation import by_point
from lengthwise.evaluation.by_point import ByPoint, evaluate_points
from lengthwise.evaluation.intervals import wilson_interval
from lengthwise.evaluation.metrics import metrics_of
from lengthwise.evaluation.rows import Row
from lengthwise.models.backbone import Backbone, BackboneConfig
from lengthwise.models.base import Output, SequenceModel, StringModel
from lengthwise.models.mixers.recurrent import GRUConfig
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.state import Kind, State
from lengthwise.tasks import LANGUAGES, TASKS, get_language
from lengthwise.tasks.base import Batch, Point
from lengthwise.tasks.regular.language import Language
from lengthwise.tasks.regular.task import Regular
from lengthwise.training.config import TrainingConfig
from lengthwise.training.loop import Trainer
from lengthwise.training.objectives.tree import TreeConfig

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


def task_of(language: str, **test: object) -> Regular:
    settings = {"longest": 20, "samples": 64, "long_lengths": (), "near_misses": ()} | test
    return Regular.model_validate({"language": language, "test": settings})


def rows(model: StringModel, task: Regular, seed: int = 0) -> list[Row]:
    return list(ByPoint().measure(model, task, seed))


def length_of(row: Row) -> int:
    length = row.axes["length"]
    assert isinstance(length, int)
    return length


def lengths_of(found: Iterable[Row], distribution: str) -> list[int]:
    return [length_of(row) for row in found if row.axes["distribution"] == distribution]


@given(samples=st.integers(1, 10_000), share=st.floats(0, 1), z=st.floats(0.1, 5))
def test_the_ends_of_an_interval_are_where_the_score_test_turns(samples: int, share: float, z: float) -> None:
    value = round(share * samples) / samples
    low, high = wilson_interval(value, samples, z)
    assert -1e-12 <= low <= value + 1e-12
    assert value <= high + 1e-12
    assert high <= 1 + 1e-12
    for end in (low, high):
        assert (value - end) ** 2 == pytest.approx(z * z * end * (1 - end) / samples, abs=1e-9)
    assert high - low > 0


def test_the_interval_of_a_known_case() -> None:
    # Newcombe 1998, table I: 81 of 263.
    low, high = wilson_interval(81 / 263, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_the_rule_itself_is_right_at_every_length(language: str) -> None:
    task = task_of(language, samples=16, near_misses=(10, 20), long_lengths=(45, 5000), long_samples=4)
    found = rows(Oracle(task.definition), task)
    assert [row for row in found if row.value != 1.0] == []
    expected = range(1, 21, 2) if language.startswith("modular") else range(1, 21)
    assert lengths_of(found, "standard")[: len(expected)] == list(expected)
    assert {row.samples for row in found} == {16, 4}
    assert {(row.task, row.metric, row.low, row.high) for row in found} == {(language, "accuracy", None, None)}


@pytest.mark.parametrize("name", ["parity", "cycle_navigation", "dyck_2", "tomita_3", "prefix_1_2"])
def test_a_constant_answer_scores_the_share_of_its_class(name: str) -> None:
    language, samples = get_language(name), 4000
    for label in range(min(2, language.classes)):
        for row in rows(Constant(language, label), task_of(name, samples=samples)):
            counts = language.class_counts(length_of(row))
            share = counts[label] / sum(counts)
            if not language.prefixes_are_fair and counts[1]:
                share = (share + label) / 2
            spread = math.sqrt(share * (1 - share) / samples)
            assert abs(row.value - share) <= FALSE_ALARM_QUANTILE * spread, (name, label, row)


@pytest.mark.parametrize("language", ["parity", "dyck_3", "modular_arithmetic"])
@pytest.mark.parametrize("right_until", [1, 9, 30])
def test_errors_beyond_a_length_are_seen_beyond_that_length_only(language: str, right_until: int) -> None:
    task = task_of(language, longest=40, samples=8, near_misses=(6, 36), long_lengths=(10_001,), long_samples=3)
    found = rows(Oracle(task.definition, right_until), task)
    lengths = [length_of(row) for row in found]
    assert {length_of(row) for row in found if row.value == 1.0} == {n for n in lengths if n <= right_until}
    assert {length_of(row) for row in found if row.value == 0.0} == {n for n in lengths if n > right_until}


def test_near_misses_are_evaluated_at_the_lengths_that_have_them() -> None:
    dyck, parity = (task_of(name, longest=0, near_misses=(7, 8, 15, 16)) for name in ("dyck_4", "parity"))
    assert lengths_of(rows(Oracle(dyck.definition), dyck), "near_miss") == [8, 16]
    assert lengths_of(rows(Oracle(parity.definition), parity), "near_miss") == [7, 8, 15, 16]
    always_rejects = rows(Constant(dyck.definition, 0), dyck)
    assert {row.value for row in always_rejects} == {1.0}


@pytest.mark.parametrize("language", ["parity", "dyck_2", "modular_arithmetic"])
def test_a_grid_has_odd_and_even_lengths(language: str) -> None:
    task = task_of(language, every=7, longest=30)
    expected = [1, 7, 15, 21, 29] if language == "modular_arithmetic" else [1, 8, 15, 22, 29]
    assert lengths_of(rows(Oracle(task.definition), task), "standard") == expected
    with pytest.raises(ValidationError, match="10 steps lead to odd lengths only; write 9 or 11, or pairs: true"):
        task_of(language, every=10)


@pytest.mark.parametrize("language", ["parity", "dyck_2", "modular_arithmetic"])
@pytest.mark.parametrize("longest", [20, 21, 22])
def test_pairs_stand_beside_each_other_on_strings_of_their_own(language: str, longest: int) -> None:
    task = task_of(language, every=10, pairs=True, longest=longest)
    pairs = [1, 2, 11, 12, 21, 22][: 6 if longest == 22 else 4]
    expected = [length for length in pairs if length % 2 or language != "modular_arithmetic"]
    points = [point for point in task.points("test") if point.axes["distribution"] == "standard"]
    assert [point.length for point in points] == expected
    assert not any(map(task.shares_prefixes, points))
    with pytest.raises(ValidationError, match="every length is measured already; write every: 2 or more"):
        task_of(language, pairs=True)


def backbone(task: Regular) -> Backbone:
    torch.manual_seed(0)
    model = BackboneConfig(width=6, layers=1, mixer=GRUConfig(hidden_size=6)).build(task.inputs, 2).double()
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
@pytest.mark.parametrize("language", ["dyck_2", "tomita_3"])
def test_many_lengths_in_one_pass_have_the_rows_of_one_string_at_a_time(
    language: str, limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(language, samples=9, near_misses=(6, 14), long_lengths=(30,), long_samples=4)
    model = backbone(task)
    alone = OneByOne(model)
    # Which strings are drawn may depend on how many are held; which of them are right may not.
    monkeypatch.setattr(by_point, "ELEMENTS", limits.get("ELEMENTS", by_point.ELEMENTS))
    expected = rows(alone, task)
    monkeypatch.setattr(by_point, "ROWS", limits.get("ROWS", by_point.ROWS))
    assert len({row.value for row in expected}) > 3
    passes: list[tuple[int, ...]] = []

    class Watched(Backbone):
        def asked_logits(self, inputs: Tensor, asked: Tensor) -> Tensor:
            passes.append(tuple(inputs.shape))
            return super().asked_logits(inputs, asked)

    model.__class__ = Watched
    assert rows(model, task) == expected
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

    monkeypatch.setattr(by_point, "ELEMENTS", 128 * 100)
    task = task_of("parity", longest=0, long_lengths=(40,), long_samples=5)
    rows(Hoarder(task.definition), task)
    assert held == [(2, 40), (2, 40), (1, 40)]


def tiny() -> LDRUConfig:
    return LDRUConfig(width=8, dropout=0.3, noise=0.1)


@pytest.mark.parametrize("language", ["parity", "dyck_2"])
def test_the_same_seed_gives_the_same_rows(language: str) -> None:
    torch.manual_seed(0)
    model = tiny().build(2, 2)
    task = task_of(language, near_misses=(10,), long_lengths=(30,))
    found = rows(model, task, seed=3)
    assert rows(model, task, seed=3) == found
    assert rows(model, task, seed=4) != found
    assert not model.training


@pytest.mark.parametrize("language", ["parity", "modular_arithmetic"])
def test_rows_do_not_depend_on_how_many_strings_are_held_at_a_time(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    task = task_of(language)
    model = tiny().build(task.inputs, task.outputs)
    at_once = rows(model, task)
    monkeypatch.setattr(by_point, "ELEMENTS", 8 * 2 * 20 * 7)
    assert rows(model, task) == at_once


@pytest.mark.parametrize("language", ["parity", "dyck_2"])
def test_no_more_symbols_are_held_at_a_time_than_agreed(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_point, "ELEMENTS", 3000)
    held: list[tuple[int, ...]] = []

    class Watched(Oracle):
        def string_logits(self, tokens: Tensor, chunk: int | None = None) -> Tensor:
            held.append(tuple(tokens.shape))
            return super().string_logits(tokens, chunk)

    task = task_of(language, longest=0, long_lengths=(300, 4000), long_samples=12)
    found = rows(Watched(task.definition), task)
    assert [(length_of(row), row.value, row.samples) for row in found] == [(300, 1.0, 12), (4000, 1.0, 12)]
    assert held == [(5, 300), (5, 300), (2, 300)] + [(1, 4000)] * 12


def test_points_of_a_curve_are_measured_on_the_same_strings() -> None:
    torch.manual_seed(0)
    task = task_of("dyck_2", curve_lengths=(10, 40), curve_samples=50)
    model, curve = tiny().build(2, 2), ByPoint().curve
    first = curve(model, task, 0)
    assert list(first) == ["accuracy_10", "accuracy_40"]
    assert curve(model, task, 0) == first
    assert curve(Oracle(task.definition, 20), task, 0) == {"accuracy_10": 1.0, "accuracy_40": 0.0}


def test_evaluation_leaves_no_trace_in_training() -> None:
    def trained(look: bool) -> dict[str, Tensor]:
        torch.manual_seed(0)
        task = task_of("dyck_2", longest=3, samples=4, near_misses=(4,), long_lengths=(9,), curve_lengths=(12,))
        config = TrainingConfig(steps=6, batch_size=8)
        trainer = Trainer(tiny().build(2, 2), task, config, seed=0, objective=TreeConfig(node_weight=0.0))
        while not trainer.finished:
            trainer.train_step()
            if look:
                ByPoint().curve(trainer.model, task, trainer.step)
                rows(trainer.model, task)
        return trainer.state()[0]

    watched, alone = trained(True), trained(False)
    assert all(torch.equal(watched[name], alone[name]) for name in alone)


def test_strings_of_evaluation_are_not_those_of_training() -> None:
    task, seen = task_of("cycle_navigation", samples=4, longest=40), []

    class Recorder(Oracle):
        def prefix_logits(self, tokens: Tensor, lengths: object) -> Tensor:
            seen.append(tokens.numpy())
            return super().prefix_logits(tokens, lengths)

    rows(Recorder(task.definition), task)
    in_training = task.definition.sample(np.random.default_rng(0), 4, 40).tokens
    assert not (seen[0] == in_training).all(1).any()


def test_a_language_with_unlabelled_strings_among_its_prefixes_asks_only_for_lengths_that_have_a_class() -> None:
    task = task_of("modular_arithmetic")
    assert task.definition.prefixes_are_fair
    assert all(length_of(row) % 2 for row in rows(Oracle(task.definition), task))


class EveryPrefix(Regular):
    """Asks for the class of every prefix at each point, in sequences of two lengths, and measures it in two ways."""

    metrics = ("accuracy", "cross_entropy", "sequence_accuracy")

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        whole = self.label_prefixes(super().sample(rng, rows, point))
        shorter = whole.inputs.shape[1] // 2
        cut = [shorter if row % 2 else whole.inputs.shape[1] for row in range(rows)]
        pairs = zip(whole.inputs, whole.targets, cut, strict=True)
        inputs, targets = zip(*((i[:n], t[:n]) for i, t, n in pairs), strict=True)
        return Batch.padded(inputs, targets)

    def shares_prefixes(self, point: Point) -> bool:
        return False


def test_a_row_counts_once_however_much_it_is_asked_and_has_an_interval() -> None:
    """Every metric from the logits of each row alone."""
    task = EveryPrefix(language="parity")
    points = [Point({"length": length, "distribution": "standard"}, 30) for length in (6, 11)]
    model = backbone(task)
    found = list(evaluate_points(model, task, points, np.random.default_rng(0)))
    rng = np.random.default_rng(0)
    for number, point in enumerate(points):
        batch = task.sample(rng, 30, point)
        scores: dict[str, list[float]] = {name: [] for name in task.metrics}
        for inputs, targets, length in zip(batch.inputs, batch.targets, batch.lengths, strict=True):
            log_p = model(torch.from_numpy(inputs[None, :length])).logits[0].log_softmax(-1).detach().numpy()
            right = log_p.argmax(-1) == targets[:length]
            scores["accuracy"].append(right.mean())
            scores["sequence_accuracy"].append(float(right.all()))
            scores["cross_entropy"].append(-log_p[np.arange(length), targets[:length]].mean())
        for row in found[3 * number : 3 * number + 3]:
            own = np.array(scores[row.metric])
            assert (row.samples, row.axes) == (30, dict(point.axes))
            assert row.value == pytest.approx(own.mean())
            if row.metric == "sequence_accuracy":
                assert (row.low, row.high) == (None, None)
            else:
                # The 97.5 % quantile of Student's t with 29 degrees of freedom.
                half = 2.04523 * own.std(ddof=1) / math.sqrt(30)
                assert (row.low, row.high) == pytest.approx((own.mean() - half, own.mean() + half), rel=1e-5)


def test_a_point_with_fewer_samples_than_it_says_is_refused() -> None:
    class Short(Regular):
        def batches(self, rng: np.random.Generator, point: Point, rows: int) -> Iterator[Batch]:
            yield self.sample(rng, 3, point)

    task = Short(language="dyck_2")
    points = [Point({"length": 8, "distribution": "standard"}, 5)]
    with pytest.raises(InputError, match=r"dyck_2 has other than 5 samples at \{'length': 8"):
        list(evaluate_points(Oracle(task.definition), task, points, np.random.default_rng(0)))


@pytest.mark.parametrize("shared", [True, False])
def test_answers_that_are_not_numbers_are_no_answers(shared: bool) -> None:
    """The largest logit of a row of NaN is its first, so that a network without a number in it is right by half."""

    class Broken(Oracle):
        def forward(self, tokens: Tensor, state: State | None = None) -> Output:
            logits, carried = super().forward(tokens, state)
            return Output(logits.index_fill(0, torch.tensor([len(logits) - 1]), math.nan), carried)

    task = task_of("parity")
    model = Broken(task.definition)
    with pytest.raises(RunError, match=r"gives NaN for \d+ of \d+ answers to parity"):
        list(evaluate_points(model, task, task.points("test"), np.random.default_rng(0), shared=shared))


@pytest.mark.parametrize(
    ("metric", "task", "said"),
    [
        ("squared_error", "regular", "metric 'squared_error' reads values, and .* answers classes; there is: accuracy"),
        ("accuracy", "signals", "metric 'accuracy' reads classes, and .* answers values; there is: squared_error"),
        ("sequence_accuracy", "signals", "reads classes"),
        ("cross_entropy", "signals", "reads classes"),
    ],
)
def test_a_metric_of_other_answers_is_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, metric: str, task: str, said: str
) -> None:
    """Two classes of two answers would be subtracted without a word."""
    asked = small_task(task, tmp_path)
    monkeypatch.setattr(type(asked), "metrics", (metric,))
    model = BackboneConfig(width=4, layers=1, mixer=GRUConfig(hidden_size=4)).build(asked.inputs, asked.outputs)
    with pytest.raises(InputError, match=said):
        ByPoint().check(model, asked)
    with pytest.raises(InputError, match=said):
        list(evaluate_points(model, asked, asked.points("test"), np.random.default_rng(0)))


@pytest.mark.parametrize("task", list(TASKS))
def test_the_metrics_of_every_task_read_what_it_answers(task: str, tmp_path: Path) -> None:
    asked = small_task(task, tmp_path)
    assert set(metrics_of(asked)) == set(asked.metrics)
