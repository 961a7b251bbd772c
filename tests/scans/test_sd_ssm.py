"""The selected scan against its slow twin. Letters: B rows, T tokens, N states, K matrices, U distinct weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_twins import selected_reference

from lengthwise.errors import InputError, RunError
from lengthwise.scans.sd_ssm import FEW, distinct_rows, selected_scan, transitions


def draw(distinct, length, rows=3, states=4, matrices=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    index_BT = torch.randint(distinct, (rows, length), generator=generator)
    table_UK = torch.randn(distinct, matrices, generator=generator, dtype=torch.float64).softmax(-1)
    shapes = (matrices, states, states), (rows, length, states), (rows, states)
    dictionary, x, state = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return [tensor.requires_grad_() for tensor in (dictionary, table_UK[index_BT], x, state)]


@pytest.mark.parametrize("method", ["loop", "tree"])
@pytest.mark.parametrize("distinct", [1, 3, 1000])
@settings(max_examples=8, deadline=None)
@given(length=st.integers(1, 14), norm=st.sampled_from([1.0, 1.2, 2.0]))
def test_values_and_gradients_are_those_of_the_definition(method, distinct, length, norm):
    """Also of the weights of each token, where tokens share a matrix."""
    inputs = draw(distinct, length)
    found = selected_scan(*inputs, norm=norm, method=method)
    expected = selected_reference(*inputs, norm=norm)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=expected.dtype)
    gradients = (torch.autograd.grad((y * weight).sum(), inputs) for y in (found, expected))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("distinct", [FEW, FEW + 1])
def test_few_and_many_distinct_matrices_give_the_same(distinct):
    inputs = draw(distinct, 60)
    torch.testing.assert_close(selected_scan(*inputs), selected_reference(*inputs), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", [1.0, 1.2])
@pytest.mark.parametrize("distinct", [2, 1000])
def test_zeros_in_the_matrices_give_the_gradients_of_the_definition(distinct, norm):
    inputs = draw(distinct, 9)
    with torch.no_grad():
        inputs[0][:, ::2, 1:] = 0
    gradients = (torch.autograd.grad(f(*inputs, norm=norm).sum(), inputs) for f in (selected_scan, selected_reference))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", ["loop", "tree"])
def test_permutations_are_followed_exactly_over_1000_tokens(method):
    """The state is a one-hot vector, which every token moves by a cyclic shift of its own."""
    shifts_KNN = torch.stack([torch.eye(5).roll(k, 0) for k in range(5)])
    index_BT = torch.randint(5, (2, 1000), generator=torch.Generator().manual_seed(0))
    chosen_BTK, start_BN = torch.eye(5)[index_BT], torch.eye(5)[[0, 0]]
    states = selected_scan(shifts_KNN, chosen_BTK, torch.zeros(2, 1000, 5), start_BN, method=method)
    assert torch.equal(states.argmax(-1), index_BT.cumsum(1) % 5)
    assert torch.equal(states.sum(-1), torch.ones(2, 1000))


@pytest.mark.parametrize("norm", [1.0, 1.2, 3.0])
def test_columns_have_unit_norm(norm):
    dictionary, weight, _, _ = draw(3, 5)
    columns = transitions(dictionary, weight, norm)[0].abs().pow(norm).sum(-2)
    torch.testing.assert_close(columns, torch.ones_like(columns))


@pytest.mark.parametrize("method", ["loop", "tree"])
def test_autocast_changes_nothing(method):
    inputs = [x.float() for x in draw(3, 9)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = selected_scan(*inputs, method=method)
    assert torch.equal(found, selected_scan(*inputs, method=method))


@settings(max_examples=20, deadline=None)
@given(
    index=st.lists(st.integers(0, FEW), min_size=1, max_size=60),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
)
def test_distinct_rows_are_distinct_and_say_where_they_stand(index, dtype):
    table = torch.randn(FEW + 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    rows = table[torch.tensor(index)]
    place, which = distinct_rows(rows)
    assert torch.equal(rows[place][which], rows)
    assert len(place) == (len(set(index)) if len(set(index)) <= FEW else len(index))


def test_what_does_not_go_together_is_refused():
    dictionary, weight, x, state = draw(3, 5)
    with pytest.raises(InputError, match="at least one token"):
        selected_scan(dictionary, weight[:, :0], x[:, :0], state)
    with pytest.raises(InputError, match=r"weight_BTK must be \[3, 5, 3\] beside x_BTN \[3, 5, 4\], not \[3, 4, 3\]"):
        selected_scan(dictionary, weight[:, :4], x, state)


def test_second_derivatives_are_those_of_a_tree_alone():
    inputs = draw(3, 4)
    with pytest.raises(RunError, match="use a tree"):
        torch.autograd.grad(selected_scan(*inputs).sum(), inputs, create_graph=True)
    assert torch.autograd.gradgradcheck(
        lambda *x: selected_scan(*x, method="tree"), draw(2, 2, rows=1, states=2, matrices=2)
    )
