"""The recurrences with exponential gates against the paper's equations, also where gates are extreme.

Shape letters: B rows, T tokens, H heads, K key channels, V value channels, G = 4 V preactivations.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tensors import normal
from slow_twins import mlstm_reference, slstm_reference
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.scans.xlstm import MatrixMemory, ScalarMemory, mlstm_scan, running_maximum, slstm_scan

ROWS, HEADS, KEYS, VALUES = 2, 3, 4, 5
EXTREMES = [-1e4, -100.0, 0.0, 100.0, 1e4]


def matrix_inputs(length, scale=3.0, dtype=torch.float64):
    heads = ROWS, length, HEADS
    tensors = [normal(*heads, n, seed=i, dtype=dtype) for i, n in enumerate((KEYS, KEYS, VALUES))]
    gates = [scale * normal(*heads, seed=3, dtype=dtype), F.logsigmoid(scale * normal(*heads, seed=4, dtype=dtype))]
    return [x.requires_grad_() for x in (*tensors, *gates)]


def matrix_memory(seed=7, dtype=torch.float64):
    shapes = (ROWS, HEADS, KEYS, VALUES), (ROWS, HEADS, KEYS), (ROWS, HEADS)
    entries = (normal(*shape, seed=seed + i, dtype=dtype) for i, shape in enumerate(shapes))
    return MatrixMemory(*(x.requires_grad_() for x in entries))


def empty_matrix_memory(dtype=torch.float64):
    return MatrixMemory(*(torch.zeros_like(x) for x in matrix_memory(dtype=dtype)))


def empty_scalar_memory(dtype=torch.float64):
    return ScalarMemory(*torch.zeros(4, ROWS, HEADS, VALUES, dtype=dtype))


def assert_equal_with_gradients(found, expected, leaves, rtol=1e-9):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)
    sums = (sum((x * normal(*x.shape, seed=20 + i)).sum() for i, x in enumerate(y)) for y in (found, expected))
    gradients = (torch.autograd.grad(total, leaves) for total in sums)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)


@settings(max_examples=15, deadline=None)
@given(length=st.integers(1, 25), chunk=st.integers(1, 9), scale=st.sampled_from([0.5, 5.0, 30.0]))
def test_matrix_memories_are_those_of_the_paper(length, chunk, scale):
    inputs, memory = matrix_inputs(length, scale), matrix_memory()
    y, after = mlstm_scan(*inputs, memory, chunk=chunk)
    expected, expected_after = mlstm_reference(*inputs, memory)
    assert_equal_with_gradients([y, *after], [expected, *expected_after], [*inputs, *memory])


def test_a_matrix_memory_without_a_stabiliser_gives_the_same_outputs():
    """The paper's equations 19 to 27 as they stand, without the constant that is added to the divisor."""
    q, k, v, log_input, log_forget = (x.detach() for x in matrix_inputs(20, scale=1.0))
    y, _ = mlstm_scan(q, k, v, log_input, log_forget, empty_matrix_memory())
    matrix, normaliser, _ = empty_matrix_memory()
    for t in range(20):
        forget, enter = log_forget[:, t].exp()[..., None], log_input[:, t].exp()[..., None]
        matrix = forget[..., None] * matrix + enter[..., None] * torch.einsum("bhk,bhv->bhkv", k[:, t], v[:, t])
        normaliser = forget * normaliser + enter * k[:, t]
        divisor = torch.einsum("bhk,bhk->bh", q[:, t], normaliser).abs().clamp(min=1)
        expected = torch.einsum("bhk,bhkv->bhv", q[:, t], matrix) / divisor[..., None]
        torch.testing.assert_close(y[:, t], expected, rtol=1e-5, atol=1e-5)


