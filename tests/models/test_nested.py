"""The nested unit: brackets told and found, and what its value depends on."""

import numpy as np
import pytest
import torch

from lengthwise import Trainer, TrainingConfig
from lengthwise.errors import InputError
from lengthwise.models.tree.brackets import Brackets, find_brackets
from lengthwise.models.tree.nested import Found, Given, NestedConfig
from lengthwise.spaces import Values
from lengthwise.tasks.listops import ListOps


def arithmetic(rng, depth=0):
    """A fully bracketed sum: 0 opens, 1 closes, 2 is a plus, 3 and 4 are digits."""
    if depth > 4 or rng.random() < 0.4:
        return [int(rng.integers(3, 5))]
    return [0, *arithmetic(rng, depth + 1), 2, *arithmetic(rng, depth + 1), 1]


def dyck(rng, kinds, steps):
    """Balanced brackets of several kinds, symbol 2k opening and 2k + 1 closing, with a letter among them."""
    string, stack = [], []
    for _ in range(steps):
        if rng.random() < 0.2:
            string.append(2 * kinds)
        elif stack and rng.random() < 0.5:
            string.append(stack.pop())
        else:
            kind = int(rng.integers(kinds))
            string.append(2 * kind)
            stack.append(2 * kind + 1)
    return string + stack[::-1]


def strings(make, count=400, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.tensor(make(rng)) for _ in range(count)]


def test_several_symbols_that_open_what_one_closes_are_one_kind():
    task = ListOps()
    batches = [task.sample(np.random.default_rng(0), 40, point) for point in task.points("train")]
    rows = [torch.from_numpy(row) for batch in batches for row in batch.inputs]
    assert find_brackets(rows, 15) == [Brackets((10, 11, 12, 13), (14,))]


@pytest.mark.parametrize("kinds", [1, 2, 3, 5])
def test_every_kind_of_brackets_is_found(kinds):
    found = find_brackets(strings(lambda rng: dyck(rng, kinds, 20)), 2 * kinds + 1)
    assert sorted(found) == [Brackets((2 * kind,), (2 * kind + 1,)) for kind in range(kinds)]


def test_of_relations_that_imply_each_other_the_one_that_encloses_most_is_taken():
    assert find_brackets(strings(arithmetic), 5) == [Brackets((0,), (1,))]


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_brackets_are_found_among_strings_some_of_which_are_broken(share):
    def broken(rng):
        string = dyck(rng, 2, 20)
        if rng.random() < share:
            string[int(rng.integers(len(string)))] = int(rng.integers(5))
        return string

    found = find_brackets(strings(broken, 1000), 5, noise=2 * share)
    assert sorted(found) == [Brackets((0,), (1,)), Brackets((2,), (3,))]
    with pytest.raises(InputError, match="no brackets"):
        find_brackets(strings(broken, 1000), 5)


@pytest.mark.parametrize(
    "rows",
    [
        strings(lambda rng: rng.integers(4, size=20).tolist()),
        [torch.tensor([0, 0])],
        [torch.tensor([], dtype=torch.int64)],
        [],
        [torch.tensor([1, 0]), torch.tensor([0, 1])],
    ],
    ids=["chance", "one symbol", "empty", "no strings", "either first"],
)
def test_strings_without_brackets_are_said_to_have_none(rows):
    with pytest.raises(InputError, match=r"no brackets.*'ldru'"):
        find_brackets(rows, 4)


def test_the_trainer_finds_brackets_before_its_first_step_and_a_checkpoint_has_them():
    task = ListOps()
    model = NestedConfig(width=8).build(task.inputs, task.outputs)
    state = Trainer(model, task, TrainingConfig(steps=1, batch_size=8), seed=0).state()
    assert model.turn_V.tolist() == [0] * 10 + [1] * 4 + [-1]
    other = NestedConfig(width=8, brackets=Given(opening=(0,), closing=(1,))).build(task.inputs, task.outputs)
    Trainer(other, task, TrainingConfig(steps=1, batch_size=8), seed=1).restore(*state)
    assert other.turn_V.tolist() == model.turn_V.tolist()


@pytest.mark.parametrize("inside", ["left", "balanced"])
def test_a_pair_is_worth_the_same_wherever_it_stands_and_nothing_else_is(inside):
    torch.manual_seed(0)
    config = NestedConfig(width=8, inside=inside, brackets=Given(opening=(0,), closing=(1,)))
    model = config.build(4, 3).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
        both = torch.tensor([[2, 0, 3, 2, 1, 3], [2, 0, 3, 2, 1, 2]])
        together = model.string_logits(both)
        apart = torch.cat([model.string_logits(row[None]) for row in both])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(together[0], together[1])


def test_rows_that_are_reduced_few_at_a_time_have_the_same_logits(monkeypatch):
    model = NestedConfig(width=8, brackets=Given(opening=(0,), closing=(1,))).build(4, 3).double()
    tokens = torch.randint(4, (7, 9), generator=torch.Generator().manual_seed(0))
    together = model.string_logits(tokens)
    monkeypatch.setattr("lengthwise.models.tree.nested.HELD", 20)
    torch.testing.assert_close(model.string_logits(tokens), together, rtol=1e-12, atol=1e-12)


def test_what_makes_no_nested_unit_is_refused():
    with pytest.raises(InputError, match="reads symbols"):
        NestedConfig().build(Values(3), 2)
    with pytest.raises(InputError, match=r"bracket 7 .* is no symbol"):
        NestedConfig(brackets=Given(opening=(0,), closing=(7,))).build(3, 2)
    with pytest.raises(ValueError, match="both open and close"):
        Given(opening=(0, 1), closing=(1,))
    assert NestedConfig(brackets=Found(strings=10)).build(3, 2).unlabelled == 10
