"""What a task of another package may get wrong is told in words."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch

from lengthwise.errors import InputError
from lengthwise.evaluation import METRICS
from lengthwise.evaluation.by_point import ByPoint
from lengthwise.models.backbone import BackboneConfig
from lengthwise.runs.building import build_trainer
from lengthwise.runs.recipe import Recipe
from lengthwise.spaces import Tokens
from lengthwise.tasks.base import IGNORE, Batch, Point, Task
from lengthwise.training.config import TrainingConfig
from lengthwise.training.curriculum import Curriculum
from lengthwise.training.loop import Trainer

ASKED = np.array([[0, 1, 2]] * 4)


class Foreign(Task):
    name: Literal["foreign"] = "foreign"
    drawn: ClassVar[Any] = None
    places: ClassVar[Sequence[Any]] = (Point({"length": 3}, samples=4),)

    @property
    def inputs(self) -> Tokens:
        return Tokens(3)

    @property
    def outputs(self) -> Tokens:
        return Tokens(3)

    def points(self, stage: str) -> Sequence[Point]:
        return self.places

    def sample(self, rng: np.random.Generator, rows: int, point: Point) -> Batch:
        return self.drawn()


def trained(task: Task, config: TrainingConfig | None = None) -> None:
    model = BackboneConfig(width=4).build(task.inputs, task.outputs)
    Trainer(model, task, config or TrainingConfig(steps=1, batch_size=4), seed=0).train_step()


def measured(task: Task) -> None:
    list(ByPoint().measure(BackboneConfig(width=4).build(task.inputs, task.outputs), task, 0))


@pytest.mark.parametrize("use", [trained, measured])
@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (lambda: None, r"at {'length': 3} is a Batch of lengthwise.tasks.base, not a NoneType"),
        (lambda: Batch(ASKED.tolist(), ASKED), "inputs are an array of numpy of rows and positions, not a list"),
        (lambda: Batch(ASKED[0], ASKED[0]), r"rows and positions, not int64 \[3\]"),
        (lambda: Batch(ASKED[..., None], ASKED), r"inputs of int64 \[B, T\], not int64 \[4, 3, 1\]"),
        (lambda: Batch(ASKED.astype(np.int32), ASKED), r"inputs of int64 \[B, T\], not int32 \[4, 3\]"),
        (lambda: Batch(ASKED, ASKED + 1.0), r"targets of int64 \[B, T\], not float64 \[4, 3\]"),
        (lambda: Batch(ASKED + 1, ASKED), r"inputs in 0..2, not in 1..3"),
        (lambda: Batch(ASKED, ASKED - 2), r"targets in -1..2, not in -2..0"),
        (lambda: Batch(ASKED, ASKED, np.zeros(4, dtype=np.int64)), "rows of 1 to 3 positions, not of 0 to 0"),
    ],
    ids=["none", "list", "flat", "deep", "int32", "float", "inputs", "targets", "lengths"],
)
def test_a_batch_that_breaks_the_contract_is_refused(use: Any, drawn: Any, message: str) -> None:
    task = type("Broken", (Foreign,), {"drawn": staticmethod(drawn)})()
    with pytest.raises(InputError, match=message):
        use(task)


def test_a_row_that_is_asked_nothing_has_no_score() -> None:
    targets = np.where(np.arange(4)[:, None] == 0, IGNORE, ASKED)
    task = type("Silent", (Foreign,), {"drawn": staticmethod(lambda: Batch(ASKED, targets))})()
    trained(task)
    with pytest.raises(InputError, match=r"metric 'accuracy' of foreign at {'length': 3} is not a number for 1 of 4"):
        measured(task)


@pytest.mark.parametrize(("scores", "what"), [(torch.zeros(5), r"\[5\]"), (torch.zeros(()), r"\[\]"), (0.5, "float")])
def test_a_metric_gives_a_score_a_sequence(monkeypatch: pytest.MonkeyPatch, scores: Any, what: str) -> None:
    task = type("Sound", (Foreign,), {"drawn": staticmethod(lambda: Batch(ASKED, ASKED))})()
    monkeypatch.setattr(METRICS, "load", lambda name: lambda *of: scores)
    with pytest.raises(InputError, match=rf"metric 'accuracy' gives one score a sequence, \[4\], not {what}"):
        measured(task)


def test_a_curriculum_draws_points() -> None:
    class Nowhere(Curriculum):
        name: Literal["nowhere"] = "nowhere"

        def draw(self, rng: np.random.Generator, progress: float, points: Sequence[Point]) -> Point:
            return None  # type: ignore[return-value]

    task = type("Two", (Foreign,), {"places": Foreign.places * 2})()
    with pytest.raises(InputError, match="drew None, which is no point of the task"):
        trained(task, TrainingConfig(steps=1, batch_size=4, curriculum=Nowhere()))


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([], "foreign has no points to be measured at"),
        ([{"length": 3}], "points of foreign are a Point of lengthwise.tasks.base each, not {'length': 3}"),
        ([Point({"length": 3, "seed": 1})], "an axis cannot be called 'seed'"),
    ],
)
def test_points_that_cannot_be_used_are_refused_before_training(places: list[Any], message: str) -> None:
    task = type("Placed", (Foreign,), {"places": places})()
    with pytest.raises(InputError, match=message):
        build_trainer(Recipe(name="foreign", task=task, model=BackboneConfig(width=4)), 0)


def test_axes_are_numbers_and_words() -> None:
    assert Point({"length": np.int64(3)}).length == 3
    with pytest.raises(InputError, match=r"axis 'depth' of a point is a number or a word, not \[1\]"):
        Point({"depth": [1]})  # type: ignore[dict-item]
