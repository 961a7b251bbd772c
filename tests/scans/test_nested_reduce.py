"""Nested reductions against a stack, and what the depths of elements are."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_twins import nested_reference

from lengthwise.errors import InputError
from lengthwise.scans import nested_reduce
from lengthwise.scans.nested import item_depths

INSIDE = ["left", "balanced"]


def operator(left, right):
    """Neither associative nor commutative."""
    return torch.tanh(1.3 * left - 0.7 * right.roll(1, -1) + 0.2 * left * right)


def elements(turn_BT, seed=0):
    shape = (*turn_BT.shape, 3)
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def compare(turn_BT, inside):
    x, twin = elements(turn_BT), elements(turn_BT)
    value, slow = nested_reduce(operator, x, turn_BT, inside), nested_reference(operator, twin, turn_BT, inside)
    torch.testing.assert_close(value, slow, rtol=1e-12, atol=1e-12)
    value.pow(2).sum().backward()
    slow.pow(2).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_every_short_arrangement_of_brackets_is_reduced_as_a_stack_does(inside, length):
    compare(torch.tensor(list(itertools.product((-1, 0, 1), repeat=length))), inside)


@pytest.mark.parametrize("inside", INSIDE)
@settings(max_examples=30, deadline=None)
@given(turns=st.data())
def test_rows_of_any_brackets_are_reduced_as_a_stack_does(inside, turns):
    rows, length = turns.draw(st.integers(1, 4)), turns.draw(st.integers(1, 40))
    row = st.lists(st.sampled_from([-1, 0, 0, 1]), min_size=length, max_size=length)
    compare(torch.tensor(turns.draw(st.lists(row, min_size=rows, max_size=rows))), inside)


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("turns", [[1] * 60, [-1] * 60, [0] * 60, [1] * 30 + [-1] * 30])
def test_brackets_of_one_sort_and_great_depth_are_reduced_as_a_stack_does(inside, turns):
    compare(torch.tensor([turns]), inside)


@pytest.mark.parametrize("inside", INSIDE)
def test_a_row_takes_one_join_less_than_it_has_elements(inside):
    joins = 0

    def counted(left, right):
        nonlocal joins
        joins += len(left)
        return operator(left, right)

    turn_BT = torch.randint(-1, 2, (5, 37), generator=torch.Generator().manual_seed(1))
    nested_reduce(counted, elements(turn_BT), turn_BT, inside)
    assert joins == 5 * 36


def test_a_balanced_pair_is_as_deep_as_the_logarithm_of_its_items():
    rounds = 0

    def counted(left, right):
        nonlocal rounds
        rounds += 1
        return left + right

    turn_BT = torch.tensor([[1, *[0] * 1022, -1]])
    assert float(nested_reduce(counted, torch.ones(1, 1024, 1), turn_BT, "balanced").detach()) == 1024
    assert rounds == 10


def test_an_element_is_as_deep_as_the_pair_that_it_opens_stands_in_or_closes():
    turn_BT = torch.tensor([[0, 1, 0, 1, -1, -1, -1, 1, 0]])
    assert item_depths(turn_BT).tolist() == [[0, 1, 1, 2, 2, 1, 0, 1, 1]]


def test_what_cannot_be_reduced_is_refused():
    with pytest.raises(InputError, match="at least 1"):
        nested_reduce(operator, torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.int64))
    with pytest.raises(InputError, match="left, balanced"):
        nested_reduce(operator, torch.zeros(2, 1, 3), torch.zeros(2, 1, dtype=torch.int64), "right")
