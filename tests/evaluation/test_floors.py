"""Floors: guesses against counts by hand, on the sequences that a model is measured on."""

import numpy as np
import pytest
import torch

from lengthwise.errors import InputError
from lengthwise.evaluation.by_point import ByPoint
from lengthwise.evaluation.floors import Floors
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.tasks.listops import TOKENS, ListOps
from lengthwise.tasks.signals import Signals

TASK = ListOps(lengths=(7, 20), test_arguments=(10,), test_depths=(6,), samples=64)


def model():
    return LDRUConfig(width=4).build(TASK.inputs, TASK.outputs)


@pytest.mark.slow
def test_every_point_has_every_floor_of_the_same_sequences_as_a_model():
    unit = model()
    measured = list(ByPoint().measure(unit, TASK, 3))
    floors = list(Floors(sequences=500).measure(unit, TASK, 3))
    for name in ("majority", "first_symbol", "top_digits"):
        rows = [row for row in floors if row.metric == f"floor_{name}"]
        assert [(row.axes, row.samples) for row in rows] == [(row.axes, row.samples) for row in measured]
    assert len(floors) == 3 * len(measured)
    assert floors == list(Floors(sequences=500).measure(model(), TASK, 3))


def test_the_most_frequent_class_is_right_as_often_as_it_comes():
    class Zeros(ListOps):
        def sample(self, rng, rows, point):
            batch = super().sample(rng, rows, point)
            batch.targets[:, -1] = np.where(batch.inputs[:, 0] == TOKENS.index("[MAX"), 9, 0)
            return batch

    task = Zeros(lengths=(7,), test_arguments=(), test_depths=(), samples=400)
    values = {row.metric: row.value for row in Floors(sequences=300).measure(model(), task, 0)}
    assert values["floor_first_symbol"] == 1
    assert values["floor_majority"] == pytest.approx(0.75, abs=0.1)


def test_all_guesses_are_made_of_one_drawing():
    drawn = list[int | None]()

    class Counted(ListOps):
        def sample(self, rng, rows, point):
            drawn.append(point.length)
            return super().sample(rng, rows, point)

    rows = list(Floors(sequences=10).measure(model(), Counted(lengths=(45,), test_arguments=(), test_depths=()), 0))
    assert [row.metric for row in rows] == ["floor_majority", "floor_first_symbol", "floor_top_digits"]
    assert drawn.count(45) == 1


@pytest.mark.parametrize(
    ("text", "value"), [("[MAX 2 9 [MIN 4 7 ] 0 ]", 9), ("[SM 8 [MED 1 5 6 ] ]", 8), ("[SM [MED 1 5 ] [MAX 1 5 ] ]", 0)]
)
def test_the_top_of_an_expression_leaves_out_what_is_nested(text, value):
    tokens = np.array([[TOKENS.index(word) for word in text.split()]])
    assert TASK.shortcuts()["top_digits"](tokens).tolist() == [value]


def test_tasks_without_classes_are_refused_before_training():
    with pytest.raises(InputError, match="classes of symbols, not signals"):
        Floors().check(torch.nn.Identity(), Signals())  # type: ignore[arg-type]
