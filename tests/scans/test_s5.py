"""The diagonal scan against its slow twin. Shape letters: B rows, T tokens, P states."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_twins import diagonal_reference

from lengthwise.errors import InputError
from lengthwise.scans.s5 import diagonal_scan


def draw(length, rows=2, states=3, seed=0, dtype=torch.complex128):
    generator = torch.Generator().manual_seed(seed)
    magnitude, angle = torch.rand(states, generator=generator), 7 * torch.rand(states, generator=generator)
    x_BTP = torch.randn(rows, length, states, generator=generator, dtype=dtype)
    state_BP = torch.randn(rows, states, generator=generator, dtype=dtype)
    decay_P = torch.polar(magnitude.double().clamp(min=0.2), angle.double()).to(dtype)
    return [tensor.requires_grad_() for tensor in (decay_P, x_BTP, state_BP)]


@settings(max_examples=25, deadline=None)
@given(length=st.integers(1, 40), chunk=st.integers(1, 12))
def test_values_and_gradients_are_those_of_the_definition(length, chunk):
    inputs = draw(length)
    found, expected = diagonal_scan(*inputs, chunk=chunk), diagonal_reference(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=expected.dtype)
    gradients = (torch.autograd.grad((y * weight).real.sum(), inputs) for y in (found, expected))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_first_and_second_derivatives_are_those_of_finite_differences():
    def scan(*inputs):
        return torch.view_as_real(diagonal_scan(*inputs, chunk=2))

    inputs = tuple(draw(5, rows=1, states=2))
    assert torch.autograd.gradcheck(scan, inputs)
    assert torch.autograd.gradgradcheck(scan, inputs)


def test_decays_on_the_unit_circle_neither_grow_nor_fade_over_131072_tokens():
    decay_P = torch.polar(torch.ones(4, dtype=torch.float64), torch.tensor([0.0, 1.0, 2.0, 3.0]).double())
    states = diagonal_scan(decay_P, torch.zeros(1, 131_072, 4, dtype=decay_P.dtype), torch.ones_like(decay_P)[None])
    torch.testing.assert_close(states.abs(), torch.ones_like(states.abs()), rtol=1e-9, atol=0)


@pytest.mark.parametrize("magnitude", [0.0, 1e-30, 1.0])
def test_decays_of_any_magnitude_up_to_one_give_finite_values_and_gradients(magnitude):
    inputs = draw(300, dtype=torch.complex64)
    inputs[0] = torch.full((3,), magnitude, dtype=torch.complex64, requires_grad=True)
    y = diagonal_scan(*inputs)
    torch.testing.assert_close(y, diagonal_reference(*inputs), rtol=1e-4, atol=1e-4)
    for gradient in torch.autograd.grad(y.real.sum(), inputs):
        assert torch.view_as_real(gradient).isfinite().all()


def test_what_does_not_go_together_is_refused():
    decay_P, x_BTP, state_BP = draw(5)
    with pytest.raises(InputError, match="at least one token"):
        diagonal_scan(decay_P, x_BTP[:, :0], state_BP)
    with pytest.raises(InputError, match=r"state_BP must be \[2, 3\] beside x_BTP \[2, 5, 3\], not \[1, 3\]"):
        diagonal_scan(decay_P, x_BTP, state_BP[:1])
    with pytest.raises(InputError, match="same dtype"):
        diagonal_scan(decay_P.real, x_BTP, state_BP)
    with pytest.raises(InputError, match="a chunk has at least one token, not 0"):
        diagonal_scan(decay_P, x_BTP, state_BP, chunk=0)