def test_outputs_depend_on_the_first_stabiliser_only_through_the_small_constant():
    inputs, memory = matrix_inputs(9, scale=0.5), matrix_memory()
    shift = torch.tensor([-2.0, 0.5, 2.0]).double()
    shifted = MatrixMemory(
        memory.matrix_BHKV * (-shift).exp()[:, None, None],
        memory.normaliser_BHK * (-shift).exp()[:, None],
        memory.stabiliser_BH + shift,
    )
    torch.testing.assert_close(mlstm_scan(*inputs, shifted)[0], mlstm_scan(*inputs, memory)[0], rtol=1e-3, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(length=st.integers(1, 20))
def test_the_running_maximum_is_that_of_a_loop(length):
    log_input, log_forget, start = 5 * normal(2, length, 3), -5 * normal(2, length, 3, seed=1).abs(), normal(2, 3)
    found = running_maximum(log_input, log_forget, start)
    for t in range(length):
        start = torch.maximum(log_forget[:, t] + start, log_input[:, t])
        torch.testing.assert_close(found[:, t], start, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("exponential_forget", [False, True])
def test_scalar_memories_are_those_of_the_paper_without_a_stabiliser(exponential_forget):
    x, recurrence = normal(ROWS, 17, HEADS, 4 * VALUES), 0.5 * normal(HEADS, VALUES, 4 * VALUES, seed=1)
    leaves = [x.requires_grad_(), recurrence.requires_grad_()]
    y, after = slstm_scan(x, recurrence, empty_scalar_memory(), exponential_forget=exponential_forget)
    scale = after.stabiliser_BHV.exp()
    found = [y, after.cell_BHV * scale, after.normaliser_BHV * scale]
    assert_equal_with_gradients(found, slstm_reference(x, recurrence, exponential_forget=exponential_forget), leaves)
    torch.testing.assert_close(after.hidden_BHV, y[:, -1])


@settings(max_examples=10, deadline=None)
@given(enter=st.floats(-80, 80), forget=st.floats(-80, 80))
def test_the_first_token_of_an_empty_scalar_memory_is_all_it_holds(enter, forget):
    """Its normaliser is its own weight, whatever the gates are."""
    x = torch.cat([torch.full((ROWS, 1, HEADS, VALUES), gate) for gate in (enter, forget, 0.7, 0.2)], -1)
    memory = empty_scalar_memory(torch.float32)
    y, after = slstm_scan(x, torch.zeros(HEADS, VALUES, 4 * VALUES), memory)
    expected = torch.tensor(0.2).sigmoid() * torch.tensor(0.7).tanh()
    torch.testing.assert_close(y, expected.expand_as(y))
    torch.testing.assert_close(after.stabiliser_BHV, torch.full_like(after.stabiliser_BHV, enter))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("enter", EXTREMES)
@pytest.mark.parametrize("forget", EXTREMES)
def test_extreme_gates_give_finite_values_and_gradients(dtype, enter, forget):
    """Preactivations that stay at an extreme, and that jump between it and normal ones."""
    jumps = (torch.arange(40) % 3 < 2).to(dtype)[:, None]
    q, k, v, log_input, _ = (x.detach() for x in matrix_inputs(40, dtype=dtype))
    log_forget = F.logsigmoid(jumps * forget + log_input)
    gates = [(jumps * enter + log_input).requires_grad_(), log_forget.requires_grad_()]
    y, memory = mlstm_scan(q, k, v, *gates, empty_matrix_memory(torch.float32), chunk=16)
    assert_finite([y, *memory], gates)
    x = normal(ROWS, 40, HEADS, 4 * VALUES, dtype=dtype)
    pushed = torch.tensor([enter, forget, 0, 0], dtype=dtype).repeat_interleave(VALUES)
    leaves = [(x + jumps[..., None] * pushed).requires_grad_(), normal(HEADS, VALUES, 4 * VALUES, dtype=dtype)]
    y, memory = slstm_scan(leaves[0], leaves[1].requires_grad_(), empty_scalar_memory(torch.float32))
    assert_finite([y, *memory], leaves)
    assert y.dtype == dtype
    assert {entry.dtype for entry in memory} == {torch.float32}


def assert_finite(values, leaves):
    gradients = torch.autograd.grad(sum(x.float().sum() for x in values), leaves)
    for x in (*values, *gradients):
        assert x.isfinite().all()


def test_float32_is_as_exact_as_its_rounding():
    inputs, memory = matrix_inputs(200, scale=10.0), matrix_memory()
    with torch.no_grad():
        exact, _ = mlstm_scan(*inputs, memory)
        found, _ = mlstm_scan(*(x.float() for x in inputs), MatrixMemory(*(x.float() for x in memory)))
    assert (found - exact).abs().max() < 1e-4 * exact.abs().max()


def test_noise_in_place_of_a_scalar_memory_gives_finite_outputs():
    memory = ScalarMemory(*normal(4, ROWS, HEADS, VALUES).unbind())
    y, after = slstm_scan(normal(ROWS, 9, HEADS, 4 * VALUES), normal(HEADS, VALUES, 4 * VALUES), memory)
    assert (after.normaliser_BHV >= 1).all()
    assert y.abs().max() < 10


def test_autocast_changes_nothing():
    inputs = normal(ROWS, 9, HEADS, 4 * VALUES).float(), normal(HEADS, VALUES, 4 * VALUES).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = slstm_scan(*inputs, empty_scalar_memory(torch.float32))
    assert torch.equal(found, slstm_scan(*inputs, empty_scalar_memory(torch.float32))[0])


def test_what_does_not_go_together_is_refused():
    memory = empty_scalar_memory()
    with pytest.raises(InputError, match="at least one token"):
        slstm_scan(normal(ROWS, 0, HEADS, 4 * VALUES), normal(HEADS, VALUES, 4 * VALUES), memory)
    with pytest.raises(
        InputError, match=r"recurrence_HVG must be \[3, 5, 20\] beside x_BTHG \[2, 5, 3, 20\], not \[3, 4, 20\]"
    ):
        slstm_scan(normal(ROWS, 5, HEADS, 4 * VALUES), normal(HEADS, VALUES - 1, 4 * VALUES), memory)
