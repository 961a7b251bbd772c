"""The elementwise scan and the weighted mean against their slow twins. Shape letters: B rows, T tokens, D channels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_twins import elementwise_reference, weighted_reference

from lengthwise.errors import InputError
from lengthwise.scans.rg_lru import elementwise_scan
from lengthwise.scans.rwkv4 import WeightedMemory, weighted_scan


def draw(length, rows=2, channels=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shapes = (rows, length, channels), (rows, length, channels), (rows, channels)
    decay_BTD, x_BTD, state_BD = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return [tensor.requires_grad_() for tensor in (decay_BTD.sigmoid(), x_BTD, state_BD)]


def draw_weighted(length, rows=2, channels=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(rows, length, channels)] * 2 + [(channels,)] * 2 + [(rows, channels)] * 3
    k, v, decay, bonus, above, below, maximum = (torch.randn(s, generator=generator, dtype=dtype) for s in shapes)
    return [x.requires_grad_() for x in (3 * k, v, -decay.exp(), bonus, above, below.exp(), maximum)]


def weighted(scan, inputs):
    y_BTD, memory = scan(*inputs[:4], WeightedMemory(*inputs[4:]))
    return y_BTD, *memory


def assert_same(found, expected, inputs, tolerance=1e-10):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in expected]
    totals = [sum((x * w).sum() for x, w in zip(given, weights, strict=True)) for given in (found, expected)]
    for a, b in zip(*(torch.autograd.grad(total, inputs) for total in totals), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@settings(max_examples=25, deadline=None)
@given(length=st.integers(1, 40), rows=st.integers(1, 3))
def test_values_and_gradients_are_those_of_the_definition(length, rows):
    inputs = draw(length, rows)
    assert_same([elementwise_scan(*inputs)], [elementwise_reference(*inputs)], inputs)
    inputs = draw_weighted(length, rows)
    assert_same(weighted(weighted_scan, inputs), weighted(weighted_reference, inputs), inputs)


def test_first_and_second_derivatives_are_those_of_finite_differences():
    inputs = tuple(draw(5, rows=1, channels=2))
    assert torch.autograd.gradcheck(elementwise_scan, inputs)
    assert torch.autograd.gradgradcheck(elementwise_scan, inputs)


@pytest.mark.parametrize("cut", [1, 4, 6])
def test_a_mean_in_pieces_is_the_whole_one_in_value_and_gradient(cut):
    inputs = draw_weighted(7)
    k, v, decay, bonus, *memory = inputs
    first, memory = weighted_scan(k[:, :cut], v[:, :cut], decay, bonus, WeightedMemory(*memory))
    second, memory = weighted_scan(k[:, cut:], v[:, cut:], decay, bonus, memory)
    assert_same((torch.cat([first, second], 1), *memory), weighted(weighted_scan, inputs), inputs)


def test_large_log_weights_and_an_empty_memory_stay_finite():
    k, v, decay, bonus, *_ = draw_weighted(300, dtype=torch.float32)
    memory = [torch.zeros(2, 3), torch.zeros(2, 3), torch.full((2, 3), -1e30)]
    inputs = [(100 * k).detach().requires_grad_(), v, decay, bonus, *(entry.requires_grad_() for entry in memory)]
    found = weighted(weighted_scan, inputs)
    torch.testing.assert_close(found[0], weighted(weighted_reference, inputs)[0], rtol=1e-4, atol=1e-4)
    for gradient in torch.autograd.grad(sum(x.sum() for x in found[:3]), inputs):
        assert gradient.isfinite().all()


def test_the_inputs_are_left_as_they_were():
    inputs = [x.detach().clone() for x in draw_weighted(1, rows=1)]
    before = [x.clone() for x in inputs]
    weighted(weighted_scan, inputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))


def test_what_does_not_go_together_is_refused():
    decay_BTD, x_BTD, state_BD = draw(5)
    with pytest.raises(InputError, match="at least one token"):
        elementwise_scan(decay_BTD[:, :0], x_BTD[:, :0], state_BD)
    with pytest.raises(InputError, match=r"state_BD must be \[2, 3\] beside x_BTD \[2, 5, 3\], not \[1, 3\]"):
        elementwise_scan(decay_BTD, x_BTD, state_BD[:1])
    with pytest.raises(InputError, match="same dtype"):
        elementwise_scan(decay_BTD.float(), x_BTD, state_BD)
    k, v, decay, bonus, *memory = draw_weighted(5)
    with pytest.raises(InputError, match="at least one token"):
        weighted_scan(k[:, :0], v[:, :0], decay, bonus, WeightedMemory(*memory))
    with pytest.raises(InputError, match=r"bonus_D must be \[3\] beside k_BTD \[2, 5, 3\], not \[2\]"):
        weighted_scan(k, v, decay, bonus[:2], WeightedMemory(*memory))
