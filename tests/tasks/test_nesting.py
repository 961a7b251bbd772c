"""Nestings: the same labels as those of the sampler, which counts and stacks by itself."""

from typing import Any

import numpy as np
import pytest

from lengthwise.tasks.base import IGNORE, Point
from lengthwise.tasks.brackets import Brackets
from lengthwise.tasks.listops import SYMBOLS, ListOps


def matched(word: list[int], kinds: int) -> bool:
    """Return whether brackets match: neutral symbols and pairs side by side are taken out until nothing is left."""
    text = "".join(chr(97 + symbol) for symbol in word if symbol < 2 * kinds)
    pairs = [chr(97 + 2 * kind) + chr(98 + 2 * kind) for kind in range(kinds)]
    while any(pair in text for pair in pairs):
        for pair in pairs:
            text = text.replace(pair, "")
    return not text


@pytest.mark.parametrize("length", [1, 2, 3, 8, 13, 40])
@pytest.mark.parametrize(("kinds", "neutral"), [(1, 0), (3, 0), (2, 2)])
def test_strings_of_brackets_have_their_class(kinds: int, neutral: int, length: int) -> None:
    task = Brackets(kinds=kinds, neutral=neutral)
    batch = task.sample(np.random.default_rng(length), 60, Point({"length": length}))
    nesting = task.nesting()
    for word, target in zip(batch.inputs.tolist(), batch.targets[:, -1].tolist(), strict=True):
        assert target == matched(word, kinds) == nesting.label(word)
    if length % 2 and not neutral:
        assert not batch.targets[:, -1].any()
    elif length > 3:
        assert 0.3 < batch.targets[:, -1].mean() < 0.9


def test_brackets_are_nested_from_side_by_side_to_all_inside_each_other() -> None:
    task = Brackets(kinds=1)
    batch = task.sample(np.random.default_rng(0), 400, Point({"length": 20}))
    heights = (1 - 2 * batch.inputs[batch.targets[:, -1] == 1]).cumsum(1).max(1)
    assert heights.min() <= 2
    assert heights.max() == 10


@pytest.mark.parametrize("operations", [("max", "min", "median", "sum"), ("sum", "max"), ("median",), tuple(SYMBOLS)])
def test_lists_have_their_value(operations: Any) -> None:
    task = ListOps(operations=operations, lengths=(12, 40), test_arguments=(7,))
    nesting = task.nesting(7)
    unused = {symbol for name, symbol in SYMBOLS.items() if name not in operations}
    for point in task.points("test"):
        batch = task.sample(np.random.default_rng(0), 40, point)
        assert not unused & {*batch.inputs.flatten().tolist()}
        assert [nesting.label(word) for word in batch.inputs.tolist()] == batch.targets[:, -1].tolist()


@pytest.mark.parametrize("word", [[3], [10, 14], [10, 3, 14], [14], [10, 3, 4], [10, 3, 4, 14, 3], [3, 10, 3, 4, 14]])
def test_what_is_no_list_has_no_class(word: list[int]) -> None:
    assert ListOps().nesting().label(word) == IGNORE


def test_a_list_of_too_many_arguments_of_a_median_has_no_class() -> None:
    assert ListOps(arguments=2).nesting().label([12, 1, 2, 3, 14]) == IGNORE
    assert ListOps(arguments=2).nesting(3).label([12, 1, 2, 3, 14]) == 2


def test_all_operations_are_the_default_and_are_not_written_down() -> None:
    assert "operations" not in ListOps().model_dump(mode="json")
    point = Point({"length": 30, "arguments": 5, "depth": 4})
    every = ListOps(operations=("max", "min", "median", "sum")).sample(np.random.default_rng(0), 9, point)
    assert (every.inputs == ListOps().sample(np.random.default_rng(0), 9, point).inputs).all()
