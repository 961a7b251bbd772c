"""The contract over every registered task; a new one joins by its line in the registry.

Shape letters: B rows, T positions, F numbers of a vector.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from small_tasks import WITH_CONTENT, small_task

from lengthwise.errors import InputError
from lengthwise.evaluation import DIAGNOSTICS, METRICS
from lengthwise.evaluation.by_point import evaluate_points
from lengthwise.models import MODELS
from lengthwise.spaces import Tokens, Values
from lengthwise.tasks import TASKS
from lengthwise.tasks.base import Batch, Point, Stage, Task
from lengthwise.tasks.capabilities import HeldOut

STAGES: tuple[Stage, ...] = ("train", "test", "curve")


@pytest.fixture(params=list(TASKS))
def task(request: pytest.FixtureRequest, tmp_path: Path) -> Task:
    return small_task(request.param, tmp_path)


def draw(task: Task, point: Point, rows: int = 4, seed: int = 0) -> Batch:
    return task.sample(np.random.default_rng(seed), rows, point)


def points(task: Task) -> list[Point]:
    return [point for stage in STAGES for point in task.points(stage)]


def padded(task: Task) -> Batch:
    """Return rows of several points in one batch, so that some are padded where lengths differ."""
    return Batch.joined([draw(task, point) for stage in STAGES for point in task.points(stage)[:3]])


def arrays(batch: Batch) -> list[Any]:
    return [batch.inputs, batch.targets, batch.lengths, batch.fresh]


def test_every_point_has_samples_of_the_spaces_that_are_declared(task: Task) -> None:
    for point in points(task):
        batch = draw(task, point)
        rows, longest = batch.inputs.shape[:2]
        assert (rows, longest) == (4, batch.lengths.max())
        assert batch.lengths.min() >= 1
        assert batch.lengths.dtype == np.int64
        assert batch.fresh.dtype == np.bool_
        if isinstance(task.inputs, Tokens):
            assert batch.inputs.dtype == np.int64
            assert batch.inputs.ndim == 2
            assert batch.inputs.min() >= 0
            assert batch.inputs.max() < task.inputs.size
        else:
            assert batch.inputs.shape == (rows, longest, task.inputs.size)
            assert np.issubdtype(batch.inputs.dtype, np.floating)
            assert np.isfinite(batch.inputs).all()
        asked = batch.targets[batch.asked]
        if isinstance(task.outputs, Tokens):
            assert batch.targets.dtype == np.int64
            assert batch.targets.shape == (rows, longest)
            assert asked.min() >= 0
            assert asked.max() < task.outputs.size
        else:
            assert batch.targets.shape == (rows, longest, task.outputs.size)
            assert np.isfinite(asked).all()


def test_every_row_asks_something_and_nothing_beyond_its_end(task: Task) -> None:
    for batch in (padded(task), *(draw(task, point) for point in points(task))):
        assert batch.asked.any(1).all()
        beyond = np.arange(batch.inputs.shape[1]) >= batch.lengths[:, None]
        assert not batch.asked[beyond].any()
        assert not batch.inputs[beyond].any()


def test_a_seed_decides_a_batch(task: Task) -> None:
    point = task.points("train")[-1]
    one, same, other = (draw(task, point, 16, seed) for seed in (0, 0, 1))
    for first, second in zip(arrays(one), arrays(same), strict=True):
        np.testing.assert_array_equal(first, second)
    assert one.inputs.shape != other.inputs.shape or not np.array_equal(one.inputs, other.inputs)


def test_global_chance_is_not_touched(task: Task) -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    draw(task, task.points("train")[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_point_is_measured_on_as_many_samples_as_it_says(task: Task) -> None:
    for stage in ("test", "curve"):
        for point in task.points(stage):
            sizes = [len(batch) for batch in task.batches(np.random.default_rng(0), point, 3)]
            assert sum(sizes) == point.samples
            assert max(sizes) <= 3


def test_points_of_training_and_of_a_curve_stand_in_the_order_of_their_lengths(task: Task) -> None:
    for stage in ("train", "curve"):
        lengths = [point.length for point in task.points(stage) if point.length is not None]
        assert all(first <= second for first, second in pairwise(lengths))


def test_no_two_points_of_measurement_are_one(task: Task) -> None:
    for stage in ("test", "curve"):
        places = [tuple(sorted(point.axes.items())) for point in task.points(stage)]
        assert len(set(places)) == len(places) > 0


def test_settings_survive_a_file(task: Task) -> None:
    settings = task.model_dump(mode="json")
    assert settings["name"] in TASKS
    again = type(task).model_validate(settings)
    assert again == task
    assert again.identity() == task.identity()
    assert again.points("test") == task.points("test")


def test_unknown_settings_are_refused(task: Task) -> None:
    with pytest.raises(ValidationError, match="nonsense"):
        type(task).model_validate({**task.model_dump(), "nonsense": 1})


def test_what_a_task_says_of_itself_is_known_elsewhere(task: Task) -> None:
    assert isinstance(type(task).version, int)
    assert all(metric in METRICS for metric in task.metrics)
    assert all(diagnostic in DIAGNOSTICS for diagnostic in task.diagnostics)
    assert task.label
    assert type(task).__doc__
    longest = max(int(draw(task, point).lengths.max()) for point in task.points("train"))
    assert task.training_length is not None
    # Copying calls the string's length its own, and reads it twice.
    assert longest <= 2 * task.training_length


def test_a_stream_of_training_goes_on_where_it_was(task: Task) -> None:
    point = task.points("train")[-1]
    whole, first, second = (task.stream(3) for _ in range(3))
    rngs = [np.random.default_rng(0) for _ in range(2)]
    expected = [whole.next_batch(rngs[0], point) for _ in range(3)]
    first.next_batch(rngs[1], point)
    second.restore(first.state())
    for batch in expected[1:]:
        for one, other in zip(arrays(second.next_batch(rngs[1], point)), arrays(batch), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("model", ["backbone", "ldru", "regular_gpt"])
def test_what_stands_in_the_padding_changes_no_answer(task: Task, model: str) -> None:
    if model == "regular_gpt" and isinstance(task.inputs, Values):
        pytest.skip("it reads symbols only")
    batch = padded(task)
    torch.manual_seed(0)
    built = MODELS.load(model)(width=8).build(task.inputs, task.outputs).double().eval()
    inputs, asked = torch.from_numpy(batch.inputs), torch.from_numpy(batch.asked)
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    beyond = torch.arange(inputs.shape[1]) >= torch.from_numpy(batch.lengths)[:, None]
    rubbish = torch.where(beyond if inputs.ndim == 2 else beyond[..., None], torch.ones_like(inputs), inputs)
    with torch.no_grad():
        answers = built.asked_logits(inputs, asked)
        torch.testing.assert_close(built.asked_logits(rubbish, asked), answers, rtol=1e-9, atol=1e-11)
        row = len(batch) - 1
        alone = built.asked_logits(inputs[row:, : batch.lengths[row]], asked[row:, : batch.lengths[row]])
    torch.testing.assert_close(answers[-len(alone) :], alone, rtol=1e-9, atol=1e-11)


def test_every_point_is_measured(task: Task) -> None:
    torch.manual_seed(0)
    model = MODELS.load("backbone")(width=8, layers=1).build(task.inputs, task.outputs)
    found = list(evaluate_points(model, task, task.points("test"), np.random.default_rng(0)))
    assert len(found) == len(task.points("test")) * len(task.metrics)
    for row in found:
        assert np.isfinite(row.value)
        assert row.task == task.label


def test_what_is_held_out_is_always_the_same(task: Task) -> None:
    if not isinstance(task, HeldOut):
        pytest.skip("nothing is held out")
    rows = task.held_out(2, 12)
    expected = (2, 13) if isinstance(task.inputs, Tokens) else (2, 13, task.inputs.size)
    assert rows.shape == expected
    np.testing.assert_array_equal(rows, task.held_out(2, 12))


@pytest.mark.parametrize("name", list(TASKS))
def test_a_task_has_its_row_in_the_documentation(name: str) -> None:
    assert f"\n| `{name}` |" in (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()


@pytest.mark.parametrize("name", WITH_CONTENT)
def test_what_files_hold_is_the_identity_of_a_task(name: str, tmp_path: Path) -> None:
    identities = list[str]()
    for number, word in enumerate(("kitchen", "kitchen", "hallway")):
        folder = tmp_path / str(number)
        folder.mkdir()
        task = TASKS.load(name).model_validate(WITH_CONTENT[name](folder, word))
        identities.append(task.identity())
        for point in points(task):
            assert draw(task, point).asked.any(1).all()
    assert identities[0] == identities[1] != identities[2]
    assert identities[0]


@pytest.mark.parametrize("name", WITH_CONTENT)
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    settings = WITH_CONTENT[name](tmp_path, "kitchen")
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(InputError, match=str(tmp_path)):
        TASKS.load(name).model_validate(settings).identity()


def test_a_point_of_another_task_is_refused_in_words(task: Task) -> None:
    if task.label == "language_modelling":
        pytest.skip("a text has one place only")
    with pytest.raises(InputError):
        draw(task, Point({"elsewhere": 3}))
